"""Check an export in a file before it is imported: what its lines say alone, and what they say together.

Versions without gaps and ids that differ concern all lines. They are kept in a temporary database on the disk, since there may
be any number of them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable

from goes_lite.errors import InvalidExport
from goes_lite.events.event import id_bytes
from goes_lite.operations.export_reader import MAX_LINE, Batch, ExportReader


class ExportCheck:
    """Reads an export in a file step by step, and raises InvalidExport at the first line that is wrong. It blocks."""

    def __init__(self, path: str | os.PathLike[str], *, max_line: int = MAX_LINE) -> None:
        self._stream = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self.reader = ExportReader(self._stream, max_line=max_line)
            for statement in _TABLES:
                self._database.execute(statement)
        except BaseException:
            self.close()
            raise

    def step(self) -> bool:
        """Check the next events; return False at the end."""
        batch = self.reader.next_batch()
        if batch is None:
            return False
        self._check_versions(batch)
        self._check_ids(batch)
        return True

    def close(self) -> None:
        """Close the file, and remove the database."""
        self._stream.close()
        self._database.close()

    def _check_versions(self, batch: Batch) -> None:
        reached: dict[tuple[str, str], int] = {}
        for event, line in zip(batch.events, batch.lines, strict=True):
            ref = event.aggregate
            if ref is None:
                continue
            before = reached.get(ref)
            if before is None:
                rows = self._rows("SELECT version FROM aggregates WHERE name = ? AND id = ?", ref)
                before = rows[0][0] if rows else 0
            if event.version != before + 1:
                raise InvalidExport(line, f"version {event.version} of {ref} follows version {before}")
            reached[ref] = event.version
        self._many(
            "INSERT INTO aggregates VALUES (?, ?, ?) ON CONFLICT (name, id) DO UPDATE SET version = excluded.version",
            [(*ref, version) for ref, version in reached.items()],
        )

    def _check_ids(self, batch: Batch) -> None:
        rows = [(id_bytes(event), line) for event, line in zip(batch.events, batch.lines, strict=True)]
        try:
            self._many("INSERT INTO ids VALUES (?, ?)", rows)
        except sqlite3.IntegrityError:
            seen: dict[bytes, int] = {}
            for id, line in rows:
                found = self._rows("SELECT line FROM ids WHERE id = ?", (id,))
                if found or id in seen:
                    first = found[0][0] if found else seen[id]
                    raise InvalidExport(line, f"it has the id of line {first}") from None
                seen[id] = line
            raise

    def _rows(self, sql: str, parameters: tuple[object, ...]) -> list[tuple[int]]:
        return self._database.execute(sql, parameters).fetchall()

    def _many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._database.execute("BEGIN")
        try:
            self._database.executemany(sql, rows)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


_TABLES = (
    "PRAGMA temp_store = FILE",
    "CREATE TABLE aggregates (name TEXT, id TEXT, version INTEGER, PRIMARY KEY (name, id)) WITHOUT ROWID",
    "CREATE TABLE ids (id BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID",
)
