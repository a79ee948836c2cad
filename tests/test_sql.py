"""How queries become SQL: the shape of the text. test_query.py proves that the meaning is the same."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest

from goes_lite.errors import InvalidQueryError
from goes_lite.events.query import Between, EventQuery
from goes_lite.kit.branches import Spellings
from goes_lite.kit.select import MAX_BRANCHES, read_count, read_page
from goes_lite.kit.sql import MAX_INTEGER, SQLITE, Dialect, Sql, condition


def numbered(number: int) -> str:
    return f"${number}"


def unchanged(value: Any) -> Any:
    return value


def each(values: str, subquery: str) -> str:
    return f"unnest({values}) AS v (value) CROSS JOIN LATERAL ({subquery})"


def first(
    query: EventQuery, dialect: Dialect, spellings: Spellings, *, after: int = 0, upto: int = 9, **more: Any
) -> Sql:
    """Return the first statement of the reading of a page of five."""
    return next(read_page("e.position", query, dialect, spellings, after=after, upto=upto, limit=5, **more))


def several(query: EventQuery, dialect: Dialect) -> list[Sql]:
    """Return the statements of the reading of a page if each finds nothing; the first one asks for the head."""
    reading = read_page("e.position", query, dialect, nothing_else, after=0, upto=9, limit=5)
    said = [next(reading)]
    try:
        while True:
            said.append(reading.send([(9,)] if len(said) == 1 else []))
    except StopIteration:
        return said


POSTGRES = Dialect(placeholder=numbered, uuid=unchanged, unindexed=unchanged, each=each)
UUIDS = [UUID(int=number) for number in (1, 2)]
QUERIES = [
    EventQuery(),
    EventQuery(["a"]),
    EventQuery(["a", "b"], tags=["x:1", "y:2"], versions=[1, 2, Between(4, 5)]),
    EventQuery(aggregates=[("order", "1"), ("order", "2")], ids=UUIDS),
    EventQuery(aggregate_names=["order"], aggregate_ids=["1"], min_time=datetime(2026, 1, 1, tzinfo=timezone.utc)),
    EventQuery(tags=["x:1"]) | EventQuery(["a"]) | EventQuery(versions=[0]),
    EventQuery([f"n{number}" for number in range(MAX_BRANCHES + 1)]),
    EventQuery(aggregates=[("order", str(number)) for number in range(9)], tags=["x:1"]),
    EventQuery.any_of(*(EventQuery(aggregates=[(name, str(n)) for n in range(9)]) for name in ("order", "bill"))),
    EventQuery(ids=[UUID(int=number) for number in range(9)], versions=[1]),
]


def nothing_else(name: str) -> tuple[str, ...]:
    return (name,)


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_values_are_parameters_in_the_order_of_their_placeholders(query: EventQuery) -> None:
    """Placeholders are numbered from 1 without gaps, one for each parameter; the text contains no value."""
    for sql in (
        condition(query, POSTGRES, nothing_else),
        next(read_count(query, POSTGRES, nothing_else)),
        first(query, POSTGRES, nothing_else, after=3, upto=MAX_INTEGER),
        first(query, POSTGRES, nothing_else, after=3, upto=MAX_INTEGER, reverse=True),
        *several(query, POSTGRES),
    ):
        assert [int(number) for number in re.findall(r"\$(\d+)", sql.text)] == list(range(1, len(sql.parameters) + 1))
        assert "order" not in re.sub("ORDER BY", "", sql.text)
        assert "'" not in sql.text


def test_the_placeholders_of_sqlite_are_question_marks() -> None:
    """One for each parameter; ids are bytes."""
    sql = first(QUERIES[3], SQLITE, nothing_else)
    assert sql.text.count("?") == len(sql.parameters)
    assert UUIDS[0].bytes in sql.parameters


def test_every_alias_of_a_name_is_queried() -> None:
    """Each in a branch of its own, which uses the index of names."""
    sql = first(EventQuery(["new"]), SQLITE, lambda name: (name, "old", "older"))
    assert [value for value in sql.parameters if isinstance(value, str)] == ["new", "old", "older"]
    assert sql.text.count("UNION") == 2


def test_alternatives_that_differ_in_one_value_are_one_branch() -> None:
    """Of many values, which an index looks up; a few are branches of their own, each in position order."""
    few = EventQuery.any_of(*(EventQuery(["a"], tags=[f"n:{n}", "of:all"]) for n in range(8)))
    many = few | EventQuery(["a"], tags=["n:8", "of:all"])
    labels = [f"n:{n}" for n in range(9)]
    assert first(few, SQLITE, nothing_else).text.count("UNION") == 7
    _, page = several(many, SQLITE)
    assert "UNION" not in page.text
    assert page.parameters[:9] == labels
    _, page = several(many, POSTGRES)
    assert page.parameters[0] == labels


def test_a_statement_has_no_more_branches_and_parameters_than_it_takes() -> None:
    """Whatever the number of alternatives and their values; together they contain all of them."""
    wide = EventQuery.any_of(*(EventQuery([f"name-{n}"], tags=[f"n:{n}"], versions=range(n)) for n in range(150)))
    names = EventQuery([f"name-{n}" for n in range(40_000)], tags=["a:b"])
    for query, dialect in ((wide, SQLITE), (wide, SQLITE._replace(max_parameters=2000)), (names, SQLITE)):
        said = several(query, dialect)
        assert len(said) > 2 or query is names
        assert all(len(sql.parameters) <= dialect.max_parameters for sql in said)
        assert all(sql.text.count("UNION") < MAX_BRANCHES for sql in said)
        bound = {value for sql in said for value in sql.parameters}
        assert bound > {value for item in query.items for value in (*item.names, *item.tags)}


def test_alternatives_are_nested_no_deeper_than_necessary() -> None:
    """SQLite refuses expressions more than 1,000 levels deep, so an OR of thousands is a balanced tree."""
    query = EventQuery.any_of(*(EventQuery(versions=[Between(n, None)], names=["a"]) for n in range(5000)))
    text = condition(query, SQLITE, nothing_else).text
    depth = deepest = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    assert deepest < 30


def test_more_parameters_than_a_statement_takes_are_refused() -> None:
    """InvalidQueryError with the numbers, before the database is queried."""
    small = SQLITE._replace(max_parameters=10)
    with pytest.raises(InvalidQueryError, match="11 values.* 10"):
        condition(EventQuery(versions=range(11)), small, nothing_else)
    assert condition(EventQuery(versions=range(10)), small, nothing_else).parameters == list(range(10))
