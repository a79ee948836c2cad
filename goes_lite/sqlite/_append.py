"""Append a batch, as one function of the writing connection: check versions, check the condition, insert.

It runs inside a transaction and may run again after a rollback, so it keeps no state outside the database. Usually it
does not look up ids: the versions of its aggregates reveal a retry, and the unique index a used id. A single event is
inserted without any lookup: the statement that updates its aggregate checks the expected version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, InvalidEventError, StoreDamaged
from goes_lite.events.event import Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Registry
from goes_lite.kit.batch import AppendBatch, check_repeated
from goes_lite.kit.select import answer, read_highest
from goes_lite.kit.sql import MAX_INTEGER, SQLITE
from goes_lite.sqlite._driver import CONSTRAINT, NOT_NULL, PRIMARY_KEY, Connection, Driver, path_of

HEAD = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
_AGGREGATE = "SELECT key, version FROM aggregates WHERE name = ? AND id = ?"
_NEW_AGGREGATE = (
    "INSERT INTO aggregates (name, id, version, first_time, last_time) VALUES (?, ?, ?, ?, ?) RETURNING key"
)
_MOVE_AGGREGATE = "UPDATE aggregates SET version = ?, last_time = ? WHERE key = ?"
_BEGIN_EXPECTED = (
    "INSERT INTO aggregates (name, id, version, first_time, last_time) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_MOVE_EXPECTED = "UPDATE aggregates SET version = ?, last_time = ? WHERE name = ? AND id = ? AND version = ?"
_NAME = "SELECT key FROM event_names WHERE name = ?"
_NEW_NAME = "INSERT INTO event_names (name) VALUES (?) RETURNING key"
EVENT = (
    "INSERT INTO events (position, id, name_key, aggregate_key, version, time, encoding, schema, data, metadata, tags) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_EVENT_ALONE = (
    "INSERT INTO events (id, name_key, aggregate_key, version, time, encoding, schema, data, metadata, tags) "
    "VALUES (?, (SELECT key FROM event_names WHERE name = ?), (SELECT key FROM aggregates WHERE name = ? AND id = ?), "
    "?, ?, ?, ?, ?, ?, ?)"
)
"""Takes the next position. Fails with NOT NULL if the event's name is not stored yet."""
TAG = "INSERT INTO event_tags (tag, position) VALUES (?, ?)"
STORED = (
    "SELECT e.position, e.id, n.name, a.name, a.id, e.version, e.time, e.encoding, e.schema, e.data, e.metadata, e.tags "
    "FROM events e JOIN event_names n ON n.key = e.name_key LEFT JOIN aggregates a ON a.key = e.aggregate_key"
)
_STORED = f"{STORED} WHERE e.id = ?"


FEW, SMALL = 8, 65536
"""A batch of more events than these, or with more data than these bytes, is not written on the thread of an event loop."""
A_TAG = 1024
"""As how many bytes a tag counts, which is a row of its own."""


def is_small(batch: AppendBatch) -> bool:
    """Whether a batch takes hardly any time to write."""
    return len(batch.events) <= FEW and sum(map(_size, batch.events)) <= SMALL


def _size(event: Event[Any]) -> int:
    """Return about how much an event takes to write, in bytes of its payload."""
    size, metadata, tags = len(event._payload), event._metadata, event._tags
    if metadata:
        size += len(metadata) if isinstance(metadata, str) else sum(len(key) + len(metadata[key]) for key in metadata)
    if tags:
        size += A_TAG * len(tags)
    return size


def head(connection: Connection) -> int:
    """Return the highest position that was ever used."""
    rows = connection.execute(HEAD).fetchall()
    if not rows:
        return 0
    if type(rows[0][0]) is not int:
        raise StoreDamaged(path_of(connection), f"sqlite_sequence has {rows[0][0]!r:.80} as the last position")
    return rows[0][0]


