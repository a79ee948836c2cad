"""What a ModelStore has to do: the promises of `goes_lite.model`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class ModelStoreTests(Contract):
    """Rules MS."""
