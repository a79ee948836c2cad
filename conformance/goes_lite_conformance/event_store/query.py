"""Queries: all of their rules."""

from __future__ import annotations

from goes_lite_conformance.event_store.query_alternatives import AlternativeRules
from goes_lite_conformance.event_store.query_fields import FieldRules
from goes_lite_conformance.event_store.query_pages import PageRules
from goes_lite_conformance.event_store.query_windows import WindowRules

__all__ = ["QueryRules"]


class QueryRules(FieldRules, AlternativeRules, WindowRules, PageRules):
    """Rules ES-QUERY and ES-COUNT."""
