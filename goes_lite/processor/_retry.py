"""What a processor does about an event whose handler raises."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from goes_lite.errors import ConfigError
from goes_lite.runtime.backoff import Backoff

logger = logging.getLogger("goes_lite.processor")

LONGEST = 86_400.0
"""No pause is longer, in seconds: timers have limits."""

Then: TypeAlias = Literal["stop", "park"]
Order: TypeAlias = Literal["free", "strict"]


class Retry:
    """Try again with growing pauses, then give up on the event, in one way or the other.

        Retry()                                         # 5 attempts, then the processor stops
        Retry(10, then="park")                          # 10 attempts, then the event is parked and the others go on
        Retry(then="park", order="strict")              # and later events of its aggregate are held back behind it

    Arguments
      attempts   how often an event is tried before it is given up; 1 for no second try.
      backoff    seconds to wait after the failure of attempt 1, 2, 3, …; `Backoff()` by default, and where it raises or
                 answers no number.
      then       'stop': the processor ends with ProcessorStopped, and begins with this event again the next time. 'park':
                 the event becomes a dead letter (`Processor.parked`), to be looked at, re-driven or dropped.
      order      'strict': while an event of an aggregate is parked, later ones of that aggregate are parked behind it, and
                 re-driven in order. 'free': they are handled.

    While an event waits to be tried again, the others wait as well: a processor handles one after another. What is wrong
    with the store (unreachable, locked, full) is no failure of an event: that is tried again for ever.
    """

    __slots__ = ("attempts", "backoff", "order", "then")

    def __init__(
        self,
        attempts: int = 5,
        *,
        backoff: Callable[[int], float] | None = None,
        then: Then = "stop",
        order: Order = "free",
    ) -> None:
        if type(attempts) is not int or attempts < 1:
            raise ConfigError(f"attempts is an int ≥ 1, not {attempts!r:.80}")
        if backoff is not None and not callable(backoff):
            raise ConfigError(f"backoff is a function of the attempt (1, 2, 3, …), not {backoff!r:.80}")
        if then not in get_args(Then):
            raise ConfigError(f"then={then!r:.80}: 'stop' or 'park'")
        if order not in get_args(Order):
            raise ConfigError(f"order={order!r:.80}: 'free' or 'strict'")
        if order == "strict" and then == "stop":
            raise ConfigError("order='strict' is about parked events: write then='park', too")
        self.attempts = attempts
        self.backoff = Backoff() if backoff is None else backoff
        self.then: Then = then
        self.order: Order = order

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the failure of this attempt (1, 2, 3, …)."""
        try:
            seconds = float(self.backoff(attempt))
            if math.isnan(seconds):
                raise ValueError("no number")
        except Exception:  # whatever the user's function raises
            logger.exception("the backoff %r answers no time for attempt %d", self.backoff, attempt)
            seconds = Backoff()(attempt)
        return min(max(0.0, seconds), LONGEST)

    def __repr__(self) -> str:
        return f"Retry({self.attempts!r}, backoff={self.backoff!r}, then={self.then!r}, order={self.order!r})"
