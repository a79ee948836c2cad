"""Growing pauses between attempts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from goes_lite.errors import ConfigError
from goes_lite.errors.functions import check_function, check_result, failure

if TYPE_CHECKING:
    from logging import Logger

MAX_PAUSE = 86_400.0
"""The longest pause, in seconds: timers have limits."""


def check_backoff(backoff: Callable[[int], float] | None) -> Callable[[int], float]:
    """Return the function of the attempt that gives a pause, by default `Backoff()`; ConfigError if it is not callable."""
    if backoff is None:
        return Backoff()
    if not callable(backoff):
        raise ConfigError(f"backoff must be a function of the attempt (1, 2, 3, …), not {backoff!r:.80}")
    check_function("backoff", backoff)
    return backoff


def pause_after(attempt: int, backoff: Callable[[int], float], logger: Logger) -> float:
    """Return the pause after a failed attempt; that of `Backoff()` if the function raises or returns no number."""
    try:
        found = backoff(attempt)
        check_result("backoff", found)
        seconds = float(found)
        if math.isnan(seconds):
            raise ValueError("no number")
    except BaseException as exc:  # raised by the user's function
        failure(exc)
        logger.exception("the backoff %r returns no number for attempt %d", backoff, attempt)
        seconds = Backoff()(attempt)
    return min(max(0.0, seconds), MAX_PAUSE)


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
        numbers = all(type(number) in (int, float) for number in (first, factor, maximum, jitter))
        if not (numbers and math.isfinite(first) and first >= 0 and factor >= 1 and maximum >= 0 and 0 <= jitter <= 1):
            raise ConfigError(
                f"Backoff({first!r}, {factor=}, {maximum=}, {jitter=}): requires first ≥ 0, factor ≥ 1, maximum ≥ 0, jitter 0…1"
            )
        if rng is not None and not callable(getattr(rng, "random", None)):
            raise ConfigError(f"rng must be a random.Random, not {rng!r:.80}")
        self.first = first
        self.factor = factor
        self.maximum = maximum
        self.jitter = jitter
        self.rng = rng

    def __call__(self, attempt: int) -> float:
        """Return the seconds to wait after the failure of this attempt (1, 2, 3, …)."""
        try:
            wait = min(self.first * self.factor ** (attempt - 1), self.maximum)
        except OverflowError:
            wait = self.maximum
        return wait * (1 - self.jitter * (random if self.rng is None else self.rng).random())

    def __repr__(self) -> str:
        return f"Backoff({self.first!r}, factor={self.factor!r}, maximum={self.maximum!r}, jitter={self.jitter!r})"
