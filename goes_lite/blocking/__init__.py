"""The blocking face: the same names and promises as the async one, for programs without an event loop.

On an embedded backend it runs the same coroutines inline: no loop, no thread hop, no second implementation. Network
backends run on one loop thread that the handle owns. Either way several threads may use one handle, such as a GUI's and a
worker's, and handles that are open when the interpreter exits are closed.
"""

from typing import TYPE_CHECKING

from goes_lite.blocking._bus import BlockingDelivery, BlockingEventBus, BlockingHandling, BlockingSubscription
from goes_lite.blocking._connect import connect
from goes_lite.blocking._database import BlockingDatabase
from goes_lite.blocking._models import BlockingModels
from goes_lite.blocking._pages import BlockingPages
from goes_lite.blocking._repository import BlockingRepository
from goes_lite.blocking._stores import (
    BlockingCheckpointStore,
    BlockingCommits,
    BlockingEventStore,
    BlockingLeaseStore,
    BlockingModelStore,
    BlockingSnapshotStore,
)
from goes_lite.blocking._transaction import BlockingTransaction
from goes_lite.blocking._view import BlockingView

if TYPE_CHECKING:  # imported on first use, as on the async face
    from goes_lite.blocking._commands import BlockingCommandBus, BlockingCommandService, BlockingCommandWorker
    from goes_lite.blocking._lookup import BlockingBoundLookup
    from goes_lite.blocking._processor import BlockingProcessor, BlockingProjectionProcessor, BlockingWorkflowProcessor
    from goes_lite.blocking._workflows import BlockingWorkflows

__all__ = [
    "BlockingBackend",
    "BlockingBoundLookup",
    "BlockingCheckpointStore",
    "BlockingCommandBus",
    "BlockingCommandService",
    "BlockingCommandWorker",
    "BlockingCommits",
    "BlockingDatabase",
    "BlockingDelivery",
    "BlockingEventBus",
    "BlockingEventStore",
    "BlockingHandling",
    "BlockingLeaseStore",
    "BlockingModelStore",
    "BlockingModels",
    "BlockingPages",
    "BlockingProcessor",
    "BlockingProjectionProcessor",
    "BlockingRepository",
    "BlockingSnapshotStore",
    "BlockingSubscription",
    "BlockingTransaction",
    "BlockingView",
    "BlockingWorkflowProcessor",
    "BlockingWorkflows",
    "connect",
]

BlockingBackend = BlockingDatabase
"""The former name of `BlockingDatabase`."""

_LATER = {
    "BlockingBoundLookup": "_lookup",
    "BlockingCommandBus": "_commands",
    "BlockingCommandService": "_commands",
    "BlockingCommandWorker": "_commands",
    "BlockingProcessor": "_processor",
    "BlockingProjectionProcessor": "_processor",
    "BlockingWorkflowProcessor": "_processor",
    "BlockingWorkflows": "_workflows",
}


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"goes_lite.blocking.{_LATER[name]}"), name)
