"""Many at once: contenders, racing decisions, tailing readers, cancellation, several handles and processes."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class ConcurrencyTests(Contract):
    """Rules CC."""
