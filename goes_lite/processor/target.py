"""What a processor does with events: calls the user's functions, and tells on which event one failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.checkpoints import Lease
from goes_lite.contract.event_bus import Start
from goes_lite.errors import TRANSIENT, ConfigError, StoreError
from goes_lite.errors.functions import failure
from goes_lite.events.context import enter, leave
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite.processor._retry import Retry
from goes_lite.processor._schedule import ProcessorSchedule
from goes_lite.runtime import Signal
from goes_lite.runtime.face import Face, call

EventHandler: TypeAlias = Callable[[Event[Any]], Awaitable[object] | object]
"""Handles one event, outside of any transaction."""
TransactionHandler: TypeAlias = Callable[[Event[Any], Any], Awaitable[object] | object]
"""Handles one event in the transaction that saves the checkpoint."""
BatchHandler: TypeAlias = Callable[[Sequence[Event[Any]]], Awaitable[object] | object]
"""Handles several events at once, outside of any transaction."""


class HandlerFailed(Exception):
    """The user's function raised an error."""

    def __init__(self, error: Exception, index: int | None) -> None:
        self.error = error
        self.index = index
        """Of the event in the batch; None if the function was called with the whole batch."""
        super().__init__(error)


class Displaced(Exception):
    """The checkpoint is not where this instance left it, so what is committed has to be read again."""


class Stopping(Exception):
    """The processor was asked to stop while it waited to try something again."""


class Target(Protocol):
    """What is done with a batch of events."""

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        """Handle the events in order. HandlerFailed if the user's function raises."""
        ...


Commit: TypeAlias = Callable[[Callable[[Transaction], Awaitable[object]]], Awaitable[None]]
"""Runs a function in a transaction that commits only while this instance is the active one."""


class Chores(Protocol):
    """What a processor has to do besides events, such as timers that are due. Only the active instance does it."""

    async def do(self, commit: Commit) -> float | None:
        """Do what is due now; return the seconds until the next look, None to wait for a change.

        Whatever it writes, it writes with `commit`. It is called after the events of each run, and after each commit of anybody.
        """
        ...


class Host(Protocol):
    """What the work under one lease needs of its processor."""

    backend: Backend
    name: str
    target: Target
    query: EventQuery
    start_at: Start
    transactional: bool
    batch: int
    schedule: ProcessorSchedule
    retry: Retry
    wake: Signal
    chores: Chores | None
    """What it has to do besides events; None if there is nothing."""
    goal: int | None
    """The position after which it ends; None to go on for ever."""
    resting: bool
    """Whether it waits because nothing is due."""

    async def first_position(self) -> int:
        """Return the position after which it begins without a checkpoint."""
        ...

    @property
    def at_work(self) -> bool:
        """Whether it should continue: it was not asked to stop, and it holds its lease."""
        ...

    async def sleep(self, seconds: float) -> bool:
        """Wait; False as soon as it is asked to stop or loses its lease. StoreClosed if the store is closed."""
        ...

    async def prepare(self, lease: Lease) -> None:
        """Called each time it becomes active, before its checkpoint is read."""
        ...

    async def check(self, tx: Transaction) -> None:
        """Called in every transaction of a batch; raises if it may no longer write."""
        ...

    async def begin_again(self, lease: Lease, position: int) -> None:
        """Discard its progress up to `position`."""
        ...

    def reached(self, position: int) -> None:
        """Note the position that it has reached."""
        ...

    def handled(self, events: int, position: int) -> None:
        """Count events that were handled."""
        ...

    def failed(self, error: Exception, event: Event[Any] | None = None) -> None:
        """Note and log an error after which it continues."""
        ...


def target_of(handler: Callable[..., object], face: Face, *, batched: bool) -> Target:
    """Return the target that calls a function; ConfigError if it is not callable."""
    if not callable(handler):
        raise ConfigError(f"a handler must be a function of an event, not {handler!r:.80}")
    return BatchTarget(handler, face) if batched else EachTarget(handler, face)


class EachTarget:
    """Calls a function with each event, and with the transaction if there is one."""

    def __init__(self, function: Callable[..., object], face: Face) -> None:
        self._function = face.function(function, "a handler")
        self._face = face

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        more = () if tx is None else (self._face.transaction(tx),)
        for index, event in enumerate(events):
            token = enter(event)
            try:
                await call_handler_of_batch(index, tx, self._function, event, *more)
            finally:
                leave(token)
        if tx is not None:
            await call_handler(None, tx.flush)


class BatchTarget:
    """Calls a function with the whole batch, and with the transaction if there is one."""

    def __init__(self, function: Callable[..., object], face: Face) -> None:
        self._function = face.function(function, "a handler")
        self._face = face

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if events:
            await call_handler(None, self._function, events, *(() if tx is None else (self._face.transaction(tx),)))
            if tx is not None:
                await call_handler(None, tx.flush)


async def call_handler_of_batch(
    index: int, tx: Transaction | None, function: Callable[..., object], *args: object
) -> object:
    """Call the user's function; an error of what earlier events enqueued is not blamed on this event."""
    try:
        return await call_handler(index, function, *args)
    except HandlerFailed:
        if tx is not None:
            await call_handler(None, tx.flush)
        raise


async def call_handler(index: int | None, function: Callable[..., object], *args: object) -> object:
    """Call the user's function; its errors become HandlerFailed, unless they are about the store."""
    try:
        return await call(function, *args)
    except (StoreError, *TRANSIENT) as exc:
        if type(exc) is not StoreError:
            raise  # the event is not to blame
        raise HandlerFailed(exc, index) from exc  # of no particular kind: a statement of the user failed
    except BaseException as exc:
        raise HandlerFailed(failure(exc), index) from exc
