"""Reading what is known by name: an aggregate, one event, the head, the list of aggregates."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class LoadRules(Contract):
    """Rules ES-LOAD, ES-FIND, ES-HEAD and ES-AGG."""
