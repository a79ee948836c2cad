"""What every ModelStore must do: one rule for each promise of `goes_lite.contract.model_store`."""

from __future__ import annotations

from goes_lite_conformance.model_store.bulk import BulkReadRules, BulkWriteRules
from goes_lite_conformance.model_store.importing import CollectionsRules, ModelImportRules
from goes_lite_conformance.model_store.querying import ModelQueryRules, OrderRules, WhereRules
from goes_lite_conformance.model_store.refusals import ModelRefusalRules
from goes_lite_conformance.model_store.removing import ClearRules, ModelDeleteRules
from goes_lite_conformance.model_store.renaming import RenameRules
from goes_lite_conformance.model_store.typed import ModelsRules, UseRules
from goes_lite_conformance.model_store.writing import ExpectedRules, PutRules

__all__ = ["ModelStoreTests"]


class ModelStoreTests(
    PutRules,
    ExpectedRules,
    BulkReadRules,
    BulkWriteRules,
    ModelDeleteRules,
    ClearRules,
    RenameRules,
    CollectionsRules,
    ModelImportRules,
    ModelQueryRules,
    WhereRules,
    OrderRules,
    ModelsRules,
    UseRules,
    ModelRefusalRules,
):
    """All rules about read models: writing, finding and importing them, and changing them concurrently."""
