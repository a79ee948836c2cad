"""Bring the events of one log into another, at their positions; every batch is read back and compared.

What was deleted in the source after it was brought is deleted in the target, too: when an aggregate begins again, when an id
is used again, and at the end by comparing the aggregates of both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from goes_lite.contract.backend import Backend, View
from goes_lite.contract.event_store import AggregateInfo, EventStore, Pages
from goes_lite.errors import ConcurrencyError, CopyDiffers, DuplicateEventError, InvalidEventError
from goes_lite.events.event import Event
from goes_lite.operations.canonical import BLOCK, Block, Folder, event_hashes, log_hash
from goes_lite.operations.reconciling import differing
from goes_lite.runtime.background import Done, at_once, ended

if TYPE_CHECKING:
    import asyncio

BATCH, BATCH_BYTES = 4_000, 4 << 20
"""About so many events, or characters of their payloads, are written at once."""

Page = Sequence[Event[Any]]
Brought = Callable[[int], object]
"""Called after each batch with the position up to which the target has everything."""

_fields = attrgetter(
    "_position", "_id", "_name", "_aggregate", "_version", "_time", "_encoding", "_schema", "_payload", "_metadata", "_tags"
)  # fmt: skip
"""All fields of an event as they were read, in a form that each backend chooses."""


async def _batches(pages: Pages[Event[Any]]) -> AsyncGenerator[list[Page]]:
    """Yield several pages at a time."""
    batch: list[Page] = []
    count = size = 0
    while page := await pages.next_page():
        batch.append(page)
        count += len(page)
        size += sum([len(event._payload) for event in page])
        if count >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, count, size = [], 0, 0
    if batch:
        yield batch


class Transfer:
    """The events of one copy."""

    def __init__(self, target: Backend, brought: Brought) -> None:
        self._target = target
        self._brought = brought
        self.folder: Folder | None = Folder()
        """Of what was brought; None once that is not the log of the target any more."""
        self.events = self.deleted = 0

    async def bring(self, events: EventStore, after: int, upto: int) -> int:
        """Bring the events at these positions, and return the last position that is done.

        On an event loop, a batch is written while the next one is read.
        """
        writing: asyncio.Task[None] | Done = Done()
        try:
            async for pages in _batches(events.stored(after=after, upto=upto)):
                await writing
                writing = at_once(self._target.runtime, self._write(pages, after), "goes_lite-copy")
                after = pages[-1][-1].position
            await writing
        except BaseException:
            if not isinstance(writing, Done):
                await ended(writing)
            raise
        return upto

    async def _write(self, pages: list[Page], after: int) -> None:
        """Import pages, and compare what is stored then."""
        events = [*chain.from_iterable(pages)]
        try:
            await self._import(events)
        except InvalidEventError:  # an aggregate was deleted and begun again between two pages, or an id was used again
            if len(pages) == 1:
                raise
            self.folder = None
            for page in pages:
                await self._import(page)
        else:
            hashes = event_hashes(events)
            await check_stored(self._target, events, hashes, after=after)
            if self.folder is not None:
                self.folder.add(events, hashes)
        self.events += len(events)
        self._brought(events[-1].position)

    async def _import(self, events: Page) -> None:
        """Import events that follow those of the target; delete what they show to be deleted in the source."""
        while True:
            try:
                await self._target.events.import_events(events)
            except ConcurrencyError as conflict:
                if conflict.expected or not conflict.actual:
                    raise
                await self._delete(conflict.aggregate)  # it begins again
            except DuplicateEventError as used:
                stored = await self._target.events.stored(after=used.position - 1, upto=used.position).next_page()
                if not stored or (ref := stored[0].aggregate) is None:
                    raise
                await self._delete(ref)  # its id is free again in the source
            else:
                return

    async def _delete(self, aggregate: Any) -> None:
        self.folder = None
        self.deleted += await self._target.events.delete(aggregate)

    async def forget_deleted(self, view: View) -> None:
        """Delete the aggregates that the source has deleted since they were brought."""
        there, here = view.events.aggregates(), self._target.events.aggregates()
        async for one, other in differing(there, here, _ref, lambda a, b: a.version == b.version):
            if one is None and other is not None:
                await self._delete(other.aggregate)
            elif one is not None:
                raise CopyDiffers(self._target.location, 0, f"{one.aggregate} has another version than in the source")


def _ref(info: AggregateInfo) -> Any:
    return info.aggregate


async def check_stored(target: Backend, events: Page, hashes: Sequence[bytes], *, after: int) -> None:
    """Raise CopyDiffers unless exactly these events are stored after a position, up to that of the last of them."""
    pages = target.events.stored(after=after, upto=events[-1].position)
    done = 0
    while page := await pages.next_page():
        wanted = events[done : done + len(page)]
        if [*map(_fields, page)] != [*map(_fields, wanted)]:  # else the hashes are the same as well
            found = event_hashes(page)
            if [one._position for one in page] != [one._position for one in wanted] or (
                found != [*hashes[done : done + len(page)]]
            ):
                raise _differs(target, wanted, hashes[done:], page, found)
        done += len(page)
    if done < len(events):
        raise CopyDiffers(target.location, events[done].position, "it is missing")


def _differs(target: Backend, wanted: Page, hashes: Sequence[bytes], page: Page, found: Sequence[bytes]) -> CopyDiffers:
    """Return the error that names the first event that differs."""
    ours = {event.position: one for event, one in zip(wanted, hashes, strict=False)}
    theirs = {event.position: one for event, one in zip(page, found, strict=True)}
    position = min(at for at in ours.keys() | theirs.keys() if ours.get(at) != theirs.get(at))
    if position not in theirs:
        return CopyDiffers(target.location, position, "it is missing")
    return CopyDiffers(
        target.location, position, "it is not what the source has there" if position in ours else "the source has none"
    )


async def check_log(
    target: Backend,
    wanted: Sequence[Block],
    head: int,
    problem: str,
    told: Callable[[int], object] = lambda _: None,
) -> None:
    """Read the whole log of the target, and raise CopyDiffers with the problem unless it has these blocks and this head."""
    folder = Folder()
    pages = target.events.stored()
    while page := await pages.next_page():
        folder.add(page)
        told(page[-1].position)
    blocks = folder.finish()
    if log_hash(blocks) != log_hash(wanted) or await target.events.head() != head:
        raise CopyDiffers(target.location, _first_difference(wanted, blocks), problem)


def _first_difference(wanted: Sequence[Block], found: Sequence[Block]) -> int:
    """Return the first position at which two logs differ; 0 if only their heads do."""
    ours, theirs = ({block.number: block for block in blocks} for blocks in (wanted, found))
    for number in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(number), theirs.get(number)
        if one is None or other is None or one.hash != other.hash:
            before, after = one.entries() if one else {}, other.entries() if other else {}
            differ = [at for at in before.keys() | after.keys() if before.get(at) != after.get(at)]
            return min(differ, default=number * BLOCK + 1)
    return 0


async def compare(
    source: EventStore, target: Backend, *, after: int, upto: int, told: Callable[[int], object], folder: Folder
) -> None:
    """Read both logs side by side and raise CopyDiffers for the first event that differs; fold those of the source."""
    pages = source.stored(after=after, upto=upto)
    last = after
    while page := await pages.next_page():
        hashes = event_hashes(page)
        await check_stored(target, page, hashes, after=last)
        folder.add(page, hashes)
        last = page[-1].position
        told(last)
    if added := await target.events.stored(after=last).next_page():
        raise CopyDiffers(target.location, added[0].position, "the source has none")
    if (head := await target.events.head()) != upto:
        raise CopyDiffers(target.location, 0, f"its head is {head}, not {upto}")
