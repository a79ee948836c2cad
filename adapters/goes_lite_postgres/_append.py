"""Append a group: look up what it needs, decide each append, write all accepted ones.

There are two ways. Usually everything is as the appends expect, so they are decided on that assumption, which the function
that writes verifies (`Group.foresee`). If it does not hold, or more must be known, the group runs in a transaction that
holds the lock of the log (see `_statements`), so that what it looks up stays true until the commit: one lookup, then every
decision, then one statement that writes. A refused append writes nothing and does not affect the others of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, InvalidEventError
from goes_lite.events.event import Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch, check_repeated
from goes_lite.kit.reading import EventReader
from goes_lite.kit.select import read_highest
from goes_lite.kit.sql import MAX_INTEGER, Dialect
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, answer, unstorable
from goes_lite_postgres._names import Names
from goes_lite_postgres._options import ServerAddress
from goes_lite_postgres._rows import packed, unpacked


class AppendSql:
    """The statements that look up, for the tables of one store; those that write are in `_function`."""

    def __init__(self, address: ServerAddress) -> None:
        table = address.table
        highest = f"SELECT coalesce(max(e.position), 0) FROM {table('events')} e"
        self.head = f"SELECT greatest(s.head, ({highest})) FROM {table('store')} s"
        self.look = (
            f"SELECT ({self.head}), "
            f"ARRAY(SELECT e.id FROM {table('events')} e WHERE e.id = ANY ($1::text[]::uuid[])), "
            "ARRAY(SELECT coalesce(a.version, 0) FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w (name, id, n) "
            # not as a join, which would be planned while the table is small
            f"LEFT JOIN LATERAL (SELECT version FROM {table('aggregates')} WHERE name = w.name AND id = w.id OFFSET 0) a "
            "ON true ORDER BY w.n)"
        )
        self.events = (
            "SELECT e.position, e.id, n.name, a.name, a.id, e.version, e.time, e.encoding, e.schema, e.data, e.binary_data, "
            f"e.metadata, e.tags FROM {table('events')} e JOIN {table('event_names')} n ON n.key = e.name_key "
            f"LEFT JOIN {table('aggregates')} a ON a.key = e.aggregate_key"
        )
        self.stored = f"{self.events} WHERE e.id = ANY ($1::text[]::uuid[])"


class Move(NamedTuple):
    """The change of one aggregate by a group."""

    number: int
    """From 1, in the order of the aggregates' first events."""
    expected: int
    version: int
    begins: int
    """The number of its first event in the group, from 1."""
    first_time: int
    last_time: int


