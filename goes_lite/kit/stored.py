"""Check a row before it becomes a value: a failing disk or another program may have changed it.

A wrong one raises a DecodeError that names the table, the column and the row, never a bare error of Python later on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from goes_lite.errors import DecodeError
from goes_lite.events.fields import is_micros


class Columns:
    """The columns of a table and the types of their values, in order; a `datetime` is stored in microseconds."""

    def __init__(self, table: str, **columns: Any) -> None:
        self._table = table
        self._columns = columns
        self._types = tuple(int if kind is datetime else kind for kind in columns.values())
        self._times = [at for at, kind in enumerate(columns.values()) if kind is datetime]

    def check(self, row: Sequence[Any], key: object = None) -> Sequence[Any]:
        """Return the row; raise DecodeError if a value is of another type, or no time. `key` tells which row it is."""
        if (*map(type, row),) != self._types:
            for value, (column, kind) in zip(row, self._columns.items(), strict=True):
                if not isinstance(value, int if kind is datetime else kind):
                    raise self._wrong(column, value, key or row[:2])
        for at in self._times:
            if not is_micros(row[at]):
                raise self._wrong([*self._columns][at], row[at], key or row[:2])
        return row

    def _wrong(self, column: str, value: object, key: object) -> DecodeError:
        return DecodeError(
            f"{self._table}.{column}",
            f"the row of {key!r:.120} has {value!r:.80} there, which cannot be: restore a backup",
        )


AGGREGATE = Columns("aggregates", name=str, id=str, version=int, first_time=datetime, last_time=datetime)
SNAPSHOT = Columns(
    "snapshots", name=str, id=str, version=int, time=datetime, schema=int, encoding=str, state=str | bytes, deleted=int
)
MODEL = Columns("models", collection=str, id=str, version=int, data=str)
CHECKPOINT = Columns("checkpoints", name=str, position=int, store=str, time=datetime)
LEASE = Columns("leases", owner=str, token=int, expires=datetime)
