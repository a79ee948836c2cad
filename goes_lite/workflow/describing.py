"""Instances and their histories as data and in words, for command lines and pages."""

from __future__ import annotations

from typing import Any

from goes_lite.events.fields import from_micros
from goes_lite.events.workflow import (
    EffectRecord,
    WorkflowEnded,
    WorkflowHandled,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)
from goes_lite.workflow.instance import Instance

STATUSES = ("running", "compensating", "suspended", "completed", "failed", "cancelled")
"""What an instance can be."""


def instance_data(one: Instance) -> dict[str, Any]:
    """Return an instance as data."""
    failing = one.failing
    return {
        "workflow": one.workflow, "key": one.key, "id": one.id, "status": one.status, "version": one.version,
        "run": one.run, "inputs": one.inputs, "position": one.position, "started": one.started, "updated": one.updated,
        "state": one.state, "timers": {name: from_micros(due) for name, due in one.timers.items()},
        "associations": one.associations, "undo": [stored.command for stored in one.undo], "undoing": one.undoing,
        "reason": one.reason or None, "correlation": one.correlation,
        "failing": None if failing is None else {
            "since": failing.since, "attempts": failing.attempts, "error": failing.error, "input": failing.input,
            "position": failing.position or None, "retry": from_micros(failing.retry) if failing.retry else None,
        },
    }  # fmt: skip


def happened(data: object, version: int) -> str:
    """Return in words what an event of a history says; `version` is that of the instance after it."""
    match data:
        case WorkflowStarted():
            return f"started under version {data.version}, run {data.run}"
        case WorkflowHandled():
            if data.input.kind == "timer":
                return f"told the timer {data.input.name}"
            return f"told {data.input.name} at position {data.input.position}"
        case WorkflowSuspended():
            return f"suspended: {data.error}"
        case WorkflowResumed():
            return f"let go on: {data.action}"
        case WorkflowEnded():
            return f"{data.status}{': ' + data.reason if data.reason else ''}"
        case _:
            return f"published an event at version {version}"


def effects_of(data: object) -> tuple[EffectRecord, ...]:
    """Return the effects that an event of a history records."""
    return data.effects if isinstance(data, WorkflowHandled) else ()
