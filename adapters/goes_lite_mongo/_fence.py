"""The fence of a store that was moved: a field of the document with the head of the log.

Appends and transactions change that document, so they meet the fence anyway. Every other write reads it first, in its own
transaction: so it sees the fence, or holds a lock on the collection until it ends. For those that did not see it, `drain` takes
the lock that excludes all of them, by making an index there and dropping it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson.objectid import ObjectId
from pymongo import IndexModel

from goes_lite.errors import StoreDamaged
from goes_lite.events.fields import to_micros
from goes_lite.kit.fencing import changed_fence, check_fenced
from goes_lite_mongo._driver import ClientSession
from goes_lite_mongo._schema import STORE, Collections

if TYPE_CHECKING:
    from goes_lite.contract.fence import Fence
    from goes_lite_mongo._connection import Connection

FENCE = "fence"
"""The name of the field."""


async def read(found: Collections, session: ClientSession | None) -> tuple[str | None, int]:
    """Return the text of the fence, and the time of the server in microseconds."""
    row = await found.store.find_one({"_id": STORE}, {FENCE: 1, "now": "$$NOW"}, session=session)
    if row is None:
        raise StoreDamaged(found.store.full_name, "its document with the head of the log is missing")
    return row.get(FENCE), to_micros(row["now"])


async def has_ended(connection: Connection, session: ClientSession) -> bool:
    """Raise StoreMoved if the fence keeps a write out; return whether there is one that has ended."""
    stored, now = await read(connection.collections, session)
    return check_fenced(connection.address.location, stored, connection.passing, now)


async def remove(found: Collections, session: ClientSession) -> None:
    """Remove the fence, in a transaction that has the turn on the log."""
    await found.store.update_one({"_id": STORE}, {"$unset": {FENCE: ""}}, session=session)


async def put_changed(
    connection: Connection, session: ClientSession, change: tuple[Fence | None, str | None, int | None]
) -> None:
    """Set the fence as a `set_fence` asks, in a transaction that has the turn on the log."""
    found = connection.collections
    stored, now = await read(found, session)
    text = changed_fence(connection.address.location, stored, now, change)
    if not text:
        await remove(found, session)
        return
    await found.store.update_one({"_id": STORE}, {"$set": {FENCE: text}}, session=session)


async def drain(found: Collections, seconds: float) -> None:
    """Wait until every transaction that has read or changed the document has ended; raises the driver's errors."""
    name = f"drained_{ObjectId()}"
    await found.store.create_indexes([IndexModel([(name, 1)], name=name)], maxTimeMS=max(1, round(seconds * 1000)))
    await found.store.drop_index(name)
