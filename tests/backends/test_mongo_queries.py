"""Queries over MongoDB: a filter means what `matches` says, and the server finds what it is about by an index."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import Counted, Noted, registry, snapshot
from goes_lite_conformance.strategies import batches, queries
from hypothesis import given, settings
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

from goes_lite_mongo._filter import condition, window  # noqa: E402 - not before the driver is known to be there
from goes_lite_mongo._options import ServerAddress, address_of  # noqa: E402
from goes_lite_mongo._rows import document, versions  # noqa: E402
from goes_lite_mongo._schema import _INDEXES  # noqa: E402
from pymongo import IndexModel, MongoClient  # noqa: E402

EVENTS, RARE = 10_000, 5


# --- what a filter means ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    address = address_of(store_url(), {})
    client: MongoClient[dict[str, Any]] = MongoClient(address.url)
    with client:
        yield client[address.database]


@given(batches().flatmap(lambda batch: st.tuples(st.just(batch), st.lists(queries(batch), min_size=1, max_size=20))))
@settings(max_examples=50)
def test_a_filter_means_what_matches_says(database: Any, case: tuple[list[Event[Any]], list[EventQuery]]) -> None:
    """Of any events, any query finds those that it matches: the filter alone, on the documents as they are stored."""
    batch, asked = case
    stored = [event.at(position) for position, event in enumerate(batch, 1)]
    collection = database["filter_property"]
    collection.delete_many({})
    collection.insert_many([document(event) for event in stored])
    for query in asked:
        found = [row["_id"] for row in collection.find(condition(query, registry.spellings), {"_id": 1}).sort("_id")]
        assert found == [event.position for event in stored if query.matches(event)]
        part = collection.find(window(query, registry.spellings, 2, 5), {"_id": 1}).sort("_id")
        assert [row["_id"] for row in part] == [
            event.position for event in stored if query.matches(event) and 2 < event.position <= 5
        ]


# --- by which index it is found -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> ServerAddress:
    """A store of 10,000 events of 1,000 aggregates; 5 of them have a name and a tag of their own."""
    url = store_url()

    async def fill() -> None:
        async with goes.connect(url, registry=registry) as db:
            for first in range(0, EVENTS, 2000):
                await db.events.append([event(number) for number in range(first, first + 2000)])
            await asyncio.gather(*(db.snapshots.save(snapshot(AggregateRef("order", str(n)), 1)) for n in range(100)))
            await db.models.put_many("c", {str(number): "{}" for number in range(1000)})

    asyncio.run(fill())
    return address_of(url, {})


def event(number: int) -> Event[Any]:
    rare = number % (EVENTS // RARE) == 50
    data = Counted(number) if rare else Noted(str(number))
    tags = ["kind:rare" if rare else "kind:usual", f"n:{number}"]
    return Event(data, aggregate=("order", str(number // 10)), version=number % 10 + 1, tags=tags, registry=registry)


def indexes(plan: str) -> set[str]:
    """The names of the indexes in a plan; COLLSCAN for what reads everything."""
    return {*re.findall(r'"indexName": "([^"]+)"', plan), *re.findall(r'"stage": "(COLLSCAN)"', plan)}


def explained(database: Any, address: ServerAddress, collection: str, **find: Any) -> tuple[set[str], int]:
    """By which indexes the server finds it, and how many documents it looks at."""
    command = {"find": address.prefix + collection, **find}
    said = database.command("explain", command, verbosity="executionStats")
    return indexes(json.dumps(said["queryPlanner"]["winningPlan"], default=str)), said["executionStats"][
        "totalDocsExamined"
    ]


NAMED, TAGGED, RARELY = EventQuery(["sample.counted"]), EventQuery(tags=["n:77"]), EventQuery(tags=["kind:rare"])
OF_ONE, BY_ID = EventQuery(aggregates=[("order", "7")]), EventQuery(ids=[event(0).id])


@pytest.mark.parametrize(
    ("query", "index", "most"),
    [
        (EventQuery(), "_id_", 64),
        (NAMED, "events_by_name", RARE),
        (TAGGED, "events_by_tag", 1),
        (RARELY, "events_by_tag", RARE),
        (OF_ONE, "events_of_aggregate", 10),
        (BY_ID, "events_by_id", 1),
    ],
    ids=["everything", "name", "tag", "rare tag", "aggregate", "id"],
)
@pytest.mark.parametrize("direction", [1, -1])
def test_queries_use_their_index(
    database: Any, address: ServerAddress, query: EventQuery, index: str, most: int, direction: int
) -> None:
    """Pages, conditions (the highest first) and counts look at what they are about, wherever in the log it is."""
    for after in (0, EVENTS // 2):
        wanted = window(query, registry.spellings, after, EVENTS)
        found, looked = explained(database, address, "events", filter=wanted, sort={"_id": direction}, limit=64)
        assert found == {index}
        assert looked <= most


def test_alternatives_of_a_decision_use_an_index_each(database: Any, address: ServerAddress) -> None:
    """What an append condition asks: whether there is a newer event of one kind or of another."""
    wanted = window(NAMED | TAGGED, registry.spellings, EVENTS - 100, EVENTS)
    found, looked = explained(database, address, "events", filter=wanted, sort={"_id": -1}, limit=1)
    assert "COLLSCAN" not in found
    assert looked <= 100


@pytest.mark.parametrize(
    ("collection", "wanted", "sort", "index", "most"),
    [
        ("events", {"aggregate.name": "order", "aggregate.id": "7", "version": {"$gt": 0, "$lte": 2**62}},
         {"version": 1}, "events_of_aggregate", 10),
        ("aggregates", {"_id": {"$in": [{"name": "order", "id": "7"}]}}, {}, "_id_", 1),
        ("aggregates", {"_id": {"$gt": {"name": "order", "id": "7"}}}, {"_id": 1}, "_id_", 64),
        ("snapshots", {"_id": versions(AggregateRef("order", "7"), 2**62)}, {"_id": -1}, "_id_", 1),
        ("snapshots", {"_id": {"$gte": {"name": "other"}, "$lt": {"name": "other", "id": []}}}, {"_id": 1}, "_id_", 0),
        ("models", {"_id": {"$gte": {"collection": "c", "id": ""}, "$lt": {"collection": "c", "id": []}}},
         {"_id": 1}, "_id_", 64),
    ],
)  # fmt: skip
def test_everything_else_is_found_by_its_key(
    database: Any, address: ServerAddress, collection: str, wanted: Any, sort: Any, index: str, most: int
) -> None:
    """Loads, versions of aggregates, snapshots, read models."""
    found, looked = explained(database, address, collection, filter=wanted, sort=sort, limit=64)
    assert found == {index}
    assert looked <= most


def test_without_its_index_a_query_reads_everything(database: Any, address: ServerAddress) -> None:
    """What the tests above would see."""
    events = database[f"{address.prefix}events"]
    events.drop_index("events_by_tag")
    try:
        wanted = window(TAGGED, registry.spellings, 0, EVENTS)
        _, looked = explained(database, address, "events", filter=wanted, sort={"_id": 1}, limit=64)
        assert looked == EVENTS
    finally:
        events.create_indexes([IndexModel([*_INDEXES["events_by_tag"]["key"].items()], name="events_by_tag")])
