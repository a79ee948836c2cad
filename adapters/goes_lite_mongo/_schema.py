"""The collections of a store and their indexes: what they are, how they are made and checked, how they are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from pymongo import IndexModel, ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from goes_lite.errors import ForeignFile, StoreDamaged, StoreTooNew
from goes_lite_mongo._abandoned import end_abandoned
from goes_lite_mongo._driver import EXISTS, Collection, Document, OperationFailure, code
from goes_lite_mongo._options import ServerAddress

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

SCHEMA = 1
STORE = "store"
DURABLE = WriteConcern("majority", j=True)
_NAMES = ("store", "events", "aggregates", "snapshots", "models", "checkpoints", "leases")
_INDEXES: dict[str, Document] = {
    "events_by_id": {"key": {"id": 1}, "unique": True},
    "events_of_aggregate": {
        "key": {"aggregate.name": 1, "aggregate.id": 1, "version": 1},
        "unique": True,
        "partialFilterExpression": {"aggregate.name": {"$exists": True}},
    },
    "events_by_name": {"key": {"name": 1, "_id": 1}},
    "events_by_tag": {"key": {"tags": 1, "_id": 1}},
}
"""Those of the collection of events. Everything else is found by its _id, which says what it is."""


class Collections(NamedTuple):
    """The collections of one store."""

    store: Collection
    events: Collection
    aggregates: Collection
    snapshots: Collection
    models: Collection
    checkpoints: Collection
    leases: Collection


def collections(database: AsyncDatabase[Document], address: ServerAddress) -> Collections:
    """As they are read and written: nothing that could be rolled back is seen, and what is acknowledged stays."""
    return Collections(*(
        database.get_collection(
            address.prefix + name,
            read_concern=ReadConcern("majority"),
            write_concern=DURABLE,
            read_preference=ReadPreference.PRIMARY,
        )
        for name in _NAMES
    ))  # fmt: skip


def commands(prefix: str = "") -> Iterator[Document]:
    """The commands that make a store, for users who may not."""
    for name in _NAMES:
        yield {"create": prefix + name}
    indexes = [{"name": name, **definition} for name, definition in _INDEXES.items()]
    yield {"createIndexes": f"{prefix}events", "indexes": indexes}


async def migrate(database: AsyncDatabase[Document], found: Collections, address: ServerAddress) -> Document:
    """Make what is not there, check what is, and answer the document that says which store it is."""
    stored = await found.store.find_one({"_id": STORE})
    if stored is None:
        there = {*await database.list_collection_names(filter={"name": {"$in": [one.name for one in found]}})}
        if there and await found.events.find_one() is not None:
            raise ForeignFile(address.location, f"the collection {found.events.name!r} is not of a store")
        await asyncio.gather(*(_create(database, one.name) for one in found if one.name not in there))
    await _check_indexes(found, address)
    if stored is None:
        # whoever is first gives the identity
        fresh = {"identity": f"{uuid4()}/1", "schema": SCHEMA, "head": 0, "turns": 0}
        await found.store.update_one({"_id": STORE}, {"$setOnInsert": fresh}, upsert=True)
        stored = await found.store.find_one({"_id": STORE})
    if stored is None or not isinstance(stored.get("identity"), str) or type(stored.get("schema")) is not int:
        raise StoreDamaged(address.location, f"{found.store.name!r} does not say which store it is")
    if stored["schema"] > SCHEMA:
        raise StoreTooNew(address.location, stored["schema"], SCHEMA)
    return stored


async def _create(database: AsyncDatabase[Document], name: str) -> None:
    try:
        await database.create_collection(name, check_exists=False)
    except OperationFailure as exc:
        if code(exc) != EXISTS:
            raise


async def _check_indexes(found: Collections, address: ServerAddress) -> None:
    """Each index has to be what its name says: one without `unique` would let in what no store may have."""
    there = {index["name"]: index async for index in await found.events.list_indexes()}
    missing = _INDEXES.keys() - there.keys()
    if missing:
        models = [IndexModel([*_INDEXES[name]["key"].items()], name=name, **_options(name)) for name in missing]
        await found.events.create_indexes(models)
    for name in _INDEXES.keys() & there.keys():
        if {"key": dict(there[name]["key"]), **{key: there[name].get(key) for key in _options(name)}} != _INDEXES[name]:
            raise StoreDamaged(
                address.location,
                f"the index {name!r} of {found.events.name!r} has another definition: drop it, and connect again",
            )


def _options(name: str) -> dict[str, Any]:
    return {option: value for option, value in _INDEXES[name].items() if option != "key"}


async def erase(database: AsyncDatabase[Document], found: Collections, address: ServerAddress) -> None:
    """Drop the collections of a store; ForeignFile, and nothing is dropped, if they are not a store's."""
    there = await database.list_collection_names(filter={"name": {"$in": [one.name for one in found]}})
    if not there:
        return
    if await found.store.find_one({"_id": STORE, "identity": {"$type": "string"}}) is None:
        raise ForeignFile(address.location, f"{found.store.name!r} does not say that it is one")
    dropping = asyncio.ensure_future(_drop(found))
    while not dropping.done():
        await asyncio.wait([dropping], timeout=0.2)
        if not dropping.done():  # a transaction is open; if nobody will ever end it, we do
            await end_abandoned(database.client)
    await dropping


async def _drop(found: Collections) -> None:
    await asyncio.gather(*(one.drop() for one in found if one is not found.store))
    await found.store.drop()  # what says that it is a store goes last
