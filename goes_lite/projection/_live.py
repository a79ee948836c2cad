"""Live projections: folded from the events on reading, and stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from goes_lite.contract.backend import Backend
from goes_lite.errors import ConfigError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref
from goes_lite.events.query import EventQuery, check_for_query
from goes_lite.projection._models import Fold, ModelProjection, check_made
from goes_lite.runtime.face import Face, call

M = TypeVar("M")


async def live(
    backend: Backend,
    projection: ModelProjection[M],
    query: EventQuery | None,
    aggregate: AggregateRef | None,
    face: Face,
) -> dict[str, M]:
    """See `Database.live`."""
    if not isinstance(projection, ModelProjection):
        raise ConfigError(f"live() takes a ModelProjection, not {projection!r:.80}")
    if query is not None and aggregate is not None:
        raise ConfigError("live() takes a query or an aggregate, not both")
    fold = Fold(projection, backend.registry)
    models: dict[str, M | None] = {}

    def apply(events: Sequence[Event[Any]]) -> None:
        for event in events:
            if ids := fold.ids(event):
                fold.apply(event, ids, models)

    function = face.function(apply, "a projection")
    if aggregate is not None:
        await call(function, await backend.events.load(check_for_query(aggregate_ref, aggregate)))
    else:
        pages = backend.events.query(projection.query(backend.registry) if query is None else query)
        while page := await pages.next_page():
            await call(function, page)
    check_made(projection, models)
    return {id: model for id, model in models.items() if model is not None}
