"""What a SnapshotStore has to do: the promises of `goes_lite.snapshot`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class SnapshotStoreTests(Contract):
    """Rules SS."""
