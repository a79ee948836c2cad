"""Translate an EventQuery to SQL text and parameters, for every SQL backend.

The logical schema: `events e` (position, id, name_key, aggregate_key, version, time, tags…), `event_names` (key, name),
`aggregates a` (key, name, id) and `event_tags` (tag, position).

`condition` builds a plain WHERE clause, which suits counting and small ranges. `select` reads a page in position order,
for which a WHERE clause alone is not enough: with `name IN (…)` or an OR, a planner either sorts all matches for every page or
scans the whole log for a few. So `select` splits a query into branches. An index serves each branch in position order,
each is limited to the page size, and their union is the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery, QueryItem, Span

MAX_BRANCHES = 64
"""A query with more branches than this becomes one filtered scan in position order."""
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

Spellings = Callable[[str], Sequence[str]]
"""Returns an event name and its former names: `Registry.spellings`."""


class _Builder:
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
        return f"(SELECT key FROM {table} WHERE {self.one_of('name', _spelled(names, self.spellings))})"

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

    def clauses(self, item: QueryItem, without: str = "") -> list[str]:
        """Return the item's conditions on a row of `events e LEFT JOIN aggregates a`, except for the field `without`."""
        plain = self.dialect.unindexed
        wanted: list[str] = []
        if item.names and without != "names":
            wanted.append(f"{plain('e.name_key')} IN {self.name_keys(item.names)}")
        if item.aggregates and without != "aggregates":
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
        tags = item.tags[1:] if without == "tags" else item.tags
        table = self.dialect.table("event_tags")
        if len(tags) > MANY_TAGS:
            found = f"SELECT count(*) FROM {table} t WHERE {self.one_of('t.tag', tags)} AND t.position = e.position"
            wanted.append(f"({found}) = {len(tags)}")
        else:
            for tag in tags:
                tagged = f"SELECT 1 FROM {table} t WHERE t.tag = {self.bind(tag)} AND t.position = e.position"
                wanted.append(f"EXISTS ({tagged})")
        if item.ids and without != "ids":
            wanted.append(self.one_of("e.id", [self.dialect.uuid(event_id) for event_id in item.ids]))
        return wanted


def _any(alternatives: Sequence[str]) -> str:
    """Join with OR, as a balanced tree: SQLite refuses expressions more than 1,000 levels deep."""
    if len(alternatives) == 1:
        return f"({alternatives[0]})"
    half = len(alternatives) // 2
    return f"({_any(alternatives[:half])} OR {_any(alternatives[half:])})"


class _Branch(NamedTuple):
    """One part of a query: an item, the field whose index serves it, and one value of that field."""

    item: QueryItem
    field: str = ""
    value: Any = None


def condition(query: EventQuery, dialect: Dialect, spellings: Spellings) -> Sql:
    """Return the WHERE clause over `events e LEFT JOIN aggregates a ON a.key = e.aggregate_key`."""
    build = _Builder(dialect, spellings)
    return build.sql(_condition(query, build))


def _condition(query: EventQuery, build: _Builder) -> str:
    if query.is_everything:
        return "TRUE"
    return _any([" AND ".join(build.clauses(item)) for item in query.items])


def count(query: EventQuery, dialect: Dialect, spellings: Spellings) -> Sql:
    """Return the statement that counts matching events."""
    if query.is_everything:
        return Sql(f"SELECT count(*) FROM {dialect.table('events')}", [])
    build = _Builder(dialect, spellings)
    parts = _branches(query, spellings)
    if parts and all(part.field for part in parts):
        matching = " UNION ".join(_positions(part, build) for part in parts)
        return build.sql(f"SELECT count(*) FROM ({matching}) AS matching")
    where = _condition(query, build)
    return build.sql(f"SELECT count(*) FROM {_events(dialect)}{_aggregate(dialect)} WHERE {where}")


def select(
    columns: str,
    query: EventQuery,
    dialect: Dialect,
    spellings: Spellings,
    *,
    after: int,
    upto: int,
    limit: int,
    reverse: bool = False,
) -> Sql:
    """Return the statement for a page: the first `limit` matching events with after < position ≤ upto, in position order.

    `columns` are expressions over `e` (events) and `a` (its aggregate, if any).
    """
    build = _Builder(dialect, spellings)
    direction = "DESC" if reverse else "ASC"
    window = _Window(after, upto, limit, direction)
    parts = _branches(query, spellings)
    if len(parts) == 1 and not parts[0].field:
        where = " AND ".join([window.clause(build, "e.position"), *build.clauses(parts[0].item)])
    elif not parts:
        where = f"{window.clause(build, 'e.position')} AND {_condition(query, build)}"
    else:
        pages = [_positions(part, build, window) for part in parts]
        where = f"e.position IN ({pages[0] if len(pages) == 1 else ' UNION '.join(pages)})"
    source = f"{_events(dialect)}{_aggregate(dialect)}"
    text = f"SELECT {columns} FROM {source} WHERE {where} ORDER BY e.position {direction} LIMIT {build.bind(limit)}"
    return build.sql(text)


