"""What caused an event, and what followed from it: a tree, by the correlation and causation in the metadata of events.

No store has an index of metadata, so the log is read: from the event that began it all, or from the beginning if that was a
command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.contract.backend import Backend
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


async def trace(backend: Backend, event: Event[Any], *, progress: Callable[[int, int], object] | None = None) -> Trace:
    """Return what caused a stored event and what followed from it.

    It reads the log up to the head at the call. `progress` is called with the position and the head after each page.
    """
    correlation = event.metadata.get(CORRELATION) or str(event.id)
    first = await _event(backend, correlation)
    found: list[Event[Any]] = [] if first is None else [first]
    begin, head = (first.position if first else 0), await backend.events.head()
    pages = backend.events.query(after=begin, upto=head)
    while page := await pages.next_page():
        found.extend(one for one in page if _belongs(one, correlation))
        if progress is not None:
            progress(page[-1].position, head)
    if not any(one.id == event.id for one in found):  # it has no correlation, and so begins one
        found.insert(0, event)
    return Trace(correlation, _tree(found), len(found))


async def _event(backend: Backend, id: str) -> Event[Any] | None:
    try:
        return await backend.events.find(UUID(id))
    except ValueError:  # a program may choose any text
        return None


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
