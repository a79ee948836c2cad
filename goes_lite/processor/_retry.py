"""How a processor retries an event whose handler raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from goes_lite.errors import ConfigError
from goes_lite.errors.options import check_number
from goes_lite.runtime.backoff import check_backoff, pause_after

logger = logging.getLogger("goes_lite.processor")

Then: TypeAlias = Literal["stop", "park"]
Order: TypeAlias = Literal["free", "strict"]


class Retry:
    """Retry with growing pauses, then stop the processor or park the event.

        Retry()                                         # 5 attempts, then the processor stops
        Retry(10, then="park")                          # 10 attempts, then the event is parked and the others continue
        Retry(then="park", order="strict")              # and later events of its aggregate are held back

    Arguments
      attempts   the maximum number of attempts per event; 1 for no retry.
      backoff    seconds to wait after the failure of attempt 1, 2, 3, …; `Backoff()` by default, and if it raises or
                 returns no number.
      then       'stop': the processor ends with ProcessorStopped, and resumes with this event next time. 'park': the event
                 becomes a dead letter (`Processor.parked`), to be inspected, redriven or dropped.
      order      'strict': while an event of an aggregate is parked, later events of that aggregate are parked, too, and
                 redriven in order. 'free': they are handled.

    While an event waits for its next attempt, the others wait as well: a processor handles one after another. Errors of the
    store (unreachable, locked, full) are no failures of an event and are retried forever.
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
        check_number("attempts", attempts, 1)
        if then not in get_args(Then):
            raise ConfigError(f"then must be 'stop' or 'park', not {then!r:.80}")
        if order not in get_args(Order):
            raise ConfigError(f"order must be 'free' or 'strict', not {order!r:.80}")
        if order == "strict" and then == "stop":
            raise ConfigError("order='strict' applies to parked events: also pass then='park'")
        self.attempts = attempts
        self.backoff = check_backoff(backoff)
        self.then: Then = then
        self.order: Order = order

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after the failure of this attempt (1, 2, 3, …)."""
        return pause_after(attempt, self.backoff, logger)

    def __repr__(self) -> str:
        return f"Retry({self.attempts!r}, backoff={self.backoff!r}, then={self.then!r}, order={self.order!r})"
