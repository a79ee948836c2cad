"""The event that tells the outcome of a command: written for those that ask for it, such as the commands of a workflow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from uuid import UUID

from goes_lite.errors import ConfigError, InvalidEventError
from goes_lite.events.built_in import built_in
from goes_lite.events.fields import check_tags

COMMAND_OUTCOME = "goes.command.outcome"
"""The name of the event that tells the outcome of a command whose sender asked for it; its data is a `CommandOutcome`."""

REPORT = "goes.report"
"""The key in the metadata of an accepted command that asks for its outcome as an event: the tags of that, as JSON. It concerns
that command alone: neither the events of its handler nor the commands that those cause have it."""

REDRIVEN = "goes.redriven"
"""The key in the metadata of an accepted command that is retried although it was rejected."""


@built_in(COMMAND_OUTCOME)
class CommandOutcome(NamedTuple):  # what dataclasses import would make every program start slower
    """The outcome of an accepted command. Its event is caused by the command, and has the tag `command:ID`."""

    id: UUID
    """That of the command."""
    command: str
    """Its registered name."""
    outcome: Literal["done", "rejected", "failed"]
    """`rejected`: its handler refused it. `failed`: it was given up, or withdrawn (then the code is `withdrawn`)."""
    result: str | None = None
    """The result of its handler, as JSON; None for None, and where there is none."""
    code: str = ""
    """The code of the error, for programs."""
    message: str = ""
    """The error, as text."""
    details: str = "{}"
    """The details of the error, as JSON."""
    attempts: int = 1
    """How often it was begun, if it failed."""


def report_to(tags: Iterable[str]) -> str:
    """Return what asks for an outcome with these tags: the value of `REPORT`. ConfigError if they are no tags."""
    try:
        return json.dumps(sorted(check_tags(tags) or ()), ensure_ascii=False)
    except InvalidEventError as exc:
        raise ConfigError(f"report must be a bool or tags: {exc}") from None


def reported_tags(metadata: Mapping[str, str]) -> frozenset[str] | None:
    """Return the tags for which a command asks; None if it asks for no outcome, empty if what it asks cannot be read."""
    asked = metadata.get(REPORT)
    if asked is None:
        return None
    try:
        return check_tags(json.loads(asked)) or frozenset()
    except (ValueError, InvalidEventError):  # written by another tool: its outcome is still found by its id
        return frozenset()
