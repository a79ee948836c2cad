"""The hot queries are served by an index, whatever SQLite is in use and whether or not somebody ran ANALYZE."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from goes_lite_conformance.harness.samples import count as counted
from goes_lite_conformance.harness.samples import note, registry

from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.select import read_count, read_page
from goes_lite.kit.sql import MAX_INTEGER, SQLITE, Sql
from goes_lite.sqlite import _append, _checkpoints, _events, _models, _snapshots
from goes_lite.sqlite._rows import COLUMNS

REF = AggregateRef("order", "1")


@pytest.fixture(params=[False, True], ids=["fresh", "analyzed"])
def db(request: pytest.FixtureRequest, driver: str) -> Iterator[BlockingDatabase]:
    with connect(":memory:", driver=driver, registry=registry) as db:
        if request.param:
            db.events.append([note("x", ("order", str(n // 10)), n % 10 + 1, tags=[f"n:{n % 7}"]) for n in range(1000)])
            db.events.append([counted(n, tags=["all:1"]) for n in range(1000)])
            db.events.append([note("x", REF, version) for version in range(11, 30)])
            with db.transaction() as transaction:
                transaction.execute("ANALYZE")
        yield db


def plan(db: BlockingDatabase, sql: str, parameters: Any) -> list[str]:
    with db.transaction() as transaction:
        return [
            row[3].replace(" EXISTS", "") for row in transaction.execute(f"EXPLAIN QUERY PLAN {sql}", list(parameters))
        ]


def page(query: EventQuery, *, after: int = 0, limit: int = 64, columns: str = COLUMNS, reverse: bool = False) -> Sql:
    return next(
        read_page(
            columns, query, SQLITE, registry.spellings, after=after, upto=MAX_INTEGER, limit=limit, reverse=reverse
        )
    )


def count(query: EventQuery) -> Sql:
    return next(read_count(query, SQLITE, registry.spellings))


def condition(query: EventQuery) -> Sql:
    return page(query, limit=1, columns="e.position", reverse=True)


BY_NAME = "USING COVERING INDEX events_by_name (name_key=? AND rowid>? AND rowid<?)"
BY_TAG = "USING PRIMARY KEY (tag=? AND position>? AND position<?)"
ALSO_TAGGED = "SEARCH t USING PRIMARY KEY (tag=? AND position=?)"
BY_POSITION = "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"
OF_AGGREGATE = "INDEX events_of_aggregate (aggregate_key=?"
ONE_KEY = "aggregates USING COVERING INDEX sqlite_autoindex_aggregates_1 (name=? AND id=?)"

HOT: dict[str, tuple[Sql, list[str]]] = {
    "load": (
        Sql(_events._LOAD, [*REF, 0, MAX_INTEGER]),
        [
            "INDEX sqlite_autoindex_aggregates_1 (name=? AND id=?)",
            "INDEX events_of_aggregate (aggregate_key=? AND version>? AND version<?)",
        ],
    ),
    "append: the aggregate": (Sql(_append._AGGREGATE, [*REF]), ["autoindex_aggregates_1 (name=? AND id=?)"]),
    "append: the name": (Sql(_append._NAME, ["sample.noted"]), ["autoindex_event_names_1 (name=?)"]),
    "append: an id": (Sql(_append._STORED, [b"0" * 16]), ["SEARCH e USING INDEX sqlite_autoindex_events_1 (id=?)"]),
    "append: move the aggregate": (Sql(_append._MOVE_AGGREGATE, [2, 0, 1]), ["aggregates USING INTEGER PRIMARY KEY"]),
    "find": (Sql(_events._FIND, [b"0" * 16]), ["SEARCH e USING INDEX sqlite_autoindex_events_1 (id=?)"]),
    "everything": (page(EVERYTHING), ["SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
    "everything, backwards": (page(EVERYTHING, reverse=True), ["SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
    "a tag": (page(EventQuery(tags=["n:1"])), [BY_TAG, BY_POSITION]),
    "two tags": (page(EventQuery(tags=["n:1", "all:1"])), [BY_TAG, ALSO_TAGGED, BY_POSITION]),
    "a name": (page(EventQuery(["sample.noted"])), [BY_NAME, BY_POSITION]),
    "several names": (page(EventQuery(["sample.noted", "sample.counted"])), [BY_NAME, BY_NAME, BY_POSITION]),
    "an aggregate": (page(EventQuery(aggregates=[REF])), [OF_AGGREGATE, ONE_KEY, BY_POSITION]),
    "an aggregate, next page": (
        page(EventQuery(aggregates=[REF]), after=5),
        ["INDEX events_of_aggregate (aggregate_key=? AND version>?", ONE_KEY, BY_POSITION],
    ),
    "names and ids of aggregates": (
        page(EventQuery(aggregate_names=["order"], aggregate_ids=["1", "2"])), [OF_AGGREGATE, OF_AGGREGATE, BY_POSITION]
    ),
    "several aggregates": (page(EventQuery(aggregates=[REF, ("order", "2")])), [OF_AGGREGATE, OF_AGGREGATE, BY_POSITION]),
    "ids": (page(EventQuery(ids=[note().id, note().id])), ["autoindex_events_1 (id=?)", BY_POSITION]),
    "tags or a name": (page(EventQuery(tags=["n:1"]) | EventQuery(["sample.counted"])), [BY_TAG, BY_NAME, BY_POSITION]),
    "follow a name": (page(EventQuery(["sample.noted"]), after=1000, limit=1024), [BY_NAME, BY_POSITION]),
    "condition by tag": (condition(EventQuery(tags=["n:1"])), [BY_TAG]),
    "condition by tags": (condition(EventQuery(tags=["n:1", "all:1"])), [BY_TAG, ALSO_TAGGED]),
    "condition by name": (condition(EventQuery(["sample.noted"])), [BY_NAME]),
    "condition by names and tag": (condition(EventQuery(["sample.noted", "sample.counted"], tags=["n:1"])), [BY_TAG]),
    "condition by aggregate": (condition(EventQuery(aggregates=[REF])), [OF_AGGREGATE]),
    "count by tag": (count(EventQuery(tags=["n:1"])), ["USING PRIMARY KEY (tag=?)"]),
    "count by name": (count(EventQuery(["sample.noted"])), ["INDEX events_by_name (name_key=?)"]),
    "count by aggregate": (count(EventQuery(aggregates=[REF])), [OF_AGGREGATE]),
    "aggregates": (
        Sql(_events._AGGREGATES.format(where="(name, id) > (?, ?) AND name <= ?"), ["order", "1", "order", 64]),
        ["aggregates USING INDEX sqlite_autoindex_aggregates_1 ((name,id)>(?,?) AND name<?)"],
    ),
    "models get": (Sql(_models._GET, ["c", "1"]), ["autoindex_models_1 (collection=? AND id=?)"]),
    "models get many": (
        Sql(_models._GET_MANY, ['["1", "2"]', "c"]),
        ["SCAN asked VIRTUAL TABLE", "SEARCH m USING INDEX sqlite_autoindex_models_1 (collection=? AND id=?)"],
    ),
    "models put many": (Sql(_models._PUT_VALID, ["c", "1", "{}"]), []),
    "models remove many": (Sql(_models._DELETE, ["c", "1"]), ["autoindex_models_1 (collection=? AND id=?)"]),
    "models rename": (Sql(_models._RENAME, ["d", "c"]), ["autoindex_models_1 (collection=?)"]),
    "models clear": (Sql(_models._CLEAR, ["c"]), ["autoindex_models_1 (collection=?)"]),
    "models put": (Sql(_models._VERSION, ["c", "1"]), ["autoindex_models_1 (collection=? AND id=?)"]),
    "latest snapshot": (
        Sql(_snapshots._LATEST, [*REF, MAX_INTEGER]),
        ["snapshots USING INDEX sqlite_autoindex_snapshots_1 (name=? AND id=? AND version<?)"],
    ),
    "lease": (Sql(_checkpoints._LEASE, ["job"]), ["leases USING PRIMARY KEY (name=?)"]),
}  # fmt: skip

# A union of several branches is put together from their pages, which are small; one branch needs no sorting at all.
# The table of event names is tiny, and looked at once.
HARMLESS = re.compile(r"SCAN (page|asked VIRTUAL TABLE|CONSTANT ROW|\(subquery|SUBQUERY|matching|\d+|event_names)")


@pytest.mark.parametrize("name", HOT)
def test_the_plan_names_the_index(db: BlockingDatabase, name: str) -> None:
    """Every table is searched by the index that is meant for it, and none is scanned."""
    sql, expected = HOT[name]
    found = plan(db, *sql)
    left = list(found)
    for step in expected:
        match = next((line for line in left if step in line), None)
        assert match is not None, (step, found)
        left.remove(match)
    scanned = [line for line in found if line.startswith("SCAN") and not HARMLESS.match(line)]
    assert not scanned, found


@pytest.mark.parametrize(
    "name", ["a tag", "a name", "an aggregate", "everything", "two tags", "condition by tag", "load"]
)
def test_one_branch_is_read_in_order(db: BlockingDatabase, name: str) -> None:
    """Nothing is sorted: the first rows of the index are the page."""
    sql, _ = HOT[name]
    found = plan(db, *sql)
    assert not [line for line in found if "TEMP B-TREE" in line and "ORDER BY" in line], found


def steps(db: BlockingDatabase, work: Callable[[], object]) -> int:
    """How many hundreds of instructions SQLite's virtual machine takes for the work."""
    connection = cast(Any, db.backend).writer.transactions.connection
    seen = 0

    def progress() -> int:
        nonlocal seen
        seen += 1
        return 0

    connection.set_progress_handler(progress, 100)
    work()
    connection.set_progress_handler(None, 100)
    return seen