class Group:
    """The appends of one transaction: look or foresee, decide each in turn, write."""

    def __init__(self, sql: AppendSql, dialect: Dialect, reader: EventReader, names: Names) -> None:
        self._sql = sql
        self._dialect = dialect
        self._reader = reader
        self._names = names
        self._versions: dict[AggregateRef, int] = {}
        self._stored: dict[bytes, Event[Any]] = {}
        self._accepted: set[bytes] = set()
        self._moved: dict[AggregateRef, Move] = {}
        self.events: list[Event[Any]] = []
        """The events to write after position `before`, in order."""
        self.before = 0
        self._with_positions: list[Event[Any]] = []

    def foresee(self, batches: Sequence[AppendBatch]) -> bool:
        """Assume that every aggregate is at the version that its first append expects, and that no event is stored.

        Return False if that cannot work: the key of a name is unknown, or the group contains an event twice.
        """
        for batch in batches:
            for ref, step in batch.steps.items():
                self._versions.setdefault(ref, step.expected)
        ids = {id_bytes(event) for batch in batches for event in batch.events}
        return len(ids) == sum(len(batch.events) for batch in batches) and self._names.known(
            event.name for batch in batches for event in batch.events
        )

    async def look(self, connection: Connection, batches: Sequence[AppendBatch]) -> None:
        """Look up the head, the aggregates' versions, and which of the events are stored already."""
        ids = [id_bytes(event).hex() for batch in batches for event in batch.events]
        refs = [*dict.fromkeys(ref for batch in batches for ref in batch.steps)]
        row = await connection.fetchrow(self._sql.look, ids, [ref.name for ref in refs], [ref.id for ref in refs])
        assert row is not None, "a store has a row in the table 'store'"  # noqa: S101 - see `_schema.ddl`
        self.before, repeated, versions = row
        self._versions = dict(zip(refs, versions, strict=True))
        if repeated:
            rows = await connection.fetch(self._sql.stored, [one.bytes.hex() for one in repeated])
            for position, id, name, aggregate, aggregate_id, version, time, encoding, schema, *rest in rows:
                text, binary, metadata, tags = rest
                ref = None if aggregate is None else AggregateRef._make((aggregate, aggregate_id))
                self._stored[id.bytes] = restore(
                    id.bytes, name, None, time, ref, version, metadata, tags, position, encoding, schema,
                    unpacked(text, binary),
                )  # fmt: skip

    async def decide(self, connection: Connection, batch: AppendBatch, condition: AppendCondition | None) -> Appended:
        """Return the result of one append, or raise the error that refuses it."""
        if (self._stored or self._accepted) and (repeated := self._repeated(batch)):
            return check_repeated(batch, repeated, self._reader.registry)
        for ref, step in batch.steps.items():
            version = self._versions[ref]
            if version != step.expected:
                raise ConcurrencyError(ref, step.expected, version)
        if condition is not None and (position := await self._conflict(connection, condition)):
            raise AppendConditionFailed(condition, position)
        return self._accept(batch)

    def _repeated(self, batch: AppendBatch) -> dict[bytes, Event[Any]]:
        """Return the events with an id of the batch that are stored or come earlier in the group."""
        ids = {id_bytes(event) for event in batch.events}
        found = {id: event for id, event in self._stored.items() if id in ids}
        if not ids.isdisjoint(self._accepted):
            found.update((id_bytes(event), event) for event in self._placed() if id_bytes(event) in ids)
        return found

    def _placed(self) -> list[Event[Any]]:
        """Return the accepted events with their positions."""
        placed = self._with_positions
        begin = len(placed)
        placed += (event.at(position) for position, event in enumerate(self.events[begin:], self.before + begin + 1))
        return placed

    def _accept(self, batch: AppendBatch) -> Appended:
        number = len(self.events)
        for ref, step in batch.steps.items():
            begun = self._moved.get(ref)
            if begun is None:
                begins = number + 1 + next(n for n, event in enumerate(batch.events) if event is step.first)
                first, last = time_micros(step.first), time_micros(step.last)
                move = Move(len(self._moved) + 1, step.expected, step.version, begins, first, last)
            else:
                move = begun._replace(version=step.version, last_time=time_micros(step.last))
            self._moved[ref] = move
            self._versions[ref] = step.version
        self.events += batch.events
        self._accepted.update(map(id_bytes, batch.events))
        return Appended(tuple(range(self.before + number + 1, self.before + len(self.events) + 1)))

    async def _conflict(self, connection: Connection, condition: AppendCondition) -> int:
        """Return the highest position of an event that the condition forbids, or 0."""
        ours = (event for event in reversed(self._placed()) if event.position > condition.after)
        position: int = next((event.position for event in ours if self._reader.matches(condition.query, event)), 0)
        if position:
            return position
        after = min(condition.after, MAX_INTEGER)
        return await answer(
            read_highest(condition.query, self._dialect, self._reader.registry.spellings, after=after), connection
        )

    async def write(self, connection: Connection, sql: str) -> int | None:
        """Store the accepted events and return the position before them, or None, storing nothing, if an assumption failed.

        Raise InvalidEventError for a value that PostgreSQL cannot store.
        """
        try:
            return await self._write(connection, sql)
        except DRIVER_ERRORS as exc:
            if unstorable(exc):  # a custom codec returned invalid text, or jsonb refuses a value
                raise InvalidEventError(
                    f"an event of the batch has a value that PostgreSQL cannot store: {exc!s:.200}"
                ) from exc
            raise

    async def _write(self, connection: Connection, sql: str) -> int | None:
        events, moved = self.events, self._moved
        keys = await self._names.keys(connection, {event.name for event in events})
        tagged = [(tag, number) for number, event in enumerate(events, 1) if event._tags for tag in event.tags]
        encoded = [event.encoded for event in events]
        payloads = [packed(payload) for _, _, payload in encoded]
        moves = moved.values()
        before: int | None = await connection.fetchval(
            sql,
            [ref.name for ref in moved],
            [ref.id for ref in moved],
            [move.expected for move in moves],
            [move.version for move in moves],
            [move.begins for move in moves],
            [move.first_time for move in moves],
            [move.last_time for move in moves],
            [tag for tag, _ in tagged],
            [number for _, number in tagged],
            [id_bytes(event).hex() for event in events],
            [keys[event.name] for event in events],
            [None if event.aggregate is None else moved[event.aggregate].number for event in events],
            [event.version for event in events],
            [time_micros(event) for event in events],
            [encoding for encoding, _, _ in encoded],
            [schema for _, schema, _ in encoded],
            [text for text, _ in payloads],
            [binary for _, binary in payloads],
            [metadata_json(event) for event in events],
            [tags_json(event) for event in events],
        )
        return before
