"""Check the file itself, and its tables against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from goes_lite.contract.findings import Finding
from goes_lite.sqlite._driver import Connection

MOST = 20
"""How many rows of each kind are named."""

_REBUILD = "restore a backup, or, if only an index is damaged, run REINDEX with the sqlite3 shell while no program uses the file"

_VERSIONS = f"""
    SELECT a.name, a.id, a.version, count(e.version), min(e.version), max(e.version)
    FROM aggregates a LEFT JOIN events e ON e.aggregate_key = a.key
    GROUP BY a.key HAVING count(e.version) != a.version OR min(e.version) != 1 OR max(e.version) != a.version LIMIT {MOST}
"""
_TIMES = f"""
    SELECT a.name, a.id, a.first_time, f.time, a.last_time, l.time
    FROM aggregates a JOIN events f ON f.aggregate_key = a.key AND f.version = 1
    JOIN events l ON l.aggregate_key = a.key AND l.version = a.version
    WHERE a.first_time != f.time OR a.last_time != l.time LIMIT {MOST}
"""
_ORDER = f"""
    SELECT a.name, a.id, e.version, e.position, b.position
    FROM events e JOIN events b ON b.aggregate_key = e.aggregate_key AND b.version = e.version - 1
    JOIN aggregates a ON a.key = e.aggregate_key
    WHERE e.aggregate_key IS NOT NULL AND e.position < b.position LIMIT {MOST}
"""
_TAGS_MISSING = f"""
    SELECT e.position, t.value FROM events e, json_each(e.tags) t
    WHERE e.tags IS NOT NULL AND json_valid(e.tags)
    AND NOT EXISTS (SELECT 1 FROM event_tags d WHERE d.tag = t.value AND d.position = e.position) LIMIT {MOST}
"""
_TAGS_NUMBER = """
    SELECT (SELECT count(*) FROM event_tags),
           (SELECT total(CASE WHEN json_valid(tags) THEN json_array_length(tags) END) FROM events WHERE tags IS NOT NULL)
"""
_TAGS_EXTRA = f"""
    SELECT d.position, d.tag FROM event_tags d LEFT JOIN events e ON e.position = d.position
    WHERE NOT EXISTS (SELECT 1 FROM json_each(e.tags) t WHERE t.value = d.tag) AND (e.tags IS NULL OR json_valid(e.tags))
    LIMIT {MOST}
"""


def integrity(connection: Connection) -> list[Finding]:
    """Return what is wrong, as of one moment."""
    connection.execute("BEGIN")
    try:
        found = [*_file(connection)]
        return found or [*_tables(connection)]  # what damaged pages say of each other is worth nothing
    finally:
        connection.execute("ROLLBACK")


def _file(connection: Connection) -> Iterator[Finding]:
    for (line,) in _rows(connection, f"PRAGMA integrity_check({MOST})"):
        if line != "ok":
            yield Finding("sqlite-integrity", f"SQLite's own check of the file says: {line!s:.300}", _REBUILD)
    for table, row, parent, _ in _rows(connection, "PRAGMA foreign_key_check")[:MOST]:
        yield Finding("reference-lost", f"the row {row} of {table!r} refers to a row of {parent!r} that is not there")


def _tables(connection: Connection) -> Iterator[Finding]:
    for name, id, version, number, first, last in _rows(connection, _VERSIONS):
        yield Finding(
            "aggregate-version",
            f"{name}({id}) is listed with version {version}, but has {number} events, of the versions {first} to {last}",
        )
    for name, id, *times in _rows(connection, _TIMES):
        yield Finding(
            "aggregate-time",
            f"{name}({id}) is listed with the first and last time {times[0::2]}, its events have {times[1::2]}",
        )
    for name, id, version, position, before in _rows(connection, _ORDER):
        yield Finding("version-order", f"version {version} of {name}({id}) is at position {position}, after {before}")
    missing = _rows(connection, _TAGS_MISSING)
    for position, tag in missing:
        yield Finding("tag-missing", f"the event at position {position} is not found by its tag {tag!r}")
    ((listed, carried),) = _rows(connection, _TAGS_NUMBER)
    if listed == carried and not missing:
        return  # every tag that an event carries is listed, and no other can be
    for position, tag in _rows(connection, _TAGS_EXTRA):
        yield Finding(
            "tag-extra", f"the tag {tag!r} leads to the event at position {position}, which does not carry it"
        )


def _rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return [*connection.execute(sql).fetchall()]
