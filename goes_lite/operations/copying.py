"""Copy a store into another one, of any backend: events with their positions, snapshots, read models, checkpoints, the head.

Most of the log is copied while it grows. The end of it, and everything else, is read in one view, so the copy is of one
moment. Then both logs are compared. Resuming needs nothing but the target: its head says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import EventStore
from goes_lite.errors import CopyDiffers
from goes_lite.operations.canonical import Folder
from goes_lite.operations.digests import receipt_of
from goes_lite.operations.lineage import COMPLETE, COPYING, Origin, check_target, keep_origin, lineage_of
from goes_lite.operations.receipts import Receipt
from goes_lite.operations.reconciling import Changes, reconcile
from goes_lite.operations.transfer import Transfer, check_log, compare

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


def silent(step: Step) -> None:
    """Tell nobody: what is called where no `progress` is given."""


class Synced(NamedTuple):
    """What it took to make a target equal to its source, as the source was at one moment."""

    head: int
    """The head of the source at that moment, and of the target since."""
    events: int
    """How many events were copied."""
    deleted: int
    """How many events were removed from the target, because the source has deleted their aggregates."""
    records: Changes
    """Snapshots, read models and checkpoints that were written and removed."""
    receipt: Receipt | None
    """Of both logs, if all of them was compared."""


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


class Copying:
    """A copy of a source into a target, in steps: what `copy`, `follow` and a move of an application are made of.

        work = Copying(source, target)
        await work.begin()        # marks the target: nobody opens it by mistake until it is complete
        await work.catch_up()     # cheap: the events after the head of the target
        await work.sync()         # everything, as of one moment; as often as you like
        await work.complete()

    Nothing is written to the source. A copy that ended anywhere goes on with `begin`.
    """

    def __init__(
        self,
        source: Backend,
        target: Backend,
        *,
        update: bool = False,
        back: bool = False,
        progress: CopyProgress | None = None,
    ) -> None:
        """With `update`, the target may be a complete copy; with `back`, the store that the source is a copy of.

        Neither may have got events since the two were equal (CopyRefused), and nothing else may be written to it.
        """
        self.source = source
        self.target = target
        self.resumed = False
        """Whether the target had a part of the copy, or all of it, already."""
        self.head = 0
        """The head of the source at the last `sync`."""
        self.records = Changes()
        """Snapshots, read models and checkpoints that were written and removed."""
        self._update, self._back = update, back
        self._tell: CopyProgress = silent if progress is None else progress
        self._done = self._total = 0
        self._lineage: list[str] = []
        self._fresh = False
        self._transfer = Transfer(target, self._brought)

    @property
    def events(self) -> int:
        """How many events were copied."""
        return self._transfer.events

    @property
    def deleted(self) -> int:
        """How many events were removed from the target, because the source has deleted their aggregates."""
        return self._transfer.deleted

    @property
    def position(self) -> int:
        """The position up to which the target has the events."""
        return self._done

    async def begin(self) -> bool:
        """Check and mark the target, and return whether an earlier copy is continued. CopyRefused if it holds anything else."""
        began = await check_target(self.source, self.target, update=self._update, back=self._back)
        self._lineage = await lineage_of(self.source.models, self.source.runtime)
        self.resumed = began is not None
        self.head = 0 if began is None else began.head
        await keep_origin(self.target, self._origin(COPYING))
        self._done = await self.target.events.head()
        self._fresh = self._done == 0
        return self.resumed

    async def catch_up(self, *, near: int = 0) -> int:
        """Copy events until at most `near` positions of the source are left, and return its head. It waits for no commit."""
        while (head := await self.source.events.head()) > self._done + near:
            await self._bring(self.source.events, head)
        return head

    async def sync(self, *, verify: int | None = None, still: bool = False) -> Synced:
        """Make the target equal to the source, as the source is at one moment: events, deletes, and all other records.

        - With `verify`, the logs are compared after that position: 0 compares all of them, and returns a receipt.
        - With `still`, nobody writes to the source, so nothing is written in advance.
        - It reads the aggregates, snapshots, read models and checkpoints of both, so its cost grows with their number.

        Raises CopyDiffers if something is not equal afterwards; it names the first event.
        """
        events, deleted, records = self.events, self.deleted, Changes()
        receipt: Receipt | None = None
        # what is written in advance need not be written while the view is open, which a server allows for limited time
        if not still:
            records = records.plus(await reconcile(self.source, self.target, progress=self._recorded))
        async with self.source.view() as view:
            head = await view.events.head()
            await self._bring(view.events, head)
            await self._transfer.forget_deleted(view)
            await self.target.events.import_events([], head=head)
            await self._continue_tokens()
            last = await reconcile(view, self.target, progress=self._recorded)
            left = await reconcile(view, self.target, progress=self._recorded) if last != Changes() else last
            whole = self._transfer.folder if verify == 0 and self._fresh else None
            if verify is not None and whole is None:
                whole = Folder()
                await compare(view.events, self.target, after=verify, upto=head, told=self._verified, folder=whole)
                receipt = self._receipt(head, whole)
        if left != Changes():
            raise CopyDiffers(
                self.target.location, 0, "its snapshots, read models or checkpoints differ from those of the source"
            )
        if whole is not None and receipt is None:  # the source was read already, all of it
            receipt = self._receipt(head, whole)
            problem = "it is not what the source has there"
            await check_log(self.target, receipt.blocks, receipt.head, problem, self._verified)
        records = records.plus(last)
        self.head, self.records = head, self.records.plus(records)
        return Synced(head, self.events - events, self.deleted - deleted, records, receipt if verify == 0 else None)

    async def complete(self) -> None:
        """Note that the target is equal to the source, as it was at the last `sync`. From now on it can be opened."""
        await keep_origin(self.target, self._origin(COMPLETE))

    async def _bring(self, events: EventStore, head: int) -> None:
        self._total = head
        if self._done < head:
            self._done = await self._transfer.bring(events, self._done, head)

    async def _continue_tokens(self) -> None:
        """Let fencing tokens go on growing in the target, for those who compare them elsewhere."""
        there = await self.target.leases.tokens()
        tokens = await self.source.leases.tokens()
        behind = {name: token for name, token in tokens.items() if there.get(name, 0) < token}
        if behind:
            await self.target.leases.import_tokens(behind)

    def _receipt(self, head: int, folder: Folder) -> Receipt:
        return receipt_of(self.source, folder, head, head)

    def _origin(self, state: str) -> Origin:
        source = self.source
        return Origin(source.identity, source.location, self.head, source.runtime.clock.now(), state, self._lineage)

    def _brought(self, position: int) -> None:
        self._tell(Step("events", position, self._total))

    def _recorded(self, what: str, number: int) -> None:
        self._tell(Step(what, number, 0))

    def _verified(self, position: int) -> None:
        self._tell(Step("verifying", position, self._total))


async def copy(
    source: Backend, target: Backend, *, update: bool = False, progress: CopyProgress | None = None
) -> Copied:
    """Copy everything that the source holds at one moment into the target, which is empty or half of the same copy.

    - The target is opened with `connect(url, unfinished=True)`, since half a copy is refused otherwise.
    - Events keep ids, versions, times, payloads, names and positions, with the gaps, and the target has the same head.
    - Checkpoints of the source are valid in the target. Leases are not: the programs that work on the source
      hold them; but their fencing tokens go on growing from where they were.
    - Nothing is decoded, and no writer of the source waits. Memory: a few bytes an event, for the receipt.
    - Whatever ends it, calling it again goes on where it was. With `update`, a complete copy is brought up to date, unless
      events were written to it since.
    - Each batch is read back and compared; at the end all of the target is, and its log has the hash of the source's, else
      CopyDiffers with the first position that differs.

    Raises CopyRefused if the target holds anything else. Nothing else may write to it meanwhile.
    """
    work = Copying(source, target, update=update, progress=progress)
    await work.begin()
    await work.catch_up(near=NEAR)
    synced = await work.sync(verify=0)
    assert synced.receipt is not None, "of a whole log"  # noqa: S101 - see sync
    await work.complete()
    return Copied(synced.receipt, work.events, work.deleted, work.records, work.resumed)
