"""Write one table as a Parquet file, with pyarrow."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from goes_lite.errors import DriverMissing

ROWS = 5000
"""How many rows make a group, in memory at once."""


def pyarrow() -> Any:
    """Return the package with its Parquet module; DriverMissing without it. It has no types of its own."""
    try:
        import_module("pyarrow.parquet")
    except ImportError as exc:
        raise DriverMissing("parquet", "pyarrow", "parquet") from exc
    return import_module("pyarrow")


class ParquetWriter:
    """Writes rows with these columns, each of one type."""

    def __init__(self, path: Path, columns: list[tuple[str, type[Any]]]) -> None:
        self._arrow = arrow = pyarrow()
        types = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(), str: arrow.string()}
        time = arrow.timestamp("us", tz="UTC")
        self._columns = columns
        self._schema = arrow.schema([(name, time if name == "time" else types[kind]) for name, kind in columns])
        self._writer = arrow.parquet.ParquetWriter(str(path), self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> None:
        """Write a row, with others."""
        self._rows.append(row)
        if len(self._rows) >= ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            columns = {name: [_value(name, kind, row.get(name)) for row in self._rows] for name, kind in self._columns}
            self._writer.write_table(self._arrow.Table.from_pydict(columns, schema=self._schema))
            self._rows.clear()


def _value(name: str, kind: type[Any], value: Any) -> Any:
    if value is None:
        return None
    if name == "time":
        return datetime.fromisoformat(value)
    if kind is str:
        return value if isinstance(value, str) else json.dumps(value)
    return kind(value)
