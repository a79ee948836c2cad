"""What is found where something is not as it should be: data for programs, a sentence for people, and a way out."""

from __future__ import annotations

from typing import NamedTuple

CLOCK_SKEW = 60.0
"""How many seconds clocks may differ before it is said: those of machines do, and reading both takes time."""


class Finding(NamedTuple):
    """Something that is not as it should be."""

    code: str
    """For programs, such as `payload-unreadable`; docs/operations.md explains each."""
    message: str
    """A sentence with the values."""
    fix: str = ""
    """The command or action that helps, if there is one of its own; otherwise a backup does."""

    def __str__(self) -> str:
        return self.message
