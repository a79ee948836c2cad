"""How queries become SQL: the shape of the text. test_query.py proves that the meaning is the same."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest

from goes_lite.errors import InvalidQueryError
from goes_lite.events.query import Between, EventQuery
from goes_lite.kit.sql import MAX_BRANCHES, MAX_INTEGER, SQLITE, Dialect, condition, count, select


def numbered(number: int) -> str:
    return f"${number}"


def unchanged(value: Any) -> Any:
    return value


POSTGRES = Dialect(placeholder=numbered, uuid=unchanged, unindexed=unchanged)
UUIDS = [UUID(int=number) for number in (1, 2)]
QUERIES = [
    EventQuery(),
    EventQuery(["a"]),
    EventQuery(["a", "b"], tags=["x:1", "y:2"], versions=[1, 2, Between(4, 5)]),
    EventQuery(aggregates=[("order", "1"), ("order", "2")], ids=UUIDS),
    EventQuery(aggregate_names=["order"], aggregate_ids=["1"], min_time=datetime(2026, 1, 1, tzinfo=timezone.utc)),
    EventQuery(tags=["x:1"]) | EventQuery(["a"]) | EventQuery(versions=[0]),
    EventQuery([f"n{number}" for number in range(MAX_BRANCHES + 1)]),
]


def nothing_else(name: str) -> tuple[str, ...]:
    return (name,)


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_values_are_parameters_in_the_order_of_their_placeholders(query: EventQuery) -> None:
    """Placeholders are numbered from 1 without gaps, one for each parameter; the text contains no value."""
    for sql in (
        condition(query, POSTGRES, nothing_else),
        count(query, POSTGRES, nothing_else),
        select("e.position", query, POSTGRES, nothing_else, after=3, upto=MAX_INTEGER, limit=64),
        select("e.position", query, POSTGRES, nothing_else, after=3, upto=MAX_INTEGER, limit=64, reverse=True),
    ):
        assert [int(number) for number in re.findall(r"\$(\d+)", sql.text)] == list(range(1, len(sql.parameters) + 1))
        assert "order" not in re.sub("ORDER BY", "", sql.text)
        assert "'" not in sql.text


def test_the_placeholders_of_sqlite_are_question_marks() -> None:
    """One for each parameter; ids are bytes."""
    sql = select("e.position", QUERIES[3], SQLITE, nothing_else, after=0, upto=9, limit=5)
    assert sql.text.count("?") == len(sql.parameters)
    assert UUIDS[0].bytes in sql.parameters


def test_every_alias_of_a_name_is_queried() -> None:
    """Each in a branch of its own, which uses the index of names."""
    sql = select(
        "e.position", EventQuery(["new"]), SQLITE, lambda name: (name, "old", "older"), after=0, upto=9, limit=5
    )
    assert [value for value in sql.parameters if isinstance(value, str)] == ["new", "old", "older"]
    assert sql.text.count("UNION") == 2


def test_many_alternatives_are_one_scan() -> None:
    """Beyond MAX_BRANCHES there is no union of pages but one filter in position order."""
    names = [f"n{number}" for number in range(MAX_BRANCHES)]
    page = select("e.position", EventQuery(names), SQLITE, nothing_else, after=0, upto=9, limit=5)
    scan = select("e.position", EventQuery([*names, "more"]), SQLITE, nothing_else, after=0, upto=9, limit=5)
    assert page.text.count("UNION") == MAX_BRANCHES - 1
    assert "UNION" not in scan.text


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
