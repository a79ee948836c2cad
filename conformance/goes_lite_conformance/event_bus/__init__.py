"""What an EventBus has to do: the promises of `goes_lite.bus`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract

__all__ = ["EventBusTests"]


class EventBusTests(Contract):
    """Everything about delivery."""
