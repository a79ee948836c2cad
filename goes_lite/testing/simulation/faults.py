"""What goes wrong in a simulated run, and how often: drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

JUMPS = (-86_400.0, -3600.0, -60.0, 60.0, 3600.0, 86_400.0)
"""Seconds by which the time of day is set back or forward."""


@dataclass(frozen=True)
class Faults:
    """The probability of each fault at a turn. Each seed draws some of them, so runs differ in kind, not only in order."""

    crash: float = 0.0
    """That a program ends without any notice, in the middle of what it does."""
    stall: float = 0.0
    """That a program gets no turn for a while, and does not notice."""
    jump: float = 0.0
    """That the time of day is set back or forward."""
    slow: float = 0.0
    """That time passes while programs wait for the store."""

    @classmethod
    def drawn(cls, random: Random, *, crashes: bool, stalls: bool, jumps: bool) -> Faults:
        """Draw the faults of a run, each kind only if it is wanted."""
        crash, stall, jump = (random.choice(rates) for rates in ((0, 0.005, 0.02, 0.08), (0, 0.01, 0.03), (0, 0.005)))
        slow = random.choice((0.0, 0.05, 0.3))
        return cls(crash * crashes, stall * stalls, jump * jumps, slow)
