"""The event bus inside one process, built so that a bus between processes can reuse its parts.

Belongs here: queues, subscriptions and handlers of any bus. Not here: how events travel between processes.
"""

from __future__ import annotations

from goes_lite.kit.bus.inprocess import InProcessBus
from goes_lite.kit.bus.subscription import InProcessDelivery, InProcessSubscription

__all__ = ["InProcessBus", "InProcessDelivery", "InProcessSubscription"]
