"""What is stored of a projection in addition to its read model and checkpoint: the version that built it."""

from __future__ import annotations

from dataclasses import dataclass

from goes_lite.contract.backend import Transaction
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import PROJECTIONS
from goes_lite.errors import ProjectionOutdated
from goes_lite.projection._projection import Projection
from goes_lite.runtime import Runtime


@dataclass(frozen=True)
class ProjectionRecord:
    """The record of one projection."""

    version: int
    """The version that built the read model."""
    replay_until: int = 0
    """Events up to this position were handled before, by this version or an earlier one."""


def projection_records(models: ModelStore, runtime: Runtime) -> Models[ProjectionRecord]:
    """Return the records of projections, by their names."""
    return Models(models, PROJECTIONS, ProjectionRecord, runtime)


async def check_not_older(projection: Projection, tx: Transaction, runtime: Runtime) -> ProjectionRecord | None:
    """Return the record of the read model, None without one; ProjectionOutdated if a higher version built it."""
    record = await projection_records(tx.models, runtime).find(projection.name)
    if record is not None and record.version > projection.version:
        raise ProjectionOutdated(projection.name, record.version, projection.version)
    return record
