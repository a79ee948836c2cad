"""Import events of another store, by COPY, with the lock of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goes_lite.errors import InvalidEventError
from goes_lite.events.event import Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch
from goes_lite.kit.importing import Import, check_new, check_same, tagged
from goes_lite_postgres._append import AppendSql
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, Row, unstorable
from goes_lite_postgres._names import Names
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._rows import packed, unpacked

_EVENTS = (
    "position", "id", "name_key", "aggregate_key", "version", "time", "encoding", "schema", "data", "binary_data",
    "metadata", "tags",
)  # fmt: skip


class ImportSql:
    """The statements for the tables of one store."""

    def __init__(self, address: ServerAddress) -> None:
        append, table = AppendSql(address), address.table
        self.schema = address.schema
        self.look = append.look
        self.at = f"{append.events} WHERE e.position BETWEEN $1 AND $2"
        self.used = f"SELECT id, position FROM {table('events')} WHERE id = ANY ($1::uuid[])"
        # the key of a new aggregate is the position of its first event, see `_function`
        self.aggregates = (
            f"INSERT INTO {table('aggregates')} AS a (key, name, id, version, first_time, last_time) "
            "SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) "
            "ON CONFLICT (name, id) DO UPDATE SET version = excluded.version, last_time = excluded.last_time "
            "RETURNING a.name, a.id, a.key"
        )
        self.head = f"UPDATE {table('store')} SET head = $1 WHERE head < $1"


async def insert(sql: ImportSql, names: Names, imported: Import, connection: Connection) -> int:
    """Store the events at their positions and return the head; the caller holds the lock of the log."""
    ids = [id_bytes(event).hex() for event in imported.events]
    refs = [*dict.fromkeys(event.aggregate for event in imported.events if event.aggregate is not None)]
    row = await connection.fetchrow(sql.look, ids, [ref.name for ref in refs], [ref.id for ref in refs])
    assert row is not None, "a store has a row in the table 'store'"  # noqa: S101 - see `_schema.ddl`
    before: int = row[0]
    _, known_ids, versions = row
    if known := imported.stored_already(before):
        rows = await connection.fetch(sql.at, known[0].position, known[-1].position)
        check_same(known, map(_event, rows))
    used = {one.bytes: at for one, at in await connection.fetch(sql.used, known_ids)} if known_ids else {}
    batch = imported.new(before)
    check_new(batch, dict(zip(refs, versions, strict=True)), used)
    if batch.events:
        try:
            await _insert(sql, names, batch, connection)
        except DRIVER_ERRORS as exc:
            if unstorable(exc):
                raise InvalidEventError(f"an event has a value that PostgreSQL cannot store: {exc!s:.200}") from exc
            raise
    if imported.head > before:
        await connection.execute(sql.head, imported.head)
    return max(before, imported.head)


async def _insert(sql: ImportSql, names: Names, batch: AppendBatch, connection: Connection) -> None:
    keys: dict[AggregateRef | None, int | None] = {None: None}
    if batch.steps:
        columns = zip(
            *(
                (step.first.position, *ref, step.version, time_micros(step.first), time_micros(step.last))
                for ref, step in sorted(batch.steps.items(), key=_ref)  # one lock order
            ),
            strict=True,
        )
        rows = await connection.fetch(sql.aggregates, *map(list, columns))
        keys |= {AggregateRef._make((name, id)): key for name, id, key in rows}
    of = await names.keys(connection, {event.name for event in batch.events})
    copy: Callable[..., Any] = connection.copy_records_to_table
    events = [
        (
            event.position, event.id, of[event.name], keys[event.aggregate], event.version, time_micros(event),
            event.encoded.encoding, event.encoded.schema, *packed(event.encoded.payload), metadata_json(event),
            tags_json(event),
        )
        for event in batch.events
    ]  # fmt: skip
    await copy("events", schema_name=sql.schema, columns=_EVENTS, records=events)
    if tags := tagged(batch.events):
        await copy("event_tags", schema_name=sql.schema, columns=("tag", "position"), records=tags)


def _ref(item: tuple[AggregateRef, object]) -> AggregateRef:
    return item[0]


def _event(row: Row) -> Event[None]:
    position, id, name, aggregate, aggregate_id, version, time, encoding, schema, text, binary, metadata, tags = row
    ref = None if aggregate is None else AggregateRef._make((aggregate, aggregate_id))
    payload = unpacked(text, binary)
    return restore(id.bytes, name, None, time, ref, version, metadata, tags, position, encoding, schema, payload)
