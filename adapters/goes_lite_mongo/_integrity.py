"""Check what only the server can: its collections and indexes, and what is listed against the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from goes_lite.contract.findings import Finding
from goes_lite_mongo._append import read_head
from goes_lite_mongo._driver import UNAUTHORIZED, ClientSession, Document, OperationFailure, code
from goes_lite_mongo._schema import Collections, missing_indexes

MOST = 20
"""How many documents of each kind are named."""

_RESTORE = "restore a backup"
_LEFT_OUT = (UNAUTHORIZED, 72, 115)
"""A role without the right, or a storage engine that cannot (InvalidOptions, CommandNotSupported)."""


async def structure(found: Collections) -> list[Finding]:
    """Return what is wrong with the collections and indexes themselves.

    `validate` runs in the background, on the last checkpoint of the storage engine, so that it keeps nobody waiting. Where it
    cannot be called, it is left out.
    """
    problems = [one async for one in _validated(found)]
    for name in await missing_indexes(found):
        problems.append(
            Finding(
                "index-missing",
                f"the index {name!r} of {found.events.name!r} is missing, or has another definition",
                "drop it if it is there, and open the store for writing, which creates it",
            )
        )
    return problems


async def _validated(found: Collections) -> AsyncGenerator[Finding]:
    for collection in found:
        plain = collection.database.with_options(read_concern=ReadConcern(), write_concern=WriteConcern())
        try:
            result: Document = await plain.command({"validate": collection.name, "background": True})
        except OperationFailure as exc:
            if code(exc) in _LEFT_OUT:
                return
            raise
        if not result.get("valid", True):
            said = "; ".join(map(str, result.get("errors", []))) or "it does not say why"
            yield Finding(
                "collection-damaged", f"the server says of the collection {collection.name!r}: {said:.300}", _RESTORE
            )


async def contents(found: Collections, session: ClientSession) -> list[Finding]:
    """Return where the list of aggregates and the head contradict the log, as of the moment of the session."""
    problems: list[Finding] = []
    head = await read_head(found, session)
    last = await found.events.find_one({}, {"_id": 1}, sort=[("_id", -1)], session=session)
    if last is not None and last["_id"] > head:
        problems.append(
            Finding("head-behind", f"the head is {head}, but there is an event at position {last['_id']}", _RESTORE)
        )
    differing = await found.events.aggregate(_differing(found), session=session, allowDiskUse=True)
    for row in await differing.to_list():
        name, first, last, listed = _name(row["_id"]), row["first"], row["last"], row.get("listed")
        if listed is None:
            said = f"the event at position {row['position']} refers to {name}, which is not listed"
            problems.append(Finding("reference-lost", said))
        elif (row["number"], first["version"], last["version"]) != (listed["version"], 1, listed["version"]):
            said = (
                f"{name} is listed with version {listed['version']}, but has {row['number']} events, of the versions "
                f"{first['version']} to {last['version']}"
            )
            problems.append(Finding("aggregate-version", said))
        else:
            said = (
                f"{name} is listed with the first and last time {listed['first_time']} and {listed['last_time']}, its "
                f"events have {first['time']} and {last['time']}"
            )
            problems.append(Finding("aggregate-time", said))
    return problems


def _name(ref: Document) -> str:
    return f"{ref.get('name')}({ref.get('id')})"


def _differing(found: Collections) -> list[Document]:
    """Return the pipeline that yields the aggregates of the log that are not listed, or not as their events are.

    The log is grouped, and the list looked up by its _id: the other way round, no index helps. So an aggregate that is listed
    and has no event is left to those who read both.
    """
    end = {"version": "$version", "time": "$time"}  # documents compare by their fields, in order
    wrong: list[Any] = [
        {"$ne": ["$listed.version", "$number"]}, {"$ne": ["$first.version", 1]}, {"$ne": ["$listed.version", "$last.version"]},
        {"$ne": ["$listed.first_time", "$first.time"]}, {"$ne": ["$listed.last_time", "$last.time"]},
    ]  # fmt: skip
    return [
        {"$match": {"aggregate.name": {"$exists": True}}},
        {
            "$group": {
                "_id": "$aggregate", "number": {"$sum": 1}, "first": {"$min": end}, "last": {"$max": end},
                "position": {"$min": "$_id"},
            }
        },
        {"$lookup": {"from": found.aggregates.name, "localField": "_id", "foreignField": "_id", "as": "listed"}},
        {"$set": {"listed": {"$first": "$listed"}}},
        {"$match": {"$expr": {"$or": wrong}}},
        {"$limit": MOST},
    ]  # fmt: skip
