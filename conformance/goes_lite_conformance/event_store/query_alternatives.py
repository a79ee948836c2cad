"""Queries: several alternatives, many values, similar texts, and all fields combined."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from goes_lite.contract.backend import Backend
from goes_lite.errors import InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.query import Between, EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.event_store.query_fields import expect, letters
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, count, note, texts

MANY = 1000


class AlternativeRules(Contract):
    """Rules ES-QUERY about alternatives and exactness."""

    async def test_alternatives_are_united(self, db: Backend) -> None:
        """ES-QUERY-016: An event has to match at least one alternative; each comes once, in position order."""
        await db.events.append([
            note("a", ("order", "1"), 1), count(1, tags=["color:red"]), note("b", tags=["color:red"]),
            note("c", ("order", "1"), 2, tags=["color:red"]), note("d"), count(2),
        ])  # fmt: skip
        red, order, counted = EventQuery(tags=["color:red"]), EventQuery(aggregates=[("order", "1")]), EventQuery(
            ["sample.counted"]
        )  # fmt: skip
        await expect(db, [
            (counted | order, "a1c2"),
            (red | order | counted, "a1bc2"),
            (EventQuery(ids=[uuid4()]) | red, "1bc"),
            (EventQuery(versions=[2]) | EventQuery(versions=[1, 2]), "ac"),
        ])  # fmt: skip
        assert await letters(db, red | order | counted, reverse=True) == "2cb1a"

    async def test_alternatives_do_not_mix(self, db: Backend) -> None:
        """ES-QUERY-017: An event has to match one alternative entirely, not one field of each."""
        await db.events.append([
            note("a", tags=["color:red"]), note("b", tags=["color:blue"]), count(1, tags=["color:red"]),
            count(2, tags=["color:blue"]), note("c"),
        ])  # fmt: skip
        either = EventQuery(["sample.noted"], tags=["color:red"]) | EventQuery(["sample.counted"], tags=["color:blue"])
        assert await letters(db, either) == "a2"

    async def test_everything_or_something_is_everything(self, db: Backend) -> None:
        """ES-QUERY-018: If one alternative demands nothing, every event matches."""
        await db.events.append([note("a"), count(1), note("b", ("order", "1"), 1)])
        assert await letters(db, EventQuery(["sample.counted"]) | EventQuery()) == "a1b"

    async def test_a_query_may_have_many_values(self, db: Backend) -> None:
        """ES-QUERY-019: A field may have a thousand values."""
        events = [note(f"{n};", (f"order-{n % 3}", str(n)), 1, time=NOON + timedelta(seconds=n)) for n in range(20)]
        await db.events.append(events)
        every = "".join(event.data.text for event in events)
        await expect(db, [
            (EventQuery([f"name-{n}" for n in range(MANY)] + ["sample.noted"]), every),
            (EventQuery(aggregates=[(f"order-{n % 3}", str(n)) for n in range(MANY)]), every),
            (EventQuery(aggregate_names=[f"order-{n}" for n in range(MANY)]), every),
            (EventQuery(aggregate_ids=[str(n) for n in range(MANY)]), every),
            (EventQuery(versions=range(MANY)), every),
            (EventQuery(versions=[Between(2 * n, 2 * n + 1) for n in range(MANY)]), every),
            (EventQuery(times=[NOON + timedelta(seconds=n) for n in range(MANY)]), every),
            (EventQuery(ids=[*(uuid4() for _ in range(MANY)), *(event.id for event in events)]), every),
        ])  # fmt: skip

    async def test_a_query_may_have_many_alternatives(self, db: Backend) -> None:
        """ES-QUERY-020: A query may have hundreds of alternatives, and may ask for hundreds of tags."""
        await db.events.append([note(f"{n};", (str(n), str(n)), 1, tags=[f"n:{n}"]) for n in range(20)])
        await db.events.append([note("many", tags=[f"tag:{n}" for n in range(200)])])
        every = "".join(f"{n};" for n in range(20))
        await expect(db, [
            (EventQuery.any_of(*(EventQuery(tags=[f"n:{n}"], versions=[1]) for n in range(300))), every),
            (EventQuery.any_of(*(EventQuery(aggregates=[(str(n), str(n))]) for n in range(300))), every),
            (EventQuery(tags=[f"tag:{n}" for n in range(200)]), "many"),
            (EventQuery(tags=[f"tag:{n}" for n in range(201)]), ""),
        ])  # fmt: skip

    # --- exactness --------------------------------------------------------------------------------------------------

    async def test_aggregate_ids_are_compared_exactly(self, db: Backend) -> None:
        """ES-QUERY-021: Aggregate ids are compared by code point: no collation, pattern or quoting makes two of them equal."""
        await db.events.append([note(text, ("order", text), 1) for text in CONFUSABLE])
        for text in CONFUSABLE:
            assert await texts(db, EventQuery(aggregate_ids=[text])) == [text]
            assert await texts(db, EventQuery(aggregates=[("order", text)])) == [text]

    async def test_aggregate_names_are_compared_exactly(self, db: Backend) -> None:
        """ES-QUERY-022: Aggregate names are compared by code point."""
        named = _names()
        await db.events.append([note(name, (name, "1"), 1) for name in named])
        for name in named:
            assert await texts(db, EventQuery(aggregate_names=[name])) == [name]
            assert await texts(db, EventQuery(aggregates=[(name, "1")])) == [name]

    async def test_event_names_are_compared_exactly(self, place: Place) -> None:
        """ES-QUERY-023: Event names are compared by code point."""
        named = _names()
        own = Registry()
        for name in named:
            own.register(name, str)
        async with place.open(registry=own) as db:
            await db.events.append([Event(name, name=name, registry=own) for name in named])
            for name in named:
                assert [(event.name, event.data) for event in await db.events.query(EventQuery([name])).list()] == [
                    (name, name)
                ]

    async def test_tags_are_compared_exactly(self, db: Backend) -> None:
        """ES-QUERY-024: Tags are compared by code point and as a whole: a key or the beginning of a value does not match."""
        await db.events.append([note(text, tags=[f"text:{text}", f"-{text}:1"]) for text in CONFUSABLE])
        for text in CONFUSABLE:
            assert await texts(db, EventQuery(tags=[f"text:{text}"])) == [text]
            assert await texts(db, EventQuery(tags=[f"-{text}:1"])) == [text]

    # --- all together -----------------------------------------------------------------------------------------------

    async def test_a_query_means_what_matches_says(self, db: Backend) -> None:
        """ES-QUERY-025: Every query yields, and counts, exactly the events that `EventQuery.matches`."""
        chance = random.Random(20261124)
        log = await _varied_log(db, chance)
        found = 0
        for _ in range(200):
            query = EventQuery.any_of(*(_varied_item(chance, log) for _ in range(chance.choice((1, 1, 2, 3)))))
            expected = [event for event in log if query.matches(event)]
            assert await db.events.query(query).list() == expected, query
            assert await db.events.count(query) == len(expected), query
            found += 0 < len(expected) < len(log)
        assert found > 80, "the queries are not selective enough"

    # --- count ------------------------------------------------------------------------------------------------------

    async def test_count_counts_everything(self, db: Backend) -> None:
        """ES-COUNT-001: Without a query, `count` returns the number of all events, 0 in an empty store."""
        assert await db.events.count() == 0
        await db.events.append([note("a"), count(1), note("b", ("order", "1"), 1)])
        await db.events.append([note("c")])
        assert await db.events.count() == 4

    async def test_count_counts_what_matches(self, db: Backend) -> None:
        """ES-COUNT-002: With a query, `count` returns the number of matching events, each counted once."""
        await db.events.append([
            note("a", ("order", "1"), 1, tags=["color:red"]), count(1, tags=["color:red"]), note("b", ("order", "2"), 1),
            note("c", ("order", "1"), 2), count(2),
        ])  # fmt: skip
        red, noted, order = EventQuery(tags=["color:red"]), EventQuery(["sample.noted"]), EventQuery(
            aggregates=[("order", "1"), ("order", "2")]
        )  # fmt: skip
        for query, number in [
            (red, 2), (noted, 3), (order, 3), (EventQuery(versions=[1, 2]), 3), (EventQuery(max_version=0), 2),
            (EventQuery(aggregate_names=["order"], tags=["color:red"]), 1), (EventQuery(["unheard.of"]), 0),
            (red | noted | order, 4), (noted | EventQuery(), 5),
        ]:  # fmt: skip
            assert await db.events.count(query) == number, query

    async def test_count_counts_thousands(self, db: Backend) -> None:
        """ES-COUNT-003: `count` counts all matching events, however many: it is not limited to a page."""
        await db.events.append([note(tags=["all:1", f"some:{n % 2}"]) for n in range(3000)])
        assert await db.events.count() == 3000
        assert await db.events.count(EventQuery(tags=["all:1", "some:1"])) == 1500


def _names() -> list[str]:
    """Return the texts that are valid names: no white space, no star."""
    return [text for text in CONFUSABLE if "*" not in text and not any(map(str.isspace, text))]


async def _varied_log(db: Backend, chance: random.Random) -> list[Event[Any]]:
    """Store and return a hundred events that agree in some fields and differ in others."""
    versions: dict[tuple[str, str], int] = {}
    events: list[Event[Any]] = []
    for number in range(100):
        fields: dict[str, Any] = {
            "time": NOON + timedelta(microseconds=chance.randrange(6)),
            "tags": chance.sample(["t:1", "t:2", "t:3"], chance.randrange(4)),
        }
        if chance.random() < 0.8:
            ref = chance.choice(["order", "invoice"]), chance.choice("ab")
            versions[ref] = versions.get(ref, 0) + 1
            fields |= {"aggregate": ref, "version": versions[ref]}
        events.append(note(str(number), **fields) if chance.random() < 0.6 else count(number, **fields))
    await db.events.append(events)
    return await db.events.query().list()


def _varied_item(chance: random.Random, log: Sequence[Event[Any]]) -> EventQuery:
    """Return one alternative with up to four of the fields."""
    times = [NOON + timedelta(microseconds=n) for n in range(6)]
    refs = [(name, id) for name in ("order", "invoice") for id in "abc"]
    low, high = sorted(chance.choices(range(12), k=2))
    early, late = sorted(chance.choices(times, k=2))
    fields: dict[str, Any] = {
        "names": [chance.choice(["sample.noted", "sample.counted", "unheard.of"])],
        "aggregates": chance.sample(refs, chance.randint(1, 3)),
        "aggregate_names": [chance.choice(["order", "invoice"])],
        "aggregate_ids": chance.sample("abc", chance.randint(1, 2)),
        "versions": [Between(low, high), chance.randrange(20)],
        "times": [chance.choice(times), Between(early, late)],
        "tags": chance.sample(["t:1", "t:2", "t:3"], chance.randint(1, 2)),
        "ids": [event.id for event in chance.sample(log, 40)],
        "min_version": chance.randrange(3),
        "max_version": chance.randrange(3, 20),
        "min_time": chance.choice(times[:3]),
        "max_time": chance.choice(times[3:]),
    }
    chosen = {name: fields[name] for name in chance.sample(list(fields), chance.randint(1, 4))}
    try:
        return EventQuery(**chosen)
    except InvalidQueryError:  # a minimum or maximum that excludes all of the other values
        return _varied_item(chance, log)
