"""Append conditions: a decision holds, or nothing is written."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class ConditionRules(Contract):
    """Rules ES-COND."""
