"""Any sequence of operations: a store and a plain list, driven together, never tell apart."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class StatefulTests(Contract):
    """Rules ST."""
