"""What is stored of a processor in addition to its checkpoint: its dead letters, and requests to it.

Both are read models, in collections whose names begin with `goes:`, so every backend can store them in the transaction of a
batch, and other tools can read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import PROCESSORS, parked_collection
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime import Runtime

MAX_NAME = 200
"""The maximum length of the name of a processor, in bytes: it is part of other names."""


@dataclass(frozen=True)
class ParkedEvent:
    """A dead letter: an event that a processor gave up on, or holds back because of an earlier one."""

    processor: str
    position: int
    name: str
    """Of the event."""
    aggregate: AggregateRef | None
    attempts: int
    """The number of attempts; 0 if it is only held back."""
    error: str
    """The error of the last attempt, as text; empty if it is only held back."""
    time: datetime
    """When it was parked, or last tried (aware, UTC)."""
    behind: int = 0
    """The position of the failed event of its aggregate because of which it is held back; 0 for one that failed itself."""
    due: int = 0
    """How often a retry was requested since the last attempt."""

    @property
    def key(self) -> str:
        """Its id in the collection, derived from its position: so the order of ids is that of the log."""
        return parked_key(self.position)


def parked_key(position: int) -> str:
    """Return the id under which the event at this position is parked."""
    return f"{position:019d}"


def parked_events(models: ModelStore, processor: str, runtime: Runtime) -> Models[ParkedEvent]:
    """Return the dead letters of a processor."""
    return Models(models, parked_collection(processor), ParkedEvent, runtime)


@dataclass(frozen=True)
class Requests:
    """The requests to a processor, from any process, and which of them were served."""

    triggers: int = 0
    """How many runs were requested."""
    served: int = 0
    """How many of them were requested before the last run began."""
    redrives: int = 0
    """How often a redrive of parked events was requested."""
    resets: int = 0
    """How many resets were requested."""
    reset: int = 0
    """How many of them were done."""


def requests(models: ModelStore, runtime: Runtime) -> Models[Requests]:
    """Return the requests to processors, by their names."""
    return Models(models, PROCESSORS, Requests, runtime)
