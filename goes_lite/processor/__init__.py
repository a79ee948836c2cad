"""Processors: named, durable consumers of the log.

A processor receives every event that matches its query, in position order, and stores its progress as a checkpoint. So it
resumes where it left off, even after a crash or in another process. `held_lease` decides which instance is active, `_worker`
when it works, `batches` how events are handled, retried and parked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from goes_lite.contract.backend import Backend
from goes_lite.errors.options import check_flag
from goes_lite.processor._processor import Processor
from goes_lite.processor._requests import ByName
from goes_lite.processor._retry import Retry
from goes_lite.processor._schedule import Continuously, OnDemand, Pending, Periodically, ProcessorSchedule
from goes_lite.processor._stats import Stats, stats_of
from goes_lite.processor.options import ProcessorOptions, RelayOptions, RunOptions
from goes_lite.processor.records import MAX_NAME, ParkedEvent, parked_events
from goes_lite.processor.target import Target, target_of
from goes_lite.runtime.face import Face

__all__ = [
    "MAX_NAME",
    "ByName",
    "Continuously",
    "OnDemand",
    "ParkedEvent",
    "Pending",
    "Periodically",
    "Processor",
    "ProcessorOptions",
    "ProcessorSchedule",
    "RelayOptions",
    "Retry",
    "RunOptions",
    "Stats",
    "Target",
    "parked_events",
    "processor_of",
    "stats_of",
]


def processor_of(
    backend: Backend,
    name: str,
    handler: Callable[..., object],
    face: Face,
    *,
    batched: bool = False,
    **options: Unpack[ProcessorOptions],
) -> Processor:
    """Create a processor that calls a function of the user's, on either face; see `Database.processor`."""
    check_flag("batched", batched)
    if batched and options.get("batch") is None:
        options["batch"] = 500
    return Processor(backend, name, target_of(handler, face, batched=batched), **options)
