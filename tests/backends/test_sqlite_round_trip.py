"""What is read is exactly what was appended, in memory and in a file, on every face and driver."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from goes_lite.backend import Backend
from goes_lite.errors import InvalidEventError, InvalidQueryError
from goes_lite.event import AggregateRef
from goes_lite.query import EventQuery

if TYPE_CHECKING:
    from tests.backends.events_kit import A, texts
    from tests.backends.faces import Place, count, note
else:
    from events_kit import A, texts
    from faces import Place, count, note

FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12, minutes=34, seconds=56))
AWKWARD_TIMES = [
    datetime.min.replace(tzinfo=timezone.utc),
    datetime.max.replace(tzinfo=timezone.utc),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
    datetime(1970, 1, 1, tzinfo=timezone.utc),
    datetime(1600, 2, 29, 1, 2, 3, 4, tzinfo=timezone.utc),
    datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=FAR_EAST),
    datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=FAR_WEST),
    datetime(1, 1, 1, tzinfo=FAR_WEST),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=FAR_EAST),
]
AWKWARD_TEXTS = [
    "", " ", "\0", "a\0b", "\n\r\t", "'; DROP TABLE events; --", '"', "\\", "\\u0000", "%s ? $1 {0}", "é", "e\u0301",
    "日本語", "😀👩‍👩‍👧‍👦", "\u202e\u200b\ufeff", "\ud7ff\ue000\uffff\U0010ffff", "x" * 100_000,
]  # fmt: skip


async def test_times_come_back_exactly(db: Backend) -> None:
    """To the microsecond, from year 1 to 9999, as UTC; and they can be asked for."""
    events = [note(str(time), time=time) for time in AWKWARD_TIMES]
    await db.events.append(events)
    for event, time in zip(await db.events.query().list(), AWKWARD_TIMES, strict=True):
        assert event.time == time
        assert event.time.tzinfo is timezone.utc
        assert event == events[event.position - 1]
        exact = await db.events.query(EventQuery(times=[time])).list()
        assert event in exact


def test_times_outside_utc_are_refused() -> None:
    """A local time whose UTC lies before year 1 or behind 9999 is InvalidEventError, in events and in queries."""
    for time in (datetime.min.replace(tzinfo=FAR_EAST), datetime.max.replace(tzinfo=FAR_WEST)):
        with pytest.raises(InvalidEventError, match="years 1 to 9999"):
            note("x", time=time)
        with pytest.raises(InvalidQueryError, match="years 1 to 9999"):
            EventQuery(min_time=time)


async def test_texts_come_back_exactly(db: Backend) -> None:
    """In the data, the metadata, and where they are allowed in ids and tags."""
    events = [note(text, metadata={text or "-": text, "other": text[::-1]}) for text in AWKWARD_TEXTS]
    named = [text for text in AWKWARD_TEXTS if text and "\0" not in text and len(text.encode()) <= 1000]
    events += [
        note(text, ("order", text), 1, tags=[f"{text}:{text}", f"k:{text}"]) for text in named if ":" not in text
    ]
    await db.events.append(events)
    stored = await db.events.query().list()
    assert stored == events
    for event, again in zip(events, stored, strict=True):
        assert dict(again.metadata) == dict(event.metadata)
        assert again.tags == event.tags
        assert again.encoded == event.encoded
        if event.aggregate is not None:
            assert await db.events.load(event.aggregate) == [event]
            assert await db.events.query(EventQuery(tags=event.tags)).list() == [event]
            assert await db.events.query(EventQuery(aggregate_ids=[event.aggregate.id])).list() == [event]


async def test_other_fields_come_back_exactly(db: Backend) -> None:
    """64-bit numbers, nil and full ids, a UUID as the id of an aggregate, a thousand tags, ids of 1,024 bytes."""
    uuid = uuid4()
    events = [
        *(count(number) for number in (0, -1, 2**63 - 1, -(2**63), 2**63, 10**30)),
        note("nil", id=UUID(int=0)),
        note("full", id=UUID(int=2**128 - 1)),
        note("uuid", ("order", uuid), 1),
        note("tags", tags=[f"key-{number}:{number}" for number in range(1000)]),
        note("long", ("x" * 255, "é" * 512), 1, tags=["k:" + "é" * 511]),
        note("metadata", metadata={f"key {number}": "v" * number for number in range(300)}),
    ]
    await db.events.append(events)
    assert await db.events.query().list() == events
    assert [event.data.text for event in await db.events.load(AggregateRef("order", str(uuid)))] == ["uuid"]
    assert await db.events.find(UUID(int=0)) == events[6]
    assert [event.id for event in await db.events.query(EventQuery(ids=[UUID(int=2**128 - 1)])).list()] == [
        events[7].id
    ]
    assert await texts(db, EventQuery(tags=["key-7:7", "key-999:999"])) == ["tags"]


async def test_large_payloads_come_back_exactly(place: Place) -> None:
    """1 MB and 50 MB, beside small ones."""
    sizes = (10**6, 1, *([50 * 10**6] if place.face == "blocking" and not place.memory else []))
    async with place.open() as db:
        for size in sizes:
            await db.events.append([note("€" + "x" * size)])
        events = await db.events.query().list()
        assert [len(event.data.text) - 1 for event in events] == list(sizes)
        assert all(event.data.text[0] == "€" and event.data.text.strip("x") == "€" for event in events)


async def test_a_second_handle_reads_the_same_fields(file: Place) -> None:
    """What the face of this test wrote, the inline blocking face reads, field by field."""
    events = [
        note(text, A if number == 0 else None, int(number == 0), metadata={"m": text}, tags=["t:1"], time=time)
        for number, (text, time) in enumerate(zip(AWKWARD_TEXTS, AWKWARD_TIMES * 2, strict=False))
    ]
    async with file.open() as db:
        await db.events.append(events)
    with file.second() as other:
        for event, again in zip(events, other.events.query(), strict=True):
            fields = ("id", "name", "data", "time", "aggregate", "version", "metadata", "tags", "encoded")
            assert [getattr(event, field) for field in fields] == [getattr(again, field) for field in fields]
