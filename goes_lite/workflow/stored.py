"""What is stored of a workflow besides its events: instances, the index of their timers, associations, inputs that wait.

Rule of this file: the instances are the truth, and the other collections follow from them, so that what is due is found by the
order of ids, on every backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goes_lite.contract.backend import Stores
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import (
    TIMER_PARKED,
    associations_collection,
    instances_collection,
    timer_row_id,
    timers_collection,
    waiting_collection,
)
from goes_lite.workflow.instance import Instance

PARKED = TIMER_PARKED


@dataclass(frozen=True)
class TimerRow:
    """Something that is due; its id begins with the time, as 20 digits."""

    key: str
    """Of the instance."""
    kind: Literal["timer", "retry"]
    name: str
    """Of the timer; empty for a retry."""
    due: int
    """In microseconds since 1970, UTC."""


@dataclass(frozen=True)
class Associated:
    """The instances that an associated key concerns."""

    keys: list[str]


@dataclass(frozen=True)
class WaitingInput:
    """An event for which an instance is not ready; its id is the position, as 20 digits."""

    position: int
    name: str
    id: str


def timer_id(row: TimerRow) -> str:
    """Return the id of a row: the order of these is that in which timers are due."""
    return timer_row_id(row.kind, row.name, row.key, row.due)


def rows_of(instance: Instance | None) -> dict[str, TimerRow]:
    """Return the rows that belong to an instance: its timers, or when it is tried again if it does not go on."""
    if instance is None or instance.ended:
        return {}
    if instance.failing is not None:
        retry = instance.failing.retry
        rows = [TimerRow(instance.key, "retry", "", retry)] if retry else []
    else:
        rows = [TimerRow(instance.key, "timer", name, due) for name, due in instance.timers.items()]
    return {timer_id(row): row for row in rows}


def waiting_id(position: int) -> str:
    """Return the id of the input at a position of the log."""
    return f"{position:020d}"


class Stored:
    """The collections of one workflow, in a backend or a transaction."""

    def __init__(self, store: Stores, workflow: str) -> None:
        self.store = store
        self.workflow = workflow
        self.instances: Models[Instance] = store.models_of(instances_collection(workflow), Instance)
        self.timers: Models[TimerRow] = store.models_of(timers_collection(workflow), TimerRow)
        self.associations: Models[Associated] = store.models_of(associations_collection(workflow), Associated)

    def waiting(self, key: str) -> Models[WaitingInput]:
        """Return the inputs for which an instance is not ready."""
        return self.store.models_of(waiting_collection(self.workflow, key), WaitingInput)
