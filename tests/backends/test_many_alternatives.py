"""Queries, counts and append conditions of many alternatives mean what `matches` says, on every backend."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import random
from collections import Counter
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.strategies import batches, queries
from hypothesis import given, settings
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed
from goes_lite.events.query import EventQuery
from goes_lite.kit import select
from goes_lite.kit.branches import Branch, branches, joined


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few alternatives are as many as a thousand."""
    splitting = importlib.import_module("goes_lite.kit.branches")
    for name, value in (("FEW", 2), ("MANY", 3), ("STRETCH", 2)):
        monkeypatch.setattr(splitting, name, value)
    monkeypatch.setattr(select, "MAX_BRANCHES", 3)
    monkeypatch.setattr(select, "COUNTED", 7)
    if importlib.util.find_spec("pymongo") is not None:
        many = importlib.import_module("goes_lite_mongo._many")
        for name, value in (("FEW", 2), ("MOST", 40), ("COUNTED", 7)):
            monkeypatch.setattr(many, name, value)


def item(chance: random.Random, log: list[goes.Event[Any]]) -> EventQuery:
    fields: dict[str, list[Any]] = {
        "names": ["sample.noted", "sample.counted", "unheard.of"],
        "aggregates": [("order", str(n)) for n in range(6)] + [("bill", "1")],
        "aggregate_names": ["order", "bill"],
        "aggregate_ids": [str(n) for n in range(6)],
        "versions": [0, 1, 2, 3],
        "tags": ["all:1", *(f"n:{n}" for n in range(8))],
        "ids": [event.id for event in log],
    }
    chosen = chance.sample([*fields], chance.randint(1, 2))
    most = {"tags": 2, "ids": 20}
    drawn: dict[str, Any] = {
        name: chance.sample(fields[name], chance.randint(1, min(most.get(name, 4), len(fields[name]))))
        for name in chosen
    }
    return EventQuery(**drawn)


@pytest.mark.usefixtures("narrow")
def test_many_alternatives_mean_what_matches_says(url: str) -> None:
    """In pages of any size, forwards and backwards, counted, and as a condition; each event once, in position order."""
    chance = random.Random(20261201)

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db:
            versions: dict[str, int] = {}
            batch: list[goes.Event[Any]] = []
            for number in range(60):
                id = str(number % 5)
                versions[id] = versions.get(id, 0) + 1
                tags = [f"n:{number % 7}", *(["all:1"] if number % 2 else [])]
                place: dict[str, Any] = {} if number % 3 else {"aggregate": ("order", id), "version": versions[id]}
                if not place:
                    versions[id] -= 1
                batch.append(note(str(number), tags=tags, **place))
            await db.events.append(batch)
            log = await db.events.query().list()
            for _ in range(12):
                query = EventQuery.any_of(*(item(chance, log) for _ in range(chance.choice((3, 10, 30)))))
                matching = [event for event in log if query.matches(event)]
                after, upto, limit = chance.randrange(30), chance.randrange(30, 70), chance.choice([None, 1, 9])
                inside = [event for event in matching if after < event.position <= upto]
                for reverse in (False, True):
                    pages = db.events.query(query, after=after, upto=upto, limit=limit, reverse=reverse)
                    assert await pages.list() == (inside[::-1] if reverse else inside)[:limit], query
                assert await db.events.query(query).list() == matching, query
                assert await db.events.count(query) == len(matching), query
                last = matching[-1].position if matching else 0
                with pytest.raises(AppendConditionFailed) as caught:
                    await db.events.append([note()], condition=AppendCondition(query | EventQuery(ids=[log[0].id]), 0))
                assert caught.value.position == max(last, 1)
                with pytest.raises(ZeroDivisionError):
                    async with db.transaction() as tx:
                        await tx.events.append([note()], condition=AppendCondition(query, last))
                        raise ZeroDivisionError

    asyncio.run(run())


def test_no_number_of_values_is_too_large(url: str) -> None:
    """A statement takes 32,766 or 65,535 parameters or 16 MB; a query takes any number."""

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([note(str(n), ("order", str(n)), 1, tags=[f"n:{n}"]) for n in range(3)])
            names = [f"name-{n}" for n in range(40_000)]
            for query in (
                EventQuery([*names, "sample.noted"], tags=["n:1"]),
                EventQuery(aggregate_ids=["1", *names]),
            ):
                assert [event.data.text for event in await db.events.query(query).list()] == ["1"]
                assert await db.events.count(query) == 1
                with pytest.raises(AppendConditionFailed):
                    await db.events.append([note()], condition=AppendCondition(query, 0))

    asyncio.run(run())


def finds(branch: Branch, event: goes.Event[Any]) -> bool:
    """Whether the values of the branch lead to the event, and one of its items matches."""
    ref = event.aggregate
    led = {
        "": True,
        "ids": event.id in branch.values,
        "tags": not event.tags.isdisjoint(branch.values),
        "names": event.name in branch.values,
        "aggregates": ref is not None and ref.name == branch.name and ref.id in branch.values,
    }
    return led[branch.field] and any(item.matches(event) for item in branch.items)


@given(
    batches().flatmap(lambda batch: st.tuples(st.just(batch), st.lists(queries(batch), min_size=1, max_size=40))),
    st.sampled_from([16, 100, 32_766]),
)
@settings(max_examples=25, deadline=None)
def test_branches_mean_what_matches_says(case: tuple[list[goes.Event[Any]], list[EventQuery]], most: int) -> None:
    """However alternatives are joined and split, and what an index finds for a value is read once."""
    batch, asked = case
    query = EventQuery.any_of(*asked)
    parts = branches(query, registry.spellings, most)

    for event in batch:
        assert any(finds(branch, event) for branch in parts) == query.matches(event)
    if most == 32_766:
        read = Counter((branch.field, branch.name, value) for branch in parts for value in branch.values or [None])
        assert set(read.values()) == {1}


def test_the_widest_of_joined_alternatives_counts() -> None:
    """One without any versions means every version, also next to one that differs from it only in having some."""
    wide = EventQuery(["sample.noted"])
    query = EventQuery(["sample.noted"], versions=[2]) | wide | EventQuery(["sample.noted"], versions=[3])

    assert joined(query.items) == [*wide.items]
    [branch] = branches(query, registry.spellings, 100)
    assert finds(branch, note("x", ("order", "1"), 1))
