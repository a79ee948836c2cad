"""Deleting an aggregate for good."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class DeleteRules(Contract):
    """Rules ES-DELETE."""
