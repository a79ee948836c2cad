"""Tables of a log for analysis: one for each event name, with a column for each field of its payload.

Rule of this file: nothing is ever made of these tables again. Types are guessed, lists become text, and what is not JSON is not
taken apart. The log is read twice: which columns there are is known only at its end.
"""

from __future__ import annotations

import csv
import json
import os
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TextIO, TypeAlias, cast
from urllib.parse import quote

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import check_position
from goes_lite.errors import ConfigError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery, check_query

Format: TypeAlias = Literal["csv", "parquet"]

FIELDS = ("position", "time", "id", "aggregate", "aggregate_id", "version", "schema", "tags")
"""The columns that every table begins with."""
DATA, METADATA, PAYLOAD = "data.", "metadata.", "payload"
"""How the names of the other columns begin: fields of the payload and of the metadata; a payload that has no fields."""
MAX_COLUMNS = 2000
"""How many columns a table has at most: an object with ids as keys would have one for each."""
OPEN_FILES = 200
"""How many tables are written at the same time."""


class Table(NamedTuple):
    """A table that was written."""

    event: str
    file: Path
    rows: int
    columns: tuple[str, ...]


Row: TypeAlias = "dict[str, str | int | float | bool | None]"


class _Writer(Protocol):
    """Writes the rows of one table."""

    def write(self, row: Row, /) -> None: ...
    def close(self) -> None: ...


async def write_tables(
    db: Backend,
    folder: str | os.PathLike[str],
    form: Format,
    *,
    query: EventQuery = EVERYTHING,
    after: int = 0,
    upto: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Table]:
    """Write a table for each event name into a new folder, for analysis, and return what was written.

    - A table has the columns `FIELDS`, `metadata.KEY`, and `data.KEY`, with dots between the keys of nested objects. Lists are
      JSON text. A payload that is not a JSON object is in the column `payload`, bytes as Base64.
    - 'csv' writes UTF-8 with a header; None is an empty field. 'parquet' needs pyarrow (the extra `parquet`); a column is of
      integers, numbers, booleans or text, whichever all of its values are.
    - Memory does not grow with the log. `progress` is called with the number of events read, of twice as many as there are.

    Raises ConfigError if the folder exists or there are too many columns, DriverMissing without pyarrow.
    """
    check_query(query)
    if form not in ("csv", "parquet"):
        raise InvalidQueryError(f"the format of tables is 'csv' or 'parquet', not {form!r:.80}")
    if form == "parquet":
        from goes_lite.operations._parquet import pyarrow

        await db.runtime.call(pyarrow)
    target = Path(folder)
    head = await db.events.head()
    last = head if upto is None else min(check_position("upto", upto), head)
    shapes: dict[str, _Shape] = {}
    done = 0

    async def rows() -> AsyncGenerator[list[Event[Any]]]:
        nonlocal done
        pages = db.events.stored(after=after, upto=last)
        while page := await pages.next_page():
            yield [event for event in page if query.matches(event)]
            done += len(page)
            if progress is not None:
                progress(done)

    async for page in rows():
        for event in page:
            shapes.setdefault(event.name, _Shape(event.name)).add(_row(event))
    files = _files(shapes, form)
    await db.runtime.call(lambda: _make(target))
    writers = _Writers({name: (target / file, shapes[name]) for name, file in files.items()}, form)
    try:
        async for page in rows():
            await db.runtime.call(partial(writers.write, page))
    finally:
        await db.runtime.call(writers.close)
    return [
        Table(name, target / files[name], shapes[name].rows, tuple(shapes[name].columns())) for name in sorted(shapes)
    ]


