"""Check a batch of events before it reaches a store.

Every backend needs the same answers about a batch: whether its ids differ, whether the versions of each aggregate are
contiguous, which version each aggregate must have for the batch to fit, and whether the batch is a retry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.contract.event_store import Appended
from goes_lite.errors import DuplicateEventError, InvalidEventError
from goes_lite.events.event import Event, id_bytes, metadata_json, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Registry

# Calling a NamedTuple goes through a Python function; this does not.
_new: Any = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class Step(NamedTuple):
    """The change of one aggregate by a batch, from version `expected` to `version`."""

    expected: int
    version: int
    first: Event[Any]
    last: Event[Any]


class AppendBatch(NamedTuple):
    """Events to append together."""

    events: tuple[Event[Any], ...]
    steps: dict[AggregateRef, Step]


def check_batch(events: Iterable[Event[Any]]) -> AppendBatch:
    """Return the batch. Raise InvalidEventError for a non-event or a missing version, DuplicateEventError for a repeated id."""
    if not isinstance(events, (list, Iterable)):  # `list` first: the check against an ABC is slow
        raise InvalidEventError(f"append takes a collection of events, not {events!r:.80}: write [event] for one")
    batch = tuple(events)
    steps: dict[AggregateRef, Step] = {}
    for event in batch:
        if not isinstance(event, Event):
            raise InvalidEventError(
                f"append takes events, not {type(event).__name__}: create one with Event({event!r:.60}, …)"
            )
        ref = event._aggregate
        if ref is None:
            continue
        version = event._version
        step = steps.get(ref)
        if step is None:
            steps[ref] = _new(Step, (version - 1, version, event, event))
        elif version != step.version + 1:
            raise InvalidEventError(
                f"the batch has version {version} of {ref} after version {step.version}: versions must be contiguous"
            )
        else:
            steps[ref] = Step(step.expected, version, step.first, event)
    if len(batch) > 1:
        seen: set[bytes] = set()
        for event in batch:
            key = id_bytes(event)
            if key in seen:
                raise DuplicateEventError(UUID(bytes=key), 0, "the batch contains it twice")
            seen.add(key)
    checked: AppendBatch = _new(AppendBatch, (batch, steps))
    return checked


def check_repeated(batch: AppendBatch, stored: Mapping[bytes, Event[Any]], registry: Registry) -> Appended:
    """Return the result of a repeated append. `stored` maps the ids that are stored already to their events; it is not empty.

    Raise DuplicateEventError unless exactly the same events are stored. Data is compared in its encoded form. A retry may
    use a former name of an event.
    """
    for event in batch.events:
        old = stored.get(id_bytes(event))
        if old is not None and (field := _difference(event, old, registry)):
            raise DuplicateEventError(event.id, old.position, f"its {field} differs")
    found = [stored[id_bytes(event)] for event in batch.events if id_bytes(event) in stored]
    if len(found) < len(batch.events):
        raise DuplicateEventError(found[0].id, found[0].position, "only part of the batch is stored")
    return Appended(tuple(event.position for event in found), already_committed=True)


def _difference(event: Event[Any], stored: Event[Any], registry: Registry) -> str:
    """Return the first field in which two events with one id differ, or ''."""
    fields = ("name", "aggregate", "version", "time", "encoding", "schema", "data", "metadata", "tags")
    ours, theirs = (
        (
            registry.canonical(one.name), one.aggregate, one.version, time_micros(one), *one.encoded,
            metadata_json(one), tags_json(one),
        )
        for one in (event, stored)
    )  # fmt: skip
    return next((field for field, a, b in zip(fields, ours, theirs, strict=True) if a != b), "")
