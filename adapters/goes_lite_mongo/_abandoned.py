"""End transactions of dead programs, which would otherwise block appends for a minute.

MongoDB ends the transaction of a program that died only after `transactionLifetimeLimitSeconds`, 60 by default. So a handle
that finds the log locked looks for open transactions of goes_lite whose connection no longer exists, and ends them. That is
harmless: such a transaction is not committed, and if its program is alive and reconnects, it retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goes_lite_mongo._driver import DRIVER_ERRORS

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient

    from goes_lite_mongo._driver import Document

NAME = "goes_lite"
"""Identifies our connections on the server, in addition to the driver's own name."""
_YOUNG = 100_000
"""Microseconds: the list is not a snapshot, so a new connection may be missing from it."""

_SEEN: list[dict[str, Any]] = [
    # only this user's, which needs no privilege
    {"$currentOp": {"allUsers": False, "idleConnections": True, "idleSessions": True}},
    {"$project": {"type": 1, "connectionId": 1, "lsid": 1, "driver": "$clientMetadata.driver.name",
                  "age": "$transaction.timeOpenMicros"}},
]  # fmt: skip


async def end_abandoned(client: AsyncMongoClient[Document]) -> None:
    """End the transactions of handles whose connection is gone, if the server permits it."""
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
        return  # mongos, missing privileges, or no server: then it takes the minute