class Append:
    """One append, which `run` executes on the writing connection."""

    __slots__ = ("_batch", "_condition", "_driver", "_registry", "before")

    def __init__(
        self, batch: AppendBatch, condition: AppendCondition | None, registry: Registry, driver: Driver
    ) -> None:
        self._batch = batch
        self._condition = condition
        self._registry = registry
        self._driver = driver
        self.before = -1
        """The head before the append, known once it inserts."""

    def run(self, connection: Connection) -> Appended:
        self.before = -1
        try:
            if len(self._batch.events) == 1 and self._condition is None and self._batch.steps:
                appended = self._insert_alone(connection)
                if appended is not None:
                    return appended
            return self._check_and_insert(connection)
        except self._driver.error as exc:
            code = self._driver.code(exc)
            if code & 0xFF == CONSTRAINT:
                if self.before < 0:
                    self.before = head(connection)
                if self._find_stored(connection):
                    # A used id with a version that fits is never a retry. Raising rolls the transaction back.
                    self._repeated(connection, exc)
            if code == PRIMARY_KEY:
                what = f"an event is stored after position {self.before}, which is said to be the last position"
                raise StoreDamaged(path_of(connection), what) from exc
            raise
        except (UnicodeEncodeError, OverflowError) as exc:  # a custom codec returned invalid text
            raise InvalidEventError(
                f"an event of the batch has a value that SQLite cannot store: {exc!s:.200}"
            ) from exc

    def _insert_alone(self, connection: Connection) -> Appended | None:
        """Insert the only event; return None and change nothing if its aggregate is not at the expected version."""
        execute, changes = connection.execute, self._driver.changes
        (event,), ((ref, step),) = self._batch.events, self._batch.steps.items()
        if step.version > MAX_INTEGER:
            return None
        time = time_micros(event)
        before = changes(connection)
        if step.expected:
            execute(_MOVE_EXPECTED, (step.version, time, *ref, step.expected))
        else:
            execute(_BEGIN_EXPECTED, (*ref, step.version, time, time))
        if changes(connection) == before:
            return None
        name = event._name
        row = (
            id_bytes(event), name, *ref, step.version, time, event._encoding, event._schema, event._payload,
            None if event._metadata is None else metadata_json(event),
            None if event._tags is None else tags_json(event),
        )  # fmt: skip
        try:
            inserted = execute(_EVENT_ALONE, row)
        except self._driver.error as exc:
            if self._driver.code(exc) != NOT_NULL or execute(_NAME, (name,)).fetchall():
                raise
            execute(_NEW_NAME, (name,)).fetchall()
            inserted = execute(_EVENT_ALONE, row)
        position = self._driver.last_key(connection, inserted)
        self.before = position - 1
        if event._tags is not None:
            connection.executemany(TAG, [(tag, position) for tag in event.tags])
        return Appended((position,))

    def _check_and_insert(self, connection: Connection) -> Appended:
        if not self._batch.steps and (stored := self._find_stored(connection)):
            return check_repeated(self._batch, stored, self._registry)  # no aggregate's version reveals the retry
        keys: dict[AggregateRef | None, int | None] = {None: None}
        for ref, step in self._batch.steps.items():
            rows = connection.execute(_AGGREGATE, ref).fetchall()
            keys[ref], version = rows[0] if rows else (None, 0)
            if version != step.expected:
                return self._repeated(connection, ConcurrencyError(ref, step.expected, version))
        if self._condition is not None:
            position = self._conflict(connection, self._condition)
            if position:
                return self._repeated(connection, AppendConditionFailed(self._condition, position))
        return self._insert(connection, keys)

    def _conflict(self, connection: Connection, condition: AppendCondition) -> int:
        """Return the position of an event that the condition forbids, or 0."""
        after = min(condition.after, MAX_INTEGER)
        highest = read_highest(condition.query, SQLITE, self._registry.spellings, after=after)
        return answer(highest, lambda sql: connection.execute(*sql).fetchall())

    def _insert(self, connection: Connection, keys: dict[AggregateRef | None, int | None]) -> Appended:
        execute = connection.execute
        events, steps = self._batch
        for ref, step in steps.items():
            key = keys[ref]
            if key is None:
                new = (*ref, step.version, time_micros(step.first), time_micros(step.last))
                keys[ref] = execute(_NEW_AGGREGATE, new).fetchall()[0][0]
            else:
                execute(_MOVE_AGGREGATE, (step.version, time_micros(step.last), key))
        names: dict[str, int] = {}
        for event in events:
            name = event._name
            if name not in names:
                found = execute(_NAME, (name,)).fetchall() or execute(_NEW_NAME, (name,)).fetchall()
                names[name] = found[0][0]
        self.before = position = head(connection)
        rows: list[Sequence[Any]] = []
        tagged: list[tuple[str, int]] = []
        for event in events:
            position += 1
            rows.append((
                position, id_bytes(event), names[event._name], keys[event._aggregate], event._version, time_micros(event),
                event._encoding, event._schema, event._payload,
                None if event._metadata is None else metadata_json(event),
                None if event._tags is None else tags_json(event),
            ))  # fmt: skip
            if event._tags is not None:
                tagged += [(tag, position) for tag in event.tags]
        if len(rows) == 1:
            execute(EVENT, rows[0])
        else:
            connection.executemany(EVENT, rows)
        if tagged:
            connection.executemany(TAG, tagged)
        return Appended(tuple(range(self.before + 1, position + 1)))

    def _find_stored(self, connection: Connection) -> dict[bytes, Event[None]]:
        """Return the stored events that have ids of the batch, by id, except those that this run inserted."""
        found: dict[bytes, Event[None]] = {}
        for event in self._batch.events:
            key = id_bytes(event)
            for position, _, name, aggregate, aggregate_id, *rest in connection.execute(_STORED, (key,)).fetchall():
                if self.before < 0 or position <= self.before:
                    version, time, encoding, schema, payload, metadata, tags = rest
                    ref = None if aggregate is None else AggregateRef._make((aggregate, aggregate_id))
                    found[key] = restore(
                        key, name, None, time, ref, version, metadata, tags, position, encoding, schema, payload
                    )
        return found

    def _repeated(self, connection: Connection, otherwise: Exception) -> Appended:
        """Return the original positions if exactly these events are stored already; otherwise raise the given error."""
        stored = self._find_stored(connection)
        if not stored:
            raise otherwise
        repeated = check_repeated(self._batch, stored, self._registry)
        if self.before >= 0:
            raise otherwise
        return repeated


MakeAppend: TypeAlias = Callable[[AppendBatch, AppendCondition | None], Append]
