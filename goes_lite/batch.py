"""A batch of events on its way into a store: checked once, before any store is asked.

What every backend needs to know of a batch, whatever it stores it in: that its ids differ, that the versions of each
aggregate are contiguous, and at which version each aggregate has to be for the batch to fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.errors import DuplicateEventError, InvalidEventError
from goes_lite.event import AggregateRef, Event, id_bytes


class Step(NamedTuple):
    """What a batch does to one aggregate: takes it from `expected` to `version`."""

    expected: int
    version: int
    first: Event[Any]
    last: Event[Any]


class Batch(NamedTuple):
    """Events that are appended together."""

    events: tuple[Event[Any], ...]
    steps: dict[AggregateRef, Step]


def check_batch(events: Iterable[Event[Any]]) -> Batch:
    """The batch; InvalidEventError for what is no event or leaves out a version, DuplicateEventError for an id twice."""
    if not isinstance(events, Iterable):
        raise InvalidEventError(f"append takes a collection of events, not {events!r:.80}: write [event] for one")
    batch = tuple(events)
    steps: dict[AggregateRef, Step] = {}
    for event in batch:
        if not isinstance(event, Event):
            raise InvalidEventError(
                f"append takes events, not {type(event).__name__}: make one with Event({event!r:.60}, …)"
            )
        ref = event.aggregate
        if ref is None:
            continue
        version = event.version
        step = steps.get(ref)
        if step is None:
            steps[ref] = Step(version - 1, version, event, event)
        elif version != step.version + 1:
            raise InvalidEventError(
                f"the batch has version {version} of {ref} behind version {step.version}: versions are contiguous"
            )
        else:
            steps[ref] = Step(step.expected, version, step.first, event)
    if len(batch) > 1:
        seen: set[bytes] = set()
        for event in batch:
            key = id_bytes(event)
            if key in seen:
                raise DuplicateEventError(UUID(bytes=key), 0, "one id twice")
            seen.add(key)
    return Batch(batch, steps)
