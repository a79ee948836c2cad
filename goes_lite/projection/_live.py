"""Projections on reading: folded from the events when somebody asks, and stored nowhere."""

from __future__ import annotations

from typing import Any, TypeVar

from goes_lite.backend import Backend
from goes_lite.errors import ConfigError
from goes_lite.event import AggregateRef, Event, aggregate_ref
from goes_lite.projection._models import Fold, ModelProjection
from goes_lite.query import EventQuery, asked

M = TypeVar("M")


async def live(
    backend: Backend, projection: ModelProjection[M], query: EventQuery | None, aggregate: AggregateRef | None
) -> dict[str, M]:
    """See `Backend.live`."""
    if not isinstance(projection, ModelProjection):
        raise ConfigError(f"live() folds a ModelProjection, not {projection!r:.80}")
    if query is not None and aggregate is not None:
        raise ConfigError("live() takes a query or an aggregate, not both")
    fold = Fold(projection, backend.registry)
    models: dict[str, M] = {}

    def apply(event: Event[Any]) -> None:
        for id in fold.ids(event):
            model = fold.apply(id, models.get(id), event)
            if model is not None:
                models[id] = model
            else:
                models.pop(id, None)

    if aggregate is not None:
        for event in await backend.events.load(asked(aggregate_ref, aggregate)):
            apply(event)
    else:
        async for event in backend.events.query(projection.query(backend.registry) if query is None else query):
            apply(event)
    return models
