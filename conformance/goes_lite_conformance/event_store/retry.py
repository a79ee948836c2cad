"""Appending again: the same events are stored once, and an id means one event."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class RetryRules(Contract):
    """Rules ES-RETRY."""
