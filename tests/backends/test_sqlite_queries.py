"""Reading events: load, find, head, count, aggregates and query, on every face and driver."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from goes_lite.backend import Backend
from goes_lite.blocking import connect
from goes_lite.errors import ConcurrencyError, InvalidQueryError
from goes_lite.event import AggregateRef, Event
from goes_lite.query import Between, EventQuery
from goes_lite.store import AggregateInfo, AppendCondition

if TYPE_CHECKING:
    from tests.backends.events_kit import NOON, A, B, texts
    from tests.backends.faces import Place, count, note, registry, story
else:
    from events_kit import NOON, A, B, texts
    from faces import Place, count, note, registry, story

# --- load, find, head, count ------------------------------------------------------------------------------------------


async def test_load_gives_one_aggregate_in_version_order(db: Backend) -> None:
    """After < version ≤ upto; nothing for an unknown aggregate or beyond its end."""
    await db.events.append([note("noise"), *story("a", 3), *story("b", 2)])
    await db.events.append(story("a", 2, after=3))
    load = db.events.load
    assert [event.data.text for event in await load(A)] == ["a-1", "a-2", "a-3", "a-4", "a-5"]
    assert [event.version for event in await load(A, after=2)] == [3, 4, 5]
    assert [event.version for event in await load(A, upto=2)] == [1, 2]
    assert [event.version for event in await load(A, after=1, upto=3)] == [2, 3]
    assert await load(A, after=5) == await load(A, upto=0) == await load(A, after=3, upto=2) == []
    assert await load(A, after=2**70) == []
    assert [event.version for event in await load(A, upto=2**70)] == [1, 2, 3, 4, 5]
    assert await load(AggregateRef("order", "nobody")) == await load(AggregateRef("nothing", "a")) == []
    assert all(event.aggregate == A for event in await load(A))


async def test_find_gives_the_event_of_an_id(db: Backend) -> None:
    """With all its fields, wherever it is; None for any other id."""
    event = note("x", A, 1, metadata={"a": "b"}, tags=["c:d"], time=NOON)
    await db.events.append([note("noise"), event])
    found = await db.events.find(event.id)
    assert found == event
    assert found is not None
    assert found.position == 2
    assert await db.events.find(uuid4()) is None


async def test_head_is_a_high_water_mark(db: Backend) -> None:
    """0 for an empty store, then the last position; neither a refused append nor a deletion moves it."""
    assert await db.events.head() == 0
    await db.events.append(story("a", 3))
    assert await db.events.head() == 3
    with pytest.raises(ConcurrencyError):
        await db.events.append(story("a", 1))
    assert await db.events.head() == 3
    await db.events.delete(A)
    assert await db.events.head() == 3


async def test_count_counts_what_matches(db: Backend) -> None:
    """Of everything without a query."""
    assert await db.events.count() == 0
    await db.events.append([*story("a", 3, tags=["t:1"]), *story("b", 2), count(1, tags=["t:1"])])
    assert await db.events.count() == 6
    for query, number in [
        (EventQuery(["noted"]), 5),
        (EventQuery(["counted"]), 1),
        (EventQuery(["counted", "noted"]), 6),
        (EventQuery(tags=["t:1"]), 4),
        (EventQuery(["noted"], tags=["t:1"]), 3),
        (EventQuery(aggregates=[A, B], versions=[1, 2]), 4),
        (EventQuery(aggregate_names=["order"]), 5),
        (EventQuery(versions=[0]), 1),
        (EventQuery(tags=["t:1"]) | EventQuery(aggregates=[A]), 4),
        (EventQuery(["nothing"]), 0),
    ]:
        assert await db.events.count(query) == number, query


async def test_aggregates_are_listed_by_name_and_id(db: Backend) -> None:
    """By code point, of one name or all, behind `after`, at most `limit`; with version, first and last time."""
    ids = ["10", "9", "B", "a", "é", "ﬀ", "😀"]  # in the order of code points; UTF-16 would have it otherwise
    for number, id in enumerate(reversed(ids)):
        await db.events.append(story(id, 2, time=NOON + timedelta(days=number)))
        await db.events.append(story(id, 1, after=2, time=NOON - timedelta(days=number)))
    await db.events.append([note("x", ("Order", "z"), 1), note("x", ("zeta", "1"), 1)])
    listed = await db.events.aggregates("order").list()
    assert [info.aggregate for info in listed] == [AggregateRef("order", id) for id in ids]
    last = len(ids) - 1
    assert listed[0] == AggregateInfo(
        AggregateRef("order", "10"), 3, NOON + timedelta(days=last), NOON - timedelta(days=last)
    )
    whole = [info.aggregate for info in await db.events.aggregates().list()]
    assert whole == [AggregateRef("Order", "z"), *(AggregateRef("order", id) for id in ids), AggregateRef("zeta", "1")]
    assert [info.aggregate for info in await db.events.aggregates(after=whole[2]).list()] == whole[3:]
    assert [info.aggregate for info in await db.events.aggregates("order", after=whole[2], limit=3).list()] == whole[
        3:6
    ]
    assert [
        info.aggregate for info in await db.events.aggregates(after=AggregateRef("order", "A"), limit=2).list()
    ] == whole[3:5]
    assert await db.events.aggregates("nothing").list() == await db.events.aggregates(limit=0).list() == []


async def test_aggregates_are_listed_beyond_a_page(db: Backend) -> None:
    """However many there are, each once and in order; `limit` is kept across pages."""
    ids = sorted(f"{number}" for number in range(1500))
    await db.events.append([note("x", ("many", id), 1) for id in ids])
    assert [info.aggregate.id async for info in db.events.aggregates("many")] == ids
    assert [info.aggregate.id async for info in db.events.aggregates(limit=1300)] == ids[:1300]


# --- query ----------------------------------------------------------------------------------------------------------


async def seeded(db: Backend) -> list[Event[Any]]:
    """Nine events with something of everything, as they are stored."""
    day = timedelta(days=1)
    await db.events.append([
        note("0", time=NOON, tags=["color:red"]),
        note("1", A, 1, time=NOON + day, tags=["color:red", "size:1"]),
        note("2", B, 1, time=NOON + 2 * day, tags=["size:1"]),
        count(3, aggregate=A, version=2, time=NOON + 3 * day),
        count(4, time=NOON + 4 * day, tags=["color:blue", "size:1"]),
        note("5", ("invoice", "a"), 1, time=NOON + 5 * day),
        note("6", A, 3, time=NOON, tags=["color:red"]),
        Event(registry.type_of("closed")(), aggregate=A, version=4, time=NOON + 7 * day, registry=registry),
        note("8", time=NOON + 8 * day),
    ])  # fmt: skip
    return await db.events.query().list()


async def test_query_asks_by_every_field(db: Backend) -> None:
    """Any of the values within a field (tags: all of them), all of the fields together."""
    log = await seeded(db)
    ids = [event.id for event in log]
    day = timedelta(days=1)
    for query, positions in [
        (EventQuery(), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (EventQuery(["counted"]), [4, 5]),
        (EventQuery(["counted", "closed", "unheard-of"]), [4, 5, 8]),
        (EventQuery(aggregates=[A]), [2, 4, 7, 8]),
        (EventQuery(aggregates=[("order", "b"), ("invoice", "a")]), [3, 6]),
        (EventQuery(aggregate_names=["order"]), [2, 3, 4, 7, 8]),
        (EventQuery(aggregate_ids=["a"]), [2, 4, 6, 7, 8]),
        (EventQuery(aggregate_names=["invoice"], aggregate_ids=["a"]), [6]),
        (EventQuery(versions=[0]), [1, 5, 9]),
        (EventQuery(versions=[1, 3]), [2, 3, 6, 7]),
        (EventQuery(versions=[Between(2, 3), 1]), [2, 3, 4, 6, 7]),
        (EventQuery(min_version=2), [4, 7, 8]),
        (EventQuery(max_version=1), [1, 2, 3, 5, 6, 9]),
        (EventQuery(min_version=1, max_version=2), [2, 3, 4, 6]),
        (EventQuery(times=[NOON]), [1, 7]),
        (EventQuery(times=[Between(NOON + day, NOON + 3 * day)]), [2, 3, 4]),
        (EventQuery(min_time=NOON + 5 * day), [6, 8, 9]),
        (EventQuery(max_time=NOON + day), [1, 2, 7]),
        (EventQuery(tags=["size:1"]), [2, 3, 5]),
        (EventQuery(tags=["size:1", "color:red"]), [2]),
        (EventQuery(tags=["color:red", "color:blue"]), []),
        (EventQuery(ids=[ids[3], ids[0], uuid4()]), [1, 4]),
        (EventQuery(["noted"], aggregates=[A], versions=[3], tags=["color:red"]), [7]),
        (EventQuery(["noted"], ids=ids[:5], min_time=NOON + day), [2, 3]),
        (EventQuery(["closed"]) | EventQuery(tags=["size:1"]) | EventQuery(aggregates=[A]), [2, 3, 4, 5, 7, 8]),
        (EventQuery(versions=[0]) | EventQuery(["noted"]), [1, 2, 3, 5, 6, 7, 9]),
        (EventQuery(["nothing"]) | EventQuery(), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ]:
        found = await db.events.query(query).list()
        assert [event.position for event in found] == positions, query
        assert found == [event for event in log if query.matches(event)], query
        backwards = await db.events.query(query, reverse=True).list()
        assert [event.position for event in backwards] == positions[::-1], query
        window = await db.events.query(query, after=2, upto=7, limit=2).list()
        assert [event.position for event in window] == [p for p in positions if 2 < p <= 7][:2], query
        window = await db.events.query(query, after=2, upto=7, limit=2, reverse=True).list()
        assert [event.position for event in window] == [p for p in positions if 2 < p <= 7][::-1][:2], query


async def test_query_windows(db: Backend) -> None:
    """After < position ≤ upto and `limit`, whatever their size; an empty window is empty."""
    await db.events.append([note(str(number)) for number in range(1, 6)])
    windows: list[tuple[dict[str, Any], str]] = [
        ({"after": 5}, ""),
        ({"after": 6}, ""),
        ({"after": 2**70}, ""),
        ({"upto": 0}, ""),
        ({"upto": 2**70}, "12345"),
        ({"after": 4, "upto": 2}, ""),
        ({"limit": 0}, ""),
        ({"limit": 2**70}, "12345"),
        ({"limit": 2, "reverse": True}, "54"),
        ({"after": 3, "reverse": True}, "54"),
        ({"upto": 3, "reverse": True}, "321"),
        ({"after": 9, "reverse": True}, ""),
    ]
    for options, expected in windows:
        assert "".join(await texts(db, **options)) == expected, options


@pytest.mark.parametrize("size", [63, 64, 65, 64 + 256, 64 + 256 + 1024, 64 + 256 + 1024 + 1])
async def test_query_goes_beyond_its_pages(place: Place, size: int) -> None:
    """Every event once and in order, both ways, where the log ends at, before and behind the end of a page."""
    expected = [str(number) for number in range(size)]
    async with place.open() as db:
        await db.events.append([note(text, tags=["all:1"]) for text in expected])
        for query in (EventQuery(), EventQuery(tags=["all:1"]), EventQuery(["noted", "counted"])):
            assert await texts(db, query) == expected
            assert await texts(db, query, reverse=True) == expected[::-1]
            assert await texts(db, query, limit=size - 1) == expected[:-1]
            assert await texts(db, query, limit=size - 1, reverse=True) == expected[:0:-1]
        assert [event.data.text async for event in db.events.query()] == expected


async def test_nothing_is_fetched_before_the_first_item(db: Backend) -> None:
    """A query that was made before an append sees it, if nobody asked for an item until then."""
    pages = db.events.query()
    listing = db.events.aggregates()
    await db.events.append(story("a", 2))
    assert len(await pages.list()) == 2
    assert len(await listing.list()) == 1


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_query_ends_at_the_head_of_its_first_page(db: Backend, reverse: bool) -> None:
    """What is appended while it is read is not in it, however many pages it has."""
    await db.events.append([note(str(number)) for number in range(100)])
    pages = db.events.query(reverse=reverse)
    seen = [(await anext(pages)).data.text]
    await db.events.append([note("late") for _ in range(100)])
    async for event in pages:
        seen.append(event.data.text)
        if len(seen) == 70:
            await db.events.append([note("later still")])
    expected = [str(number) for number in range(100)]
    assert seen == (expected[::-1] if reverse else expected)


async def test_a_query_may_be_abandoned_midway(place: Place) -> None:
    """It holds nothing open: others write, the aggregate can be deleted, the store can be closed; reading can go on."""
    async with place.open() as db:
        await db.events.append(story("a", 200))
        abandoned = db.events.query()
        for _ in range(3):
            await anext(abandoned)
        other = db.events.query(aggregates_query := EventQuery(aggregates=[A]))
        assert [(await anext(other)).version for _ in range(5)] == [1, 2, 3, 4, 5]
        assert len(await other.list()) == 195
        assert await other.list() == []
        assert await db.events.delete(A) == 200
        assert len(await abandoned.list()) == 61  # the rest of the page that was fetched
        assert await db.events.query(aggregates_query).list() == []
        await anext(db.events.query(), None)


async def test_pages_can_be_taken_one_by_one(db: Backend) -> None:
    """`next_page` answers what is fetched and not yet taken, then page after page, then nothing for ever."""
    await db.events.append([note(str(number)) for number in range(400)])
    pages = db.events.query()
    sizes: list[int] = []
    while page := await pages.next_page():
        sizes.append(len(page))
    assert sum(sizes) == 400
    assert len(sizes) == 3
    assert list(await pages.next_page()) == []


def test_a_query_may_have_thousands_of_values(driver: str) -> None:
    """Values and alternatives beyond SQLite's limits for expressions work; beyond its parameters, a typed error."""
    with connect(":memory:", driver=driver, registry=registry) as db:
        refs = [AggregateRef("order", str(number)) for number in range(1200)]
        db.events.append([note("x", ref, 1, tags=[f"n:{number}"]) for number, ref in enumerate(refs[:20])])
        times = [NOON + timedelta(seconds=number) for number in range(1200)]
        united = EventQuery.any_of(*(EventQuery(tags=[f"n:{number}"], versions=[1]) for number in range(1200)))
        for query, number in [
            (EventQuery(aggregates=refs), 20),
            (EventQuery(aggregate_ids=[ref.id for ref in refs]), 20),
            (EventQuery(versions=range(1200)), 20),
            (EventQuery(versions=[Between(2 * n, 2 * n + 1) for n in range(1200)]), 20),
            (EventQuery(times=times), 0),
            (EventQuery([f"name-{n}" for n in range(1200)]), 0),
            (EventQuery(ids=[uuid4() for _ in range(1200)]), 0),
            (united, 20),
        ]:
            assert db.events.count(query) == number
            assert len(db.events.query(query).list()) == number
        far_too_many = EventQuery(versions=range(40_000))
        with pytest.raises(InvalidQueryError, match="values"):
            db.events.count(far_too_many)
        with pytest.raises(InvalidQueryError, match="values"):
            db.events.query(far_too_many).list()
        with pytest.raises(InvalidQueryError, match="values"):
            db.events.append([note("x")], condition=AppendCondition(far_too_many))
        assert db.events.head() == 20
