"""What a SnapshotStore has to do: the promises of `goes_lite.contract.snapshot_store`, a rule for each."""

from __future__ import annotations

from goes_lite_conformance.snapshot_store.fitting import FittingRules
from goes_lite_conformance.snapshot_store.reading import LatestRules, SnapshotQueryRules
from goes_lite_conformance.snapshot_store.removing import PruneRules, SnapshotDeleteRules
from goes_lite_conformance.snapshot_store.saving import SaveRules, SnapshotRefusalRules

__all__ = ["SnapshotStoreTests"]


class SnapshotStoreTests(
    SaveRules,
    LatestRules,
    SnapshotQueryRules,
    SnapshotDeleteRules,
    PruneRules,
    SnapshotRefusalRules,
    FittingRules,
):
    """Everything about snapshots: keeping them, finding them, removing them, and not believing those that do not fit."""
