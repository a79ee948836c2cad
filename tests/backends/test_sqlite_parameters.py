"""Parameters and texts of the user's own SQL: both drivers take the same ones, and refuse the others in the same words."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.errors import InvalidQueryError, StoreError


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.Enum):
    RED = "red"


Run = Callable[[str, Any], Any]


@pytest.fixture(params=["select", "execute"], name="run")
def either_way(request: pytest.FixtureRequest, driver: str) -> Iterator[Run]:
    with goes.blocking.connect("sqlite:///:memory:", driver=driver) as db:

        def execute(sql: str, parameters: Any) -> Any:
            with db.transaction() as tx:
                return tx.execute(sql, parameters)

        yield db.select if request.param == "select" else execute


TAKEN: list[tuple[Any, Any, str]] = [
    (None, None, "null"), (True, 1, "integer"), (2**63 - 1, 2**63 - 1, "integer"), (-(2**63), -(2**63), "integer"),
    (Level.HIGH, 3, "integer"), (1.5, 1.5, "real"), (float("inf"), float("inf"), "real"), ("a\0é", "a\0é", "text"),
    (b"\xff", b"\xff", "blob"), (bytearray(b"xyz"), b"xyz", "blob"), (memoryview(b"xyz")[::2], b"xz", "blob"),
]  # fmt: skip

WHY = "SQLite has None, bool, int of 64 bits, float, str and bytes, not "
REFUSED: list[tuple[Any, str]] = [
    (dt.date(2026, 1, 1), f"{WHY}date: pass value.isoformat()"),
    (dt.datetime.now(dt.UTC), f"{WHY}datetime: pass value.isoformat()"),
    (dt.time(1), f"{WHY}time: pass value.isoformat()"),
    (dt.timedelta(1), f"{WHY}timedelta: pass value.total_seconds()"),
    (Decimal("1.5"), f"parameter 2 is Decimal('1.5'): {WHY}Decimal: pass str(value)"),
    (uuid.UUID(int=1), f"{WHY}UUID: pass str(value)"),
    (Colour.RED, f"{WHY}Colour: pass value.value"),
    ([1], f"{WHY}list: pass json.dumps(value)"),
    ({"a": 1}, f"{WHY}dict: pass json.dumps(value)"),
    (object(), f"{WHY}object"),
    (int, f"{WHY}type"),
    (float("nan"), "SQLite has no NaN: pass None for NULL"),
    (2**63, "an int has 64 bits in SQLite: pass str(value)"),
    ("\ud800", "a lone surrogate cannot be stored"),
]


def test_values_that_are_taken(run: Run) -> None:
    """They come back as SQLite has them."""
    for value, found, kind in TAKEN:
        assert run("SELECT ?, typeof(?1)", (value,)) == [(found, kind)]
        assert run("SELECT ?2, typeof(?2)", [0, value]) == [(found, kind)]


def test_values_that_are_refused(run: Run) -> None:
    """With what to write instead; a statement that has run before is no exception."""
    for value, message in REFUSED:
        for sql in ("SELECT ?, ?", f"SELECT ?, ? -- {message[-9:]}"):
            with pytest.raises(InvalidQueryError) as caught:
                run(sql, (1, value))
            assert message in str(caught.value)
            assert run("SELECT ?, ?", (1, 2)) == [(1, 2)]


def test_parameters_are_a_sequence(run: Run) -> None:
    """Neither one value, nor text, which would be taken for its characters, nor too few."""
    for parameters in (None, 5, "x", b"x", {"a": 1}, {1}, iter([1])):
        with pytest.raises(InvalidQueryError, match="the parameters of a statement are a sequence"):
            run("SELECT ?", parameters)
    with pytest.raises(StoreError, match="number of bindings"):
        run("SELECT ?", ())


def test_a_statement_is_text(run: Run) -> None:
    """Anything else is refused."""
    for sql in (None, b"SELECT 1", 5, "SELECT 1\0", "SELECT '\ud800'"):
        with pytest.raises(InvalidQueryError, match="an SQL statement must be"):
            run(cast("str", sql), ())


def test_several_statements_are_refused(run: Run) -> None:
    """One call runs one statement, on every driver."""
    for sql in ("SELECT 1; SELECT 2", "SELECT ';' ; ;/* ; */ SELECT 2", "SELECT 1; -- ;\nDELETE FROM events"):
        for _ in range(2):
            with pytest.raises(InvalidQueryError, match="has several statements: run them one by one"):
                run(sql, ())


def test_semicolons_that_begin_no_other_statement(run: Run) -> None:
    """In text, names and comments, and at the end."""
    for sql in ("SELECT ';';", "SELECT ';' ; /* a ; b */ ;-- c ; d", 'SELECT 1 AS "a;b"; /* open'):
        for _ in range(2):
            assert len(run(sql, ())) == 1


def test_json_tables(run: Run) -> None:
    """The table-valued functions of JSON can be used, also where SQLite makes tables for them first."""
    assert run("SELECT value FROM json_each(?)", ("[1,2]",)) == [(1,), (2,)]
    assert run("SELECT count(*) FROM JSON_TREE(?)", ("[1,2]",)) == [(3,)]


def test_a_trigger_is_one_statement(driver: str) -> None:
    """Though it has semicolons inside."""
    with goes.blocking.connect("sqlite:///:memory:", driver=driver) as db:
        with db.transaction() as tx:
            tx.execute("CREATE TABLE mine_a (a)")
            tx.execute("CREATE TABLE mine_b (b)")
            tx.execute(
                "CREATE TRIGGER mine_t AFTER INSERT ON mine_a BEGIN INSERT INTO mine_b VALUES (new.a); "
                "INSERT INTO mine_b VALUES (2); END;"
            )
            tx.execute("INSERT INTO mine_a VALUES (?)", (1,))
        assert db.select("SELECT b FROM mine_b") == [(1,), (2,)]
