"""Event sourcing in one SQLite file, with no required dependency, and the same lines on servers.

The public names; `goes_lite.blocking` (for programs without an event loop), `goes_lite.errors` and `goes_lite.testing`
are modules of their own.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - who runs a copy of the sources on an older one shall read why it fails
    raise ImportError("goes_lite needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2])  # noqa: UP031

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goes_lite import blocking, errors
    from goes_lite.aggregate import Aggregate, applies
    from goes_lite.commands import Command, CommandBus, DispatchedCommand, handles
    from goes_lite.commands.decider import Decider
    from goes_lite.contract.backend import Backend, Transaction
    from goes_lite.contract.checkpoints import Checkpoint, CheckpointStore, Lease, LeaseStore
    from goes_lite.contract.commits import Commits
    from goes_lite.contract.event_bus import DeadLetter, Delivery, EventBus, Subscription
    from goes_lite.contract.event_store import AggregateInfo, AppendCondition, Appended, EventStore, Pages
    from goes_lite.contract.model_store import ModelStore
    from goes_lite.contract.models import Models
    from goes_lite.contract.snapshot_store import Snapshot, SnapshotStore
    from goes_lite.database import Database
    from goes_lite.database.connect import connect, register_backend, register_bus
    from goes_lite.events.context import Context
    from goes_lite.events.event import Event
    from goes_lite.events.fields import AggregateRef
    from goes_lite.events.ids import new_id
    from goes_lite.events.outcome import CommandOutcome
    from goes_lite.events.query import Between, EventQuery
    from goes_lite.events.registry import Raw, Registry, command, default_registry, event
    from goes_lite.processor import Continuously, OnDemand, ParkedEvent, Periodically, Processor, Retry
    from goes_lite.projection import REMOVED, ModelProjection, Parity, Projection, projects
    from goes_lite.projection.lookup import Lookup
    from goes_lite.repository import Repository
    from goes_lite.repository.decision import DecisionModel
    from goes_lite.repository.schedule import Every, Schedule
    from goes_lite.runtime.backoff import Backoff
    from goes_lite.workflow import (
        Associate,
        BlockingFlow,
        CancelTimer,
        Compensate,
        Complete,
        Dispatch,
        Dissociate,
        Effect,
        Fail,
        Flow,
        Publish,
        SetTimer,
        TimerFired,
        Undo,
        Workflow,
        evolves,
        flow,
        on_done,
        on_rejected,
        on_timer,
        reacts,
        starts,
        workflow_of,
    )

__all__ = [
    "REMOVED",
    "Aggregate",
    "AggregateInfo",
    "AggregateRef",
    "AppendCondition",
    "Appended",
    "Associate",
    "Backend",
    "Backoff",
    "Between",
    "BlockingFlow",
    "CancelTimer",
    "Checkpoint",
    "CheckpointStore",
    "Command",
    "CommandBus",
    "CommandOutcome",
    "Commits",
    "Compensate",
    "Complete",
    "Context",
    "Continuously",
    "Database",
    "DeadLetter",
    "Decider",
    "DecisionModel",
    "Delivery",
    "Dispatch",
    "DispatchedCommand",
    "Dissociate",
    "Effect",
    "Event",
    "EventBus",
    "EventQuery",
    "EventStore",
    "Every",
    "Fail",
    "Flow",
    "Lease",
    "LeaseStore",
    "Lookup",
    "ModelProjection",
    "ModelStore",
    "Models",
    "OnDemand",
    "Pages",
    "Parity",
    "ParkedEvent",
    "Periodically",
    "Processor",
    "Projection",
    "Publish",
    "Raw",
    "Registry",
    "Repository",
    "Retry",
    "Schedule",
    "SetTimer",
    "Snapshot",
    "SnapshotStore",
    "Subscription",
    "TimerFired",
    "Transaction",
    "Undo",
    "Workflow",
    "applies",
    "blocking",
    "command",
    "connect",
    "default_registry",
    "errors",
    "event",
    "evolves",
    "flow",
    "handles",
    "new_id",
    "on_done",
    "on_rejected",
    "on_timer",
    "projects",
    "reacts",
    "register_backend",
    "register_bus",
    "starts",
    "workflow_of",
]

__version__ = "0.1.0"


_MODULES = {
    "aggregate": ("Aggregate", "applies"),
    "commands": ("Command", "CommandBus", "DispatchedCommand", "handles"),
    "commands.decider": ("Decider",),
    "contract.backend": ("Backend", "Transaction"),
    "contract.checkpoints": ("Checkpoint", "CheckpointStore", "Lease", "LeaseStore"),
    "contract.commits": ("Commits",),
    "contract.event_bus": ("DeadLetter", "Delivery", "EventBus", "Subscription"),
    "contract.event_store": ("AggregateInfo", "AppendCondition", "Appended", "EventStore", "Pages"),
    "contract.model_store": ("ModelStore",),
    "contract.models": ("Models",),
    "contract.snapshot_store": ("Snapshot", "SnapshotStore"),
    "database": ("Database",),
    "database.connect": ("connect", "register_backend", "register_bus"),
    "events.context": ("Context",),
    "events.event": ("Event",),
    "events.fields": ("AggregateRef",),
    "events.ids": ("new_id",),
    "events.outcome": ("CommandOutcome",),
    "events.query": ("Between", "EventQuery"),
    "events.registry": ("Raw", "Registry", "command", "default_registry", "event"),
    "processor": ("Continuously", "OnDemand", "ParkedEvent", "Periodically", "Processor", "Retry"),
    "projection": ("ModelProjection", "Parity", "Projection", "REMOVED", "projects"),
    "projection.lookup": ("Lookup",),
    "repository": ("Repository",),
    "repository.decision": ("DecisionModel",),
    "repository.schedule": ("Every", "Schedule"),
    "runtime.backoff": ("Backoff",),
    "workflow": (
        "Associate",
        "BlockingFlow",
        "CancelTimer",
        "Compensate",
        "Complete",
        "Dispatch",
        "Dissociate",
        "Effect",
        "Fail",
        "Flow",
        "Publish",
        "SetTimer",
        "TimerFired",
        "Undo",
        "Workflow",
        "evolves",
        "flow",
        "on_done",
        "on_rejected",
        "on_timer",
        "reacts",
        "starts",
        "workflow_of",
    ),
}
"""The modules that define the names: each is imported when a name of it is first used, so that nobody pays for what is not."""


if not TYPE_CHECKING:  # or a type checker would take any name for one of these

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for module, names in _MODULES.items():
            if name in names:
                found = getattr(import_module(f"goes_lite.{module}"), name)
                break
        else:
            if name not in ("blocking", "errors"):
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            found = import_module(f"goes_lite.{name}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
