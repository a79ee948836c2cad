"""Inputs: what an instance is told. Events of the log, outcomes of its commands (which are events, too), and its timers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from goes_lite.events.event import Event
from goes_lite.events.fields import to_micros
from goes_lite.events.workflow import InputRef


@dataclass(frozen=True)
class TimerFired:
    """A timer of the instance fired."""

    name: str
    due: datetime
    """When it was due (aware, UTC)."""
    time: datetime
    """When it fired (aware, UTC)."""


Input: TypeAlias = Event[Any] | TimerFired
"""What a definition is told. The outcome of a command is an event whose data are a `CommandOutcome`."""


def ref_of(input: Input) -> InputRef:
    """Return what the history says of an input."""
    if isinstance(input, TimerFired):
        return InputRef("timer", input.name, due=to_micros(input.due), time=to_micros(input.time))
    return InputRef("event", input.name, input.position, str(input.id))
