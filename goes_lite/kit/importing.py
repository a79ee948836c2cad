"""Import events of another store: what every backend checks and decides, before it writes rows with given positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.contract.event_store import check_position
from goes_lite.errors import ConcurrencyError, DuplicateEventError, ImportConflict, InvalidEventError, InvalidQueryError
from goes_lite.events.event import Event, id_bytes, metadata_json, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.kit.batch import AppendBatch, check_batch
from goes_lite.kit.sql import MAX_INTEGER


class Import(NamedTuple):
    """Checked events of an import, and the head that the log has at least afterwards."""

    batch: AppendBatch
    head: int

    @property
    def events(self) -> tuple[Event[Any], ...]:
        return self.batch.events

    def stored_already(self, head: int) -> tuple[Event[Any], ...]:
        """Return the events at positions up to the head of the store, which must be stored there already."""
        return tuple(event for event in self.events if event.position <= head)

    def new(self, head: int) -> AppendBatch:
        """Return the events after the head of the store, with the steps of their aggregates."""
        if not self.events or self.events[0].position > head:
            return self.batch
        return check_batch(event for event in self.events if event.position > head)


def check_import(events: Iterable[Event[Any]], head: int) -> Import:
    """Return the import; InvalidEventError unless its events have increasing positions and fit together."""
    if type(head) is not int or not 0 <= head <= MAX_INTEGER:
        raise InvalidQueryError(f"head is a position, an int from 0 to 2**63 - 1, not {head!r:.80}")
    batch = check_batch(events)
    last = 0
    for event in batch.events:
        if check_position("position", event.position) <= last or event.position > MAX_INTEGER:
            raise InvalidEventError(
                f"the events of an import have increasing positions: {event.position} follows {last}"
                if event.position
                else f"an event of an import has a position: {event!r:.120} was not read from a store"
            )
        last = event.position
    return Import(batch, max(head, last))


def check_same(events: Iterable[Event[Any]], stored: Iterable[Event[Any]]) -> None:
    """Raise ImportConflict unless exactly the same events are stored at the positions of the given ones."""
    found = {one.position: one for one in stored}
    for event in events:
        one = found.get(event.position)
        if one is None:
            raise ImportConflict(event.position, "this store has used that position already")
        if field := next(
            (name for name, a, b in zip(_FIELDS, _fields(event), _fields(one), strict=True) if a != b), ""
        ):
            raise ImportConflict(event.position, f"this store has an event there whose {field} differs")


_FIELDS = ("id", "name", "aggregate", "version", "time", "encoding", "schema", "payload", "metadata", "tags")


def _fields(event: Event[Any]) -> tuple[Any, ...]:
    return (
        id_bytes(event), event.name, event.aggregate, event.version, time_micros(event), *event.encoded,
        metadata_json(event), tags_json(event),
    )  # fmt: skip


def check_new(batch: AppendBatch, versions: Mapping[AggregateRef, int], used: Mapping[bytes, int]) -> None:
    """Raise ConcurrencyError or DuplicateEventError unless the new events fit what is stored.

    `versions` are those of their aggregates (0 or absent if new); `used` maps the ids that are stored to their positions.
    """
    for event in batch.events:
        if position := used.get(id_bytes(event)):
            raise DuplicateEventError(UUID(bytes=id_bytes(event)), position, "it would be stored twice")
    for ref, step in batch.steps.items():
        if step.expected != (version := versions.get(ref, 0)):
            raise ConcurrencyError(ref, step.expected, version)


def tagged(events: Sequence[Event[Any]]) -> list[tuple[str, int]]:
    """Return each tag of the events with the position, for an index of tags."""
    return [(tag, event.position) for event in events if event.tags for tag in sorted(event.tags)]
