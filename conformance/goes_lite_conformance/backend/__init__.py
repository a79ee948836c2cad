"""What a Backend has to do: the promises of `goes_lite.backend`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract

__all__ = ["BackendTests"]


class BackendTests(Contract):
    """Opening, closing, abilities, transactions, several handles and processes."""
