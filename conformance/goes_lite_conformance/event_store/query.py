"""Queries: what each field means, order, limits, pages."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class QueryRules(Contract):
    """Rules ES-QUERY and ES-COUNT."""
