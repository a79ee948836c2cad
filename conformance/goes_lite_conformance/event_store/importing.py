"""Importing events of another store, at the positions that they have there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import PERSISTENT, TRANSACTIONS, Backend
from goes_lite.contract.event_bus import REPLAY
from goes_lite.contract.event_store import AggregateInfo
from goes_lite.errors import (
    ConcurrencyError,
    DuplicateEventError,
    ImportConflict,
    InvalidEventError,
    InvalidQueryError,
)
from goes_lite.events.event import Event, restore
from goes_lite.events.ids import new_id
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Raw, Registry
from goes_lite_conformance.harness.asserts import each_refused, refused, same, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, B, count, note, story, texts
from goes_lite_conformance.rule import needs

MANY = 1_500
elsewhere = Registry()


@elsewhere.event("elsewhere.happened")
@dataclass(frozen=True)
class Happened:
    """An event that the storage's registry does not know."""

    text: str


def placed(*events: Event[Any], at: list[int]) -> list[Event[Any]]:
    """Return the events with positions, as if they were read from another store."""
    return [event.at(position) for event, position in zip(events, at, strict=True)]


def raw(encoding: str, payload: str | bytes, position: int, **fields: Any) -> Event[Any]:
    """Return an event with any payload, as a view yields it."""
    given: dict[str, Any] = {"time": NOON, "metadata": None, "tags": None, **fields}
    data = Raw("elsewhere.happened", encoding, 3, payload)
    return restore(
        new_id(),
        data.name,
        data,
        given["time"],
        None,
        0,
        given["metadata"],
        given["tags"],
        position,
        encoding,
        3,
        payload,
    )


async def positions(db: Backend) -> list[int]:
    """Return the positions of all events."""
    return [event.position for event in await db.events.query().list()]


async def stored(db: Backend) -> list[tuple[Any, ...]]:
    """Return every field of every event, as it is stored."""
    async with db.view() as view:
        return [
            (
                one.position, one.id, one.name, one.aggregate, one.version, one.time, dict(one.metadata), one.tags,
                *one.encoded,
            )
            for one in await view.events.query().list()
        ]  # fmt: skip


