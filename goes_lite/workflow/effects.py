"""Effects: what a reaction wants to be done, as data. Nothing happens until the engine has stored the input that caused them.

So a definition can be tested without a store, and replaying a history repeats nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

MAX_EFFECTS = 1000
"""How many effects a reaction to one input may have."""
MAX_BYTES = 4 * 1024 * 1024
"""How large the commands and events of a reaction to one input may be, encoded, in bytes."""


@dataclass(frozen=True)
class Dispatch:
    """Accept a command, to be handled by a worker; its outcome comes back as an input.

    The id of the command is derived from the instance and the input, so a reaction that is repeated dispatches it once.
    """

    command: Any
    """A value of a registered command type."""
    at: datetime | None = None
    """When it is due (an aware datetime); at once by default. A time that has passed means at once."""
    key: str | None = None
    """What identifies it among the commands of this reaction; by default its number among them."""
    tags: tuple[str, ...] = ()
    """Tags of the event that tells its outcome, of the form `key:value`."""


@dataclass(frozen=True)
class SetTimer:
    """Set a timer of the instance, in place of one with this name. When it fires, the method `on_timer` of its name is called."""

    name: str
    at: datetime | None = None
    """When it is due (an aware datetime). One that has passed fires at once."""
    after: timedelta | None = None
    """How long after the time of the input it is due. Give either this or `at`."""


@dataclass(frozen=True)
class CancelTimer:
    """Cancel a timer of the instance; nothing happens if there is none of this name."""

    name: str


@dataclass(frozen=True)
class Publish:
    """Record an event of the instance: it is appended to the aggregate `workflow:NAME`, with the key as its id."""

    data: Any
    """A value of a registered event type."""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Associate:
    """From now on, events with this key concern the instance, in addition to those with its own."""

    key: str


@dataclass(frozen=True)
class Dissociate:
    """Events with this key do not concern the instance any more."""

    key: str


@dataclass(frozen=True)
class Undo:
    """Keep a command that undoes what has just been done, for `Compensate`."""

    command: Any
    """A value of a registered command type."""


@dataclass(frozen=True)
class Compensate:
    """Undo what was done: dispatch the commands of `Undo` in reverse order, each after the one before is done; then fail."""

    reason: str = ""


@dataclass(frozen=True)
class Complete:
    """End the instance: it has reached its goal."""


@dataclass(frozen=True)
class Fail:
    """End the instance: it cannot reach its goal. To undo what was done first, use `Compensate`."""

    reason: str = ""


Effect: TypeAlias = (
    Dispatch | SetTimer | CancelTimer | Publish | Associate | Dissociate | Undo | Compensate | Complete | Fail
)
"""What a reaction returns, as data: the engine does it, together with noting that the input was handled."""
EFFECTS = (Dispatch, SetTimer, CancelTimer, Publish, Associate, Dissociate, Undo, Compensate, Complete, Fail)
"""All of them, for isinstance()."""
