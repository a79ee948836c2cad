"""What an instance of a workflow that is written as a function remembers: what it asked for, and the answers, by name.

It is the state of the instance. The function runs from its start at each input, and what was answered is not asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from goes_lite.codec.json_of import json_of
from goes_lite.codec.payload import payload_text, text_payload
from goes_lite.events.event import Event, restore
from goes_lite.events.fields import AggregateRef, to_micros
from goes_lite.events.registry import Registry


@dataclass(frozen=True)
class StoredEvent:
    """An event, as an instance remembers it."""

    id: UUID
    name: str
    position: int
    time: datetime
    encoding: str
    schema: int
    data: str
    """The payload; base64 where the encoding produces bytes."""
    binary: bool = False
    aggregate: list[str] | None = None
    """Its name and id."""
    version: int = 0
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    tags: list[str] = field(default_factory=list[str])


def stored_event(event: Event[Any]) -> StoredEvent:
    """Return an event as it is remembered."""
    encoding, schema, payload = event.encoded
    return StoredEvent(
        event.id, event.name, event.position, event.time, encoding, schema,
        payload_text(payload), isinstance(payload, bytes),
        None if event.aggregate is None else [*event.aggregate], event.version, dict(event.metadata), sorted(event.tags),
    )  # fmt: skip


def event_text(stored: StoredEvent) -> str:
    """Return a remembered event as JSON, whatever the codec of the registry."""
    return json_of(StoredEvent).encode(stored)


def event_of(text: str) -> StoredEvent:
    """Return the event that `event_text` has made text of. DecodeError."""
    found: StoredEvent = json_of(StoredEvent).decode(text)
    return found


def restored_event(stored: StoredEvent, registry: Registry) -> Event[Any]:
    """Return a remembered event, with data of the current type. DecodeError, UnknownEventError."""
    payload = text_payload(stored.data, binary=stored.binary)
    data = registry.decode(stored.name, stored.encoding, stored.schema, payload, stored.position)
    return restore(
        stored.id, stored.name, data, to_micros(stored.time),
        None if stored.aggregate is None else AggregateRef(*stored.aggregate), stored.version,
        _read_only(stored.metadata), frozenset(stored.tags) or None, stored.position,
        stored.encoding, stored.schema, payload,
    )  # fmt: skip


def _read_only(metadata: dict[str, str]) -> Any:
    return MappingProxyType(metadata) if metadata else None


@dataclass
class Asked:
    """Something that the function waits for, or waited for."""

    kind: Literal["step", "command", "wait", "sleep", "note"]
    number: int = 0
    """In the order of asking: 1, 2, …"""
    due: int = 0
    """When it ends at the latest (microseconds since 1970, UTC); 0 if it may take any time."""
    key: str = ""
    """For a wait: the key of the events, if it is not that of the instance."""
    dropped: bool = False
    """Whether another branch was faster, so that nobody waits for it any more."""


@dataclass
class Answer:
    """What came of it."""

    kind: Literal["done", "rejected", "failed", "event", "timeout", "value"]
    result: str | None = None
    """As JSON."""
    event: StoredEvent | None = None
    command: str = ""
    id: UUID | None = None
    """Of the command."""
    code: str = ""
    message: str = ""
    details: str = "{}"
    attempts: int = 1


@dataclass
class Memory:
    """The state of an instance that is written as a function."""

    key: str
    start: StoredEvent | None = None
    """The event that started it."""
    inbox: list[StoredEvent] = field(default_factory=list[StoredEvent])
    """Events that nobody has waited for yet, in their order."""
    asked: dict[str, Asked] = field(default_factory=dict[str, Asked])
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    found: list[UUID] = field(default_factory=list[UUID])
    """Events that were found in the log: they do not come into the inbox again."""
    wake: int = 0
    """When its timer is due (microseconds since 1970, UTC); 0 if none is set."""
    over: bool = False
    """Whether the function has ended."""

    @property
    def started_by(self) -> StoredEvent:
        """The event that started it, which is the first thing that it was told."""
        if self.start is None:
            raise LookupError(f"the instance {self.key!r:.120} has not started")
        return self.start


def taken(memory: Memory) -> set[UUID]:
    """Return the ids of the events that a wait has returned."""
    return {answer.event.id for answer in memory.answers.values() if answer.event is not None}
