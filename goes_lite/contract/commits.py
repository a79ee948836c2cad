"""Learning of commits: how a consumer of the log, or of anything else that is stored, knows when to look again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from goes_lite.errors import InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.runtime import Runtime, Signal

Published = Callable[[Sequence[Event[Any]], int], None]
"""Told after each commit of events: which, and the head before them."""


def publish(published: Published, events: Sequence[Event[Any]], before: int) -> None:
    """Tell it; what it raises is logged, for the events are stored, whatever a subscriber's queue thinks of it."""
    try:
        published(events, before)
    except Exception:
        import logging  # where nothing goes wrong, nobody pays for it

        logging.getLogger("goes_lite").exception("publishing %d committed events failed", len(events))


class Commits(Protocol):
    """The commits that a handle learns of: its own, those of other handles and of other processes.

        while True:
            seen = db.commits.count
            ...  # look at the store
            await db.commits.wait(seen)

    Read `count` before looking, then wait: so nothing is missed. It may wake without cause, never the other way round.
    """

    @property
    def count(self) -> int:
        """Grows whenever the handle learns of a commit that changed anything.

        Events, snapshots, read models, checkpoints, leases and the user's own SQL alike; what the handle commits itself
        is counted when it is acknowledged. It is a number of this handle in this process: not how many commits there
        were, and nothing to keep.
        """
        ...

    async def wait(self, seen: int, timeout: float | None = None) -> bool:
        """Until `count` differs from `seen`: True; or until `timeout` seconds have passed: False.

        Closing the backend wakes whoever waits: True, and the next operation is StoreClosed, as is waiting from then on.
        InvalidQueryError if `seen` is no int, or `timeout` no number ≥ 0.
        """
        ...

    def watch(self, signal: Signal, /) -> AbstractContextManager[None]:
        """While the block runs, notify a signal as well: for those who wait for something else besides.

        Read the signal's `count` before looking at the store: so nothing is missed, as with `wait`. Closing the backend
        notifies it, too; entering the block from then on is StoreClosed. Any thread may enter and leave it.
        """
        ...


class SignalCommits:
    """Commits as told by a signal that the backend notifies after each of them, and once it is closed.

    `check_open` raises StoreClosed from the closing on, before the signal is notified of it. `watching` is entered while
    somebody waits, for backends that have to look out for the commits of others.
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

    @property
    def count(self) -> int:
        return self._signal.count

    async def wait(self, seen: int, timeout: float | None = None) -> bool:
        seconds = check_wait(seen, timeout)
        self._check_open()
        with self._watching():
            return await self._runtime.wait(self._signal, seen, seconds)

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


def check_wait(seen: object, timeout: float | None) -> float | None:
    """The seconds that a `Commits.wait` waits at most; InvalidQueryError for what is no count or no time."""
    if type(seen) is not int:
        raise InvalidQueryError(f"seen is a count that was read before, an int, not {seen!r:.80}")
    if timeout is None:
        return None
    if type(timeout) not in (int, float) or not timeout >= 0:
        raise InvalidQueryError(f"timeout is a number of seconds ≥ 0, or None to wait for ever, not {timeout!r:.80}")
    return min(timeout, threading.TIMEOUT_MAX)
