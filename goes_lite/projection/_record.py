"""What is stored of a projection beside its read model and its checkpoint: which version made the read model."""

from __future__ import annotations

from dataclasses import dataclass

from goes_lite.model import Models, ModelStore
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
