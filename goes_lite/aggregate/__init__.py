"""Aggregates: plain classes whose state is the sum of their events.

What a class statement means, how an event is recorded and applied, and how the state becomes a snapshot belong here.
"""

from __future__ import annotations

from goes_lite.aggregate._aggregate import Aggregate, last_event, mark_committed, mark_saved, resume, set_clock, unsaved
from goes_lite.aggregate._definition import applies, check_class, definition_of

__all__ = [
    "Aggregate",
    "applies",
    "check_class",
    "definition_of",
    "last_event",
    "mark_committed",
    "mark_saved",
    "resume",
    "set_clock",
    "unsaved",
]
