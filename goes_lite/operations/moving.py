"""Move a live store to another place, of any backend, while applications write to it: fence, drain, compare, open.

The fences of both stores say how far a move is, so nothing else has to be remembered, and a later call can finish it or
undo it:

    source              target                what it means, and what the next call does
    open                fenced                being filled: begins again; what is copied is kept
    fenced, for a time  fenced                the last events are copied; the source opens by itself: begins again
    fenced              fenced, same move     moved, but not opened yet: opens the target
    fenced              open                  moved

No more than one of the two is ever writable. The move is decided by one write: the one that makes the fence of the source stay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.contract.fence import Fence, into, is_into
from goes_lite.errors import CopyRefused, FenceChanged, GoesError, LeaseHeld, MoveRefused, MoveUndone
from goes_lite.events.ids import new_id_text
from goes_lite.operations.copying import NEAR, Copying, CopyProgress, Step, silent
from goes_lite.operations.lineage import check_target

BUDGET = 5.0
"""Seconds for which writers may be kept out before the source is opened again."""
ROUNDS = 5
"""How often everything is compared before the fence, at most: until that takes less than half of the budget."""


class Moved(NamedTuple):
    """What a move has done."""

    move: str
    """The name of the move, as in the fence of the source."""
    head: int
    """The position at which the source ends and the target goes on."""
    events: int
    """How many events this run has copied."""
    paused: float
    """Seconds for which writers were kept out; 0 if this run had only to open the target, or nothing to do."""
    finished: bool
    """Whether an earlier run had moved the store, and this one had only to open the target, or nothing to do."""


async def cutover(
    source: Backend, target: Backend, *, budget: float = BUDGET, progress: CopyProgress | None = None
) -> Moved:
    """Move a store that is written to: afterwards the target is the store, and the source sends its writers there.

    - First the target is fenced and filled while applications go on; an earlier copy of the source is brought up to date.
    - Then writers are kept out: each of their writes raises StoreMoved. What was committed before is copied, both are compared,
      and the leases of consumers are handed over, so that the one that was active stays it.
    - If that takes longer than `budget` seconds, or this process is killed, the source opens again by itself, and nothing has
      happened: MoveUndone. Otherwise the fence of the source stays, and the target is opened.
    - The move back is the same call the other way round, after writes to the new store as well.
    - Killed at any moment, no more than one of the two takes writes. Called again, it finishes what was decided, and begins
      again otherwise. Between the decision and the opening neither does, until somebody calls it again.

    Both handles belong to the move: they are not used for anything else, and are closed after it. Raises MoveRefused for a
    store that was moved elsewhere, CopyRefused for a target that holds something else, CopyDiffers if both are not equal.
    """
    return await _Move(source, target, budget, progress).run()


async def undo(source: Backend, target: Backend) -> bool:
    """Undo a move that was not finished: the source takes writes again. Return False if there was nothing to undo.

    Raises MoveRefused if the target was opened: what was written there since would be lost. Move it back instead.
    """
    there, here = await target.fence(), await source.fence()
    if here is None:
        return False
    if is_into(here.move):
        raise _is_target(source, here)
    if there is None or there.move != into(here.move):
        raise MoveRefused(
            source.location, f"it was moved to {here.to}, which was opened: move it back with a cut-over from there"
        )
    # in this order: once the target has another fence, nobody can open it any more
    await target.set_fence(Fence(into(new_id_text()), source.location), expected=there.move)
    await source.set_fence(None, expected=here.move)
    return True


class _Move:
    def __init__(self, source: Backend, target: Backend, budget: float, progress: CopyProgress | None) -> None:
        self._source = source
        self._target = target
        self._budget = budget
        self._move = new_id_text()
        self._into = Fence(into(self._move), source.location)
        self._tell: CopyProgress = silent if progress is None else progress
        self._work = Copying(source, target, update=True, back=True, progress=progress)

    async def run(self) -> Moved:
        if (done := await self._decided()) is not None:
            return done
        before = await self._close_target()
        self._target.pass_fence(self._into.move)
        try:
            await self._work.begin()
        except CopyRefused:  # it was written to meanwhile: it is not ours
            await self._target.set_fence(before, expected=self._into.move)
            raise
        await self._work.catch_up(near=NEAR)
        after = await self._near()
        began = self._source.runtime.clock.monotonic()
        await self._source.set_fence(self._to_target, expected=None, lasts=self._budget)
        try:
            await self._drain(after)
        except BaseException:
            with suppress(GoesError):  # it opens by itself
                await self._source.set_fence(None, expected=self._move)
            raise
        try:
            # If this fails in any other way, nobody knows whether it was decided, so nothing may be taken back.
            await self._source.set_fence(self._to_target, expected=self._move)
        except FenceChanged as exc:
            raise MoveUndone(self._source.location, self._budget) from exc
        await _open(self._target, self._move)
        paused = self._source.runtime.clock.monotonic() - began
        return Moved(self._move, self._work.head, self._work.events, paused, False)

    @property
    def _to_target(self) -> Fence:
        return Fence(self._move, self._target.location)

    async def _decided(self) -> Moved | None:
        """Finish a move that was decided; undo one that was not."""
        source, target = self._source, self._target
        if source.identity == target.identity:
            raise MoveRefused(source.location, "source and target are the same store")
        here, there = await source.fence(), await target.fence()
        if here is not None and here.until is not None and there is not None and there.move == into(here.move):
            # in this order: once the target is ours, the other mover can decide, but not open it
            with suppress(FenceChanged):
                await target.set_fence(self._into, expected=there.move)
                await source.set_fence(None, expected=here.move)
            here, there = await source.fence(), await target.fence()
        if here is None:
            return None
        if is_into(here.move):
            raise _is_target(source, here)
        if here.until is not None:
            raise MoveRefused(source.location, f"it is being moved to {here.to} just now")
        if there is not None and there.move != into(here.move):
            raise MoveRefused(source.location, f"it was moved to {here.to}")
        if there is None and here.to != target.location:
            raise MoveRefused(source.location, f"it was moved to {here.to}, not to {target.location}")
        if there is not None:
            await _open(target, here.move)
        return Moved(here.move, await source.events.head(), 0, 0.0, True)

    async def _close_target(self) -> Fence | None:
        """Keep everybody else out of the target: earlier runs of this move, and writers of an earlier life.

        Return the fence that it had. A store that holds something else is left alone: CopyRefused.
        """
        there = await self._target.fence()
        if there is not None and there.to != self._source.location:
            raise MoveRefused(
                self._target.location, f"it was moved to {there.to}, which is not {self._source.location}"
            )
        await check_target(self._source, self._target, update=True, back=True)
        await self._target.set_fence(self._into, expected=None if there is None else there.move)
        return there

    async def _near(self) -> int:
        """Make both nearly equal, and return the position up to which all was compared."""
        clock = self._source.runtime.clock
        after = 0
        for number in range(ROUNDS):
            began = clock.monotonic()
            await self._work.sync(verify=after)
            after = self._work.head
            if number and clock.monotonic() - began < self._budget / 2:
                break
        return after

    async def _drain(self, after: int) -> None:
        """Copy and compare what is left, hand the leases over, and complete the target."""
        self._tell(Step("draining", after, 0))
        await self._work.catch_up()
        await self._work.sync(verify=after, still=True)
        async for lease in _leases(self._source):
            await _hand_over(lease, self._target, self._source)
        await self._work.complete()


async def _open(target: Backend, move: str) -> None:
    """Open the target of a move that was decided; a program that follows may have done so already."""
    try:
        await target.set_fence(None, expected=into(move))
    except FenceChanged as changed:
        if changed.found is not None:
            raise


def _is_target(store: Backend, fence: Fence) -> MoveRefused:
    return MoveRefused(
        store.location,
        f"a move from {fence.to} into it was not finished: call that again, or undo it, with {fence.to} first",
    )


async def _leases(source: Backend) -> AsyncIterator[Lease]:
    for name in await source.leases.tokens():
        if (lease := await source.leases.get(name)) is not None:
            yield lease


async def _hand_over(lease: Lease, target: Backend, source: Backend) -> None:
    """Let the owner of a lease have it in the target as well, for as long as it still has it in the source."""
    left = (lease.expires - source.runtime.clock.now()).total_seconds()
    if left <= 0:
        return
    there = await target.leases.get(lease.name)
    if there is not None and there.owner != lease.owner:
        await target.leases.release(there)  # of an earlier life of the target
    with suppress(LeaseHeld):
        await target.leases.acquire(lease.name, lease.owner, left)
