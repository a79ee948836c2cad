"""What a processor must do on every backend: one rule for each promise of `Backend.processor`."""

from __future__ import annotations

from goes_lite_conformance.processor.checkpoints import CheckpointRules
from goes_lite_conformance.processor.closing import CloseRules
from goes_lite_conformance.processor.dead_letters import DeadLetterRules
from goes_lite_conformance.processor.exactly_once import OnceRules
from goes_lite_conformance.processor.leases import FenceRules, LeaseRules
from goes_lite_conformance.processor.refusals import RefusalRules
from goes_lite_conformance.processor.retrying import RetryRules
from goes_lite_conformance.processor.running import RunRules
from goes_lite_conformance.processor.schedules import ScheduleRules
from goes_lite_conformance.processor.starting import StartRules
from goes_lite_conformance.processor.strict_order import OrderRules
from goes_lite_conformance.processor.unreadable import UnreadableRules
from goes_lite_conformance.processor.waiting import StatsRules, WaitRules

__all__ = ["ProcessorTests"]


class ProcessorTests(
    RunRules,
    StartRules,
    CheckpointRules,
    LeaseRules,
    FenceRules,
    OnceRules,
    RetryRules,
    UnreadableRules,
    DeadLetterRules,
    OrderRules,
    WaitRules,
    StatsRules,
    ScheduleRules,
    CloseRules,
    RefusalRules,
):
    """All rules about durable consumers: order, checkpoints, leases, exactly once, failures, dead letters, closing."""
