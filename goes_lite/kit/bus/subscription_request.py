"""What a subscriber asks for, checked the same way on every bus.

Rule of this file: an option that means nothing is refused here, before anything is subscribed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple, cast

from goes_lite.contract.event_bus import NamePatterns, Ordered, Start, parse_patterns
from goes_lite.errors import ConfigError, InvalidEventError, InvalidQueryError
from goes_lite.events.fields import to_micros


class SubscriptionRequest(NamedTuple):
    """What the first member of a queue asks for."""

    patterns: NamePatterns
    group: str | None
    label: str
    """The name of the queue in dead letters."""
    capacity: int
    position: int | None
    """Where to start: after this position; None for now."""
    min_time: int | None
    """Only events whose own time is not before this one (in microseconds)."""
    ordered: bool
    """Whether the members of the group keep each aggregate in order."""
    last: bool
    """Whether to start with the last event that matches; `position` is None then."""


def parse_request(
    names: Iterable[str], group: str | None, start: Start, ordered_by: Ordered, capacity: int
) -> SubscriptionRequest:
    """Return the arguments of `subscribe` as a request; InvalidQueryError or ConfigError for a wrong one."""
    patterns = parse_patterns(names)
    if group is not None:
        check_group(group)
    check_count("capacity", capacity)
    if ordered_by not in (None, "aggregate") or (ordered_by is not None and group is None):
        raise ConfigError(
            f"ordered_by={ordered_by!r:.80} with group={group!r:.80}: use ordered_by='aggregate' with a group, or None"
        )
    position, min_time = _parse_start(start)
    label = str(patterns) if group is None else group
    return SubscriptionRequest(
        patterns, group, label, capacity, position, min_time, ordered_by is not None, start == "last"
    )


def _parse_start(start: Start) -> tuple[int | None, int | None]:
    """The position to start after, and the time (in microseconds) to start at."""
    if isinstance(start, datetime):
        with suppress(InvalidEventError):
            return 0, to_micros(start)
    elif start in ("now", "last"):
        return None, None
    elif start == "beginning":
        return 0, None
    elif type(start) is int and start >= 0:
        return start, None
    raise InvalidQueryError(
        f"start={start!r:.80} is not valid: use 'now', 'beginning', 'last', a position (an int ≥ 0) or an aware datetime"
    )


def check_group(group: object) -> None:
    """Raise ConfigError unless it can name a group."""
    if not isinstance(group, str) or not group or any("\ud800" <= character <= "\udfff" for character in group):
        raise ConfigError(f"group={group!r:.80} is not a name: use a non-empty str, or None for no group")


def check_count(option: str, value: int) -> None:
    """Raise ConfigError unless the value of an option is an int ≥ 1."""
    if type(value) is not int or value < 1:
        raise ConfigError(f"{option}={value!r} is not valid: use an int ≥ 1")


def is_seconds(value: object) -> bool:
    """Whether a value is a number of seconds ≥ 0."""
    return type(value) in (int, float) and math.isfinite(cast("float", value)) and cast("float", value) >= 0


def check_ack_wait(ack_wait: float | None) -> None:
    """Raise ConfigError unless `ack_wait` is a number of seconds or None."""
    if ack_wait is not None and not (is_seconds(ack_wait) and ack_wait > 0):
        raise ConfigError(f"ack_wait={ack_wait!r} is not valid: use a number of seconds > 0, or None for no limit")
