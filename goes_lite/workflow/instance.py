"""Instances: the stored record of one run of a workflow. Loading it costs one read, however much it has been told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

Status: TypeAlias = Literal["running", "compensating", "suspended", "completed", "failed", "cancelled"]
"""`running` and `compensating` go on by themselves; `suspended` waits for a person; the others have ended."""

ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True)
class StoredCommand:
    """A command, as an instance keeps it."""

    command: str
    """Its registered name."""
    encoding: str
    schema: int
    data: str
    """The encoded command; base64 where the encoding produces bytes."""
    binary: bool = False


@dataclass(frozen=True)
class Failing:
    """Why an instance does not go on: its next input, or an undo, cannot be handled."""

    since: datetime
    """The first failure (aware, UTC)."""
    attempts: int
    error: str
    """The last failure, as text."""
    input: str = ""
    """The name of the input."""
    position: int = 0
    """Its position in the log; 0 for a timer, or an undo."""
    timer: int = 0
    """When the timer that cannot be handled was due (microseconds since 1970, UTC); 0 for anything else."""
    retry: int = 0
    """When it is tried again, in the same unit; 0 while it waits for a person."""


@dataclass(frozen=True)
class Instance:
    """One run of a workflow: what is known of it, apart from its history in the log."""

    workflow: str
    """The name of the workflow."""
    key: str
    id: UUID
    """From which the ids of its commands are derived."""
    status: Status
    version: int
    """Of the definition under which it runs."""
    state: Any
    """As plain values, as in JSON."""
    started: datetime
    updated: datetime
    run: int = 1
    """Which run of this key it is: 1, 2, …"""
    position: int = 0
    """Of the last event that it was told: an event up to there is told at most once."""
    inputs: int = 0
    """How many inputs this run was told."""
    events: int = 0
    """The version of its aggregate."""
    timers: dict[str, int] = field(default_factory=dict[str, int])
    """When its timers are due, by name (microseconds since 1970, UTC)."""
    associations: list[str] = field(default_factory=list[str])
    """The keys of others whose events concern it, too."""
    undo: list[StoredCommand] = field(default_factory=list[StoredCommand])
    """The commands that undo what was done, the last one first to be dispatched."""
    compensating: bool = False
    """Whether it undoes what was done, or waits to."""
    undoing: UUID | None = None
    """The command that undoes something just now."""
    failed_undo: UUID | None = None
    """The one that has failed last: it may be done nevertheless, if somebody redrives it."""
    reason: str = ""
    """Why it failed, is compensating, or was cancelled."""
    correlation: str = ""
    """What everything that it causes has in common."""
    failing: Failing | None = None
    """Why it does not go on; its later inputs wait meanwhile."""

    @property
    def ended(self) -> bool:
        """Whether nothing concerns it any more."""
        return self.status in ENDED

    def timers_without(self, name: str) -> dict[str, int]:
        """Return its timers except the one of this name."""
        return {one: due for one, due in self.timers.items() if one != name}

    def ending(self, status: Status, reason: str) -> Instance:
        """Return it as it is once it has ended: nothing is due, nothing concerns it, and nothing is left to undo."""
        return replace(
            self, status=status, reason=reason, timers={}, associations=[], undo=[], undoing=None, failed_undo=None,
            failing=None,
        )  # fmt: skip
