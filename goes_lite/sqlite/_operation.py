"""Operations of the writer, and how the threads and tasks that wait for them get the results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from goes_lite.runtime.deadline import Deadline
from goes_lite.sqlite._driver import Connection
from goes_lite.sqlite._seat import Turn

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Work = Callable[[Connection], T]


class Operation(Turn, Generic[T]):
    """A function of the connection, and its result. It has the seat while its thread leads."""

    __slots__ = ("committed", "done", "error", "future", "result", "work")

    def __init__(self, work: Work[T], committed: Callable[[T], None] | None, future: asyncio.Future[T] | None) -> None:
        self.work = work
        self.committed = committed
        """Called after the commit, on the writer's thread, in commit order."""
        self.future = future
        self.bell: SimpleQueue[None] | None = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class Guest(Protocol):
    """A user transaction, which occupies the writer's thread until it ends."""

    def serve(self) -> None:
        """Hold the connection until the transaction ends."""
        ...


def admitted(work: Work[T], deadline: Deadline) -> Work[T]:
    """Return the operation with a look at the deadline when its turn comes, not while it is queued."""

    def look_first(connection: Connection) -> T:
        deadline.admit()
        return work(connection)

    return look_first


def call_in(future: asyncio.Future[Any] | None, settle: Callable[[asyncio.Future[Any]], None]) -> None:
    if future is not None:
        with contextlib.suppress(RuntimeError):  # its loop was closed, so nobody waits
            future.get_loop().call_soon_threadsafe(lambda: None if future.done() else settle(future))


def resolve(operations: Sequence[Operation[Any]]) -> None:
    """Deliver results, with one call per event loop instead of one per operation."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Operation[Any]]] = {}
    for op in operations:
        if op.bell is not None:
            op.bell.put(None)
        elif op.future is not None:
            by_loop.setdefault(op.future.get_loop(), []).append(op)
    for loop, resolved in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, resolved)


def settle(operations: Sequence[Operation[Any]]) -> None:
    """Deliver results on the event loop that waits for them."""
    for op in operations:
        future = op.future
        if future is not None and not future.done():
            if op.error is not None:
                future.set_exception(op.error)
            else:
                future.set_result(op.result)
