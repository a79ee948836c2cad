"""What a CheckpointStore and a LeaseStore have to do: the promises of `goes_lite.checkpoint`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class CheckpointAndLeaseTests(Contract):
    """Rules CP and LE."""
