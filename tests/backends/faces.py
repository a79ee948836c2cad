"""One contract, all faces: what the tests of the stores' promises share.

A test is written once, as a coroutine over the async protocols. It is run on the async face by asyncio, and on the
blocking face through a thin layer that gives `await` to what has none: there it must reach its end without suspending.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, cast
from uuid import UUID

from goes_lite import blocking, connect
from goes_lite.backend import Backend
from goes_lite.event import AggregateRef, Event
from goes_lite.registry import Registry
from goes_lite.runtime import drive

registry = Registry()


@registry.event("noted")
@dataclass(frozen=True)
class Noted:
    text: str = ""


@registry.event("counted")
@dataclass(frozen=True)
class Counted:
    number: int = 0


@registry.event("closed")
@dataclass(frozen=True)
class Closed:
    pass


def note(
    text: str = "",
    aggregate: AggregateRef | tuple[str, str | UUID] | None = None,
    version: int = 0,
    **fields: Any,
) -> Event[Noted]:
    """One event of the type Noted."""
    return Event(Noted(text), aggregate=aggregate, version=version, registry=registry, **fields)


def count(number: int, **fields: Any) -> Event[Counted]:
    """One event of the type Counted."""
    return Event(Counted(number), registry=registry, **fields)


def story(id: str, versions: int, *, name: str = "order", after: int = 0, **fields: Any) -> list[Event[Noted]]:
    """So many contiguous events of one aggregate, behind version `after`."""
    return [note(f"{id}-{v}", (name, id), v, **fields) for v in range(after + 1, after + versions + 1)]


class Place(NamedTuple):
    """A storage, and the face through which a test works on it."""

    face: str
    """async, blocking (inline) or loop (blocking, over a loop thread)."""
    driver: str
    path: str
    """':memory:' is in memory."""

    @property
    def memory(self) -> bool:
        return self.path == ":memory:"

    def open(self, **options: Any) -> AbstractAsyncContextManager[Backend]:
        """A handle on it, through the face."""
        settings: dict[str, Any] = {"driver": self.driver, "registry": registry, **options}
        if not self.memory:
            settings.setdefault("durability", "normal")
        if self.face == "async":
            return connect(self.path, **settings)
        return _opened(self.path, inline=self.face == "blocking", **settings)

    @contextmanager
    def second(self, **options: Any) -> Generator[blocking.BlockingBackend]:
        """Another handle on the same file, always through the inline blocking face: the second path to observe by.

        It lives on a thread of its own, for the one of the test may have an event loop, which must not block.
        """
        settings: dict[str, Any] = {"driver": self.driver, "registry": registry, "durability": "normal", **options}
        with ThreadPoolExecutor(1) as thread:
            db = thread.submit(lambda: blocking.connect(self.path, **settings)).result()
            try:
                yield cast(blocking.BlockingBackend, _Elsewhere(db, thread))
            finally:
                thread.submit(db.close).result()

    def run(self, test: Coroutine[Any, Any, Any]) -> None:
        """Run a test to its end."""
        if self.face == "async":
            asyncio.run(test)
        else:
            drive(test)


@asynccontextmanager
async def _opened(path: str, **settings: Any) -> AsyncGenerator[Backend]:
    with blocking.connect(path, **settings) as db:
        yield cast(Backend, _Awaited(db))


class _Elsewhere:
    """A blocking object that is only used on another thread."""

    def __init__(self, target: Any, thread: ThreadPoolExecutor) -> None:
        self.target = target
        self.thread = thread

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if name in ("events", "snapshots", "models", "checkpoints", "leases", "backend"):
            return _Elsewhere(value, self.thread)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = self.thread.submit(value, *args, **kwargs).result()
            return _Elsewhere(result, self.thread) if name in ("query", "aggregates", "follow", "models_of") else result

        return call

    def __iter__(self) -> _Elsewhere:
        return self

    def __next__(self) -> Any:
        found = self.thread.submit(lambda: next(self.target, None)).result()
        if found is None:
            raise StopIteration
        return found


class _Awaited:
    """A blocking object whose methods can be awaited."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __repr__(self) -> str:
        return repr(self.target)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if name in ("events", "snapshots", "models", "checkpoints", "leases"):
            return _Awaited(value)
        if name in _WRAPPED:
            return _wrapping(value, _WRAPPED[name])
        if name == "on_commit":
            return _on_commit(value)
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
        return None


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


def _on_commit(
    register: Callable[[Callable[[], object]], None],
) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    def call(action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        register(lambda: drive(action()))

    return call


_WRAPPED: dict[str, type[Any]] = {
    "query": _AwaitedPages,
    "aggregates": _AwaitedPages,
    "follow": _AwaitedPages,
    "models_of": _Awaited,
    "transaction": _AwaitedBlock,
}
