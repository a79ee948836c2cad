"""Both faces are the same backend: what one does the other sees, and does likewise."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class ParityTests(Contract):
    """Rules PA."""
