"""What an EventBus must do: the promises of `goes_lite.contract.event_bus`, one rule for each.

Belongs here: rules that hold for every bus, with or without a log.
"""

from __future__ import annotations

from goes_lite_conformance.event_bus.closing import BusCloseRules
from goes_lite_conformance.event_bus.dead_letters import DeadLetterRules
from goes_lite_conformance.event_bus.delivery import DeliveryRules
from goes_lite_conformance.event_bus.groups import GroupRules
from goes_lite_conformance.event_bus.handlers import HandlerRules
from goes_lite_conformance.event_bus.log import LogRules
from goes_lite_conformance.event_bus.names import NameRules
from goes_lite_conformance.event_bus.settling import SettlingRules

__all__ = ["EventBusTests"]


class EventBusTests(
    DeliveryRules, NameRules, SettlingRules, GroupRules, HandlerRules, DeadLetterRules, LogRules, BusCloseRules
):
    """Everything about delivery: publishing, names, settling, groups, handlers, dead letters, the log, closing."""