class _Shape:
    """The columns of a table, and what type all values of each have."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._kinds: dict[str, type[Any] | None] = dict.fromkeys(FIELDS)
        self.rows = 0

    def add(self, row: Row) -> None:
        self.rows += 1
        for name, value in row.items():
            kind = None if value is None else type(value)
            known = self._kinds.get(name)
            if name not in self._kinds and len(self._kinds) >= MAX_COLUMNS:
                raise ConfigError(
                    f"a table of {self._event!r} would have more than {MAX_COLUMNS} columns, such as {name!r:.80}: select "
                    "other events"
                )
            self._kinds[name] = kind if known is None else known if kind is None else _common(known, kind)

    def columns(self) -> list[str]:
        """Return the names of the columns: the fields, then the others sorted."""
        return [*FIELDS, *sorted(self._kinds.keys() - {*FIELDS})]

    def kind(self, name: str) -> type[Any]:
        return self._kinds[name] or str


def _common(one: type[Any], two: type[Any]) -> type[Any]:
    """Return the type of a column with values of both."""
    return one if one is two else float if {one, two} == {int, float} else str


def _row(event: Event[Any]) -> Row:
    """Return an event as a row."""
    encoding, schema, payload = event.encoded
    ref = event.aggregate
    row: Row = {
        "position": event.position,
        "time": event.time.isoformat(timespec="microseconds")[:26] + "Z",
        "id": str(event.id),
        "aggregate": ref and ref.name,
        "aggregate_id": ref and ref.id,
        "version": event.version,
        "schema": schema,
        "tags": " ".join(sorted(event.tags)),
    }
    row.update((METADATA + key, value) for key, value in event.metadata.items())
    if isinstance(payload, bytes):
        row[PAYLOAD] = b64encode(payload).decode("ascii")
        return row
    found: Any = None
    if encoding == "json":
        with suppress(ValueError, RecursionError):
            found = json.loads(payload)
    if isinstance(found, dict):
        row.update(_flat(DATA, cast("dict[str, Any]", found)))
    else:
        row[PAYLOAD] = payload
    return row


def _flat(prefix: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float | bool | None]]:
    """Yield the fields of an object, those of the objects in it with a dotted name."""
    left = [(prefix + key, value) for key, value in found.items()]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            inner = cast("dict[str, Any]", value)
            left += [(f"{name}.{key}", one) for key, one in inner.items()]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield name, str(value)
        elif value is None or isinstance(value, (str, int, float, bool)):
            yield name, value
        else:
            yield name, json.dumps(value, ensure_ascii=False)


def _files(names: Mapping[str, object], form: Format) -> dict[str, str]:
    """Return the name of the file of each table: that of the event, where a file can be called so anywhere."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        plain = quote(name, safe=" ()+,;=@!'&$")[:150].strip(". ") or "event"
        number, file = 1, plain
        while file.lower() in taken:
            number += 1
            file = f"{plain}-{number}"
        taken.add(file.lower())
        files[name] = f"{file}.{form}"
    return files


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{str(folder)!r} exists already: tables are written into a new folder") from None


class _Writers:
    """The tables that are written, a few of them open at a time."""

    def __init__(self, tables: Mapping[str, tuple[Path, _Shape]], form: Format) -> None:
        if form == "parquet" and len(tables) > OPEN_FILES:
            raise ConfigError(
                f"there are {len(tables)} event names, and at most {OPEN_FILES} tables: select some of them"
            )
        self._tables = tables
        self._form = form
        self._open: dict[str, _Writer] = {}
        self._begun: set[str] = set()

    def write(self, events: list[Event[Any]]) -> None:
        for event in events:
            writer = self._open.get(event.name) or self._opened(event.name)
            writer.write(_row(event))

    def _opened(self, name: str) -> _Writer:
        if len(self._open) >= OPEN_FILES:
            first = next(iter(self._open))
            self._open.pop(first).close()
        path, shape = self._tables[name]
        begun = name in self._begun
        self._begun.add(name)
        if self._form == "csv":
            self._open[name] = _CsvWriter(path, shape, again=begun)
        else:
            from goes_lite.operations._parquet import ParquetWriter

            self._open[name] = ParquetWriter(path, [(column, shape.kind(column)) for column in shape.columns()])
        return self._open[name]

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


class _CsvWriter:
    def __init__(self, path: Path, shape: _Shape, *, again: bool) -> None:
        self._columns = shape.columns()
        self._file: TextIO = path.open("a" if again else "x", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        if not again:
            self._rows.writerow(self._columns)

    def write(self, row: Row) -> None:
        self._rows.writerow([row.get(column) for column in self._columns])

    def close(self) -> None:
        self._file.close()
