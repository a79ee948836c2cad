"""What the journal says: records of changes, and the state that they add up to."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from goes_lite.checkpoint import Checkpoint
from goes_lite.errors import InvalidEventError
from goes_lite.event import (
    AggregateRef,
    Event,
    from_micros,
    id_bytes,
    metadata_json,
    restore,
    tags_json,
    time_micros,
    to_micros,
)  # fmt: skip
from goes_lite.model import ModelRecord
from goes_lite.snapshot import Snapshot

T = TypeVar("T")
Record = list[Any]
"""One change as it stands in the file: what it is, then its fields."""


def packed(value: str | bytes) -> Any:
    """A payload as JSON: bytes are none, and neither is half of a surrogate pair, which a codec may have let through."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidEventError(
            f"a payload is no valid Unicode ({exc!s:.100}): its codec should answer bytes"
        ) from None
    return value


def unpacked(value: Any) -> str | bytes:
    return value if isinstance(value, str) else base64.b64decode(value["base64"])


def event_record(event: Event[Any], position: int) -> Record:
    encoding, schema, payload = event.encoded
    return [
        "event", position, id_bytes(event).hex(), event.name, event.aggregate, event.version, time_micros(event), encoding,
        schema, packed(payload), metadata_json(event), tags_json(event),
    ]  # fmt: skip


def snapshot_record(one: Snapshot) -> Record:
    ref, version, taken, schema, encoding, state, deleted = one
    return ["snapshot", *ref, version, to_micros(taken), schema, encoding, packed(state), deleted]


class State:
    """Everything that is stored. Events are kept as they are encoded (`data` is None) and decoded when they are read."""

    def __init__(self) -> None:
        self.identity = ""
        self.head = 0
        self.log: list[Event[None]] = []  # by position
        self.by_id: dict[bytes, Event[None]] = {}
        self.aggregates: dict[AggregateRef, list[Event[None]]] = {}  # by version, which are contiguous from 1
        self.snapshots: dict[AggregateRef, dict[int, Snapshot]] = {}
        self.models: dict[str, dict[str, ModelRecord]] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.leases: dict[str, tuple[str, int, int]] = {}  # owner ("" if released), token, end

    def apply(self, record: Record) -> None:
        """Make the change that a record stands for: the one place where anything changes."""
        match record:
            case ["store", identity, head]:
                self.identity, self.head = identity, head
            case ["event", position, id, name, ref, version, micros, encoding, schema, payload, metadata, tags]:
                key, aggregate = bytes.fromhex(id), AggregateRef._make(ref) if ref else None
                event = restore(
                    key,
                    name,
                    None,
                    micros,
                    aggregate,
                    version,
                    metadata,
                    tags,
                    position,
                    encoding,
                    schema,
                    unpacked(payload),
                )
                self.head = position
                self.by_id[key] = event
                self.log.append(event)
                if aggregate:
                    self.aggregates.setdefault(aggregate, []).append(event)
            case ["delete", *ref]:
                aggregate = AggregateRef._make(ref)
                self.snapshots.pop(aggregate, None)
                for event in self.aggregates.pop(aggregate, ()):
                    del self.by_id[id_bytes(event)]
                self.log = [event for event in self.log if event.aggregate != aggregate]
            case ["snapshot", name, id, version, micros, schema, encoding, state, deleted]:
                ref = AggregateRef._make((name, id))
                snapshot = Snapshot(ref, version, from_micros(micros), schema, encoding, unpacked(state), deleted)
                self.snapshots.setdefault(ref, {})[version] = snapshot
            case ["no snapshot", name, id, version]:
                del self.snapshots[AggregateRef._make((name, id))][version]
            case ["model", collection, id, version, data]:
                self.models.setdefault(collection, {})[id] = ModelRecord(collection, id, version, data)
            case ["no model", collection, id]:
                del self.models[collection][id]
            case ["checkpoint", name, position, micros]:
                self.checkpoints[name] = Checkpoint(name, position, self.identity, from_micros(micros))
            case ["no checkpoint", name]:
                del self.checkpoints[name]
            case ["lease", name, owner, token, end]:
                self.leases[name] = owner, token, end
            case _:
                raise ValueError(f"a record of no known kind: {record!r:.80}")

    def records(self) -> Iterator[Record]:
        """The records that make a state like this one, and nothing of what was erased."""
        yield ["store", self.identity, self.head]
        yield from (event_record(event, event.position) for event in self.log)
        yield ["store", self.identity, self.head]  # the newest events may have been erased, the head does not go back
        yield from (snapshot_record(one) for versions in self.snapshots.values() for one in versions.values())
        yield from (["model", *record] for records in self.models.values() for record in records.values())
        yield from (["checkpoint", c.name, c.position, to_micros(c.time)] for c in self.checkpoints.values())
        yield from (["lease", name, *lease] for name, lease in self.leases.items())

    def copy(self) -> State:
        """Another one that can be changed; what is in it never changes."""
        new = State()
        new.__dict__.update(
            {name: value.copy() if hasattr(value, "copy") else value for name, value in vars(self).items()}
        )
        for nested in ("aggregates", "snapshots", "models"):
            setattr(new, nested, {key: value.copy() for key, value in getattr(self, nested).items()})
        return new

    def between(self, after: int, upto: int | None) -> list[Event[None]]:
        """The events with after < position ≤ upto."""
        first = bisect_right(self.log, after, key=lambda event: event.position)
        return (
            self.log[first:]
            if upto is None
            else self.log[first : bisect_right(self.log, upto, key=lambda e: e.position)]
        )


class Change(NamedTuple, Generic[T]):
    """What an operation wants to write, and what it answers once that is written."""

    answer: T
    records: Sequence[Record] = ()
    events: Sequence[Event[Any]] = ()
    """The new ones, for the bus."""


class Session(Protocol):
    """Where an operation runs: on the journal itself, or within a transaction. All stores are written over this."""

    async def read(self, work: Callable[[State], T]) -> T: ...
    async def write(self, work: Callable[[State], Change[T]]) -> T: ...
    def changes(self) -> int: ...
    async def wait(self, seen: int) -> None: ...
