"""Import events of another store, as one function of the writing connection."""

from __future__ import annotations

from goes_lite.errors import InvalidEventError
from goes_lite.events.event import Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.importing import Import, check_new, check_same, tagged
from goes_lite.sqlite._append import EVENT, STORED, TAG, head
from goes_lite.sqlite._driver import Connection, Row
from goes_lite.sqlite._fence import check_open

_AT = f"{STORED} WHERE e.position BETWEEN ? AND ?"
_USED = "SELECT id, position FROM events WHERE id IN ({})"
MANY = 500
"""Ids that are looked up with one statement."""
_VERSION = "SELECT key, version FROM aggregates WHERE name = ? AND id = ?"
_AGGREGATE = (
    "INSERT INTO aggregates (name, id, version, first_time, last_time) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, id) "
    "DO UPDATE SET version = excluded.version, last_time = excluded.last_time RETURNING key"
)
_NAME = "SELECT key FROM event_names WHERE name = ?"
_NEW_NAME = "INSERT INTO event_names (name) VALUES (?) RETURNING key"
_MOVED = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'events' AND seq < ?1"
_BEGUN = "INSERT INTO sqlite_sequence (name, seq) SELECT 'events', ?1 WHERE ?1 > 0 AND NOT EXISTS ({there})".format(
    there="SELECT 1 FROM sqlite_sequence WHERE name = 'events'"
)


def insert(location: str, imported: Import, connection: Connection) -> int:
    """Store the events at their positions and return the head."""
    check_open(connection, location)  # the head alone is in SQLite's own table, which has no triggers
    execute, before = connection.execute, head(connection)
    if known := imported.stored_already(before):
        rows = execute(_AT, (known[0].position, known[-1].position)).fetchall()
        check_same(known, map(_event, rows))
    batch = imported.new(before)
    used = _used(connection, [id_bytes(event) for event in batch.events])
    versions = {ref: row[1] for ref in batch.steps for row in execute(_VERSION, ref).fetchall()}
    check_new(batch, versions, used)
    try:
        _insert(batch, connection)
    except (UnicodeEncodeError, OverflowError) as exc:  # a custom codec returned invalid text
        raise InvalidEventError(f"an event has a value that SQLite cannot store: {exc!s:.200}") from exc
    execute(_BEGUN, (imported.head,))
    execute(_MOVED, (imported.head,))
    return max(before, imported.head)


def _used(connection: Connection, ids: list[bytes]) -> dict[bytes, int]:
    """Return the positions of those ids that are stored."""
    found: dict[bytes, int] = {}
    for start in range(0, len(ids), MANY):
        part = ids[start : start + MANY]
        found.update(connection.execute(_USED.format(", ".join("?" * len(part))), part).fetchall())
    return found


def _insert(batch: AppendBatch, connection: Connection) -> None:
    execute = connection.execute
    keys: dict[AggregateRef | None, int | None] = {None: None}
    for ref, step in batch.steps.items():
        row = (*ref, step.version, time_micros(step.first), time_micros(step.last))
        keys[ref] = execute(_AGGREGATE, row).fetchall()[0][0]
    names: dict[str, int] = {}
    for event in batch.events:
        if (name := event.name) not in names:
            names[name] = (execute(_NAME, (name,)).fetchall() or execute(_NEW_NAME, (name,)).fetchall())[0][0]
    rows = [
        (
            event.position, id_bytes(event), names[event.name], keys[event.aggregate], event.version, time_micros(event),
            *event.encoded, metadata_json(event), tags_json(event),
        )
        for event in batch.events
    ]  # fmt: skip
    connection.executemany(EVENT, rows)
    connection.executemany(TAG, tagged(batch.events))


def _event(row: Row) -> Event[None]:
    position, id, name, aggregate, aggregate_id, *rest = row
    ref = None if aggregate is None else AggregateRef._make((aggregate, aggregate_id))
    version, time, encoding, schema, payload, metadata, tags = rest
    return restore(id, name, None, time, ref, version, metadata, tags, position, encoding, schema, payload)
