"""What a processor does with events: calls the user's functions, and says on which event one of them failed."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from goes_lite.contract.backend import Transaction
from goes_lite.errors import (
    AppendInDoubtError,
    ConfigError,
    GoesError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
)
from goes_lite.events.context import enter, leave
from goes_lite.events.event import Event
from goes_lite.runtime import call
from goes_lite.runtime.face import Face

EventHandler: TypeAlias = Callable[[Event[Any]], Awaitable[object] | object]
"""Handles one event, outside of any transaction."""
TransactionHandler: TypeAlias = Callable[[Event[Any], Any], Awaitable[object] | object]
"""Handles one event in the transaction that saves the checkpoint."""
BatchHandler: TypeAlias = Callable[[Sequence[Event[Any]]], Awaitable[object] | object]
"""Handles several events at once, outside of any transaction."""


TRANSIENT = (StoreLocked, StoreFull, StoreUnavailable, AppendInDoubtError)
"""What a store may raise and yet be usable again later: no event is to blame, and trying again is all that there is to do."""


class HandlerFailed(Exception):
    """What the user's function raised."""

    def __init__(self, error: Exception, index: int | None) -> None:
        self.error = error
        self.index = index
        """Of the event in the batch; None if the function was given the whole batch."""
        super().__init__(error)


class Target(Protocol):
    """What is done with a batch of events."""

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        """Handle them in order. HandlerFailed with what the user's function raised."""
        ...


def target_of(handler: Callable[..., object], face: Face, *, batched: bool) -> Target:
    """What calls a function of the user's; ConfigError if it is none."""
    if not callable(handler):
        raise ConfigError(f"a handler is a function of an event, not {handler!r:.80}")
    return BatchTarget(handler, face) if batched else EachTarget(handler, face)


class EachTarget:
    """Calls a function with each event, and with the transaction if there is one."""

    def __init__(self, function: Callable[..., object], face: Face) -> None:
        self._function = face.function(function)
        self._face = face

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        more = () if tx is None else (self._face.transaction(tx),)
        for index, event in enumerate(events):
            token = enter(event)
            try:
                await guarded(index, self._function, event, *more)
            finally:
                leave(token)


class BatchTarget:
    """Calls a function with all of them, and with the transaction if there is one."""

    def __init__(self, function: Callable[..., object], face: Face) -> None:
        self._function = face.function(function)
        self._face = face

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if events:
            await guarded(None, self._function, events, *(() if tx is None else (self._face.transaction(tx),)))


async def guarded(index: int | None, function: Callable[..., object], *args: object) -> object:
    """What the user's function answers; what it raises is HandlerFailed, unless it is about the store."""
    try:
        return await call(function, *args)
    except (StoreError, AppendInDoubtError) as exc:
        if type(exc) is not StoreError:
            raise  # the event is not to blame
        raise HandlerFailed(exc, index) from exc  # of no particular kind: a statement of the user's went wrong
    except Exception as exc:
        raise HandlerFailed(exc, index) from exc
    except BaseException as exc:
        if not _is_stray(exc):
            raise
        stray = GoesError(f"the handler let the cancellation of something that it awaited pass: {exc!r}")
        raise HandlerFailed(stray, index) from exc


def _is_stray(exc: BaseException) -> bool:
    """Whether it is a CancelledError that is not about the task that awaits here."""
    asyncio = sys.modules.get("asyncio")  # there is none without an event loop
    if asyncio is None or not isinstance(exc, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # on the blocking face
        return False
    return task is not None and not task.cancelling()
