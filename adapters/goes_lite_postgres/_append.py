"""Appending: what is looked up for a group of appends, what is decided for each of them, what is written for all.

It runs inside a transaction that holds the lock of the log (see `_statements`), so what was looked up stays true until
the commit: one look, then every decision in Python, then one statement that writes. An append that is refused has
written nothing, and disturbs none of the others in its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.batch import Batch, check_repeated
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, InvalidEventError
from goes_lite.event import AggregateRef, Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.reading import EventReader
from goes_lite.sql import MAX_INTEGER, Dialect, select
from goes_lite.store import AppendCondition, Appended
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, unstorable
from goes_lite_postgres._names import Names
from goes_lite_postgres._options import Target
from goes_lite_postgres._rows import packed, unpacked


class AppendSql:
    """The statements, with the names of one store's tables."""

    def __init__(self, target: Target) -> None:
        table = target.table
        highest = f"SELECT coalesce(max(e.position), 0) FROM {table('events')} e"
        self.head = f"SELECT greatest(s.head, ({highest})) FROM {table('store')} s"
        self.look = (
            f"SELECT ({self.head}), "
            f"ARRAY(SELECT e.id FROM {table('events')} e WHERE e.id = ANY ($1::text[]::uuid[])), "
            "ARRAY(SELECT ARRAY[a.key, a.version] FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w (name, id, n) "
            f"LEFT JOIN {table('aggregates')} a ON a.name = w.name AND a.id = w.id ORDER BY w.n)"
        )
        self.stored = (
            "SELECT e.position, e.id, n.name, a.name, a.id, e.version, e.time, e.encoding, e.schema, e.data, e.binary_data, "
            f"e.metadata, e.tags FROM {table('events')} e JOIN {table('event_names')} n ON n.key = e.name_key "
            f"LEFT JOIN {table('aggregates')} a ON a.key = e.aggregate_key WHERE e.id = ANY ($1::text[]::uuid[])"
        )
        self.write = (
            f"WITH moved AS (INSERT INTO {table('aggregates')} (key, name, id, version, first_time, last_time) "
            "SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) "
            "ON CONFLICT (key) DO UPDATE SET version = excluded.version, last_time = excluded.last_time), "
            f"tagged AS (INSERT INTO {table('event_tags')} (tag, position) "
            "SELECT * FROM unnest($7::text[], $8::bigint[])) "
            f"INSERT INTO {table('events')} (position, id, name_key, aggregate_key, version, time, encoding, schema, data, "
            "binary_data, metadata, tags) SELECT w.position, w.id::uuid, w.name_key, w.aggregate_key, w.version, w.time, "
            "w.encoding, w.schema, w.data, w.binary_data, w.metadata, w.tags FROM unnest($9::bigint[], $10::text[], "
            "$11::integer[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], $16::bigint[], $17::text[], "
            "$18::bytea[], $19::text[], $20::text[]) AS w (position, id, name_key, aggregate_key, version, time, encoding, "
            "schema, data, binary_data, metadata, tags)"
        )