class ImportRules(Contract):
    """Rules ES-IMPORT."""

    async def test_positions_are_kept(self, db: Backend) -> None:
        """ES-IMPORT-001: Imported events have the positions that they came with, with the gaps between them."""
        events = placed(*story(A, 2), note("x"), *story(B, 1), at=[3, 7, 8, 1_000])
        assert await db.events.import_events(events) == 1_000
        assert await positions(db) == [3, 7, 8, 1_000]
        same(await db.events.query().list(), events)
        assert await db.events.head() == 1_000

    async def test_the_head_is_kept(self, db: Backend) -> None:
        """ES-IMPORT-002: The head becomes `head` if that is higher than the last position, and no append uses one below."""
        assert await db.events.import_events(placed(note("x"), at=[2]), head=20) == 20
        assert await db.events.head() == 20
        assert (await db.events.append([note("y")])).position > 20
        head = await db.events.head()
        assert await db.events.import_events([], head=5) == head
        assert await db.events.import_events([], head=head + 50) == head + 50 == await db.events.head()

    async def test_an_empty_store_takes_a_head(self, db: Backend) -> None:
        """ES-IMPORT-003: A head alone can be imported, into an empty store as well: all its events may be deleted."""
        assert await db.events.import_events([], head=7) == 7
        assert (await db.events.head(), await positions(db)) == (7, [])
        assert (await db.events.append([note("x")])).position > 7

    async def test_every_field_is_kept(self, db: Backend) -> None:
        """ES-IMPORT-004: Every field is stored exactly: names that are not registered, any encoding and payload, old times."""
        old = datetime(1901, 2, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
        known = note("é", A, 1, time=old, metadata={"actor": "ann", "k": '"'}, tags=["color:red", "a:b"])
        unknown = Event(Happened("x"), registry=elsewhere, tags=["color:red"], time=NOON)
        odd = [
            raw("json", '{"b":1,  "a":\t1.50}', 11, metadata='{"a": "b"}', tags='["color:red"]'),
            raw("msgpack", b"\x81\xa1a\x01", 12),
            raw("own", "any \u2028 text", 13),
            raw("own", b"", 14, time=old),
            raw("json", '{"a": "\\u0000"}', 15),
        ]
        events = [known.at(2), unknown.at(10), *odd]
        await db.events.import_events(events)
        expected = [
            (one.position, one.id, one.name, one.aggregate, one.version, one.time, dict(one.metadata), one.tags, *one.encoded)
            for one in events
        ]  # fmt: skip
        assert await stored(db) == expected

    async def test_imported_events_are_found(self, db: Backend) -> None:
        """ES-IMPORT-005: Imported events are found by every field, counted, and listed with their aggregates."""
        first, second = story(A, 2, tags=["color:red"], time=NOON)
        number = count(1, B, 1, tags=["color:blue"])
        await db.events.import_events(placed(first, number, second, at=[5, 6, 9]))
        for query, found in [
            (EventQuery(tags=["color:red"]), [5, 9]), (EventQuery(["sample.counted"]), [6]), (EventQuery(ids=[second.id]), [9]),
            (EventQuery(aggregates=[A]), [5, 9]), (EventQuery(times=[NOON]), [5, 9]), (EventQuery(min_version=2), [9]),
        ]:  # fmt: skip
            assert [event.position for event in await db.events.query(query).list()] == found, query
            assert await db.events.count(query) == len(found), query
        assert await db.events.aggregates().list() == [
            AggregateInfo(A, 2, NOON, NOON),
            AggregateInfo(B, 1, number.time, number.time),
        ]
        same(await db.events.load(A), [first, second])
        event = await db.events.find(number.id)
        assert event is not None
        assert event.position == 6

    async def test_an_aggregate_goes_on(self, db: Backend) -> None:
        """ES-IMPORT-006: Appends continue imported aggregates, and imports those that are there."""
        await db.events.import_events(placed(*story(A, 2), at=[1, 2]))
        await db.events.append(story(A, 1, after=2))
        with refused(ConcurrencyError, aggregate=A, expected=2, actual=3):
            await db.events.append(story(A, 1, after=2))
        head = await db.events.head()
        await db.events.import_events(placed(*story(A, 1, after=3), at=[head + 5]))
        assert [event.version for event in await db.events.load(A)] == [1, 2, 3, 4]
        infos = await db.events.aggregates().list()
        assert [(info.aggregate, info.version) for info in infos] == [(A, 4)]

    async def test_an_import_can_be_repeated(self, db: Backend) -> None:
        """ES-IMPORT-007: Importing the same events again changes nothing, and continues after those that are stored."""
        events = placed(*story(A, 3), note("x"), at=[2, 3, 5, 6])
        await db.events.import_events(events[:2])
        for _ in range(2):
            assert await db.events.import_events(events, head=9) == 9
            assert await positions(db) == [2, 3, 5, 6]
        assert await db.events.import_events(events[1:3]) == 9

    async def test_another_history_is_refused(self, db: Backend) -> None:
        """ES-IMPORT-008: At positions that are used here, other events or differing fields raise ImportConflict."""
        mine = placed(*story(A, 2, time=NOON, tags=["a:1"]), at=[2, 4])
        await db.events.import_events(mine)
        later = note("later").at(9)
        for position, events in {
            3: [note("between").at(3), later],
            1: [note("before").at(1), later],
            4: [note("another").at(4), later],
            2: placed(*story(A, 2, time=NOON, tags=["a:1"]), at=[2, 4]),  # the same, but for their ids
        }.items():
            async with unchanged(db):
                with refused(ImportConflict, position=position):
                    await db.events.import_events(events)
        fields: dict[str, Any] = {"time": NOON, "tags": ["a:1"], "id": mine[0].id}
        changes: list[dict[str, Any]] = [
            {"tags": []},
            {"tags": ["a:2"]},
            {"time": NOON.replace(year=2025)},
            {"metadata": {"a": "b"}},
        ]
        for change in changes:
            async with unchanged(db):
                with refused(ImportConflict, position=2):
                    await db.events.import_events([note("a-1", A, 1, **{**fields, **change}).at(2), later])

    async def test_versions_have_no_gap(self, db: Backend) -> None:
        """ES-IMPORT-009: Versions that do not continue those stored raise ConcurrencyError, and nothing is written."""
        await db.events.import_events(placed(*story(A, 2), at=[1, 2]))
        async with unchanged(db):
            with refused(ConcurrencyError, aggregate=A, expected=3, actual=2):
                await db.events.import_events(placed(note("x"), *story(A, 1, after=3), at=[3, 4]))
            with refused(ConcurrencyError, aggregate=B, expected=1, actual=0):
                await db.events.import_events(placed(note("x"), *story(B, 1, after=1), at=[3, 4]), head=99)
            with refused(ConcurrencyError, aggregate=A, expected=0, actual=2):
                await db.events.import_events(placed(note("x"), *story(A, 1), at=[3, 4]))

    async def test_ids_are_unique(self, db: Backend) -> None:
        """ES-IMPORT-010: An id that is stored at another position raises DuplicateEventError, and nothing is written."""
        one, two = note("one"), note("two")
        await db.events.import_events(placed(one, at=[3]))
        async with unchanged(db):
            with refused(DuplicateEventError, event_id=one.id, position=3):
                await db.events.import_events(placed(two, one, at=[4, 5]))
            with refused(DuplicateEventError, event_id=two.id, position=0):
                await db.events.import_events(placed(two, two, at=[4, 5]))

    async def test_what_cannot_be_imported(self, db: Backend) -> None:
        """ES-IMPORT-011: Events without positions, in another order or that are none are refused, and nothing is written."""
        one, two = note("one"), note("two")
        bad: dict[str, Any] = {
            "no position": [one],
            "a position and none": [one.at(1), two],
            "decreasing": [one.at(2), two.at(1)],
            "the same": [one.at(2), two.at(2)],
            "too high": [one.at(2**63)],
            "no event": [one.at(1), "two"],
            "no collection": 7,
            "a gap in versions": placed(*story(A, 1), *story(A, 1, after=2), at=[1, 2]),
        }
        async with unchanged(db):
            calls = {what: partial(db.events.import_events, events) for what, events in bad.items()}
            await each_refused(InvalidEventError, calls)
            heads = {
                repr(head): partial(db.events.import_events, [], head=cast("Any", head)) for head in (-1, "1", 2**63)
            }
            await each_refused(InvalidQueryError, heads)

    async def test_many_at_once(self, db: Backend) -> None:
        """ES-IMPORT-012: An import of many events stores all of them, the last one included."""
        events = placed(*(note(str(n), tags=[f"n:{n % 7}"]) for n in range(MANY)), at=[*range(1, 2 * MANY, 2)])
        assert await db.events.import_events(events) == 2 * MANY - 1
        assert await positions(db) == [*range(1, 2 * MANY, 2)]
        assert (await texts(db))[-1] == str(MANY - 1)
        assert await db.events.count(EventQuery(tags=["n:3"])) == len(range(3, MANY, 7))

    async def test_followers_see_them(self, db: Backend) -> None:
        """ES-IMPORT-013: Followers get imported events, in order and once, also past a gap."""
        await db.events.append([note("first")])
        head = await db.events.head()
        pages = db.events.follow(after=0)
        assert (await anext(pages)).data == note("first").data
        await db.events.import_events(placed(note("second"), note("third"), at=[head + 3, head + 9]), head=head + 12)
        await db.events.append([note("fourth")])
        assert [(await anext(pages)).data.text for _ in range(3)] == ["second", "third", "fourth"]
        await pages.aclose()

    @needs(REPLAY)
    async def test_subscribers_get_them(self, db: Backend) -> None:
        """ES-IMPORT-014: The bus delivers imported events and those that are appended afterwards, in order."""
        subscription = db.bus.subscribe()
        await db.events.import_events(placed(note("imported"), at=[5]), head=9)
        await db.events.append([note("appended")])
        for text in ("imported", "appended"):
            delivery = await anext(subscription)
            assert delivery.event.data == note(text).data
            await delivery.ack()
        await subscription.close()

    @needs(TRANSACTIONS)
    async def test_it_takes_part_in_transactions(self, db: Backend) -> None:
        """ES-IMPORT-015: An import in a transaction is seen there, and stored with it or not at all."""
        async with unchanged(db):
            with refused(RuntimeError):
                async with db.transaction() as tx:
                    await tx.events.import_events(placed(note("x"), at=[4]), head=8)
                    assert await tx.events.head() == 8
                    raise RuntimeError("undo")
        async with db.transaction() as tx:
            await tx.events.import_events(placed(*story(A, 1), at=[4]), head=8)
            await tx.events.append(story(A, 1, after=1))
        assert (await positions(db))[0] == 4
        assert len(await db.events.load(A)) == 2

    @needs(PERSISTENT)
    async def test_it_is_there_after_reopening(self, place: Place) -> None:
        """ES-IMPORT-016: Imported events and the head are still there after closing and reopening."""
        async with place.open() as db:
            await db.events.import_events(placed(*story(A, 2), at=[3, 5]), head=11)
        async with place.open() as db:
            assert (await positions(db), await db.events.head()) == ([3, 5], 11)
            assert (await db.events.append(story(A, 1, after=2))).position > 11

    async def test_after_a_delete(self, db: Backend) -> None:
        """ES-IMPORT-017: A deleted aggregate can be imported from version 1 on, at later positions only."""
        await db.events.import_events(placed(*story(A, 2), at=[1, 2]))
        await db.events.delete(A)
        with refused(ImportConflict, position=1):
            await db.events.import_events(placed(*story(A, 1), at=[1]))
        await db.events.import_events(placed(*story(A, 1), at=[6]))
        assert (await positions(db), [event.version for event in await db.events.load(A)]) == ([6], [1])
