"""What caused an event, and what followed from it: a tree, by the correlation and causation in the metadata of events.

No store has an index of metadata, so the log is read: from the event that began it all, or from the beginning if that was a
command. Those who cannot wait for that read at most a given number of events, around the event and from where it all began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.contract.backend import Stores
from goes_lite.events.event import CAUSATION, CORRELATION, Event, metadata_json


@dataclass
class Step:
    """An event, or something else that caused events: a command."""

    id: str
    """The id of the event or command."""
    event: Event[Any] | None
    """None for what is not an event of this store."""
    consequences: list[Step] = field(default_factory=list["Step"])
    """What it caused, in the order of the log."""


class Trace(NamedTuple):
    """Everything that belongs together with an event."""

    correlation: str
    """What all of it has in common: the id of the first event or command, unless the program chose another."""
    beginnings: list[Step]
    """What nothing in this store caused; usually one."""
    events: int
    """How many events belong to it."""
    complete: bool = True
    """Whether all of the log that can belong to it was read; if not, there may be more."""


CAUSES = 100
"""How many causes are looked up one by one, when only a part of the log is read."""


async def trace(
    store: Stores,
    event: Event[Any],
    *,
    most: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Trace:
    """Return what caused a stored event and what followed from it.

    It reads the log up to the head at the call, with `most` at most so many events of it; the chain of causes of the event itself
    is there in any case. `progress` is called with the position and the head after each page.
    """
    correlation = event.metadata.get(CORRELATION) or str(event.id)
    first = await _event(store, correlation)
    begin, head = (first.position if first else 0), await store.events.head()
    found = {one.position: one for one in (first, event) if one is not None}
    windows: list[tuple[int, int | None]] = [(begin, None)]
    if most is not None:
        found |= {one.position: one for one in await _causes(store, event)}
        near = max(begin, event.position - 1 - most // 4)
        windows = [(near, most)] if first is None or near == begin else [(begin, most // 4), (near, most - most // 4)]
    reached, complete = begin, True
    for after, limit in windows:
        complete = complete and after <= reached
        reached, number = after, 0
        pages = store.events.query(after=after, upto=head, limit=limit)
        while page := await pages.next_page():
            found |= {one.position: one for one in page if _belongs(one, correlation)}
            reached, number = page[-1].position, number + len(page)
            if progress is not None:
                progress(reached, head)
        if number != limit:
            reached = head
    return Trace(correlation, _tree([found[at] for at in sorted(found)]), len(found), complete and reached >= head)


async def _event(store: Stores, id: str) -> Event[Any] | None:
    try:
        return await store.events.find(UUID(id))
    except ValueError:  # a program may choose any text
        return None


async def _causes(store: Stores, event: Event[Any]) -> list[Event[Any]]:
    """Return the events that an event follows from, as far as each names its cause."""
    causes: list[Event[Any]] = []
    known = {event.id}
    while len(causes) < CAUSES and (cause := event.metadata.get(CAUSATION)):
        found = await _event(store, cause)
        if found is None or found.id in known:
            break
        known.add(found.id)
        causes.append(found)
        event = found
    return causes


def _belongs(event: Event[Any], correlation: str) -> bool:
    # parsed only if the text has it somewhere: most events belong to something else
    return correlation in (metadata_json(event) or "") and event.metadata.get(CORRELATION) == correlation


def _tree(events: list[Event[Any]]) -> list[Step]:
    steps = {str(event.id): Step(str(event.id), event) for event in events}
    beginnings: list[Step] = []
    for step in [*steps.values()]:
        cause = step.event.metadata.get(CAUSATION) if step.event else None
        if cause is None or cause == step.id:
            beginnings.append(step)
            continue
        if cause not in steps:
            steps[cause] = Step(cause, None)
            beginnings.append(steps[cause])
        steps[cause].consequences.append(step)
    reached: set[str] = set()
    for step in beginnings:
        _mark(step, reached)
    for step in steps.values():
        if step.id not in reached:  # events that claim to have caused each other begin nothing, but must not be lost
            beginnings.append(step)
            _mark(step, reached)
    return beginnings


def _mark(step: Step, reached: set[str]) -> None:
    """Add the ids of a step and all that follows from it; consequences that were reached before are cut off."""
    waiting = [step]
    reached.add(step.id)
    while waiting:
        one = waiting.pop()
        one.consequences = [later for later in one.consequences if later.id not in reached]
        reached.update(later.id for later in one.consequences)
        waiting.extend(one.consequences)
