"""Awkward data: every field comes back as it was, whatever is in it."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class DataRules(Contract):
    """Rules ES-DATA."""
