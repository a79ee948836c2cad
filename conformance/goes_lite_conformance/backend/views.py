"""Views: everything that is stored, as of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS, Backend, Stores, View
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.contract.model_store import ModelRecord
from goes_lite.errors import GoesError, StoreClosed, StoreReadOnly, TransactionError
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Raw, Registry
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, B, Noted, fill, note, snapshot, story
from goes_lite_conformance.rule import needs, only


async def seen(view: View) -> tuple[Any, ...]:
    """Return everything that a view shows."""
    return (
        [(event.position, event.id, event.encoded) for event in await view.events.query().list()],
        await view.events.head(),
        await view.events.count(),
        await view.events.count(EventQuery(tags=["t:1"])),
        await view.events.aggregates().list(),
        [event.version for event in await view.events.load(A)],
        await view.snapshots.query().list(),
        await view.models.collections(),
        await view.models.query("c").list(),
        await view.models.get("c", "1"),
        await view.checkpoints.all(),
        await view.checkpoints.get("reader"),
    )


def writes(stores: Stores) -> dict[str, Callable[[], Any]]:
    """Return a call of everything that writes, by what it does; they change what `fill` has written."""
    events, snapshots, models, checkpoints = stores.events, stores.snapshots, stores.models, stores.checkpoints
    return {
        "append": partial(events.append, [note("x")]),
        "append nothing": partial(events.append, []),
        "delete": partial(events.delete, A),
        "import": partial(events.import_events, [note("x").at(99)]),
        "save a snapshot": partial(snapshots.save, snapshot(A, 1)),
        "save snapshots": partial(snapshots.save_many, [snapshot(A, 1)]),
        "delete snapshots": partial(snapshots.delete, A),
        "prune": partial(snapshots.prune, keep=1),
        "put": partial(models.put, "c", "1", "2"),
        "put many": partial(models.put_many, "c", {"1": "2"}),
        "delete a model": partial(models.delete, "c", "1"),
        "clear": partial(models.clear, "c"),
        "rename": partial(models.rename, "c", "e"),
        "import models": partial(models.import_models, [ModelRecord("c", "1", 9, "1")]),
        "save a checkpoint": partial(checkpoints.save, "reader", 1),
        "delete a checkpoint": partial(checkpoints.delete, "reader"),
        "import checkpoints": partial(checkpoints.import_checkpoints, [Checkpoint("reader", 1, "a/1", NOON)]),
    }


async def turn_over(db: Backend) -> None:
    """Change everything that `fill` has written."""
    await db.events.append([*story(B, 1), note("later", tags=["t:1"])])
    await db.events.delete(A)
    await db.snapshots.save(snapshot(B, 1))
    await db.models.put("c", "1", '{"n": 2}')
    await db.models.put("d", "1", "{}")
    await db.checkpoints.save("reader", 5)
    await db.checkpoints.save("another", 1)


class ViewRules(Contract):
    """Rules BE-VIEW."""

    async def test_it_shows_one_moment(self, db: Backend) -> None:
        """BE-VIEW-001: Every store of a view shows the moment at which it began, whatever is written or deleted meanwhile."""
        await fill(db)
        async with db.view() as view:
            await turn_over(db)
            found = await seen(view)
            assert await seen(view) == found
        assert ([position for position, *_ in found[0]], *found[1:4]) == ([1, 2, 3], 3, 3, 1)
        assert [info.aggregate for info in found[4]] == [A]
        assert found[5:8] == ([1, 2], [snapshot(A, 2)], ["c"])
        assert found[8:10] == ([ModelRecord("c", "1", 1, '{"n": 1}')], ModelRecord("c", "1", 1, '{"n": 1}'))
        assert [(one.name, one.position) for one in found[10]] == [("reader", 3)]

    async def test_it_shows_what_was_acknowledged(self, db: Backend) -> None:
        """BE-VIEW-002: A view shows everything that was written before it began; each has a moment of its own."""
        for number in range(1, 6):
            await db.events.append([note(str(number))])
            await db.models.put("c", "1", str(number))
            async with db.view() as view:
                await db.events.append([note("later")])
                assert await view.events.head() == 2 * number - 1
                record = await view.models.get("c", "1")
                assert record is not None
                assert (record.version, record.data) == (number, str(number))

    async def test_views_side_by_side(self, db: Backend) -> None:
        """BE-VIEW-003: Several views of one handle each show their own moment, also one inside another."""
        async with db.view() as empty:
            await db.events.append([note("x")])
            async with db.view() as one:
                await db.events.append([note("y")])
                heads = [await view.events.head() for view in (empty, one)]
                assert heads == [0, 1]
            assert await empty.events.query().list() == []

    async def test_pages_are_of_that_moment(self, db: Backend) -> None:
        """BE-VIEW-004: The pages of a long query are all of that moment, although the log changes in between."""
        await db.events.append([note(str(number)) for number in range(1_500)])
        await db.events.append(story(A, 2))
        async with db.view() as view:
            pages = view.events.query()
            first = await pages.next_page()
            await db.events.delete(A)
            await db.events.append([note("later")])
            rest = await pages.list()
        assert [event.position for event in (*first, *rest)] == [*range(1, 1_503)]

    async def test_events_are_as_they_are_stored(self, db: Backend) -> None:
        """BE-VIEW-005: The data of every event is Raw, with its name, encoding, schema version and payload as stored."""
        event = note("é", A, 1, time=NOON, metadata={"actor": "ann"}, tags=["a:b"])
        await db.events.append([event])
        async with db.view() as view:
            for found in (
                *await view.events.query().list(),
                *await view.events.load(A),
                await view.events.find(event.id),
            ):
                assert found is not None
                assert type(found.data) is Raw
                assert (found.data.name, found.name) == ("sample.noted", "sample.noted")
                assert (found.data.encoding, found.data.schema, found.data.payload) == event.encoded == found.encoded
                assert (found.id, found.time, found.aggregate, found.version) == (event.id, NOON, A, 1)
                assert (dict(found.metadata), [*found.tags]) == ({"actor": "ann"}, ["a:b"])

    async def test_nobody_has_to_know_the_events(self, db: Backend) -> None:
        """BE-VIEW-006: A view reads events whose names are not registered, or whose payload no longer fits."""
        other = Registry()
        other.register("other.thing", dict)
        other.register("sample.noted", int)
        unknown = Event({"a": 1}, name="other.thing", registry=other)
        unfit = Event(7, name="sample.noted", registry=other)
        await db.events.append([unknown, unfit])
        async with db.view() as view:
            assert [event.encoded for event in await view.events.query().list()] == [unknown.encoded, unfit.encoded]

    async def test_it_only_reads(self, db: Backend) -> None:
        """BE-VIEW-007: Everything that writes through a view raises StoreReadOnly, and changes nothing."""
        await fill(db)
        async with db.view() as view:
            before = await seen(view)
            await each_refused(StoreReadOnly, writes(view))
        async with db.view() as view:
            assert await seen(view) == before

    async def test_it_does_not_follow(self, db: Backend) -> None:
        """BE-VIEW-008: `follow` in a view raises TransactionError rather than wait for commits that it will not see."""
        await db.events.append([note("x")])
        async with db.view() as view:
            with refused(TransactionError):
                await anext(view.events.follow(after=1))

    async def test_it_has_the_identity(self, db: Backend) -> None:
        """BE-VIEW-009: A view has the identity of the store, and typed read models."""
        await db.models.put("c", "1", "[1, 2]")
        async with db.view() as view:
            assert view.identity == db.identity
            assert await view.models_of("c", list).get("1") == [1, 2]

    async def test_it_ends_with_the_handle(self, place: Place) -> None:
        """BE-VIEW-010: When its handle is closed, a view raises StoreClosed, and its block can be left."""
        async with place.open() as db:
            await fill(db)
            async with db.view() as view:
                await db.close()
                with refused(StoreClosed):
                    await view.events.head()
            with refused(StoreClosed):
                async with db.view():
                    pass

    async def test_an_error_inside_ends_it(self, db: Backend) -> None:
        """BE-VIEW-011: An error inside the block propagates, and the store is as usable as before."""
        with refused(RuntimeError):
            async with db.view() as view:
                await view.events.head()
                raise RuntimeError("x")
        await db.events.append([note("x")])
        async with db.view() as view:
            assert await view.events.head() == 1

    @only("async")
    @needs(TRANSACTIONS)
    async def test_what_was_committed_together_is_seen_together(self, db: Backend, place: Place) -> None:
        """BE-VIEW-012: A view never shows a part of a transaction: event, read model and checkpoint belong together."""
        stop = asyncio.Event()

        async def write() -> None:
            async with place.open() as other:
                while not stop.is_set():
                    async with other.transaction() as tx:
                        number = (await tx.events.append([note("x")])).position
                        await tx.models.put("c", "1", str(number))
                        await tx.checkpoints.save("reader", number)

        writing = asyncio.create_task(write()) if PROCESSES in db.abilities else None
        try:
            for _ in range(10):
                async with db.view() as view:
                    checkpoint = await view.checkpoints.get("reader")
                    await asyncio.sleep(0)
                    record = await view.models.get("c", "1")
                    position = 0 if checkpoint is None else checkpoint.position
                    assert (await view.events.head(), "0" if record is None else record.data) == (
                        position,
                        str(position),
                    )
        finally:
            stop.set()
            if writing is not None:
                await writing

    @only("async")
    async def test_cancelling_leaks_nothing(self, db: Backend) -> None:
        """BE-VIEW-013: A view that is cancelled while it begins or reads leaves the handle usable."""
        await fill(db)

        async def look() -> None:
            async with db.view() as view:
                while True:
                    await seen(view)

        for turns in (0, 1, 2, 5, 20, 50):
            looking = asyncio.create_task(look())
            for _ in range(turns):
                await asyncio.sleep(0)
            looking.cancel()
            with suppress(asyncio.CancelledError, GoesError):
                await looking
        async with db.view() as view:
            assert await view.events.head() == 3

    @needs(PERSISTENT)
    async def test_a_name_of_the_past_is_shown(self, place: Place) -> None:
        """BE-VIEW-014: An event that was renamed since has the name with which it is stored."""
        async with place.open() as db:
            await db.events.append([note("x")])
        renamed = Registry()
        renamed.register("note.taken", Noted, aliases=["sample.noted"])
        async with place.open(registry=renamed) as db, db.view() as view:
            assert [event.name for event in await db.events.query().list()] == ["note.taken"]
            assert [event.name for event in await view.events.query().list()] == ["sample.noted"]
