"""Look at what a store runs on: the members of the replica set, where they keep data, and their load.

Two commands need rights that a role for one database does not have; what they would tell is left out then.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from bson.codec_options import CodecOptions

from goes_lite.contract.findings import Finding
from goes_lite.kit.examining import clock_findings
from goes_lite_mongo._driver import Document, OperationFailure

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient

FULL = 0.9
"""The share of the server's connections from which on it is nearly full."""
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
_UP = (1, 2, 7)
"""The states of a member that does its work: primary, secondary, arbiter."""


class Facts(NamedTuple):
    """What was found out about the servers."""

    time: datetime | None
    """By the primary's clock; None through a mongos that does not say."""
    members: int
    """How many members have data; 0 if a mongos is in between."""
    status: Document
    """What serverStatus returns; empty without the right to ask."""
    set: Document
    """What replSetGetStatus returns; empty without the right to ask."""


async def look(client: AsyncMongoClient[Document]) -> Facts:
    """Ask the servers."""
    hello = await client.admin.command("hello", codec_options=_CODEC)
    return Facts(
        hello.get("localTime"), len(hello.get("hosts", ())), await _allowed(client, "serverStatus"),
        await _allowed(client, "replSetGetStatus"),
    )  # fmt: skip


async def _allowed(client: AsyncMongoClient[Document], command: str) -> Document:
    try:
        return await client.admin.command(command)
    except OperationFailure:  # no right, or a mongos, which has no such command
        return {}


def findings(facts: Facts, now: datetime) -> Iterator[Finding]:
    """Yield what should be otherwise; `now` is the time by the clock of the handle."""
    if facts.time is not None:
        yield from clock_findings(facts.time, now)
    if facts.members == 1:
        yield Finding(
            "server-alone",
            "the replica set has one member: while it is away nothing can be read or written, and with its disk all is lost",
            'add two members: rs.add("HOST:27017"), and list all of them in the URL',
        )
    if facts.status.get("storageEngine", {}).get("persistent") is False:
        yield Finding(
            "server-volatile",
            f"the storage engine {facts.status['storageEngine'].get('name')!r} keeps data in memory: a restart loses the store",
            "start mongod with --storageEngine wiredTiger",
        )
    for member in facts.set.get("members", ()):
        if member.get("state") not in _UP:
            yield Finding(
                "server-member",
                f"the member {member.get('name')!r} is {member.get('stateStr')!r}: the set has fewer copies than it should, and "
                "may lose its majority with the next failure",
                "look into the log of that member, and start it: rs.status()",
            )
    connections = facts.status.get("connections", {})
    current, available = connections.get("current", 0), connections.get("available", 1)
    if current >= FULL * (current + available):
        yield Finding(
            "server-connections",
            f"{current} of {current + available} connections of the server are taken: programs will soon be refused",
            "lower maxPoolSize in the URLs of the programs, or raise net.maxIncomingConnections",
        )
