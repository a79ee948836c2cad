"""Copy a store into another one, of any backend: events with their positions, snapshots, read models, checkpoints, the head.

Most of the log is copied while it grows. The end of it, and everything else, is read in one view, so the copy is of one
moment. Then both logs are hashed and compared. Resuming needs nothing but the target: its head says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from goes_lite.contract.backend import Backend, View
from goes_lite.contract.event_store import AggregateInfo, EventStore
from goes_lite.errors import ConcurrencyError, CopyDiffers
from goes_lite.events.event import Event
from goes_lite.operations.canonical import Block, Folder, log_hash
from goes_lite.operations.lineage import COMPLETE, COPYING, Origin, check_target, keep_origin, origin_of
from goes_lite.operations.receipts import Receipt
from goes_lite.operations.reconciling import Changes, differing, reconcile

NEAR = 5_000
"""So many positions before the head, the view begins: what is left is copied in it."""


class Step(NamedTuple):
    """How far a copy is."""

    what: str
    """`events`, `snapshots`, `models`, or `verifying`."""
    done: int
    total: int
    """Of events: the positions done, and the head. Of the others: those done, and 0, since nobody has counted them."""


CopyProgress = Callable[[Step], object]
"""Called from time to time while a copy is under way."""


class Copied(NamedTuple):
    """What a copy has done."""

    receipt: Receipt
    """Of the source at the moment of the view; the target has the same log."""
    events: int
    """How many events this run has copied."""
    deleted: int
    """How many events were removed from the target, because the source has deleted their aggregates meanwhile."""
    records: Changes
    """Snapshots, read models and checkpoints."""
    resumed: bool
    """Whether an earlier copy was continued."""


async def copy(
    source: Backend, target: Backend, *, update: bool = False, progress: CopyProgress | None = None
) -> Copied:
    """Copy everything that the source holds at one moment into the target, which is empty or half of the same copy.

    - Events keep ids, versions, times, payloads, names and positions, with the gaps, and the target has the same head.
    - Checkpoints of the source are valid in the target. Leases are not copied: whoever works on the source has them.
    - Nothing is decoded, and no writer of the source waits. Memory: about 50 bytes an event, for the receipt.
    - Whatever ends it, calling it again goes on where it was. With `update`, a complete copy is brought up to date.
    - The target is verified: its log has the hash of the source's, else CopyDiffers with the first position that differs.

    Raises CopyRefused if the target holds anything else. Nothing else may write to it meanwhile.
    """
    tell = _silent if progress is None else progress
    began = await check_target(source.identity, target, complete=lambda _: update)
    earlier = await origin_of(source.models, source.runtime)
    lineage = [] if earlier is None else [*earlier.earlier, earlier.store]
    await keep_origin(target, _origin(source, 0 if began is None else began.head, COPYING, lineage))
    work = _Copy(target, tell)
    done = await target.events.head()
    fresh = done == 0
    while (head := await source.events.head()) > done + NEAR:
        done = await work.bring(source.events, done, head, head)
    async with source.view() as view:
        head = await view.events.head()
        await work.bring(view.events, done, head, head)
        await work.forget_deleted(view)
        await target.events.import_events([], head=head)

        def records(what: str, number: int) -> None:
            tell(Step(what, number, 0))

        changes = await reconcile(view, target, progress=records)
        folder = work.folder if fresh and not work.deleted else await _fold(view.events, head, tell)
        receipt = _receipt(source, head, folder)
        left = await reconcile(view, target, progress=records)
        if left != Changes():
            raise CopyDiffers(
                target.location, 0, "its snapshots, read models or checkpoints differ from those of the source"
            )
    await _compare(target, receipt, tell)
    await keep_origin(target, _origin(source, head, COMPLETE, lineage))
    return Copied(receipt, work.events, work.deleted, changes, began is not None)


def _silent(step: Step) -> None:
    """Tell nobody."""


def _origin(source: Backend, head: int, state: str, earlier: list[str]) -> Origin:
    return Origin(source.identity, source.location, head, source.runtime.clock.now(), state, earlier)


def _receipt(source: Backend, head: int, folder: Folder) -> Receipt:
    blocks = tuple(folder.finish())
    now = source.runtime.clock.now()
    return Receipt(
        source.identity, source.location, now, head, head, folder.events, folder.aggregates, log_hash(blocks), blocks
    )


class _Copy:
    """The events of one copy."""

    def __init__(self, target: Backend, tell: CopyProgress) -> None:
        self._target = target
        self._tell = tell
        self.folder = Folder()
        """Of what was read from the source, if it is all of it."""
        self.events = self.deleted = 0

    async def bring(self, events: EventStore, after: int, upto: int, total: int) -> int:
        """Copy the events at these positions, and return the last position that is done."""
        pages = events.stored(after=after, upto=upto)
        while page := await pages.next_page():
            await self._import(page)
            self.folder.add(page)
            self.events += len(page)
            self._tell(Step("events", page[-1].position, total))
        return upto

    async def _import(self, page: Sequence[Event[Any]]) -> None:
        """Import a page; all of it was read at one moment.

        An aggregate that begins again was deleted in the source after it was copied: so it is deleted here first.
        """
        while True:
            try:
                await self._target.events.import_events(page)
            except ConcurrencyError as conflict:
                if conflict.expected or not conflict.actual:
                    raise
                self.deleted += await self._target.events.delete(conflict.aggregate)
            else:
                return

    async def forget_deleted(self, view: View) -> None:
        """Delete the aggregates that the source has deleted since they were copied."""
        there, here = view.events.aggregates(), self._target.events.aggregates()
        async for one, other in differing(there, here, _ref, lambda a, b: a.version == b.version):
            if one is None and other is not None:
                self.deleted += await self._target.events.delete(other.aggregate)
            elif one is not None:
                raise CopyDiffers(self._target.location, 0, f"{one.aggregate} has another version than in the source")


def _ref(info: AggregateInfo) -> Any:
    return info.aggregate


async def _fold(events: EventStore, upto: int, tell: CopyProgress) -> Folder:
    folder = Folder()
    pages = events.stored(upto=upto)
    while page := await pages.next_page():
        folder.add(page)
        tell(Step("verifying", page[-1].position, upto))
    folder.finish()
    return folder


async def _compare(target: Backend, receipt: Receipt, tell: CopyProgress) -> None:
    """Raise CopyDiffers unless the target has the log of the receipt."""
    folder = await _fold(target.events, receipt.head, tell)
    blocks = tuple(folder.finish())
    if log_hash(blocks) == receipt.hash and await target.events.head() == receipt.head:
        return
    raise CopyDiffers(target.location, _first_difference(receipt.blocks, blocks), "it is not what the source has there")


def _first_difference(wanted: Sequence[Block], found: Sequence[Block]) -> int:
    """Return the first position at which two logs differ; 0 if only their heads do."""
    ours, theirs = ({block.number: block for block in blocks} for blocks in (wanted, found))
    for number in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(number), theirs.get(number)
        if one is None or other is None or one.hash != other.hash:
            before, after = one.entries() if one else {}, other.entries() if other else {}
            differ = [at for at in before.keys() | after.keys() if before.get(at) != after.get(at)]
            return min(differ, default=number * 1000 + 1)
    return 0
