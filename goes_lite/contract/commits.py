"""Notification of commits: how a consumer of the log, or of anything else stored, knows when to look again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from goes_lite.errors import InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.runtime import Runtime, Signal

if TYPE_CHECKING:
    import asyncio

Published = Callable[[Sequence[Event[Any]], int], None]
"""Called after each commit of events, with the events and the head before them."""


class Commits(Protocol):
    """The commits that a handle learns of: its own, and those of other handles and processes.

        while True:
            seen = db.commits.count
            ...  # look at the store
            await db.commits.wait(seen)

    Read `count` before looking, then wait, and nothing is missed. It may wake without cause, but never fails to wake.
    """

    readings: set[asyncio.Future[None]]
    """What appends of this handle wait for; see `hold_appends`."""

    @property
    def count(self) -> int:
        """A number that grows whenever the handle learns of a commit that changed anything.

        Events, snapshots, read models, checkpoints, leases and your own SQL alike; the handle's own commits are counted
        when they are acknowledged. It belongs to this handle in this process: it is not the number of commits, and not
        worth storing.
        """
        ...

    async def wait(self, seen: int, timeout: float | None = None, *, ended: Signal | None = None) -> bool:
        """Wait until `count` differs from `seen` (True), or until `timeout` seconds have passed (False).

        It also ends (False) once `ended` is notified, or if it was, for those who may be told to wait no longer.
        Closing the backend wakes all waiters: they get True, and any further operation or wait raises StoreClosed.
        Raises InvalidQueryError unless `seen` is an int and `timeout` a number ≥ 0.
        """
        ...

    def watch(self, signal: Signal, /) -> AbstractContextManager[None]:
        """Notify a signal, too, while the block runs: for callers who also wait for something else.

        Read the signal's `count` before looking at the store, and nothing is missed, as with `wait`. Closing the backend
        notifies it as well; entering the block from then on raises StoreClosed. Any thread may enter and leave it.
        """
        ...


class SignalCommits:
    """Commits based on a signal that the backend notifies after each commit and when it is closed.

    `check_open` raises StoreClosed once the backend is closed, already before the signal is notified. `watching` is entered
    while anyone waits, for backends that have to look out for the commits of others.
    """

    def __init__(
        self,
        signal: Signal,
        runtime: Runtime,
        check_open: Callable[[], None],
        watching: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._signal = signal
        self._runtime = runtime
        self._check_open = check_open
        self._watching = watching
        self.readings: set[asyncio.Future[None]] = set()

    @property
    def count(self) -> int:
        return self._signal.count

    async def wait(self, seen: int, timeout: float | None = None, *, ended: Signal | None = None) -> bool:
        seconds = check_wait(seen, timeout)
        self._check_open()
        if ended is None:
            with self._watching():
                return await self._runtime.wait(self._signal, seen, seconds)
        if not isinstance(ended, Signal):
            raise InvalidQueryError(f"ended is a Signal, or None, not {ended!r:.80}")
        either = Signal()
        with self.watch(either):
            if ended.call_once(0, either.notify) and self._signal.count == seen:
                await self._runtime.wait(either, 0, seconds)
            ended.forget(either.notify)
        return self._signal.count != seen

    @contextmanager
    def watch(self, signal: Signal, /) -> Generator[None]:
        self._check_open()
        watched = True

        def register() -> None:
            while not self._signal.call_once(self._signal.count, tell):
                pass  # a commit came in between

        def tell() -> None:
            if watched:
                register()  # before the signal is notified, so that none is missed in between
            signal.notify()

        with self._watching():
            register()
            try:
                yield
            finally:
                watched = False
                self._signal.forget(tell)


def hold_appends(commits: Commits, reading: asyncio.Future[None]) -> None:
    """Let appends of the handle that are called from now on wait until something is read.

    So what a program starts and what it appends next are in this order, although the start is in the background.
    """
    commits.readings.add(reading)
    reading.add_done_callback(commits.readings.discard)


async def held(commits: Commits) -> None:
    """Wait for what an append has to wait for, on the running event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    if here := [reading for reading in commits.readings if reading.get_loop() is loop]:
        await asyncio.wait(here)


def check_wait(seen: object, timeout: float | None) -> float | None:
    """Return the longest time in seconds that a `Commits.wait` takes; InvalidQueryError for a wrong count or timeout."""
    if type(seen) is not int:
        raise InvalidQueryError(f"seen is a count that was read before, an int, not {seen!r:.80}")
    if timeout is None:
        return None
    if type(timeout) not in (int, float) or not timeout >= 0:
        raise InvalidQueryError(f"timeout is a number of seconds ≥ 0, or None to wait forever, not {timeout!r:.80}")
    return min(timeout, threading.TIMEOUT_MAX)