class Group:
    """Some appends on their way into one transaction: look, decide on each in turn, write."""

    def __init__(self, sql: AppendSql, dialect: Dialect, reader: EventReader, names: Names) -> None:
        self._sql = sql
        self._dialect = dialect
        self._reader = reader
        self._names = names
        self._aggregates: dict[AggregateRef, tuple[int | None, int]] = {}
        self._stored: dict[bytes, Event[Any]] = {}
        self._moved: dict[AggregateRef, tuple[int, int, int, int]] = {}
        self.events: list[Event[Any]] = []
        """What is to be written, in position order, behind `before`."""
        self.before = 0

    async def look(self, connection: Connection, batches: Sequence[Batch]) -> None:
        """Learn where the log and the aggregates are, and which of the events are stored already."""
        ids = [id_bytes(event).hex() for batch in batches for event in batch.events]
        refs = [*dict.fromkeys(ref for batch in batches for ref in batch.steps)]
        row = await connection.fetchrow(self._sql.look, ids, [ref.name for ref in refs], [ref.id for ref in refs])
        assert row is not None, "a store has a row in the table 'store'"  # noqa: S101 - see `_schema.ddl`
        self.before, repeated, found = row
        self._aggregates = {ref: (key, version or 0) for ref, (key, version) in zip(refs, found, strict=True)}
        if repeated:
            rows = await connection.fetch(self._sql.stored, [one.bytes.hex() for one in repeated])
            for position, id, name, aggregate, aggregate_id, version, time, encoding, schema, *rest in rows:
                text, binary, metadata, tags = rest
                ref = None if aggregate is None else AggregateRef._make((aggregate, aggregate_id))
                self._stored[id.bytes] = restore(
                    id.bytes, name, None, time, ref, version, metadata, tags, position, encoding, schema,
                    unpacked(text, binary),
                )  # fmt: skip

    async def decide(self, connection: Connection, batch: Batch, condition: AppendCondition | None) -> Appended:
        """What becomes of one append; what is raised is what it is refused with."""
        if self._stored and any(id_bytes(event) in self._stored for event in batch.events):
            return check_repeated(batch, self._stored, self._reader.registry)
        for ref, step in batch.steps.items():
            _, version = self._aggregates[ref]
            if version != step.expected:
                raise ConcurrencyError(ref, step.expected, version)
        if condition is not None and (position := await self._conflict(connection, condition)):
            raise AppendConditionFailed(condition, position)
        return self._accept(batch)

    def _accept(self, batch: Batch) -> Appended:
        first = self.before + len(self.events) + 1
        positions = tuple(range(first, first + len(batch.events)))
        for event, position in zip(batch.events, positions, strict=True):
            stored = event.at(position)
            self.events.append(stored)
            self._stored[id_bytes(event)] = stored
            ref = event.aggregate
            if ref is not None and self._aggregates[ref][0] is None:
                # the position of its first event is a number that no other aggregate has ever had
                self._aggregates[ref] = (position, 0)
        for ref, step in batch.steps.items():
            key = self._aggregates[ref][0]
            assert key is not None, "given just now"  # noqa: S101
            self._aggregates[ref] = (key, step.version)
            begun = self._moved.get(ref)
            first_time = begun[2] if begun else time_micros(step.first)
            self._moved[ref] = (key, step.version, first_time, time_micros(step.last))
        return Appended(positions)

    async def _conflict(self, connection: Connection, condition: AppendCondition) -> int:
        """The highest position of an event that the condition forbids, 0 if there is none."""
        ours = (event for event in reversed(self.events) if event.position > condition.after)
        position: int = next((event.position for event in ours if self._reader.matches(condition.query, event)), 0)
        if position:
            return position
        page = select(
            "e.position", condition.query, self._dialect, self._reader.registry.spellings,
            after=min(condition.after, MAX_INTEGER), upto=MAX_INTEGER, limit=1, reverse=True,
        )  # fmt: skip
        rows = await connection.fetch(page.text, *page.parameters)
        return int(rows[0][0]) if rows else 0

    async def write(self, connection: Connection) -> None:
        """Store what was accepted; InvalidEventError for a value that PostgreSQL has no place for."""
        try:
            await self._write(connection)
        except DRIVER_ERRORS as exc:
            if unstorable(exc):  # a codec of the user's own gave out what is no text
                raise InvalidEventError(
                    f"an event of the batch has a value that PostgreSQL cannot store: {exc!s:.200}"
                ) from exc
            raise

    async def _write(self, connection: Connection) -> None:
        events = self.events
        keys = await self._names.keys(connection, {event.name for event in events})
        tagged = [(tag, event.position) for event in events if event._tags for tag in event.tags]
        encoded = [event.encoded for event in events]
        payloads = [packed(payload) for _, _, payload in encoded]
        moved = self._moved
        await connection.execute(
            self._sql.write,
            [key for key, _, _, _ in moved.values()],
            [ref.name for ref in moved],
            [ref.id for ref in moved],
            [version for _, version, _, _ in moved.values()],
            [first for _, _, first, _ in moved.values()],
            [last for _, _, _, last in moved.values()],
            [tag for tag, _ in tagged],
            [position for _, position in tagged],
            [event.position for event in events],
            [id_bytes(event).hex() for event in events],
            [keys[event.name] for event in events],
            [None if event.aggregate is None else self._aggregates[event.aggregate][0] for event in events],
            [event.version for event in events],
            [time_micros(event) for event in events],
            [encoding for encoding, _, _ in encoded],
            [schema for _, schema, _ in encoded],
            [text for text, _ in payloads],
            [binary for _, binary in payloads],
            [metadata_json(event) for event in events],
            [tags_json(event) for event in events],
        )
