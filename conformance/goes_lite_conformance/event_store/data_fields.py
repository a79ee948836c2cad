"""Awkward fields: ids, times, tags and metadata are read back unchanged and can be queried."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid1, uuid3, uuid4, uuid5

from goes_lite.contract.backend import Backend
from goes_lite.events.event import Event
from goes_lite.events.fields import MAX_ID_BYTES, AggregateRef
from goes_lite.events.ids import new_id
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.event_store.data import TEXTS, kept
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, A, Noted, note, story, texts

UTC = timezone.utc
FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12, minutes=34, seconds=56))
TIMES = (
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1600, 2, 29, 1, 2, 3, 4, tzinfo=UTC),
    datetime(2262, 4, 12, tzinfo=UTC),
    datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC),
    NOON,
    NOON + timedelta(microseconds=1),
    NOON - timedelta(microseconds=1),
)
NAMED = [text for text in TEXTS if text and len(text) < 100]
LONG = ("x" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2), "😀" * (MAX_ID_BYTES // 4), "x" * (MAX_ID_BYTES - 1) + "y")


class FieldDataRules(Contract):
    """Rules ES-DATA about all fields other than the data."""

    async def test_fields_have_their_types(self, db: Backend) -> None:
        """ES-DATA-015: Events that are read have the types that `Event` promises, and are as immutable as new ones."""
        await db.events.append([note("x", A, 1, metadata={"by": "me"}, tags=["color:red"])])
        event = (await db.events.load(A))[0]
        kinds = {
            "id": UUID, "name": str, "data": Noted, "time": datetime, "aggregate": AggregateRef, "version": int,
            "tags": frozenset, "position": int,
        }  # fmt: skip
        assert {field: type(getattr(event, field)) for field in kinds} == kinds
        assert event.time.tzinfo is timezone.utc
        assert isinstance(event.metadata, Mapping)
        assert not hasattr(event.metadata, "__setitem__")

    # --- times ------------------------------------------------------------------------------------------------------

    async def test_times_are_kept(self, db: Backend) -> None:
        """ES-DATA-016: Times from the year 1 to 9999 are kept to the microsecond and can be queried."""
        events = [note(str(time), time=time) for time in TIMES]
        await kept(db, events)
        for time in TIMES:
            assert await texts(db, EventQuery(times=[time])) == [str(time)]
            assert await texts(db, EventQuery(min_time=time, max_time=time)) == [str(time)]

    async def test_times_of_other_zones_are_kept_as_utc(self, db: Backend) -> None:
        """ES-DATA-017: A time in any zone is read back as the same instant in UTC, whatever the offset."""
        times = [
            datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=FAR_EAST),
            datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=FAR_WEST),
            datetime(1, 1, 1, tzinfo=FAR_WEST),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=FAR_EAST),
        ]
        await db.events.append([note(str(time), time=time) for time in times])
        for event, time in zip(await db.events.query().list(), times, strict=True):
            assert event.time == time
            assert event.time.tzinfo is timezone.utc
            assert await texts(db, EventQuery(times=[time])) == [str(time)]

    async def test_times_are_no_order(self, db: Backend) -> None:
        """ES-DATA-018: Times may be equal or run back within an aggregate and a batch: positions define the order."""
        day = timedelta(days=1)
        times = [NOON, NOON, NOON - day, NOON + day, NOON, NOON - day]
        events = [note(str(n), A, n, time=time) for n, time in enumerate(times, 1)]
        await db.events.append(events[:3])
        await db.events.append(events[3:])
        assert await db.events.load(A) == await db.events.query().list() == events
        assert await texts(db, EventQuery(times=[NOON])) == ["1", "2", "5"]

    # --- ids --------------------------------------------------------------------------------------------------------

    async def test_event_ids_are_kept(self, db: Backend) -> None:
        """ES-DATA-019: An event id may be any UUID, of every version, including nil and max, and finds its event."""
        ids = [
            UUID(int=0), UUID(int=1), UUID(int=2**127), UUID(int=2**128 - 1), uuid1(), uuid3(NAMESPACE_URL, "x"), uuid4(),
            uuid5(NAMESPACE_URL, "x"), new_id(), UUID("00000000-0000-0000-0000-0000000000ff"),
        ]  # fmt: skip
        events = [note(str(id), id=id) for id in ids]
        await kept(db, events)
        for id in ids:
            found = await db.events.find(id)
            assert found is not None
            assert (found.id, found.data.text) == (id, str(id))
            assert await texts(db, EventQuery(ids=[id])) == [str(id)]

    async def test_aggregate_ids_are_kept(self, db: Backend) -> None:
        """ES-DATA-020: An aggregate id may be any text, and finds its events by loading and by querying."""
        events = [note(text, ("order", text), 1) for text in NAMED]
        await kept(db, events)
        for event in events:
            assert event.aggregate is not None
            assert await db.events.load(event.aggregate) == [event]
            assert await db.events.query(EventQuery(aggregate_ids=[event.aggregate.id])).list() == [event]

    async def test_a_uuid_as_the_id_of_an_aggregate(self, db: Backend) -> None:
        """ES-DATA-021: A UUID as the id of an aggregate is equivalent to its text."""
        id = uuid4()
        await db.events.append([note("1", ("order", id), 1)])
        await db.events.append([note("2", ("order", str(id)), 2)])
        loaded = await db.events.load(AggregateRef("order", str(id)))
        assert [event.data.text for event in loaded] == ["1", "2"]
        assert [event.aggregate for event in loaded] == [("order", str(id))] * 2
        assert await db.events.load(AggregateRef("order", id)) == loaded
        assert await texts(db, EventQuery(aggregate_ids=[id])) == ["1", "2"]

    async def test_long_ids_are_kept(self, db: Backend) -> None:
        """ES-DATA-022: An id of 1,024 bytes with a name of 255 characters is kept whole, and distinct from similar ones."""
        names = ("order", "😀" * 255)
        events = [note(id[-1], (name, id), 1) for name in names for id in LONG]
        await kept(db, events)
        for event in events:
            assert event.aggregate is not None
            assert await db.events.load(event.aggregate) == [event]
            assert await db.events.query(EventQuery(aggregates=[event.aggregate])).list() == [event]
        listed = [info.aggregate for info in await db.events.aggregates().list()]
        assert listed == sorted(event.aggregate for event in events if event.aggregate is not None)

    async def test_long_event_names_are_kept(self, place: Place) -> None:
        """ES-DATA-023: An event name may have up to 255 characters of any script, and can be queried."""
        named = ["x" * 255, "x" * 254 + "y", "😀" * 255, "é", "日本語.を", "a-b/c:d$e#f"]
        own = Registry()
        for name in named:
            own.register(name, str)
        async with place.open(registry=own) as db:
            events: list[Event[Any]] = [Event(name, name=name, registry=own) for name in named]
            await kept(db, events)
            for event in events:
                assert await db.events.query(EventQuery([event.name])).list() == [event]

    # --- tags and metadata ------------------------------------------------------------------------------------------

    async def test_tags_are_kept(self, db: Backend) -> None:
        """ES-DATA-024: A tag is any text around a colon, up to 1,024 bytes, and finds its events."""
        tags = [f"k:{text}" for text in NAMED] + [f"k{text}:1" for text in NAMED] + ["a:b:c", "a::", "k: "]
        tags += ["k:" + id[2:] for id in LONG[:1]] + ["k:" + "é" * 511, "é" * 511 + ":1"]
        events = [note(tag, tags=[tag, "all:1"]) for tag in dict.fromkeys(tags)]
        await kept(db, events)
        for event in events:
            assert await texts(db, EventQuery(tags=event.tags)) == [event.data.text]

    async def test_many_tags_are_kept(self, db: Backend) -> None:
        """ES-DATA-025: An event may carry hundreds of tags, each of which finds it."""
        events = [note("many", tags=[f"key-{n}:{n}" for n in range(500)]), note("one", tags=["key-7:7"])]
        await kept(db, events)
        for number in (0, 250, 499):
            assert await texts(db, EventQuery(tags=[f"key-{number}:{number}"])) == ["many"]
        assert await texts(db, EventQuery(tags=["key-7:7"])) == ["many", "one"]

    async def test_metadata_are_kept(self, db: Backend) -> None:
        """ES-DATA-026: Metadata keys and values may be any text, values may be empty, and all are kept unchanged."""
        awkward = {
            "k": "",
            " ": " ",
            "$set": "1",
            "a.b": "2",
            "a'b": "'",
            '"': '"',
            "__proto__": "x",
            "_id": "3",
            "null": "null",
        }
        events = [
            note("odd", metadata=awkward),
            note("alike", metadata={text: f"value of {text}" for text in NAMED}),
            note("long", metadata={"x" * 5000: "y" * 100_000}),
            *(note(text, metadata={"k": text}) for text in TEXTS),
        ]
        await kept(db, events)
        assert [dict(event.metadata) for event in await db.events.query().list()] == [dict(e.metadata) for e in events]

    async def test_many_metadata_are_kept(self, db: Backend) -> None:
        """ES-DATA-027: An event may have hundreds of metadata entries, and its neighbours others or none."""
        metadata = {f"key {number}": str(number) for number in range(500)}
        events = [note("none"), note("many", metadata=metadata), note("one", metadata={"key 1": "other"}), *story(A, 1)]
        await db.events.append(events)
        same(await db.events.query().list(), events)
