"""What every SnapshotStore must do: one rule for each promise of `goes_lite.contract.snapshot_store`."""

from __future__ import annotations

from goes_lite_conformance.snapshot_store.fitting import FittingRules
from goes_lite_conformance.snapshot_store.reading import LatestRules, SnapshotQueryRules
from goes_lite_conformance.snapshot_store.removing import PruneRules, SnapshotDeleteRules
from goes_lite_conformance.snapshot_store.saving import SaveManyRules, SaveRules, SnapshotRefusalRules

__all__ = ["SnapshotStoreTests"]


class SnapshotStoreTests(
    SaveRules,
    SaveManyRules,
    LatestRules,
    SnapshotQueryRules,
    SnapshotDeleteRules,
    PruneRules,
    SnapshotRefusalRules,
    FittingRules,
):
    """All rules about snapshots: saving, finding and removing them, and ignoring those that do not fit."""
