"""`Transaction.enqueue`: statements of a program that are run together, before the next operation or the commit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import AbilityMissing, GoesError, InvalidQueryError, StoreError

registry = goes.Registry()


@registry.event("scanned")
@dataclass(frozen=True)
class Scanned:
    depot: str
    weight: int


CREATE = "CREATE TABLE scans (depot TEXT PRIMARY KEY, n INTEGER NOT NULL, CHECK (n < 100))"


class Sql:
    """The statements as a backend writes them."""

    def __init__(self, url: str) -> None:
        one, two = ("?", "?") if url.endswith(".db") else ("$1", "$2")
        self.put = f"INSERT INTO scans VALUES ({one}, {two})"
        self.add = f"INSERT INTO scans VALUES ({one}, {two}) ON CONFLICT (depot) DO UPDATE SET n = scans.n + excluded.n"
        self.all = "SELECT depot, n FROM scans ORDER BY depot"


@pytest.fixture
def sql(url: str) -> Sql:
    if url.startswith("mongodb"):
        pytest.skip("MongoDB has no SQL")
    with goes.blocking.connect(url, registry=registry) as db, db.transaction() as tx:
        tx.execute(CREATE)
    return Sql(url)


def test_they_run_in_order_before_the_next_operation_and_the_commit(url: str, sql: Sql) -> None:
    with goes.blocking.connect(url, registry=registry) as db:
        with db.transaction() as tx:
            values: list[Any] = ["a", 1]
            tx.enqueue(sql.put, values)
            values[1] = 50  # what was given counts
            tx.enqueue("UPDATE scans SET n = n * 10")
            tx.enqueue(sql.put, ["b", 2])
            assert tx.execute(sql.all) == [("a", 10), ("b", 2)]
            tx.enqueue(sql.put, ["c", 3])
            tx.models.put("other", "1", "{}")
            tx.enqueue("UPDATE scans SET n = n + 1")
        assert db.select(sql.all) == [("a", 11), ("b", 3), ("c", 4)]


async def test_the_async_face_awaits_nothing(url: str, sql: Sql) -> None:
    async with goes.connect(url, registry=registry) as db:
        async with db.transaction() as tx:
            for depot in "abc":
                tx.enqueue(sql.add, [depot, 1])
                tx.enqueue(sql.add, ["a", 1])
        with pytest.raises(GoesError, match="ended"):
            tx.enqueue(sql.add, ["a", 1])
        assert await db.select(sql.all) == [("a", 4), ("b", 1), ("c", 1)]


def test_an_error_dooms_the_transaction(url: str, sql: Sql) -> None:
    with goes.blocking.connect(url, registry=registry) as db:
        with db.transaction() as tx:
            tx.enqueue(sql.put, ["a", 1])
        with pytest.raises(StoreError), db.transaction() as tx:
            tx.enqueue(sql.put, ["b", 1])
            tx.enqueue(sql.put, ["a", 2])
            for work in (tx.flush, lambda: tx.execute(sql.all), lambda: tx.models.get("c", "1")):
                with pytest.raises(StoreError):
                    work()
        with pytest.raises(StoreError), db.transaction() as tx:
            tx.execute(sql.put, ["d", 1])
            tx.enqueue(sql.put, ["a", 2])
        with pytest.raises(ZeroDivisionError), db.transaction() as tx:
            tx.enqueue(sql.put, ["e", 1])
            raise ZeroDivisionError
        assert db.select(sql.all) == [("a", 1)]
        assert db.events.append([goes.Event(Scanned("a", 1), registry=registry)]).positions


def test_what_is_no_statement_is_refused_at_once(url: str, sql: Sql) -> None:
    with goes.blocking.connect(url, registry=registry) as db, db.transaction() as tx:
        for statement, parameters in ((5, ()), (sql.put, "ab"), (sql.put, {"a": 1}), ("SELECT \0", ())):
            with pytest.raises(InvalidQueryError):
                tx.enqueue(statement, parameters)  # type: ignore[arg-type]  # wrong on purpose


def test_without_sql_the_ability_is_missing(url: str) -> None:
    if not url.startswith("mongodb"):
        pytest.skip("it has SQL")
    with goes.blocking.connect(url, registry=registry) as db, db.transaction() as tx:
        with pytest.raises(AbilityMissing, match="mongodb"):
            tx.enqueue("SELECT 1")
        tx.flush()


@pytest.mark.parametrize("looks", [False, True])
def test_a_projection_that_enqueues_stays_exact(url: str, sql: Sql, looks: bool) -> None:
    """An event whose statement fails is parked alone, whatever its batch; all others count once."""

    class Scans(goes.Projection, name="scans"):
        @goes.projects(Scanned)
        def scanned(self, event: goes.Event[Scanned], tx: Any) -> None:
            tx.enqueue(sql.add, [event.data.depot, event.data.weight])
            if looks and event.position == 6:
                with suppress(StoreError):
                    tx.execute(sql.all)  # meets the error of an earlier event
            elif looks and event.position == 5:
                tx.execute(sql.all)

    with goes.blocking.connect(url, registry=registry) as db:
        weights = [1, 1, 1, 100, 1, 1]
        db.events.append(
            [goes.Event(Scanned("ab"[n % 2], weight), registry=registry) for n, weight in enumerate(weights)]
        )
        with db.projection(Scans(), retry=goes.Retry(attempts=1, then="park")) as projection:
            projection.wait_for(6, 20)
            parked = [letter.position for letter in projection.parked()]
        assert db.select(sql.all) == [("a", 3), ("b", 2)]
        assert parked == [4]


async def test_a_batch_is_one_visit_to_the_writer(url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of operations does not grow with the number of statements."""
    from goes_lite.sqlite import _session

    if not url.endswith(".db"):
        pytest.skip("about SQLite")
    visits: list[object] = []
    do = _session.SQLiteSession._do

    async def counted(self: Any, work: Any, **options: Any) -> Any:
        visits.append(work)
        return await do(self, work, **options)

    monkeypatch.setattr(_session.SQLiteSession, "_do", counted)
    async with goes.connect(url, registry=registry) as db, db.transaction() as tx:
        for _ in range(90):
            tx.enqueue(sql.add, ["a", 1])
    assert len(visits) == 2
