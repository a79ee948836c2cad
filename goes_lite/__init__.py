"""Event sourcing in one SQLite file, with no required dependency, and the same lines on servers.

The public names; `goes_lite.blocking` (for programs without an event loop), `goes_lite.errors` and `goes_lite.testing`
are modules of their own.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - who runs a copy of the sources on an older one shall read why it fails
    raise ImportError("goes_lite needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2])  # noqa: UP031

from typing import TYPE_CHECKING, Any

from goes_lite import errors
from goes_lite.aggregate import Aggregate, applies
from goes_lite.backend import Backend, Transaction
from goes_lite.bus import Backoff, DeadLetter, Delivery, EventBus, Subscription
from goes_lite.checkpoint import Checkpoint, CheckpointStore, Lease, LeaseStore
from goes_lite.connect import connect, register_backend
from goes_lite.event import AggregateRef, Event
from goes_lite.ids import new_id
from goes_lite.model import Models, ModelStore
from goes_lite.query import Between, EventQuery
from goes_lite.registry import Raw, Registry, default_registry, event
from goes_lite.repository import Repository
from goes_lite.snapshot import Every, Schedule, Snapshot, SnapshotStore
from goes_lite.store import AggregateInfo, AppendCondition, Appended, EventStore, Pages

if TYPE_CHECKING:
    from goes_lite import blocking

__all__ = [
    "Aggregate",
    "AggregateInfo",
    "AggregateRef",
    "AppendCondition",
    "Appended",
    "Backend",
    "Backoff",
    "Between",
    "Checkpoint",
    "CheckpointStore",
    "DeadLetter",
    "Delivery",
    "Event",
    "EventBus",
    "EventQuery",
    "EventStore",
    "Every",
    "Lease",
    "LeaseStore",
    "ModelStore",
    "Models",
    "Pages",
    "Raw",
    "Registry",
    "Repository",
    "Schedule",
    "Snapshot",
    "SnapshotStore",
    "Subscription",
    "Transaction",
    "applies",
    "blocking",
    "connect",
    "default_registry",
    "errors",
    "event",
    "new_id",
    "register_backend",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The blocking face is loaded when it is first used: an asyncio program does not pay for it.
    if name == "blocking":
        from importlib import import_module

        return import_module("goes_lite.blocking")
    raise AttributeError(f"module 'goes_lite' has no attribute {name!r}")
