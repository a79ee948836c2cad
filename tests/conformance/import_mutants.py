"""Backends whose imports and views have a fault, as a copy would meet it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from goes_lite.contract.backend import View
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore, WrappedView
from goes_lite.errors import ImportConflict
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery
from tests.conformance.mutants import Handed, changed, each, events_mutant, mutant

# --- importing events -----------------------------------------------------------------------------------------------


@events_mutant("ES-IMPORT-004", "ES-IMPORT-005", "ES-IMPORT-012")
class ImportsWithoutTags(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([changed(event, tags=None) for event in events], head=head)


@events_mutant("ES-IMPORT-004")
class ImportsWithoutMetadata(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([changed(event, metadata=None) for event in events], head=head)


@events_mutant("ES-IMPORT-001", "ES-IMPORT-005", "ES-IMPORT-012")
class RenumbersImports(WrappedStore):
    """Appends: the positions are the next ones of this store."""

    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        await self.store.append([*events])
        return await self.store.import_events([], head=head)


@events_mutant("ES-IMPORT-002", "ES-IMPORT-003", "ES-IMPORT-016")
class LosesTheGapAtTheEnd(WrappedStore):
    """What was deleted last leaves no trace: its positions are used again."""

    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events(events)


@events_mutant("ES-IMPORT-001", "ES-IMPORT-012")
class SkipsTheLastImported(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        batch = list(events)
        return await self.store.import_events(batch[:-1], head=max(head, *(event.position for event in batch), 0))


@events_mutant("ES-IMPORT-009", "ES-IMPORT-010")
class ImportsOneByOne(WrappedStore):
    """Not atomic: what comes before the event that is refused stays."""

    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        batch = list(events)
        for event in batch[:-1]:
            await self.store.import_events([event])
        return await self.store.import_events(batch[-1:], head=head)


@events_mutant("ES-IMPORT-008", "ES-IMPORT-017")
class TakesUsedPositionsForARepetition(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        before = await self.store.head()
        return await self.store.import_events([event for event in events if event.position > before], head=head)


@events_mutant("ES-IMPORT-007")
class RefusesToRepeatAnImport(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        before = await self.store.head()
        for event in events:
            if event.position <= before:
                raise ImportConflict(event.position, "that position is used")
        return await self.store.import_events(events, head=head)


# --- importing the rest ---------------------------------------------------------------------------------------------


@mutant("MS-IMPORT-001", "MS-IMPORT-002", "MS-IMPORT-003")
def imports_models_as_new_ones(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def import_models(self, records: Iterable[ModelRecord]) -> None:
            await self.target.import_models([record._replace(version=1) for record in records])

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-COLL-001", "MS-IMPORT-001")
def hides_its_own_collections(wrapped: WrappedBackend) -> None:
    """Receipts and accepted commands are not listed, so no copy takes them along."""

    class Store(Handed):
        async def collections(self) -> list[str]:
            return [name for name in await self.target.collections() if not name.startswith("goes:")]

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("CP-IMPORT-001", "CP-IMPORT-002")
def imports_checkpoints_as_its_own(wrapped: WrappedBackend) -> None:
    """A checkpoint that was another store's becomes valid here."""

    class Store(Handed):
        async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
            await self.target.import_checkpoints([one._replace(store=wrapped.identity) for one in checkpoints])

    wrapped.checkpoints = cast("Any", Store(wrapped.backend.checkpoints))


@mutant("LE-IMPORT-001", "LE-IMPORT-002")
def forgets_the_tokens_of_another_store(wrapped: WrappedBackend) -> None:
    """After a move, tokens begin at 1 again: whoever compares them elsewhere takes the old holder for the newer one."""

    class Store(Handed):
        async def tokens(self) -> dict[str, int]:
            return dict.fromkeys(await self.target.tokens(), 1)

        async def import_tokens(self, tokens: Mapping[str, int]) -> None:
            return None

    wrapped.leases = cast("Any", Store(wrapped.backend.leases))


@mutant("SS-MANY-001")
def saves_only_the_newest_of_many_snapshots(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def save_many(self, snapshots: Iterable[Snapshot]) -> None:
            newest = {one.aggregate: one for one in sorted(snapshots, key=lambda one: one.version)}
            await self.target.save_many(newest.values())

    wrapped.snapshots = cast("Any", Store(wrapped.backend.snapshots))


# --- views ------------------------------------------------------------------------------------------------------------


@mutant("BE-VIEW-001", "BE-VIEW-004")
def shows_the_present_in_views(wrapped: WrappedBackend) -> None:
    """The events of a view are those of the moment, those of later moments come in."""

    class Live(WrappedStore):
        def query(self, query: EventQuery = EVERYTHING, **window: Any) -> Pages[Event[Any]]:
            return wrapped.backend.events.query(query, **window)

    _replace_view(wrapped, Live)


@mutant("BE-VIEW-001")
def shows_present_checkpoints_in_views(wrapped: WrappedBackend) -> None:
    """Checkpoints that are ahead of the events of the view."""

    @asynccontextmanager
    async def view() -> AsyncGenerator[View]:
        async with wrapped.backend.view() as inside:
            found = WrappedView(inside, inside.events)
            found.checkpoints = wrapped.backend.checkpoints
            yield found

    wrapped.view = view  # type: ignore[method-assign]


@mutant("BE-VIEW-005", "BE-VIEW-006", "BE-VIEW-014")
def decodes_in_views(wrapped: WrappedBackend) -> None:
    class Decoding(WrappedStore):
        def query(self, query: EventQuery = EVERYTHING, **window: Any) -> Pages[Event[Any]]:
            return wrapped.backend.events.query(query, **window)

    _replace_view(wrapped, Decoding)


@mutant("BE-VIEW-005")
def loses_payloads_in_views(wrapped: WrappedBackend) -> None:
    """The text of a payload is written anew, in another spelling."""

    class Spelled(WrappedStore):
        def query(self, query: EventQuery = EVERYTHING, **window: Any) -> Pages[Event[Any]]:
            def spelled(event: Event[Any]) -> Event[Any]:
                other = changed(event)
                other._payload = str(event.encoded.payload).replace(":", ": ")
                return other

            return each(self.store.query(query, **window), spelled)

    _replace_view(wrapped, Spelled)


def _replace_view(wrapped: WrappedBackend, events: type[WrappedStore]) -> None:
    @asynccontextmanager
    async def view() -> AsyncGenerator[View]:
        async with wrapped.backend.view() as inside:
            yield WrappedView(inside, events(inside.events))

    wrapped.view = view  # type: ignore[method-assign]