def _events(dialect: Dialect) -> str:
    return f"{dialect.table('events')} e"


def _aggregate(dialect: Dialect) -> str:
    return f" LEFT JOIN {dialect.table('aggregates')} a ON a.key = e.aggregate_key"


class _Window(NamedTuple):
    """The part of the log that a page comes from."""

    after: int
    upto: int
    limit: int
    direction: str

    def clause(self, build: _Builder, expression: str) -> str:
        return f"{expression} > {build.bind(self.after)} AND {expression} <= {build.bind(self.upto)}"


def _branches(query: EventQuery, spellings: Spellings) -> list[_Branch]:
    """Split a query into branches that indexes serve; return none if there would be too many."""
    if query.is_everything:
        return [_Branch(QueryItem())]
    parts: list[_Branch] = []
    for item in query.items:
        # the most selective index first
        field = next((f for f in ("ids", "tags", "aggregates", "names") if getattr(item, f)), "")
        if field == "tags":
            parts.append(_Branch(item, field, item.tags[0]))
        elif field in ("names", "") and (refs := _refs(item)):
            parts += [_Branch(item, "aggregates", ref) for ref in refs]
        elif field == "names":
            parts += [_Branch(item, field, old) for old in _spelled(item.names, spellings)]
        elif field:
            parts += [_Branch(item, field, value) for value in getattr(item, field)]
        else:
            parts.append(_Branch(item))
    return parts if len(parts) <= MAX_BRANCHES else []


def _refs(item: QueryItem) -> list[AggregateRef]:
    """Return all pairs of the item's aggregate names and ids; none if it gives ids without names."""
    if len(item.aggregate_names) * len(item.aggregate_ids) > MAX_BRANCHES:
        return []
    return [AggregateRef._make((name, id)) for name in item.aggregate_names for id in item.aggregate_ids]


def _spelled(names: Sequence[str], spellings: Spellings) -> list[str]:
    """Return the names and all former names under which their events may be stored."""
    return [old for name in names for old in spellings(name)]


def _positions(part: _Branch, build: _Builder, window: _Window | None = None) -> str:
    """Return a subquery for the positions of one branch: all, or those of a page."""
    dialect = build.dialect
    source, position, order = _events(dialect), "e.position", "e.position"
    value = part.value
    beyond, bounded = "", False
    if part.field == "tags":
        # the tag's entries, in position order, then the event of each
        source = dialect.in_order(f"{dialect.table('event_tags')} d", source, "e.position = d.position")
        position = order = "d.position"
        drive = f"d.tag = {build.bind(value)}"
    elif part.field == "ids":
        drive = f"e.id = {build.bind(dialect.uuid(value))}"
    elif part.field == "aggregates":
        # within an aggregate, version order is position order, and there is an index for it
        order = "e.version"

        def key() -> str:
            names = f"name = {build.bind(value.name)} AND id = {build.bind(value.id)}"
            return f"(SELECT key FROM {dialect.table('aggregates')} WHERE {names})"

        def at(position: int) -> str:
            events = dialect.table("events")
            return f"SELECT s.version FROM {events} s WHERE s.position = {build.bind(position)} AND s.aggregate_key = {key()}"

        source += dialect.by_index("events_of_aggregate")
        drive = f"e.aggregate_key = {key()}"
        # If the previous page ended with this aggregate, continue at its version instead of scanning all earlier ones.
        if window is not None and window.after and window.direction == "ASC":
            beyond = f"e.version > coalesce(({at(window.after)}), 0)"
        elif window is not None and window.upto < MAX_INTEGER and window.direction == "DESC":
            beyond = f"e.version < coalesce(({at(window.upto + 1)}), {MAX_INTEGER})"
    elif part.field == "names":
        source += dialect.by_index("events_by_name")

        def name() -> str:
            return f"(SELECT key FROM {dialect.table('event_names')} WHERE name = {build.bind(value)})"

        if dialect.pairs:
            after, upto = (window.after, window.upto) if window is not None else (0, MAX_INTEGER)
            pair = "(e.name_key, e.position)"
            drive = f"{pair} > ({name()}, {build.bind(after)}) AND {pair} <= ({name()}, {build.bind(upto)})"
            order = f"e.name_key {window.direction if window is not None else 'ASC'}, e.position"
            bounded = True
        else:
            drive = f"e.name_key = {name()}"
    else:
        drive = "TRUE"
    wanted = [drive, *([beyond] if beyond else [])]
    if window is not None and not bounded:
        wanted.append(window.clause(build, position))
    wanted += build.clauses(part.item, without=part.field)
    if part.item.aggregate_names or part.item.aggregate_ids or (part.item.aggregates and part.field != "aggregates"):
        source += _aggregate(dialect)
    text = f"SELECT {position} AS position FROM {source} WHERE {' AND '.join(wanted)}"
    if window is None:
        return text
    text += f" ORDER BY {order} {window.direction} LIMIT {build.bind(window.limit)}"
    return f"SELECT position FROM ({text}) AS page"
