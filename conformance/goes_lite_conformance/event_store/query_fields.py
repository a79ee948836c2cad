"""Queries: what each field means, alone and combined with others."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any
from uuid import uuid4

from goes_lite.contract.backend import Backend
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, Between, EventQuery
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import NOON, Closed, Counted, Noted, count, note, registry

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


def letter(event: Event[Any]) -> str:
    """Return what an event is called in these rules: its text, its number, or `-` if it has neither."""
    match event.data:
        case Noted(text):
            return text
        case Counted(number):
            return str(number)
        case _:
            return "-"


async def letters(db: Backend, query: EventQuery = EVERYTHING, **options: Any) -> str:
    """Return the result of a query, a letter for each event, in order."""
    return "".join([letter(event) for event in await db.events.query(query, **options).list()])


async def expect(db: Backend, wanted: list[tuple[EventQuery, str]]) -> None:
    """Check that each query yields these letters."""
    for query, expected in wanted:
        assert await letters(db, query) == expected, query


class FieldRules(Contract):
    """Rules ES-QUERY about the meaning of the fields."""

    async def test_the_empty_query_gives_everything(self, db: Backend) -> None:
        """ES-QUERY-001: The empty query yields every event, complete with its position, in position order."""
        batch = [
            note("a", ("order", "1"), 1, time=NOON, metadata={"by": "me"}, tags=["color:red"]),
            count(1, time=NOON - HOUR),
            note("b", ("order", "1"), 2, time=NOON - 2 * HOUR),
        ]
        later = [note("c", ("invoice", "1"), 1, time=NOON - 3 * HOUR)]
        positions = [*(await db.events.append(batch)).positions, *(await db.events.append(later)).positions]
        found = await db.events.query().list()
        same(found, [*batch, *later])
        assert [event.position for event in found] == positions

    async def test_query_by_event_name(self, db: Backend) -> None:
        """ES-QUERY-002: `names` selects events with any of these names; a name may be unknown."""
        await db.events.append([note("a"), count(1), Event(Closed(), registry=registry), note("b"), count(2)])
        await expect(db, [
            (EventQuery(["sample.noted"]), "ab"),
            (EventQuery(["sample.counted"]), "12"),
            (EventQuery(["sample.counted", "other.closed", "unheard.of"]), "1-2"),
            (EventQuery(["sample"]), ""),
        ])  # fmt: skip

    async def test_query_by_aggregate(self, db: Backend) -> None:
        """ES-QUERY-003: `aggregates` selects events of any of these (name, id) pairs: no name with the id of another pair."""
        await db.events.append([
            note("a", ("order", "1"), 1), note("b", ("order", "2"), 1), note("c", ("invoice", "1"), 1),
            note("d", ("invoice", "2"), 1), note("e"), note("f", ("order", "1"), 2),
        ])  # fmt: skip
        await expect(db, [
            (EventQuery(aggregates=[("order", "1")]), "af"),
            (EventQuery(aggregates=[("order", "1"), ("invoice", "2")]), "adf"),
            (EventQuery(aggregates=[("order", "3"), ("ticket", "1")]), ""),
            (EventQuery(aggregates=[("order", "3"), ("order", "2")]), "b"),
        ])  # fmt: skip

    async def test_query_by_aggregate_name(self, db: Backend) -> None:
        """ES-QUERY-004: `aggregate_names` selects events of aggregates with any of these names."""
        await db.events.append([
            note("a", ("order", "1"), 1), note("b", ("invoice", "1"), 1), note("c", ("order", "2"), 1),
            note("d", ("ticket", "order"), 1),
        ])  # fmt: skip
        await expect(db, [
            (EventQuery(aggregate_names=["order"]), "ac"),
            (EventQuery(aggregate_names=["order", "invoice", "unheard-of"]), "abc"),
            (EventQuery(aggregate_names=["unheard-of"]), ""),
        ])  # fmt: skip

    async def test_query_by_aggregate_id(self, db: Backend) -> None:
        """ES-QUERY-005: `aggregate_ids` selects events of aggregates with any of these ids, whatever their names."""
        await db.events.append([
            note("a", ("order", "1"), 1), note("b", ("invoice", "1"), 1), note("c", ("order", "2"), 1),
            note("d", ("1", "order"), 1),
        ])  # fmt: skip
        await expect(db, [
            (EventQuery(aggregate_ids=["1"]), "ab"),
            (EventQuery(aggregate_ids=["1", "2", "3"]), "abc"),
            (EventQuery(aggregate_ids=["3"]), ""),
        ])  # fmt: skip

    async def test_events_of_no_aggregate(self, db: Backend) -> None:
        """ES-QUERY-006: Events of no aggregate have version 0, and match no aggregate name or id."""
        await db.events.append([note("a"), note("b", ("order", "1"), 1), note("c"), note("d", ("order", "1"), 2)])
        await expect(db, [
            (EventQuery(versions=[0]), "ac"),
            (EventQuery(max_version=1), "abc"),
            (EventQuery(min_version=1), "bd"),
            (EventQuery(aggregates=[("order", "1")]), "bd"),
            (EventQuery(aggregate_names=["order"]), "bd"),
            (EventQuery(aggregate_ids=["1"]), "bd"),
            (EventQuery(aggregate_names=["order"], versions=[0]), ""),
        ])  # fmt: skip

    async def test_query_by_version(self, db: Backend) -> None:
        """ES-QUERY-007: `versions` selects events with any of these versions, of any aggregate."""
        await db.events.append([note(text, ("order", "1"), version) for version, text in enumerate("abcde", 1)])
        await db.events.append([note(text, ("order", "2"), version) for version, text in enumerate("vwx", 1)])
        await expect(db, [
            (EventQuery(versions=[2]), "bw"),
            (EventQuery(versions=[1, 4, 9]), "adv"),
            (EventQuery(versions=[9]), ""),
            (EventQuery(versions=[2**63 - 1]), ""),
        ])  # fmt: skip

    async def test_query_by_range_of_versions(self, db: Backend) -> None:
        """ES-QUERY-008: A range of versions includes both ends, may be open, and is one value among others."""
        await db.events.append([note(text, ("order", "1"), version) for version, text in enumerate("abcdefg", 1)])
        await expect(db, [
            (EventQuery(versions=[Between(2, 4)]), "bcd"),
            (EventQuery(versions=[Between(3, 3)]), "c"),
            (EventQuery(versions=[Between(5, None)]), "efg"),
            (EventQuery(versions=[Between(None, 2)]), "ab"),
            (EventQuery(versions=[Between(None, None)]), "abcdefg"),
            (EventQuery(versions=[Between(6, 9), 1, Between(2, 3)]), "abcfg"),
            (EventQuery(versions=[Between(2, 4), Between(3, 5), 4]), "bcde"),
        ])  # fmt: skip

    async def test_query_within_versions(self, db: Backend) -> None:
        """ES-QUERY-009: `min_version` and `max_version` are inclusive, and narrow `versions` further."""
        await db.events.append([note(text, ("order", "1"), version) for version, text in enumerate("abcdefg", 1)])
        await expect(db, [
            (EventQuery(min_version=6), "fg"),
            (EventQuery(max_version=2), "ab"),
            (EventQuery(min_version=3, max_version=4), "cd"),
            (EventQuery(versions=[1, 3, 5], min_version=2), "ce"),
            (EventQuery(versions=[Between(1, 3), Between(5, 7)], min_version=2, max_version=6), "bcef"),
        ])  # fmt: skip

    async def test_query_by_time(self, db: Backend) -> None:
        """ES-QUERY-010: `times` selects events at any of these instants, to the microsecond, in any zone."""
        times = [NOON, NOON + MICROSECOND, NOON - MICROSECOND, NOON + HOUR, NOON]
        await db.events.append([note(text, time=time) for text, time in zip("abcde", times, strict=True)])
        elsewhere = (NOON + HOUR).astimezone(timezone(5 * HOUR))
        await expect(db, [
            (EventQuery(times=[NOON]), "ae"),
            (EventQuery(times=[NOON - MICROSECOND, elsewhere]), "cd"),
            (EventQuery(times=[NOON + 2 * MICROSECOND]), ""),
        ])  # fmt: skip

    async def test_query_by_range_of_times(self, db: Backend) -> None:
        """ES-QUERY-011: A range of times includes both ends to the microsecond, and is one value among others."""
        await db.events.append([note(text, time=NOON + n * MICROSECOND) for n, text in enumerate("abcdefg")])
        at = [NOON + n * MICROSECOND for n in range(7)]
        await expect(db, [
            (EventQuery(times=[Between(at[1], at[3])]), "bcd"),
            (EventQuery(times=[Between(at[2], at[2])]), "c"),
            (EventQuery(times=[Between(at[5], None)]), "fg"),
            (EventQuery(times=[Between(None, at[1])]), "ab"),
            (EventQuery(times=[Between(at[5], NOON + HOUR), at[0], Between(at[1], at[2])]), "abcfg"),
            (EventQuery(times=[Between(at[1], at[3]), Between(at[2], at[4])]), "bcde"),
        ])  # fmt: skip

    async def test_query_within_times(self, db: Backend) -> None:
        """ES-QUERY-012: `min_time` and `max_time` are inclusive, and narrow `times` further."""
        await db.events.append([note(text, time=NOON + n * MICROSECOND) for n, text in enumerate("abcdefg")])
        at = [NOON + n * MICROSECOND for n in range(7)]
        await expect(db, [
            (EventQuery(min_time=at[5]), "fg"),
            (EventQuery(max_time=at[1]), "ab"),
            (EventQuery(min_time=at[2], max_time=at[3]), "cd"),
            (EventQuery(times=[at[0], at[2], at[4]], min_time=at[1]), "ce"),
            (EventQuery(times=[Between(at[0], at[2]), Between(at[4], at[6])], min_time=at[1], max_time=at[5]), "bcef"),
        ])  # fmt: skip

    async def test_query_by_tags(self, db: Backend) -> None:
        """ES-QUERY-013: `tags` selects events that carry all of them, whatever else they carry."""
        await db.events.append([
            note("a", tags=["color:red"]), note("b", tags=["size:1", "color:red"]), note("c", tags=["size:1"]),
            note("d"), note("e", tags=["color:red", "size:1", "shape:round"]), note("f", tags=["color:blue", "size:1"]),
        ])  # fmt: skip
        await expect(db, [
            (EventQuery(tags=["color:red"]), "abe"),
            (EventQuery(tags=["size:1", "color:red"]), "be"),
            (EventQuery(tags=["size:1", "color:red", "shape:round"]), "e"),
            (EventQuery(tags=["color:red", "color:blue"]), ""),
            (EventQuery(tags=["color:red", "unheard:of"]), ""),
        ])  # fmt: skip

    async def test_query_by_id(self, db: Backend) -> None:
        """ES-QUERY-014: `ids` selects events with any of these ids, in position order; an id may be unknown."""
        events = [note(text) for text in "abcd"]
        await db.events.append(events)
        await expect(db, [
            (EventQuery(ids=[events[2].id]), "c"),
            (EventQuery(ids=[events[3].id, uuid4(), events[0].id]), "ad"),
            (EventQuery(ids=[uuid4()]), ""),
        ])  # fmt: skip

    async def test_an_event_has_to_match_every_field(self, db: Backend) -> None:
        """ES-QUERY-015: With several fields, an event has to match all of them: one mismatch excludes it."""

        def about(text: str, id: str = "a", **fields: Any) -> Event[Any]:
            right = {"aggregate": ("order", id), "version": 1, "time": NOON, "tags": ["color:red"]}
            return note(text, **{**right, **fields})  # pyright: ignore[reportArgumentType]

        named = count(1, ("order", "name"), 1, time=NOON, tags=["color:red"])
        events = [
            about("a"), about("b", aggregate=("invoice", "a")), about("c", "elsewhere"), about("d", version=2),
            about("e", "time", time=NOON + HOUR), about("f", "tags", tags=["color:blue"]), about("g", "id"), named,
        ]  # fmt: skip
        await db.events.append(events)
        wanted: dict[str, Any] = {
            "names": ["sample.noted"],
            "aggregate_names": ["order"],
            "aggregate_ids": ["a", "time", "tags", "id", "name"],
            "versions": [1],
            "times": [NOON],
            "tags": ["color:red"],
            "ids": [event.id for event in events if letter(event) != "g"],
        }
        assert await letters(db, EventQuery(**wanted)) == "a"
        wanted["aggregates"] = [event.aggregate for event in events if letter(event) != "c"]
        del wanted["aggregate_ids"]
        assert await letters(db, EventQuery(**wanted)) == "a"
