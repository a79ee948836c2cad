"""What is stored of a projection beside its read model and its checkpoint: which version made the read model."""

from __future__ import annotations

from dataclasses import dataclass

from goes_lite.contract.backend import Transaction
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.errors import ProjectionOutdated
from goes_lite.projection._projection import Projection
from goes_lite.runtime import Runtime


@dataclass(frozen=True)
class ProjectionRecord:
    """Of one projection."""

    version: int
    """That made the read model."""
    replay_until: int = 0
    """Events up to this position were handled before, by this version or an earlier one."""


def projection_records(models: ModelStore, runtime: Runtime) -> Models[ProjectionRecord]:
    """By the names of projections."""
    return Models(models, "goes:projections", ProjectionRecord, runtime)


async def check_not_older(projection: Projection, tx: Transaction, runtime: Runtime) -> ProjectionRecord | None:
    """The record of the read model, None if there is none; ProjectionOutdated if a higher version has made it."""
    record = await projection_records(tx.models, runtime).find(projection.name)
    if record is not None and record.version > projection.version:
        raise ProjectionOutdated(projection.name, record.version, projection.version)
    return record
