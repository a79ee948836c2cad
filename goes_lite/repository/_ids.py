"""Which aggregates a repository query visits: in the order of the code points of their ids, one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from goes_lite.contract.event_store import EventStore, Pages
from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import AggregateRef, aggregate_id

A = TypeVar("A")

NextId = Callable[[], Awaitable[str | None]]
"""Returns the next id; None at the end."""


def given_ids(ids: Iterable[str | UUID], after: str | UUID | None) -> NextId:
    """The given ids, without duplicates."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidQueryError(f"ids is a collection of ids, not {ids!r:.80}: write [{ids!r:.80}]")
    start = "" if after is None else aggregate_id(after)
    left = iter(sorted({id for id in map(aggregate_id, ids) if id > start}))

    async def next_id() -> str | None:
        return next(left, None)

    return next_id


def stored_ids(events: EventStore, name: str, updated_since: datetime | None, after: str | UUID | None) -> NextId:
    """The ids of stored aggregates of this name, without those whose last event is older than `updated_since`."""
    stored = events.aggregates(name, after=None if after is None else AggregateRef(name, after))

    async def next_id() -> str | None:
        async for info in stored:
            if updated_since is None or info.last_time >= updated_since:
                return info.aggregate.id
        return None

    return next_id


def visited(next_id: NextId, load: Callable[[str], Awaitable[A | None]], limit: int | None) -> Pages[A]:
    """Load the aggregates, each when it is reached, until there are `limit`; `load` returns None for one to leave out."""
    left = limit

    async def fetch() -> Sequence[A]:
        nonlocal left
        while left != 0 and (id := await next_id()) is not None:
            aggregate = await load(id)
            if aggregate is not None:
                if left is not None:
                    left -= 1
                return (aggregate,)
        return ()

    return Pages(fetch)