@pytest.mark.parametrize(
    "query",
    [
        EVERYTHING,
        EventQuery(["sample.noted"]),
        EventQuery(["sample.noted", "sample.counted"]),
        EventQuery(tags=["all:1"]),
        EventQuery(aggregates=[REF]),
        EventQuery(aggregate_names=["order"]),
        EventQuery(["sample.counted"]) | EventQuery(tags=["all:1"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("reverse", [False, True])
def test_paging_through_a_log_is_not_quadratic(driver: str, query: EventQuery, reverse: bool) -> None:
    """Twice the log is about twice the work, in pages of the same size; a rare match does not change that."""
    work: list[int] = []
    for size in (1024, 2048):
        with connect(":memory:", driver=driver, registry=registry) as db:
            db.events.append([
                *(event for n in range(1, size // 2 + 1) for event in (note("x", REF, n, tags=["all:1"]), counted(n)))
            ])  # fmt: skip

            def read(db: BlockingDatabase = db) -> None:
                edge = MAX_INTEGER if reverse else 0
                while True:
                    window = {"upto": edge, "reverse": True} if reverse else {"after": edge}
                    found = db.events.query(query, limit=16, **window).list()  # type: ignore[arg-type]
                    if not found:
                        break
                    edge = found[-1].position - reverse

            read()
            work.append(steps(db, read))
    assert work[1] < 2.6 * work[0], work


@pytest.mark.parametrize("name", ["order", None])
def test_paging_through_aggregates_is_not_quadratic(driver: str, name: str | None) -> None:
    """A page is found at its first aggregate, also among those of one name."""
    work: list[int] = []
    for size in (512, 1024):
        with connect(":memory:", driver=driver, registry=registry) as db:
            db.events.append([note("x", AggregateRef("order", f"{n:05}"), 1) for n in range(size)])

            def read(db: BlockingDatabase = db) -> None:
                edge = None
                while found := db.events.aggregates(name, after=edge, limit=16).list():
                    edge = found[-1].aggregate

            read()
            work.append(steps(db, read))
    assert work[1] < 2.6 * work[0], work


MANY: dict[str, Callable[[int], EventQuery]] = {
    "tags": lambda n: EventQuery.any_of(*(EventQuery(["sample.noted"], tags=[f"n:{i}"]) for i in range(n))),
    "aggregates": lambda n: EventQuery.any_of(*(EventQuery(aggregates=[("order", str(i))]) for i in range(n))),
    "names and ids of aggregates": lambda n: EventQuery(aggregate_names=["order"], aggregate_ids=map(str, range(n))),
    "ids": lambda n: EventQuery(ids=[note().id for _ in range(n)]),
    "names": lambda n: EventQuery([f"name-{i}" for i in range(n)]),
    "of every kind": lambda n: EventQuery.any_of(*(EventQuery([f"name-{i}"], tags=[f"n:{i}"]) for i in range(n))),
}


@pytest.mark.parametrize("kind", MANY)
def test_the_cost_of_alternatives_grows_with_their_number_not_with_the_log(driver: str, kind: str) -> None:
    """No number of them makes a query or its count scan the log."""
    work: dict[tuple[int, int], int] = {}
    for size in (500, 4000):
        with connect(":memory:", driver=driver, registry=registry) as db:
            db.events.append([note("x", ("order", str(n)), 1, tags=[f"n:{n}"]) for n in range(size)])
            for number in (50, 70, 700):
                query = MANY[kind](number)

                def ask(db: BlockingDatabase = db, query: EventQuery = query) -> None:
                    db.events.query(query, limit=20).list()
                    db.events.query(query, limit=20, reverse=True).list()
                    db.events.count(query)

                work[size, number] = steps(db, ask)
    assert work[500, 70] < 3 * work[500, 50] + 20, work
    assert work[4000, 700] < 20 * work[4000, 70] + 20, work
    assert work[4000, 70] < 2.5 * work[500, 70] + 20, work


ALTERNATIVES: dict[str, Callable[[int], EventQuery]] = {
    "a name, versions": lambda n: EventQuery(["sample.noted"], versions=[n + 1]),
    "a name, ids": lambda n: EventQuery(["sample.noted"], aggregate_ids=[str(n)]),
    "a tag, versions": lambda n: EventQuery(tags=["all:1"], versions=[n + 1]),
    "a tag, names": lambda n: EventQuery([f"name-{n}"], tags=["all:1"]),
    "names of aggregates": lambda n: EventQuery(aggregate_names=[f"name-{n}"]),
    "versions": lambda n: EventQuery(versions=[n + 1]),
}


@pytest.mark.parametrize("kind", ALTERNATIVES)
def test_alternatives_that_share_an_index_share_its_rows(driver: str, kind: str) -> None:
    """What they have in common is read once, not for each: 200 of them are hardly more work than two."""
    with connect(":memory:", driver=driver, registry=registry) as db:
        db.events.append([note("x", (REF.name, str(n % 300)), n // 300 + 1, tags=["all:1"]) for n in range(1500)])
        work = [
            steps(db, lambda many=many: db.events.count(many))  # type: ignore[misc]
            for many in (EventQuery.any_of(*map(ALTERNATIVES[kind], range(number))) for number in (2, 200))
        ]
        assert work[1] < 3 * work[0], work
