"""What `verify` lets a MongoDB server check of itself: each planted condition is found, and nothing in a sound store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("pymongo", reason="pymongo is not installed")

from bson.int64 import Int64
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_mongo._integrity import structure

import goes_lite as goes
from goes_lite.contract.findings import Finding
from goes_lite.operations import verify
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()
pytestmark = [pytest.mark.server, pytest.mark.once]


async def fill(db: goes.Database) -> None:
    for order in "12":
        await db.events.append([note(f"{n}", ("order", order), n, tags=[f"n:{n}"]) for n in range(1, 6)])
    await db.events.append([note("alone")])


def found(*changes: tuple[str, str, tuple[Any, ...]]) -> list[Finding]:
    """Fill a store, make changes behind its back (collection, method, arguments), and return what the server finds."""

    async def run() -> list[Finding]:
        async with goes.connect(store_url(), registry=registry) as db:
            await fill(db)
            assert await db.integrity() == []
            assert (await verify(db)).problems == ()
            backend: Any = db.backend
            for collection, method, arguments in changes:
                await getattr(getattr(backend._found, collection), method)(*arguments)
            return await db.integrity()

    return asyncio.run(run())


FIRST = {"_id": {"name": "order", "id": "1"}}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("events", "drop_index", ("events_by_tag",)), "index-missing", "the index 'events_by_tag' of "),
        (
            ("events", "delete_one", ({"_id": 3},)),
            "aggregate-version",
            "order(1) is listed with version 5, but has 4 events",
        ),
        (("aggregates", "delete_one", (FIRST,)), "reference-lost", "the event at position 1 refers to order(1)"),
        (
            ("aggregates", "update_one", (FIRST, {"$set": {"first_time": Int64(7)}})),
            "aggregate-time",
            "order(1) is listed with the first and last time 7 and",
        ),
        (("store", "update_one", ({"_id": "store"}, {"$set": {"head": Int64(10)}})), "head-behind", "the head is 10"),
    ],
)
def test_each_condition_is_found(change: tuple[str, str, tuple[Any, ...]], code: str, said: str) -> None:
    (problem,) = found(change)
    assert problem.code == code
    assert said in problem.message


def test_what_the_server_says_of_a_collection_is_passed_on() -> None:
    """A real server cannot be asked to damage its files: so its answer is put in place."""

    class Answering:
        def __init__(self, collection: Any, answer: dict[str, Any]) -> None:
            self.name, self.database, self._answer = collection.name, self, answer

        def with_options(self, **_: Any) -> Answering:
            return self

        async def command(self, _: Any) -> dict[str, Any]:
            return self._answer

    async def run() -> list[Finding]:
        async with goes.connect(store_url(), registry=registry) as db:
            backend: Any = db.backend
            bad = Answering(backend._found.models, {"valid": False, "errors": ["a record is lost", "and another"]})
            damaged: Any = [bad, backend._found.events]

            class Found(list[Any]):
                events = backend._found.events

            return await structure(Found(damaged))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    (problem,) = asyncio.run(run())
    assert problem.code == "collection-damaged"
    assert "a record is lost; and another" in problem.message
