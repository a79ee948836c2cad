"""What every CheckpointStore and LeaseStore must do: one rule for each promise of `goes_lite.contract.checkpoints`."""

from __future__ import annotations

from goes_lite_conformance.checkpoints.fencing import FenceRules
from goes_lite_conformance.checkpoints.importing import CheckpointImportRules, TokenImportRules
from goes_lite_conformance.checkpoints.keeping import CheckpointRefusalRules, CheckpointRules
from goes_lite_conformance.checkpoints.leases import AcquireRules, LeaseRefusalRules, ReleaseRules, RenewRules

__all__ = ["CheckpointAndLeaseTests"]


class CheckpointAndLeaseTests(
    CheckpointRules,
    FenceRules,
    CheckpointRefusalRules,
    CheckpointImportRules,
    TokenImportRules,
    AcquireRules,
    RenewRules,
    ReleaseRules,
    LeaseRefusalRules,
):
    """All rules about the positions of consumers in the log, and about which instance is active."""
