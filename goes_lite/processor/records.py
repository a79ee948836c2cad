"""What is stored of a processor beside its checkpoint: its dead letters, and what others ask of it.

Both are read models, in collections whose names begin with `goes:`, so every backend can keep them, in the transaction
of a batch, and other tools can read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime import Runtime

REQUESTS = "goes:processors"

MAX_NAME = 200
"""How long the name of a processor may be, in bytes: it is part of other names."""


@dataclass(frozen=True)
class ParkedEvent:
    """An event that a processor has given up, or holds back behind one that it has given up: a dead letter."""

    processor: str
    position: int
    name: str
    """Of the event."""
    aggregate: AggregateRef | None
    attempts: int
    """How often it was tried; 0 if it is only held back."""
    error: str
    """What the last try raised, as text; empty if it is only held back."""
    time: datetime
    """When it was parked, or last tried (aware, UTC)."""
    behind: int = 0
    """The position of the event of its aggregate that it is held back behind; 0 for one that failed itself."""
    due: int = 0
    """How often somebody asked for it to be tried again, since it was tried last."""

    @property
    def key(self) -> str:
        """Its id in the collection: by position, so the order of ids is that of the log."""
        return parked_key(self.position)


def parked_key(position: int) -> str:
    """The id under which the event at this position is parked."""
    return f"{position:019d}"


def parked_events(models: ModelStore, processor: str, runtime: Runtime) -> Models[ParkedEvent]:
    """The dead letters of a processor."""
    return Models(models, f"goes:parked:{processor}", ParkedEvent, runtime)


@dataclass(frozen=True)
class Requests:
    """What was asked of a processor, by whatever process, and what it has done of that."""

    triggers: int = 0
    """How many runs were asked for."""
    served: int = 0
    """How many of them were asked for before the last run began."""
    redrives: int = 0
    """How often the re-driving of parked events was asked for."""
    resets: int = 0
    """How often it was asked to begin again."""
    reset: int = 0
    """How often it has done so."""


def requests(models: ModelStore, runtime: Runtime) -> Models[Requests]:
    """What is asked of processors, by their names."""
    return Models(models, REQUESTS, Requests, runtime)
