"""Schedules: when a repository takes a snapshot."""

from __future__ import annotations

from typing import Protocol

from goes_lite.errors import ConfigError


class Schedule(Protocol):
    """Decides when to take a snapshot."""

    def due(self, before: int, after: int) -> bool:
        """Whether a save that moved an aggregate from version `before` to `after` requires one."""
        ...


class Every:
    """Take a snapshot whenever a save reaches or passes a multiple of `n` versions."""

    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        if type(n) is not int or n < 1:
            raise ConfigError(f"Every({n!r:.80}): the number of versions between snapshots must be an int ≥ 1")
        self.n = n

    def due(self, before: int, after: int) -> bool:
        return after // self.n > before // self.n

    def __repr__(self) -> str:
        return f"Every({self.n})"
