"""Read rows in pages, over any storage.

A backend provides a function that reads one page. Pages grow from `FIRST_PAGE` to the backend's maximum: a query that is
left early reads little, a long one takes few round trips.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from goes_lite.contract.event_store import Pages, check_position
from goes_lite.kit.sql import MAX_INTEGER

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")

FIRST_PAGE = 64


def lower_bound(what: str, value: object) -> int:
    """Check a position, version or limit, and cap it at the largest 64-bit integer."""
    return min(check_position(what, value), MAX_INTEGER)


def upper_bound(what: str, value: int | None) -> int:
    """Do the same for a value where None means no bound."""
    return MAX_INTEGER if value is None else min(check_position(what, value), MAX_INTEGER)


def keyset_pages(
    page: Callable[[K | None, int], Awaitable[Sequence[R]]],
    key: Callable[[R], K],
    item: Callable[[R], T],
    *,
    after: K | None = None,
    limit: int = MAX_INTEGER,
    most: int,
) -> Pages[T]:
    """Yield rows in the order of a key. `page` reads a number of rows after a key, `item` converts a row to a result."""
    last, left, size = after, limit, FIRST_PAGE

    async def fetch() -> Sequence[T]:
        nonlocal last, left, size
        if not left:
            return ()
        number = min(size, left)
        rows = await page(last, number)
        left = left - len(rows) if len(rows) == number else 0
        size = min(size * 4, most)
        if rows:
            last = key(rows[-1])
        return [item(row) for row in rows]

    return Pages(fetch)
