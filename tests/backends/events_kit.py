"""What the tests of `EventStore` share."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from goes_lite.backend import Backend
from goes_lite.event import AggregateRef
from goes_lite.query import EventQuery

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
A, B, C = (AggregateRef("order", id) for id in "abc")


async def texts(db: Backend, query: EventQuery | None = None, **options: Any) -> list[str]:
    """The texts of all events that the query gives, in its order."""
    return [event.data.text for event in await db.events.query(query or EventQuery(), **options).list()]


async def everything(db: Backend) -> tuple[Any, ...]:
    """All that a reader can find out about the events of a store."""
    return (
        await db.events.query().list(),
        [(event.id, event.position) for event in await db.events.query().list()],
        await db.events.head(),
        await db.events.count(),
        await db.events.aggregates().list(),
    )


async def take(pages: Any, number: int) -> list[str]:
    """The texts of the next `number` events."""
    return [(await anext(pages)).data.text for _ in range(number)]
