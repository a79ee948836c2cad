"""Which names a store has: of aggregates without reading them all, of events as far as a reader looks."""

from __future__ import annotations

from goes_lite.contract.backend import Backend, Stores
from goes_lite.events.fields import MAX_ID_BYTES, AggregateRef

_LAST_ID = "\U0010ffff" * (MAX_ID_BYTES // 4)
"""No id follows this one in the order of code points."""


async def aggregate_names(store: Stores, *, most: int | None = None) -> list[str]:
    """Return the names of aggregates in order, at `most` so many: one request for each, however many aggregates there are."""
    names: list[str] = []
    after: AggregateRef | None = None
    while (most is None or len(names) < most) and (found := await store.events.aggregates(after=after, limit=1).list()):
        names.append(found[0].aggregate.name)
        after = AggregateRef(names[-1], _LAST_ID)
    return names


async def event_names(backend: Backend, *, newest: int = 100_000) -> list[str]:
    """Return the names of the newest events, the most recent first."""
    found: dict[str, None] = {}
    pages = backend.events.query(reverse=True, limit=newest)
    while page := await pages.next_page():
        found.update(dict.fromkeys(event.name for event in page))
    return [*found]
