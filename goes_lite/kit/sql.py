"""Translate an EventQuery to SQL text and parameters, for every SQL backend.

The logical schema: `events e` (position, id, name_key, aggregate_key, version, time, tags…), `event_names` (key, name),
`aggregates a` (key, name, id) and `event_tags` (tag, position).

`condition` builds a plain WHERE clause. That is not enough to read the log in pages: see `select`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.errors import InvalidQueryError
from goes_lite.events.query import EventQuery, QueryItem, Span
from goes_lite.kit.branches import Spellings

MANY_TAGS = 8
"""More tags than this are counted instead of joined: a planner would take seconds over that many joins."""


MAX_INTEGER = 2**63 - 1


class Sql(NamedTuple):
    """A statement and its parameters."""

    text: str
    parameters: list[Any]


class Dialect(NamedTuple):
    """The differences between SQL databases."""

    placeholder: Callable[[int], str]
    """Returns the n-th parameter (from 1), such as `?` or `$1`."""
    uuid: Callable[[UUID], Any]
    """Returns an event id as it is stored."""
    unindexed: Callable[[str], str] = lambda expression: f"+{expression}"
    """Returns an expression that the planner tests without using an index."""
    by_index: Callable[[str], str] = lambda index: ""
    """Returns an index hint to put after a table, if the database has such hints."""
    table: Callable[[str], str] = lambda name: name
    """Returns a table's name in statements, for example qualified by a schema."""
    in_order: Callable[[str, str, str], str] = lambda left, right, on: f"{left} CROSS JOIN {right} ON {on}"
    """Joins two tables on a condition; the join reads its left side first, if the database allows to force that."""
    each: Callable[[str, str], str] | None = None
    """Returns a source of what a subquery yields for each `v.value` of an array parameter; without it, values are listed."""
    pairs: bool = False
    """Whether to select names and positions as a range of pairs, so that only the index on both serves the order."""
    max_parameters: int = 32_766
    """The maximum number of parameters in one statement; the default is SQLite's."""


def _question_mark(number: int) -> str:
    return "?"


def _indexed_by(index: str) -> str:
    # After ANALYZE the planner prefers scanning the log to reading a name of average frequency by its index, and it
    # does not know that this name is rare.
    return f" INDEXED BY {index}"


def _uuid_bytes(event_id: UUID) -> bytes:
    return event_id.bytes


SQLITE = Dialect(placeholder=_question_mark, uuid=_uuid_bytes, by_index=_indexed_by)


class Builder:
    """Collects parameters in the order of their placeholders while clauses are written."""

    def __init__(self, dialect: Dialect, spellings: Spellings) -> None:
        self.dialect = dialect
        self.spellings = spellings
        self.parameters: list[Any] = []

    def bind(self, value: Any) -> str:
        self.parameters.append(value)
        return self.dialect.placeholder(len(self.parameters))

    def sql(self, text: str) -> Sql:
        if len(self.parameters) > self.dialect.max_parameters:
            raise InvalidQueryError(
                f"the query has {len(self.parameters)} values, but one statement takes at most "
                f"{self.dialect.max_parameters}: split it into several queries"
            )
        return Sql(text, self.parameters)

    def one_of(self, expression: str, values: Sequence[Any]) -> str:
        bound = [self.bind(value) for value in values]
        return f"{expression} = {bound[0]}" if len(bound) == 1 else f"{expression} IN ({', '.join(bound)})"

    def name_keys(self, names: Sequence[str]) -> str:
        """Return a subquery for the keys of event names, including former names."""
        table = self.dialect.table("event_names")
        return f"(SELECT key FROM {table} WHERE {self.one_of('name', spelled(names, self.spellings))})"

    def spans(self, expression: str, spans: Sequence[Span]) -> str:
        exact = [first for first, last in spans if first is not None and first == last]
        alternatives = [self.one_of(expression, exact)] if exact else []
        for first, last in spans:
            if first is not None and first == last:
                continue
            ends = [f"{expression} >= {self.bind(first)}"] if first is not None else []
            ends += [f"{expression} <= {self.bind(last)}"] if last is not None else []
            alternatives.append(" AND ".join(ends) or "TRUE")
        return _any(alternatives)

    def clauses(self, item: QueryItem) -> list[str]:
        """Return the item's conditions on a row of `events e LEFT JOIN aggregates a`."""
        plain = self.dialect.unindexed
        wanted: list[str] = []
        if item.names:
            wanted.append(f"{plain('e.name_key')} IN {self.name_keys(item.names)}")
        if item.aggregates:
            pairs = ", ".join(f"({self.bind(ref.name)}, {self.bind(ref.id)})" for ref in item.aggregates)
            wanted.append(f"({plain('a.name')}, {plain('a.id')}) IN (VALUES {pairs})")
        if item.aggregate_names:
            wanted.append(self.one_of(plain("a.name"), item.aggregate_names))
        if item.aggregate_ids:
            wanted.append(self.one_of(plain("a.id"), item.aggregate_ids))
        if item.versions:
            wanted.append(self.spans(plain("e.version"), item.versions))
        if item.times:
            wanted.append(self.spans("e.time", item.times))
        table = self.dialect.table("event_tags")
        if len(item.tags) > MANY_TAGS:
            found = (
                f"SELECT count(*) FROM {table} t WHERE {self.one_of('t.tag', item.tags)} AND t.position = e.position"
            )
            wanted.append(f"({found}) = {len(item.tags)}")
        else:
            for tag in item.tags:
                tagged = f"SELECT 1 FROM {table} t WHERE t.tag = {self.bind(tag)} AND t.position = e.position"
                wanted.append(f"EXISTS ({tagged})")
        if item.ids:
            wanted.append(self.one_of("e.id", [self.dialect.uuid(event_id) for event_id in item.ids]))
        return wanted

    def any_of(self, items: Sequence[QueryItem]) -> str:
        """Return the condition that one of the items matches a row of `events e LEFT JOIN aggregates a`."""
        return _any([" AND ".join(self.clauses(item)) or "TRUE" for item in items])


def spelled(names: Sequence[str], spellings: Spellings) -> list[str]:
    """Return the names and all former names under which their events may be stored."""
    return [old for name in names for old in spellings(name)]


def _any(alternatives: Sequence[str]) -> str:
    """Join with OR, as a balanced tree: SQLite refuses expressions more than 1,000 levels deep."""
    if len(alternatives) == 1:
        return f"({alternatives[0]})"
    half = len(alternatives) // 2
    return f"({_any(alternatives[:half])} OR {_any(alternatives[half:])})"


def condition(query: EventQuery, dialect: Dialect, spellings: Spellings) -> Sql:
    """Return the WHERE clause over `events e LEFT JOIN aggregates a ON a.key = e.aggregate_key`."""
    build = Builder(dialect, spellings)
    return build.sql("TRUE" if query.is_everything else build.any_of(query.items))
