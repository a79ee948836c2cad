"""Transactions whose program is gone: the server would keep them, and the turn to append with them, for a minute.

MongoDB ends the transaction of a program that has died only when its time is over (`transactionLifetimeLimitSeconds`, 60
by default). So whoever finds the log taken looks for open transactions of goes_lite whose connection exists no more, and
ends them. That can do no harm: what such a transaction has written is not committed, and would it come back, over another
connection, it would be run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goes_lite_mongo._driver import DRIVER_ERRORS

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient

    from goes_lite_mongo._driver import Document

NAME = "goes_lite"
"""How the server is told who we are: beside the driver's own name."""
_YOUNG = 100_000
"""Microseconds: the list is not made in one moment, so who has just connected may be missing in it."""

_SEEN: list[dict[str, Any]] = [
    # of this user alone, which needs no privilege
    {"$currentOp": {"allUsers": False, "idleConnections": True, "idleSessions": True}},
    {"$project": {"type": 1, "connectionId": 1, "lsid": 1, "driver": "$clientMetadata.driver.name",
                  "age": "$transaction.timeOpenMicros"}},
]  # fmt: skip


async def end_abandoned(client: AsyncMongoClient[Document]) -> None:
    """End the transactions of handles whose connection is gone; nothing where the server does not let us."""
    try:
        async with await client.admin.aggregate(_SEEN) as cursor:
            rows = await cursor.to_list()
        there = {row["connectionId"] for row in rows if row["type"] == "op" and "connectionId" in row}
        gone = [
            {"id": row["lsid"]["id"]}
            for row in rows
            if row["type"] == "idleSession"
            and row.get("age", 0) > _YOUNG
            and NAME in row.get("driver", "").split("|")
            and row.get("connectionId") not in there
        ]
        if gone:
            await client.admin.command("killSessions", gone)
    except DRIVER_ERRORS:
        return  # behind mongos, a server with other ideas of rights, or none at all: then it takes the minute
