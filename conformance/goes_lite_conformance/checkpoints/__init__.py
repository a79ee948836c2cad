"""What a CheckpointStore and a LeaseStore have to do: the promises of `goes_lite.contract.checkpoints`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance.checkpoints.fencing import FenceRules
from goes_lite_conformance.checkpoints.keeping import CheckpointRefusalRules, CheckpointRules
from goes_lite_conformance.checkpoints.leases import AcquireRules, LeaseRefusalRules, ReleaseRules, RenewRules

__all__ = ["CheckpointAndLeaseTests"]


class CheckpointAndLeaseTests(
    CheckpointRules,
    FenceRules,
    CheckpointRefusalRules,
    AcquireRules,
    RenewRules,
    ReleaseRules,
    LeaseRefusalRules,
):
    """Everything about the places of consumers in the log, and about who may be the active one."""
