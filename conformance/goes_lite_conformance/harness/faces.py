"""The blocking face as the rules see it: a thin layer that makes it awaitable.

A rule is written once, over the async protocols. Through this layer it works on what a blocking program works with, and
nothing in it suspends.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, cast

from goes_lite.blocking import BlockingDatabase
from goes_lite.database import Database
from goes_lite.runtime import drive
from goes_lite.runtime.background import Done
from goes_lite_conformance.rule import Face


def run(face: Face, work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end, in the way of the face."""
    if face == "async":
        asyncio.run(work)
    else:
        drive(work)


def awaited(db: BlockingDatabase) -> Database:
    """Return a blocking handle that can be used like an async one."""
    return cast("Database", _Awaited(db))


class _Awaited:
    """A blocking object whose methods can be awaited."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __repr__(self) -> str:
        return repr(self.target)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if name in ("events", "snapshots", "models", "checkpoints", "leases", "commits", "workflows"):
            return _Awaited(value)
        if name == "bus":
            return _AwaitedBus(value)
        if name in _WRAPPED:
            return _wrapping(value, _WRAPPED[name])
        if name == "commands":
            return _AwaitedCommands(value)
        if name in ("watch", "enqueue", "pass_fence"):
            return value
        if name == "on_commit":
            return _on_commit(value)
        if name == "processor":
            return _processor(value)
        if name == "within":
            return _within(value)
        if not callable(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            return value(*args, **kwargs)

        return call


class _AwaitedPages:
    def __init__(self, pages: Any) -> None:
        self._pages = pages

    def __aiter__(self) -> _AwaitedPages:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._pages)
        except StopIteration:
            raise StopAsyncIteration from None

    async def next_page(self) -> Any:
        return self._pages.next_page()

    async def list(self) -> Any:
        return self._pages.list()

    async def aclose(self) -> None:
        self._pages.close()


class _AwaitedSubscription:
    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    def __repr__(self) -> str:
        return repr(self._subscription)

    def __aiter__(self) -> _AwaitedSubscription:
        return self

    async def __anext__(self) -> Any:
        try:
            return _Awaited(next(self._subscription))
        except StopIteration:
            raise StopAsyncIteration from None

    async def close(self) -> None:
        self._subscription.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscription.close()


class _AwaitedProcessor(_Awaited):
    def start(self) -> Done:
        self.target.start()
        return Done()

    async def __aenter__(self) -> Self:
        self.target.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.target.__exit__(kind, error, traceback)


class _AwaitedBus(_Awaited):
    """An event bus; a handler that a rule wrote as a coroutine function becomes a plain function."""

    def handle(self, names: Any, handler: Any, **options: Any) -> Any:
        if inspect.iscoroutinefunction(handler):
            handler = _function(handler)
        return _WRAPPED["handle"](self.target.handle(names, handler, **options))


class _AwaitedCommands(_Awaited):
    """A command bus; handlers and middleware that a rule wrote as coroutine functions become plain functions."""

    def handle(self, command: Any, handler: Any, **options: Any) -> None:
        self.target.handle(command, _function(handler), **options)

    def serve(self, aggregate: Any, **options: Any) -> None:
        self.target.serve(aggregate, **options)

    def use(self, *middleware: Any, **options: Any) -> None:
        self.target.use(*map(_middleware, middleware), **options)

    def worker(self, **options: Any) -> _AwaitedProcessor:
        return _AwaitedProcessor(self.target.worker(**options))


class _AwaitedBlock:
    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return _Awaited(self._block.__enter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, traceback)


def _wrapping(method: Callable[..., Any], wrapper: type[Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper(method(*args, **kwargs))

    return call


def _processor(make: Callable[..., Any]) -> Callable[..., _AwaitedProcessor]:
    def call(name: str, handler: Any, **options: Any) -> _AwaitedProcessor:
        return _AwaitedProcessor(make(name, _function(handler) if callable(handler) else handler, **options))

    return call


def _function(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain function, as handlers are on this face, for a coroutine function of the rule."""

    def call(events: Any, *transaction: Any) -> Any:
        result = handler(events, *map(_Awaited, transaction))
        return drive(result) if inspect.iscoroutine(result) else result

    return call


def _middleware(middleware: Any) -> Any:
    """Return a plain function, unless it is one of the library, which serves both faces."""
    if not inspect.iscoroutinefunction(middleware) or middleware.__module__ == "goes_lite.commands.middleware":
        return middleware

    def call(command: Any, proceed: Any) -> Any:
        async def proceeding(command: Any) -> Any:
            return proceed(command)

        return drive(middleware(command, proceeding))

    return call


def _within(method: Callable[[Any], Any]) -> Callable[[_Awaited], _Awaited]:
    def call(transaction: _Awaited) -> _Awaited:
        return _Awaited(method(transaction.target))

    return call


def _on_commit(
    register: Callable[[Callable[[], object]], None],
) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    def call(action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        register(lambda: drive(action()))

    return call


_WRAPPED: dict[str, type[Any]] = {
    "query": _AwaitedPages,
    "stored": _AwaitedPages,
    "aggregates": _AwaitedPages,
    "follow": _AwaitedPages,
    "models_of": _Awaited,
    "repository": _Awaited,
    "inline": _Awaited,
    "lookup": _Awaited,
    "projection": _AwaitedProcessor,
    "workflow": _AwaitedProcessor,
    "relay": _AwaitedProcessor,
    "transaction": _AwaitedBlock,
    "view": _AwaitedBlock,
    "subscribe": _AwaitedSubscription,
    "handle": _Awaited,
}
