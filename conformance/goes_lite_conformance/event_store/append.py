"""Appending: atomicity, versions, positions, visibility."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class AppendRules(Contract):
    """Rules ES-APPEND."""
