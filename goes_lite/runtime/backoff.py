"""Growing pauses between attempts."""

from __future__ import annotations

import math
import random

from goes_lite.errors import ConfigError


class Backoff:
    """How long to wait before a delivery is tried again: first, first·factor, first·factor², … up to `maximum`.

    Each wait is shortened by a random part of up to `jitter` (0: none, 1: down to nothing), so that what failed
    together is not tried again together. Pass `rng=random.Random(seed)` to know the waits beforehand.
    """

    __slots__ = ("factor", "first", "jitter", "maximum", "rng")

    def __init__(
        self,
        first: float = 0.1,
        *,
        factor: float = 2.0,
        maximum: float = 30.0,
        jitter: float = 0.5,
        rng: random.Random | None = None,
    ) -> None:
        if not (math.isfinite(first) and first >= 0 and factor >= 1 and maximum >= 0 and 0 <= jitter <= 1):
            raise ConfigError(
                f"Backoff({first!r}, {factor=}, {maximum=}, {jitter=}): needs first ≥ 0, factor ≥ 1, jitter 0…1"
            )
        self.first = first
        self.factor = factor
        self.maximum = maximum
        self.jitter = jitter
        self.rng = rng or random.Random()

    def __call__(self, attempt: int) -> float:
        """Seconds to wait after the failure of this attempt (1, 2, 3, …)."""
        try:
            wait = min(self.first * self.factor ** (attempt - 1), self.maximum)
        except OverflowError:
            wait = self.maximum
        return wait * (1 - self.jitter * self.rng.random())

    def __repr__(self) -> str:
        return f"Backoff({self.first!r}, factor={self.factor!r}, maximum={self.maximum!r}, jitter={self.jitter!r})"
