"""What workflows must do on every backend: one rule for each promise of `Database.workflow`."""

from __future__ import annotations

from goes_lite_conformance.workflow.failing import AloneRules
from goes_lite_conformance.workflow.telling import TellRules
from goes_lite_conformance.workflow.timers import TimerRules

__all__ = ["WorkflowTests"]


class WorkflowTests(TellRules, TimerRules, AloneRules):
    """All rules about workflows: telling instances their inputs, once; timers; instances that fail alone."""
