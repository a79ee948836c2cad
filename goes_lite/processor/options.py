"""The options of everything that consumes the log, as type checkers see them on both faces."""

from __future__ import annotations

from typing import Any, TypedDict

from goes_lite.contract.event_bus import Start
from goes_lite.errors import ConfigError
from goes_lite.errors.functions import check_function
from goes_lite.errors.options import check_number, check_period
from goes_lite.events.query import EventQuery
from goes_lite.processor._retry import Retry
from goes_lite.processor._schedule import ProcessorSchedule


class RunOptions(TypedDict, total=False):
    """How a processor, a relay or a projection runs."""

    schedule: ProcessorSchedule | None
    """When it works: `Continuously()` by default, or `Periodically` or `OnDemand`."""
    retry: Retry | None
    """What happens when a handler raises: `Retry()` by default; a relay by default retries forever."""
    batch: int | None
    """How many events share a commit: 1 by default, 500 for a transactional or batched handler, 100 for a relay, 1000 for a
    projection."""
    lease: float
    """Seconds after which a standby instance takes over from one that was killed: 10.0 by default."""


class RelayOptions(RunOptions, total=False):
    """How a relay runs, and which events it publishes."""

    query: EventQuery
    """Which events it is given: all by default."""
    start: Start
    """Where it begins the first time: at the 'beginning' by default."""


class ProcessorOptions(RelayOptions, total=False):
    """How a processor runs, and which events its handler receives."""

    transactional: bool
    """Whether the handler writes in the transaction that saves the checkpoint: no by default."""


def check_run_options(batch: Any, schedule: Any, retry: Any, lease: Any) -> None:
    """ConfigError for an option of a wrong type or value."""
    check_number("batch", batch, 1)
    check_period("lease", lease)
    if retry is not None and not isinstance(retry, Retry):
        raise ConfigError(f"retry must be a Retry, not {retry!r:.80}")
    if schedule is None:
        return
    due = getattr(schedule, "due", None)
    if (
        isinstance(schedule, type) or not callable(due) or not hasattr(schedule, "minds_when")
    ):  # that of snapshots has none
        raise ConfigError(
            f"schedule must be Continuously(), Periodically(…), OnDemand() or similar, not {schedule!r:.80}"
        )
    check_function("due() of a schedule", due)
