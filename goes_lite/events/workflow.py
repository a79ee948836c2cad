"""The events of workflows: what an instance was told, and what it did, as data.

They are the history of the aggregate `workflow:NAME` with the key of the instance as its id. An input that is an event of the log
is referenced and not copied: what is erased there is gone here, too.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from goes_lite.events.built_in import built_in

STARTED = "goes.workflow.started"
HANDLED = "goes.workflow.handled"
SUSPENDED = "goes.workflow.suspended"
RESUMED = "goes.workflow.resumed"
ENDED = "goes.workflow.ended"


class InputRef(NamedTuple):
    """Which input an instance was told: an event of the log by its position and id, or a timer by its name."""

    kind: Literal["event", "timer"]
    name: str
    """Of the event, or of the timer."""
    position: int = 0
    """Of the event in the log; 0 for a timer."""
    id: str = ""
    """Of the event; empty for a timer."""
    due: int = 0
    """When the timer was due, and `time`, when it fired: microseconds since 1970, UTC; 0 for an event."""
    time: int = 0


class EffectRecord(NamedTuple):
    """One effect of a reaction, as it was carried out."""

    effect: str
    """`dispatch`, `timer`, `cancel`, `publish`, `associate`, `dissociate`, `undo`, `compensate`, `complete` or `fail`."""
    name: str = ""
    """Of the command, timer or event; the associated key; the reason."""
    id: str = ""
    """That of the command."""
    due: int = 0
    """When the timer or the command is due (microseconds since 1970, UTC); 0 for at once."""
    encoding: str = ""
    schema: int = 0
    data: str = ""
    """The encoded command, base64 where the encoding produces bytes; SHA-256 of a published event, which follows in the log."""


@built_in(STARTED)
class WorkflowStarted(NamedTuple):
    """An instance was started."""

    version: int
    """Of the definition, under which it runs."""
    run: int = 1
    """Which run of this key it is: 1, 2, …"""


@built_in(HANDLED)
class WorkflowHandled(NamedTuple):
    """An instance was told an input, and did this."""

    number: int
    """Of the input: 1, 2, … in each run."""
    input: InputRef
    effects: tuple[EffectRecord, ...]


@built_in(SUSPENDED)
class WorkflowSuspended(NamedTuple):
    """An instance waits for a person: it cannot handle its next input, or an undo has failed."""

    error: str
    attempts: int
    input: InputRef | None = None
    """The input that it cannot handle; None if an undo has failed."""


@built_in(RESUMED)
class WorkflowResumed(NamedTuple):
    """A person let an instance go on."""

    action: Literal["retry", "skip", "migrate"]
    version: int
    """Of the definition, under which it goes on."""
    skipped: InputRef | None = None
    """The input that it will never be told."""


@built_in(ENDED)
class WorkflowEnded(NamedTuple):
    """An instance ended: nothing that comes later concerns it."""

    status: Literal["completed", "failed", "cancelled"]
    reason: str = ""
