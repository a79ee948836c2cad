"""Why no primary is found when a handle is opened: ask each of the servers that the URL names.

The driver only says that it knows of no primary, whatever the reason: it leaves out servers of another replica set, or of
none, and goes by the names that the members give each other.
"""

from __future__ import annotations

import asyncio

from pymongo import MongoClient

from goes_lite_mongo._driver import DRIVER_ERRORS, Document
from goes_lite_mongo._options import ServerAddress

PATIENCE = 1000
"""Milliseconds to wait for a server."""


async def reason(address: ServerAddress, error: Exception) -> str:
    """Return the reason why no primary is reachable and the way out, '' if the driver's error tells all there is."""
    found = await asyncio.gather(*(asyncio.to_thread(_hello, url) for url in address.members))
    answers = [answer for answer in found if answer is not None]
    if answers:
        return _explained(answers, address)
    if "closed" in str(error) and not address.tls:
        return "the server closes the connection, as one does that requires TLS: add tls=true to the URL"
    return ""


def _hello(url: str) -> Document | None:
    """Return what one server says of itself, None if it cannot be asked."""
    try:
        # Not the async client: its monitor is cancelled by `close`, and leaks a socket if it is just connecting.
        with MongoClient[Document](
            url,
            directConnection=True,
            serverSelectionTimeoutMS=PATIENCE,
            connectTimeoutMS=PATIENCE,
            socketTimeoutMS=PATIENCE,
        ) as client:
            return client.admin.command("hello")
    except DRIVER_ERRORS:
        return None


def _explained(answers: list[Document], address: ServerAddress) -> str:
    member = next((answer for answer in answers if answer.get("setName")), None)
    if member is None:
        if any(answer.get("isreplicaset") for answer in answers):
            return "the replica set is not initiated yet: run rs.initiate() once in mongosh"
        return ""
    name, wanted = member["setName"], address.replica_set
    if wanted and name != wanted:
        return f"the server belongs to the replica set {name!r}, not to {wanted!r}: correct replicaSet in the URL"
    if address.direct and not member.get("isWritablePrimary"):
        return (
            "directConnection is set in the URL, and that server is not the primary: leave it out, and name the other "
            "members, so that the driver finds the one that is"
        )
    hosts = ", ".join(member.get("hosts", ()))
    if "primary" in member:
        return (
            f"the replica set calls its members {hosts}, and its primary cannot be reached by that name: use names in "
            "rs.conf() that this machine resolves, or directConnection=true with a single member"
        )
    return f"the replica set {name!r} of {hosts} has no primary: start its other members, a majority has to be there"
