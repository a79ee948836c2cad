"""Where a store is: the handle on it, and how a program gets to the next one when the store is moved.

Rule of this file: it decides when to go where; `roaming` is what a program sees.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from goes_lite.contract.backend import Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.contract.fence import Fence, into
from goes_lite.errors import (
    FenceChanged,
    GoesError,
    LeaseHeld,
    StoreClosed,
    StoreMoved,
    StoreReadOnly,
    StoreUnavailable,
)
from goes_lite.runtime import Signal
from goes_lite.runtime.background import Background

T = TypeVar("T")
Reopen = Callable[[str], Awaitable[Backend]]

logger = logging.getLogger("goes_lite")

PATIENCE = 60.0
"""Seconds that a write waits for a move to end, before StoreMoved is raised after all."""
LOOK, PAUSE = 0.05, 0.2
"""Seconds between two looks at a fence: while a write waits for it, and while the log grows."""
LINGER = 60.0
"""Seconds after which a handle is closed that was left two moves ago: a query may be reading from it."""
GRACE = 2.0
"""Seconds after a move in which who held a lease before may take it along, before another instance takes over."""
REST = 1.0
"""Seconds after which a handle that nobody writes to looks at the fence at the latest."""


class Whereabouts:
    """The open handle on a store that may be moved.

    The one before stays open, so that what began there ends there; and the first, which the runtime of the program belongs to.
    """

    def __init__(self, backend: Backend, reopen: Reopen) -> None:
        self.current = backend
        self.former: list[Backend] = []
        """The handles before, the oldest first, that are still open."""
        self._leaving: set[asyncio.Task[None]] = set()
        self.moved = Signal()
        """Notified each time that the handle is another one."""
        self.on_move: list[Callable[[Backend, Backend], None]] = []
        """Called with the former and the current handle."""
        self.leases: dict[str, tuple[Lease, float]] = {}
        """The leases that were acquired here, with their duration in seconds."""
        self._tokens: dict[tuple[str, str, int], Lease] = {}
        """What the leases of former stores are in the current one."""
        self._reopen = reopen
        self._turn = asyncio.Lock()
        self._ending = Signal()
        self._watch: Background | None = None
        self._clock = backend.runtime.clock
        self._arrived = float("-inf")

    def start(self) -> None:
        """Look at the fence from time to time, for programs that only read."""
        self._watch = Background(self.current.runtime, "goes_lite-whereabouts")
        self._watch.start(self._watching())

    async def run(self, operation: Callable[[Backend], Awaitable[T]]) -> T:
        """Run an operation on the store, wherever it is."""
        while True:
            backend = self.current
            try:
                return await operation(backend)
            except StoreMoved as moved:
                await self.go(backend, moved)

    def lease(self, lease: Lease) -> Lease:
        """Return a lease as it is in the current store."""
        return self._tokens.get((lease.name, lease.owner, lease.token), lease) if isinstance(lease, Lease) else lease  # pyright: ignore[reportUnnecessaryIsInstance]

    async def go(self, backend: Backend, moved: StoreMoved) -> None:
        """Wait until a store that was or is being moved is open again, or the handle is one on the place where it is."""
        end = self._clock.monotonic() + PATIENCE
        while not await self.look(backend):
            if self._clock.monotonic() > end:
                raise moved
            await asyncio.sleep(LOOK)

    async def look(self, backend: Backend) -> bool:
        """Go where the store is; return False while that is not decided."""
        async with self._turn:
            if self.current is not backend or (fence := await backend.fence()) is None:
                return True
            if fence.until is not None:
                return False
            there = await self._reopen(fence.to)
            try:
                if await _is_target(fence, there):
                    await there.close()
                    return await _finished(backend, fence)
                arrived = await _opened(backend, there, fence)
                if arrived:
                    await self._take_leases(backend, there)
                if self._ending.count:  # nobody would close this one
                    raise StoreClosed(backend.location)
            except BaseException:
                await there.close()
                raise
            if not arrived:
                await there.close()
                return False
            self.former.append(backend)
            self._leave()
            self.current, self._arrived = there, self._clock.monotonic()
            for tell in self.on_move:
                tell(backend, there)
            self.moved.notify()
            logger.info("the store %s was moved to %s: going on there", backend.location, there.location)
            return True

    def _leave(self) -> None:
        """Close the handles that were left two moves ago, after a while."""
        for left in self.former[1:-1]:
            task = asyncio.get_running_loop().create_task(self._close_later(left))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        del self.former[1:-1]

    async def _close_later(self, left: Backend) -> None:
        """Close a handle once nobody can be reading from it any more."""
        await self.former[0].runtime.wait(self._ending, 0, LINGER)
        try:
            await left.close()
        except (GoesError, OSError) as error:
            logger.warning("closing a handle on %s, which was moved: %s", left.location, error)

    async def _take_leases(self, backend: Backend, there: Backend) -> None:
        """Hold in the new store what this handle holds in the old one."""
        for name, (lease, ttl) in [*self.leases.items()]:
            try:
                taken = await there.leases.acquire(name, lease.owner, ttl)
            except LeaseHeld:
                del self.leases[name]
                continue
            except StoreMoved:
                continue  # on to the next place
            for key, known in self._tokens.items():
                if known[:3] == lease[:3]:
                    self._tokens[key] = taken
            self._tokens[lease.name, lease.owner, lease.token] = taken
            self.leases[name] = taken, ttl

    async def held_before(self, name: str, owner: str) -> Lease | None:
        """Return a lease that somebody else had when the store was moved, and has had no time to take along."""
        if self._clock.monotonic() - self._arrived > GRACE or await self.current.leases.get(name) is not None:
            return None
        with suppress(GoesError):
            lease = await self.former[-1].leases.get(name)
            if lease is not None and lease.owner != owner:
                return lease
        return None

    async def _watching(self) -> None:
        runtime = self.current.runtime
        while not self._ending.count:
            backend = self.current
            try:
                await backend.commits.wait(backend.commits.count, REST, ended=self._ending)
                if self._ending.count:
                    return
                if await backend.fence() is not None:
                    await self.look(backend)
            except StoreClosed:
                return
            except Exception as error:  # noqa: BLE001  (on_moved may be a function of the program, which knows the URL later)
                logger.warning("where the store %s is cannot be found out just now: %r", backend.location, error)
                await runtime.wait(self._ending, 0, REST)
            await runtime.wait(self._ending, 0, PAUSE)

    async def close(self) -> None:
        """Close all handles, the newest first."""
        self._ending.notify()
        try:
            if self._watch is not None:
                await self._watch.join()
        finally:
            while self._leaving:
                await asyncio.wait(self._leaving)
            for backend in (self.current, *reversed(self.former)):
                await backend.close()


async def _is_target(fence: Fence, source: Backend) -> bool:
    """Whether the store that has the fence is where another one was moved to, which was decided."""
    other = await source.fence()
    return other is not None and other.until is None and fence.move == into(other.move)


async def _opened(backend: Backend, there: Backend, fence: Fence) -> bool:
    """Whether the store is there: open, or moved on. A move that was decided and not finished is finished.

    StoreUnavailable if something else is there, such as the new, empty store that opening what is gone has made.
    """
    other = await there.fence()
    if other is not None and other.move == into(fence.move):
        return await _finished(there, other)
    if not await _related(backend, there):
        raise StoreUnavailable(there.location, f"this is not the store that {backend.location!r} was moved to")
    return other is None or (other.until is None and other.to != backend.location)


async def _related(one: Backend, other: Backend) -> bool:
    """Whether one of two stores was filled from the other."""
    from goes_lite.operations.lineage import origin_of

    for filled, source in ((other, one), (one, other)):
        origin = await origin_of(filled.models, filled.runtime)
        if origin is not None and origin.store == source.identity:
            return True
    return False


async def _finished(target: Backend, fence: Fence) -> bool:
    """Open the target of a move: the fence of its source stays, so it was decided, and only this is left."""
    try:
        await target.set_fence(None, expected=fence.move)
    except FenceChanged as changed:
        return changed.found is None  # else the move is being undone
    except StoreReadOnly:
        return True  # somebody who writes opens it; reading needs no more
    return True
