"""Find the positions of a query with many alternatives, by the index of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bson.binary import Binary

from goes_lite.events.query import EventQuery
from goes_lite.kit.branches import Branch, Spellings, Window, branches, positions
from goes_lite_mongo._driver import ClientSession, Collection, Document
from goes_lite_mongo._filter import item_filter, one_of, place

FEW = 16
"""Up to so many alternatives, the server is asked for all of them at once."""
MOST = 5_000
"""How many values a command contains: at the maximum length of each, they must fit into 16 MB."""
COUNTED = 16_384
"""How many positions are read at once to count matches."""


def many(query: EventQuery, spellings: Spellings) -> list[Branch]:
    """Return the branches of a query with many alternatives; none if the server should be asked for all of them at once.

    For each page, the server would begin to read each of the ranges of an index, or read all of them from end to end.
    """
    if len(query.items) <= FEW and all(len(values) <= FEW for item in query.items for values in item):
        return []
    found = branches(query, spellings, MOST)
    return found if len(found) > FEW or any(len(branch.values) > 1 for branch in found) else []


async def find_positions(
    events: Collection, session: ClientSession, parts: Sequence[Branch], window: Window, spellings: Spellings
) -> list[int]:
    """Return the positions of a page, whose window ends at the head of the log."""
    reading = positions(parts, window, partial(_some, spellings))
    try:
        wanted = next(reading)
        while True:
            rows = await events.find(
                wanted, {"_id": 1}, sort=[("_id", -1 if window.reverse else 1)], limit=window.limit,
                batch_size=window.limit, session=session,
            ).to_list()  # fmt: skip
            wanted = reading.send([(int(row["_id"]),) for row in rows])
    except StopIteration as done:
        found: list[int] = done.value
        return found


async def count_positions(
    events: Collection, session: ClientSession, parts: Sequence[Branch], head: int, spellings: Spellings
) -> int:
    """Return the number of matching events."""
    number, found = 0, [0]
    while found:
        found = await find_positions(events, session, parts, Window(found[-1], head, COUNTED), spellings)
        number += len(found)
    return number


def _some(spellings: Spellings, parts: Sequence[Branch], window: Window) -> tuple[Document, int]:
    """Return the filter for as many of the branches as one command takes, and their number."""
    number = size = 0
    while number < len(parts) and (not number or size + parts[number].size <= MOST):
        size += parts[number].size
        number += 1
    wanted: Document = {"$or": [_branch(branch, spellings) for branch in parts[:number]]}
    return {"$and": [place(window.after, window.upto), wanted]}, number


def _branch(branch: Branch, spellings: Spellings) -> Document:
    if not branch.field:
        return {"$or": [item_filter(item, spellings) for item in branch.items]}
    wanted: Document = {"aggregate.name": branch.name} if branch.name else {}
    if branch.field == "ids":
        wanted |= one_of("id", [Binary(one.bytes, 4) for one in branch.values])
    else:
        wanted |= one_of({"names": "name", "aggregates": "aggregate.id"}.get(branch.field, "tags"), branch.values)
    rest = [item_filter(item, spellings) for item in branch.items]
    if not all(rest):  # one of them is met by every event
        return wanted
    return {"$and": [wanted, rest[0] if len(rest) == 1 else {"$or": rest}]}
