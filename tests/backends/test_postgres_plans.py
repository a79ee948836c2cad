"""EXPLAIN names the index of every hot query, on a log that is large and uneven enough for the planner to have a choice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from goes_lite_conformance.harness.samples import Counted, Noted, registry, snapshot

import goes_lite as goes
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite.kit.select import read_count, read_page
from goes_lite.kit.sql import MAX_INTEGER, Sql
from tests.backends.postgres_kit import needs_postgres, server_url, store_url

needs_postgres()

import asyncpg  # noqa: E402 - not before it is known to be there
from goes_lite_postgres._append import AppendSql  # noqa: E402
from goes_lite_postgres._events import EventSql, dialect_of  # noqa: E402
from goes_lite_postgres._models import ModelSql  # noqa: E402
from goes_lite_postgres._options import ServerAddress, address_of  # noqa: E402
from goes_lite_postgres._rows import COLUMNS  # noqa: E402
from goes_lite_postgres._snapshots import SnapshotSql  # noqa: E402

EVENTS, RARE = 20_000, 7


@pytest.fixture(scope="module")
def address() -> ServerAddress:
    """A store of 20,000 events of 2,000 aggregates; 7 of them have a name and a tag of their own."""
    url = store_url()

    async def fill() -> None:
        async with goes.connect(url, registry=registry) as db:
            for first in range(0, EVENTS, 2000):
                await db.events.append([event(number) for number in range(first, first + 2000)])
            for number in range(300):
                await db.snapshots.save(snapshot(goes.AggregateRef("order", str(number)), 1))
            await db.models.put_many("c", {str(number): "{}" for number in range(3000)})
        connection = await asyncpg.connect(url.partition("?")[0])
        for table in ("events", "aggregates", "event_tags", "models", "snapshots", "event_names"):
            await connection.execute(f"ANALYZE {address_of(url, {}).table(table)}")
        await connection.close()

    asyncio.run(fill())
    return address_of(url, {})


def event(number: int) -> Event[Any]:
    rare = number % (EVENTS // RARE) == 50
    data = Counted(number) if rare else Noted(str(number))
    tags = ["kind:rare" if rare else "kind:usual", f"n:{number}"]
    return Event(data, aggregate=("order", str(number // 10)), version=number % 10 + 1, tags=tags, registry=registry)


def plan(sql: str, *parameters: Any, analyze: bool = True) -> str:
    """What the server does, with numbers of rows."""

    async def explain() -> str:
        connection = await asyncpg.connect(server_url())
        try:
            async with connection.transaction():
                how = "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF" if analyze else "COSTS OFF"
                rows = await connection.fetch(f"EXPLAIN ({how}) {sql}", *parameters)
                raise _Done("\n".join(row[0] for row in rows))
        except _Done as done:
            return str(done)
        finally:
            await connection.close()

    return asyncio.run(explain())


class _Done(Exception):
    """Rolls back what was explained."""


def rows_read(found: str) -> int:
    """How many rows the plan's steps gave out or threw away, all together."""
    given = sum(int(float(rows)) * int(loops) for rows, loops in re.findall(r"rows=([\d.]+) loops=(\d+)", found))
    return given + sum(int(number) for number in re.findall(r"Rows Removed by Filter: (\d+)", found))


def page(address: ServerAddress, query: EventQuery, **window: Any) -> Sql:
    settings: dict[str, Any] = {"after": 0, "upto": MAX_INTEGER, "limit": 64, **window}
    return next(read_page(COLUMNS, query, dialect_of(address), registry.spellings, **settings))


PAGES: dict[str, tuple[EventQuery, dict[str, Any], str]] = {
    "everything": (EventQuery(), {"after": 15_000}, "events_pkey"),
    "everything, backwards": (EventQuery(), {"upto": 15_000, "reverse": True}, "events_pkey"),
    "a rare name": (EventQuery(["sample.counted"]), {}, "events_by_name"),
    "a usual name": (EventQuery(["sample.noted"]), {"after": 15_000}, "events_by_name|events_pkey"),
    "a rare tag": (EventQuery(tags=["kind:rare"]), {}, "event_tags_pkey"),
    "a usual tag": (EventQuery(tags=["kind:usual"]), {"after": 15_000}, "event_tags_pkey"),
    "two tags": (EventQuery(tags=["kind:rare", "n:50"]), {}, "event_tags_pkey"),
    "an aggregate": (EventQuery(aggregates=[("order", "77")]), {}, "events_of_aggregate"),
    "an event id": (EventQuery(ids=[Event(Noted("x"), registry=registry).id]), {}, "events_id_key"),
    "alternatives": (
        EventQuery(["sample.counted"]) | EventQuery(tags=["kind:rare"]) | EventQuery(aggregates=[("order", "77")]),
        {},
        "events_of_aggregate",
    ),
}


