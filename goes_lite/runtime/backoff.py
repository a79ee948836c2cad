"""Growing pauses between attempts."""

from __future__ import annotations

import math
import random

from goes_lite.errors import ConfigError


class Backoff:
    """Growing pauses between attempts: first, first·factor, first·factor², … up to `maximum` seconds.

    Each pause is shortened by a random fraction of up to `jitter` (0: none, 1: down to zero), so that what failed together
    is not retried together. Pass `rng=random.Random(seed)` for reproducible pauses.
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
                f"Backoff({first!r}, {factor=}, {maximum=}, {jitter=}): requires first ≥ 0, factor ≥ 1, maximum ≥ 0, jitter 0…1"
            )
        self.first = first
        self.factor = factor
        self.maximum = maximum
        self.jitter = jitter
        self.rng = rng or random.Random()

    def __call__(self, attempt: int) -> float:
        """Return the seconds to wait after the failure of this attempt (1, 2, 3, …)."""
        try:
            wait = min(self.first * self.factor ** (attempt - 1), self.maximum)
        except OverflowError:
            wait = self.maximum
        return wait * (1 - self.jitter * self.rng.random())

    def __repr__(self) -> str:
        return f"Backoff({self.first!r}, factor={self.factor!r}, maximum={self.maximum!r}, jitter={self.jitter!r})"
