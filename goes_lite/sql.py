"""How a query becomes SQL, for every SQL backend: pure functions from an EventQuery to text and parameters.

The logical schema they rely on: `events e` (position, id, name_key, aggregate_key, version, time, tags…),
`event_names` (key, name), `aggregates a` (key, name, id) and `event_tags` (tag, position).

Two shapes are built. `condition` is the plain WHERE clause: right for counting, and for small ranges. `select` reads a
page in position order, and for a page a WHERE clause alone is not enough: with `name IN (…)` or an OR a planner either
sorts all matches for every page or scans the whole log for a few. So a query is taken apart into branches, each of
which an index serves in position order, each cut to the page's size, and the union of them is the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.query import EventQuery, QueryItem, Span

MAX_BRANCHES = 64
"""More alternatives than this are read as one filtered scan in position order."""
MAX_INTEGER = 2**63 - 1


class Sql(NamedTuple):
    """A statement and its parameters."""

    text: str
    parameters: list[Any]


class Dialect(NamedTuple):
    """Where SQL databases differ."""

    placeholder: Callable[[int], str]
    """The n-th parameter (from 1), such as `?` or `$1`."""
    uuid: Callable[[UUID], Any]
    """An event id as it is stored."""
    unindexed: Callable[[str], str] = lambda expression: f"+{expression}"
    """An expression that the planner shall test but not look up by."""


SQLITE = Dialect(placeholder=lambda n: "?", uuid=lambda event_id: event_id.bytes)

Spellings = Callable[[str], Sequence[str]]
"""An event name and those that it had before: `Registry.spellings`."""


class _Builder:
    """Collects parameters while clauses are written, in the order of their placeholders."""

    def __init__(self, dialect: Dialect, spellings: Spellings) -> None:
        self.dialect = dialect
        self.spellings = spellings
        self.parameters: list[Any] = []

    def bind(self, value: Any) -> str:
        self.parameters.append(value)
        return self.dialect.placeholder(len(self.parameters))

    def one_of(self, expression: str, values: Sequence[Any]) -> str:
        bound = [self.bind(value) for value in values]
        return f"{expression} = {bound[0]}" if len(bound) == 1 else f"{expression} IN ({', '.join(bound)})"

    def name_keys(self, names: Sequence[str]) -> str:
        """A subquery for the keys of event names, older spellings included."""
        spelled = list(dict.fromkeys(old for name in names for old in (name, *self.spellings(name))))
        return f"(SELECT key FROM event_names WHERE {self.one_of('name', spelled)})"

    def spans(self, expression: str, spans: Sequence[Span]) -> str:
        alternatives: list[str] = []
        for first, last in spans:
            if first is not None and first == last:
                alternatives.append(f"{expression} = {self.bind(first)}")
                continue
            ends = [f"{expression} >= {self.bind(first)}"] if first is not None else []
            ends += [f"{expression} <= {self.bind(last)}"] if last is not None else []
            alternatives.append(" AND ".join(ends) or "TRUE")
        return f"({' OR '.join(alternatives)})"

    def clauses(self, item: QueryItem, without: str = "") -> list[str]:
        """What the item demands of a row of `events e LEFT JOIN aggregates a`, but for the field `without`."""
        plain = self.dialect.unindexed
        wanted: list[str] = []
        if item.names and without != "names":
            wanted.append(f"{plain('e.name_key')} IN {self.name_keys(item.names)}")
        if item.aggregates and without != "aggregates":
            pairs = [f"({plain('a.name')} = {self.bind(r.name)} AND {plain('a.id')} = {self.bind(r.id)})" for r in item.aggregates]
            wanted.append(f"({' OR '.join(pairs)})")
        if item.aggregate_names:
            wanted.append(self.one_of(plain("a.name"), item.aggregate_names))
        if item.aggregate_ids:
            wanted.append(self.one_of(plain("a.id"), item.aggregate_ids))
        if item.versions:
            wanted.append(self.spans(plain("e.version"), item.versions))
        if item.times:
            wanted.append(self.spans("e.time", item.times))
        for tag in item.tags[1:] if without == "tags" else item.tags:
            tagged = f"SELECT 1 FROM event_tags t WHERE t.tag = {self.bind(tag)} AND t.position = e.position"
            wanted.append(f"EXISTS ({tagged})")
        if item.ids and without != "ids":
            wanted.append(self.one_of("e.id", [self.dialect.uuid(event_id) for event_id in item.ids]))
        return wanted


class _Branch(NamedTuple):
    """One index-served part of a query: an item, the field that drives, and the one value of it."""

    item: QueryItem
    field: str = ""
    value: Any = None


def condition(query: EventQuery, dialect: Dialect, spellings: Spellings) -> Sql:
    """The WHERE clause over `events e LEFT JOIN aggregates a ON a.key = e.aggregate_key`."""
    build = _Builder(dialect, spellings)
    return Sql(_condition(query, build), build.parameters)


def _condition(query: EventQuery, build: _Builder) -> str:
    if query.is_everything:
        return "TRUE"
    return " OR ".join(f"({' AND '.join(build.clauses(item))})" for item in query.items)


def count(query: EventQuery, dialect: Dialect, spellings: Spellings) -> Sql:
    """How many events match."""
    if query.is_everything:
        return Sql("SELECT count(*) FROM events", [])
    where = condition(query, dialect, spellings)
    text = f"SELECT count(*) FROM events e LEFT JOIN aggregates a ON a.key = e.aggregate_key WHERE {where.text}"
    return Sql(text, where.parameters)


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
    """A page: the columns of the first `limit` matching events with after < position ≤ upto, in position order.

    `columns` are expressions over `e` (events) and `a` (its aggregate, if any).
    """
    build = _Builder(dialect, spellings)
    direction = "DESC" if reverse else "ASC"
    joined = "events e LEFT JOIN aggregates a ON a.key = e.aggregate_key"
    parts = _branches(query)
    if len(parts) == 1 and not parts[0].field:
        wanted = [_window(build, "e.position", after, upto), *build.clauses(parts[0].item)]
        where = " AND ".join(wanted)
    elif not parts:
        where = f"{_window(build, 'e.position', after, upto)} AND ({_condition(query, build)})"
    else:
        pages = [_page(part, build, after, upto, limit, direction) for part in parts]
        where = f"e.position IN ({pages[0] if len(pages) == 1 else ' UNION '.join(pages)})"
    text = f"SELECT {columns} FROM {joined} WHERE {where} ORDER BY e.position {direction} LIMIT {build.bind(limit)}"
    return Sql(text, build.parameters)


def _window(build: _Builder, expression: str, after: int, upto: int) -> str:
    return f"{expression} > {build.bind(after)} AND {expression} <= {build.bind(upto)}"


def _branches(query: EventQuery) -> list[_Branch]:
    """The query as index-served branches; none if there would be too many to be worth it."""
    if query.is_everything:
        return [_Branch(QueryItem())]
    parts: list[_Branch] = []
    for item in query.items:
        # the most selective index first
        field = next((f for f in ("ids", "tags", "aggregates", "names") if getattr(item, f)), "")
        if field == "tags":
            parts.append(_Branch(item, field, item.tags[0]))
        elif field:
            parts += [_Branch(item, field, value) for value in getattr(item, field)]
        else:
            parts.append(_Branch(item))
    return parts if len(parts) <= MAX_BRANCHES else []


def _page(part: _Branch, build: _Builder, after: int, upto: int, limit: int, direction: str) -> str:
    """A subquery for the positions of one branch's page."""
    source, position, order = "events e LEFT JOIN aggregates a ON a.key = e.aggregate_key", "e.position", "e.position"
    value = part.value
    if part.field == "tags":
        # CROSS JOIN keeps this order of reading: the tag's entries, in position order, then the event of each
        source = "event_tags d CROSS JOIN events e ON e.position = d.position LEFT JOIN aggregates a ON a.key = e.aggregate_key"
        position = order = "d.position"
        drive = f"d.tag = {build.bind(value)}"
    elif part.field == "ids":
        drive = f"e.id = {build.bind(build.dialect.uuid(value))}"
    elif part.field == "aggregates":
        # within an aggregate, version order is position order, and there is an index for it
        order = "e.version"
        key = f"SELECT key FROM aggregates WHERE name = {build.bind(value.name)} AND id = {build.bind(value.id)}"
        drive = f"e.aggregate_key = ({key})"
    elif part.field == "names" and len(spelled := list(dict.fromkeys((value, *build.spellings(value))))) == 1:
        drive = f"e.name_key = (SELECT key FROM event_names WHERE name = {build.bind(spelled[0])})"
    elif part.field == "names":
        drive = f"{build.dialect.unindexed('e.name_key')} IN {build.name_keys([value])}"
    else:
        drive = "TRUE"
    wanted = [drive, _window(build, position, after, upto), *build.clauses(part.item, without=part.field)]
    if not (part.item.aggregate_names or part.item.aggregate_ids or (part.item.aggregates and part.field != "aggregates")):
        source = source.replace(" LEFT JOIN aggregates a ON a.key = e.aggregate_key", "")
    text = f"SELECT {position} AS position FROM {source} WHERE {' AND '.join(wanted)} ORDER BY {order} {direction} LIMIT {build.bind(limit)}"
    return f"SELECT position FROM ({text}) AS page"