@pytest.mark.parametrize(("query", "window", "index"), PAGES.values(), ids=PAGES.keys())
def test_a_page_is_read_by_its_index(
    address: ServerAddress, query: EventQuery, window: dict[str, Any], index: str
) -> None:
    """The index is named, no table is read from end to end, and not many more rows are touched than are asked for."""
    sql = page(address, query, **window)

    found = plan(sql.text, *sql.parameters)

    assert re.search(index, found), found
    assert "Seq Scan on events" not in found, found
    assert rows_read(found) < 1500, found


def test_conditions_are_judged_by_their_index(address: ServerAddress) -> None:
    sql = page(address, EventQuery(tags=["kind:rare"]), after=100, limit=1, reverse=True)

    assert rows_read(plan(sql.text, *sql.parameters)) < 50


def test_counting_a_rare_name_or_tag(address: ServerAddress) -> None:
    for query in (EventQuery(["sample.counted"]), EventQuery(tags=["kind:rare"])):
        sql = next(read_count(query, dialect_of(address), registry.spellings))
        found = plan(sql.text, *sql.parameters)
        assert rows_read(found) < 100, found


MANY: dict[str, EventQuery] = {
    "tags": EventQuery.any_of(*(EventQuery(["sample.noted"], tags=[f"n:{50 * n}"]) for n in range(200))),
    "aggregates": EventQuery(aggregates=[("order", str(10 * n)) for n in range(200)]),
    "ids": EventQuery(ids=[Event(Noted("x"), registry=registry).id for _ in range(200)]),
    "names": EventQuery(["sample.counted", *(f"name-{n}" for n in range(200))]),
}


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("reverse", [False, True])
def test_many_alternatives_are_looked_up(address: ServerAddress, kind: str, reverse: bool) -> None:
    """Each by its index, and only where its matches may be on the page; the log is never read for them."""
    reading = read_page(
        COLUMNS, MANY[kind], dialect_of(address), registry.spellings, after=0, upto=EVENTS, limit=64, reverse=reverse
    )
    next(reading)
    sql = reading.send([(EVENTS,)])
    for _ in range(2):  # the two first stretches of the log
        found = plan(sql.text, *sql.parameters)
        assert "Seq Scan on events" not in found, found
        assert rows_read(found) < 6000, found
        sql = reading.send([])


SINGLE: dict[str, tuple[Callable[[ServerAddress], tuple[Any, ...]], str]] = {
    "load": (lambda address: (EventSql(address).load, "order", "77", 0, MAX_INTEGER), "events_of_aggregate"),
    "find": (lambda address: (EventSql(address).find, Event(Noted("x"), registry=registry).id), "events_id_key"),
    "head": (lambda address: (AppendSql(address).head,), "events_pkey"),
    "look": (lambda address: (AppendSql(address).look, ["0" * 32], ["order"], ["77"]), "aggregates_name_id_key"),
    "snapshot": (lambda address: (SnapshotSql(address).latest, "order", "77", MAX_INTEGER), "snapshots_pkey"),
    "model": (lambda address: (ModelSql(address).get, "c", "77"), "models_pkey"),
    "models": (lambda address: (ModelSql(address).get_many, "c", ["77", "78"]), "models_pkey"),
}


@pytest.mark.parametrize(("statement", "index"), SINGLE.values(), ids=SINGLE.keys())
def test_what_is_looked_up_is_looked_up_by_index(
    address: ServerAddress, statement: Callable[[ServerAddress], tuple[Any, ...]], index: str
) -> None:
    sql, *parameters = statement(address)

    found = plan(sql, *parameters)

    assert index in found, found
    assert rows_read(found) < 60, json.dumps(found)


def test_an_append_reads_no_table_from_end_to_end() -> None:
    """Not even of a store that is new: the plans that are made then are kept while it grows."""
    url = store_url()
    (schema,) = parse_qs(urlsplit(url).query)["schema"]
    # A slow server reports its counts meanwhile, and begins again at 0: what it has reported is in the other view, together with
    # what other connections have read.
    scans = (
        "SELECT relname, sum(seq_scan)::int, sum(idx_scan)::int FROM ("
        "SELECT relname, schemaname, seq_scan, idx_scan FROM pg_stat_xact_user_tables UNION ALL "
        "SELECT relname, schemaname, 0, idx_scan FROM pg_stat_user_tables) AS counted "
        "WHERE schemaname = $1 AND relname = ANY ($2) GROUP BY relname"
    )

    async def run() -> list[dict[str, tuple[int, int]]]:
        found: list[dict[str, tuple[int, int]]] = []
        async with goes.connect(url, registry=registry) as db, db.transaction() as tx:
            for first in (0, 20):
                for number in range(first, first + 20):
                    await tx.events.append([event(number)])
                await tx.execute("SELECT pg_stat_clear_snapshot()")
                rows = await tx.execute(scans, [schema, ["events", "aggregates", "event_tags"]])
                found.append({table: (whole, by_index) for table, whole, by_index in rows})
        return found

    before, after = asyncio.run(run())

    assert [after[table][0] - before[table][0] for table in before] == [0, 0, 0]
    by_index = {table: after[table][1] for table in ("events", "aggregates")}
    assert min(by_index.values()) >= 20, by_index
