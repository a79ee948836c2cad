"""SQL that reads the events of a query in position order, by indexes, whatever the number of its alternatives.

A WHERE clause alone is not enough: with `name IN (…)` or an OR, a planner either sorts all matches for every page or scans the
whole log for a few. So a query is split into branches (see `branches`). An index serves each branch in position order, each is
limited to the page size, and their union is the page. For many branches, `positions` finds the page first.

Since a reading may need several statements, it is a generator: it yields them, is sent the rows of each, and returns the
result. `answer` drives it; asynchronous code does the same with await.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from goes_lite.events.query import EventQuery
from goes_lite.kit.branches import Branch, Spellings, Window, branches, positions
from goes_lite.kit.sql import MAX_INTEGER, Builder, Dialect, Sql

MAX_BRANCHES = 64
"""The maximum number of branches in one statement."""
COUNTED = 16_384
"""How many positions are read at once to count the matches of a query that needs several statements."""


class Found(NamedTuple):
    """A page of rows."""

    rows: Sequence[Any]
    last: int | None
    """The position of the last one, if the page is full: there may be more after it."""


R = TypeVar("R")
Reading: TypeAlias = Generator[Sql, Sequence[Any], R]
"""Yields statements, is sent their rows, and returns a result."""


def answer(reading: Reading[R], execute: Callable[[Sql], Sequence[Any]]) -> R:
    """Execute the statements of a reading and return its result."""
    try:
        sql = next(reading)
        while True:
            sql = reading.send(execute(sql))
    except StopIteration as done:
        result: R = done.value
        return result


def read_count(query: EventQuery, dialect: Dialect, spellings: Spellings) -> Reading[int]:
    """Count the matching events."""
    if query.is_everything:
        rows = yield Sql(f"SELECT count(*) FROM {dialect.table('events')}", [])
        return int(rows[0][0])
    parts = branches(query, spellings, dialect.max_parameters)
    build = Builder(dialect, spellings)
    if len(parts) == 1 and not parts[0].field:
        where = build.any_of(parts[0].items)
        rows = yield build.sql(f"SELECT count(*) FROM {_events(dialect)}{_aggregate(dialect)} WHERE {where}")
        return int(rows[0][0])
    texts = _alone(parts, build, None)
    if texts:
        rows = yield build.sql(f"SELECT count(*) FROM ({' UNION '.join(texts)}) AS matching")
        return int(rows[0][0])
    number, found = 0, [0]
    window = Window(0, MAX_INTEGER, COUNTED)
    while found:  # an event may match several branches, so the numbers of several statements cannot be added up
        window = window._replace(after=found[-1])
        found = yield from _merged(parts, dialect, spellings, window)
        number += len(found)
    return number


def read_page(
    columns: str,
    query: EventQuery,
    dialect: Dialect,
    spellings: Spellings,
    *,
    after: int,
    upto: int,
    limit: int,
    reverse: bool = False,
) -> Reading[Found]:
    """Read a page: the first `limit` matching events with after < position ≤ upto, in position order.

    `columns` are expressions over `e` (events) and `a` (its aggregate, if any); the first one is the position.
    """
    window = Window(after, upto, limit, reverse)
    build = Builder(dialect, spellings)
    parts = branches(query, spellings, dialect.max_parameters)
    if len(parts) == 1 and not parts[0].field:
        where = _clause(window, build, "e.position")
        where += "" if query.is_everything else f" AND {build.any_of(parts[0].items)}"
    else:
        pages = _alone(parts, build, window)
        if not pages:
            found = yield from _merged(parts, dialect, spellings, window)
            build = Builder(dialect, spellings)
            if not found:
                return Found((), None)
            where = f"e.position IN ({', '.join(map(build.bind, found))})"
            rows = yield build.sql(_select(columns, where, window, build))
            # rows may have been erased in the meantime: the page is as full as what was found
            return Found(rows, found[-1] if len(found) == limit else None)
        where = f"e.position IN ({pages[0] if len(pages) == 1 else ' UNION '.join(pages)})"
    rows = yield build.sql(_select(columns, where, window, build))
    return Found(rows, rows[-1][0] if len(rows) == limit else None)


def _select(columns: str, where: str, window: Window, build: Builder) -> str:
    source = f"{_events(build.dialect)}{_aggregate(build.dialect)}"
    order = f"ORDER BY e.position {_direction(window)} LIMIT {build.bind(window.limit)}"
    return f"SELECT {columns} FROM {source} WHERE {where} {order}"


def read_highest(query: EventQuery, dialect: Dialect, spellings: Spellings, *, after: int) -> Reading[int]:
    """Find the highest position > after of a matching event; 0 if there is none."""
    found = yield from read_page(
        "e.position", query, dialect, spellings, after=after, upto=MAX_INTEGER, limit=1, reverse=True
    )
    return int(found.rows[0][0]) if found.rows else 0


def _merged(parts: Sequence[Branch], dialect: Dialect, spellings: Spellings, window: Window) -> Reading[list[int]]:
    rows = yield Sql(f"SELECT coalesce(max(position), 0) FROM {dialect.table('events')}", [])
    found = yield from positions(
        parts, window._replace(upto=min(window.upto, rows[0][0])), partial(_some, dialect, spellings)
    )
    return found


def _some(dialect: Dialect, spellings: Spellings, parts: Sequence[Branch], window: Window) -> tuple[Sql, int]:
    """Write a statement for as many of the branches as it takes."""
    build = Builder(dialect, spellings)
    texts = _fitting(parts, build, window)
    return build.sql(" UNION ".join(texts)), len(texts)


def _alone(parts: Sequence[Branch], build: Builder, window: Window | None) -> list[str]:
    """Write all of the branches, if one statement can read them in position order."""
    if len(parts) > MAX_BRANCHES or any(len(part.values) > 1 for part in parts):
        return []
    texts = _fitting(parts, build, window)
    return texts if len(texts) == len(parts) else []


def _fitting(parts: Sequence[Branch], build: Builder, window: Window | None) -> list[str]:
    """Write as many of the branches as one statement takes, at least one."""
    texts: list[str] = []
    for part in parts[:MAX_BRANCHES]:
        before = len(build.parameters)
        text = _positions(part, build, window)
        if texts and len(build.parameters) >= build.dialect.max_parameters:
            del build.parameters[before:]
            break
        texts.append(text)
    return texts


def _events(dialect: Dialect) -> str:
    return f"{dialect.table('events')} e"


def _aggregate(dialect: Dialect) -> str:
    return f" LEFT JOIN {dialect.table('aggregates')} a ON a.key = e.aggregate_key"


def _clause(window: Window, build: Builder, expression: str) -> str:
    return f"{expression} > {build.bind(window.after)} AND {expression} <= {build.bind(window.upto)}"


def _direction(window: Window) -> str:
    return "DESC" if window.reverse else "ASC"


class _Drive(NamedTuple):
    """How an index finds the events of a branch."""

    source: str
    wanted: list[str]
    order: str
    position: str = "e.position"
    bounded: bool = False
    """Whether `wanted` includes the window."""


class _Values:
    """The values of a branch in a statement: one, a list of parameters, or `v.value` of one parameter that has all."""

    def __init__(self, part: Branch, build: Builder) -> None:
        self._build = build
        self._values = tuple(map(build.dialect.uuid, part.values)) if part.field == "ids" else part.values
        many = len(part.values) > 1
        self.each = build.dialect.each if many else None
        self.among = "IN" if many and not self.each else "="
        """Compares with what a subquery finds for the values."""
        kind = "uuid" if part.field == "ids" else "text"
        self.listed = f"{build.bind([*self._values])}::{kind}[]" if self.each else ""

    def equal(self, column: str) -> str:
        return f"{column} = v.value" if self.each else self._build.one_of(column, self._values)

    def key(self, table: str, wanted: str) -> str:
        return f"(SELECT key FROM {self._build.dialect.table(table)} WHERE {wanted})"


def _positions(part: Branch, build: Builder, window: Window | None = None) -> str:
    """Return a subquery for the positions of one branch: all, or those of a page."""
    values = _Values(part, build)
    drive = _drive(part, build, values, window)
    wanted = drive.wanted
    if window is not None and not drive.bounded:
        # no planner may prefer a range of the log, which it would read for each of the values
        position = f"({drive.position} + 0)" if values.each and part.field == "aggregates" else drive.position
        wanted.append(_clause(window, build, position))
    if part.field:
        wanted += build.clauses(part.items[0]) if len(part.items) == 1 else [build.any_of(part.items)]
    source = drive.source
    if any(item.aggregate_names or item.aggregate_ids or item.aggregates for item in part.items):
        source += _aggregate(build.dialect)
    text = f"SELECT {drive.position} AS position FROM {source} WHERE {' AND '.join(wanted)}"
    if window is None:
        return text
    text += f" ORDER BY {drive.order} {_direction(window)} LIMIT {build.bind(window.limit)}"
    if values.each:
        order = f"ORDER BY w.position {_direction(window)} LIMIT {build.bind(window.limit)}"
        text = f"SELECT w.position FROM {values.each(values.listed, text)} w {order}"
    return f"SELECT position FROM ({text}) AS page"


def _drive(part: Branch, build: Builder, values: _Values, window: Window | None) -> _Drive:
    dialect = build.dialect
    if part.field == "tags":
        # the tag's entries, in position order, then the event of each
        source = dialect.in_order(f"{dialect.table('event_tags')} d", _events(dialect), "e.position = d.position")
        return _Drive(source, [values.equal("d.tag")], "d.position", "d.position")
    if part.field == "ids":
        return _Drive(_events(dialect), [values.equal("e.id")], "e.position")
    if part.field == "aggregates":
        return _of_aggregates(part, build, values, window)
    if part.field == "names":
        return _by_name(build, values, window)
    return _Drive(_events(dialect), [build.any_of(part.items)], "e.position")


def _of_aggregates(part: Branch, build: Builder, values: _Values, window: Window | None) -> _Drive:
    events = build.dialect.table("events")

    def key() -> str:
        return values.key("aggregates", f"name = {build.bind(part.name)} AND {values.equal('id')}")

    def at(position: int) -> str:
        return (
            f"SELECT s.version FROM {events} s WHERE s.position = {build.bind(position)} AND s.aggregate_key = {key()}"
        )

    source = _events(build.dialect) + build.dialect.by_index("events_of_aggregate")
    wanted = [f"e.aggregate_key {values.among} {key()}"]
    if len(part.values) > 1:
        return _Drive(source, wanted, "e.version" if values.each else "e.position")
    # Within an aggregate, version order is position order, and there is an index for it. If the previous page ended with this
    # aggregate, continue at its version instead of scanning all earlier ones.
    if window is not None and window.after and not window.reverse:
        wanted.append(f"e.version > coalesce(({at(window.after)}), 0)")
    elif window is not None and window.upto < MAX_INTEGER and window.reverse:
        wanted.append(f"e.version < coalesce(({at(window.upto + 1)}), {MAX_INTEGER})")
    return _Drive(source, wanted, "e.version")


def _by_name(build: Builder, values: _Values, window: Window | None) -> _Drive:
    def key() -> str:
        return values.key("event_names", values.equal("name"))

    source = _events(build.dialect) + build.dialect.by_index("events_by_name")
    if not build.dialect.pairs:
        return _Drive(source, [f"e.name_key {values.among} {key()}"], "e.position")
    first, last, direction = (
        (0, MAX_INTEGER, "ASC") if window is None else (window.after, window.upto, _direction(window))
    )
    pair = "(e.name_key, e.position)"
    between = f"{pair} > ({key()}, {build.bind(first)}) AND {pair} <= ({key()}, {build.bind(last)})"
    return _Drive(source, [between], f"e.name_key {direction}, e.position", bounded=True)
