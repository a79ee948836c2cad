"""Workflows: processes over many aggregates, as event-driven state machines with effects as data.

    class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
        @goes.starts(OrderPlaced)
        def placed(self, state: Progress, event: goes.Event[OrderPlaced]) -> Iterable[goes.Effect]:
            yield goes.Dispatch(Charge(event.aggregate.id, event.data.total))
            yield goes.SetTimer("payment", after=timedelta(days=2))

`definition` says what a workflow is, `transition` what one input makes of an instance, without any I/O. `processor` tells stored
instances their inputs; `telling` what one cannot handle, `due` timers, `work` what a transaction writes.
"""

from __future__ import annotations

from goes_lite.workflow.administration import Which, Workflows
from goes_lite.workflow.checking import HistoryDifference
from goes_lite.workflow.code import CodeWorkflow, flow
from goes_lite.workflow.definition import Definition, Workflow
from goes_lite.workflow.effects import (
    Associate,
    CancelTimer,
    Compensate,
    Complete,
    Dispatch,
    Dissociate,
    Effect,
    Fail,
    Publish,
    SetTimer,
    Undo,
)
from goes_lite.workflow.flow import BlockingFlow, Flow
from goes_lite.workflow.functions import workflow_of
from goes_lite.workflow.history import Moment
from goes_lite.workflow.inputs import Input, TimerFired
from goes_lite.workflow.instance import Failing, Instance, Status
from goes_lite.workflow.marks import evolves, on_done, on_rejected, on_timer, reacts, starts
from goes_lite.workflow.options import OnSecondStart, WorkflowOptions
from goes_lite.workflow.picture import mermaid_of, text_of
from goes_lite.workflow.processor import WorkflowProcessor
from goes_lite.workflow.transition import Step, start, transition

__all__ = [
    "Associate",
    "BlockingFlow",
    "CancelTimer",
    "CodeWorkflow",
    "Compensate",
    "Complete",
    "Definition",
    "Dispatch",
    "Dissociate",
    "Effect",
    "Fail",
    "Failing",
    "Flow",
    "HistoryDifference",
    "Input",
    "Instance",
    "Moment",
    "OnSecondStart",
    "Publish",
    "SetTimer",
    "Status",
    "Step",
    "TimerFired",
    "Undo",
    "Which",
    "Workflow",
    "WorkflowOptions",
    "WorkflowProcessor",
    "Workflows",
    "evolves",
    "flow",
    "mermaid_of",
    "on_done",
    "on_rejected",
    "on_timer",
    "reacts",
    "start",
    "starts",
    "text_of",
    "transition",
    "workflow_of",
]
