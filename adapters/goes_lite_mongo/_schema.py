"""The collections of a store and their indexes: create, check and drop them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from bson.codec_options import CodecOptions
from pymongo import IndexModel, ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from goes_lite.errors import ForeignFile, StoreDamaged, StoreTooNew, StoreUnavailable
from goes_lite_mongo._abandoned import end_abandoned
from goes_lite_mongo._driver import EXISTS, ClientSession, Collection, Document, OperationFailure, code
from goes_lite_mongo._options import ServerAddress

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

SCHEMA = 1
STORE = "store"
CREATING = 5
"""How many times the `lock_timeout` creating collections and indexes may take."""
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
"""Documents of ours are read in one way, whatever the URL says about UUIDs, for example."""
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
"""The indexes of the collection of events; the other collections only need their _id."""


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
    """Return the collections with majority concerns: no read sees data that may be rolled back, no acknowledged write is lost."""
    return Collections(*(
        database.get_collection(
            address.prefix + name,
            read_concern=ReadConcern("majority"),
            write_concern=DURABLE,
            read_preference=ReadPreference.PRIMARY,
            codec_options=_CODEC,
        )
        for name in _NAMES
    ))  # fmt: skip


def commands(prefix: str = "") -> Iterator[Document]:
    """Yield the commands that create a store."""
    for name in _NAMES:
        yield {"create": prefix + name}
    indexes = [{"name": name, **definition} for name, definition in _INDEXES.items()]
    yield {"createIndexes": f"{prefix}events", "indexes": indexes}


async def migrate(
    database: AsyncDatabase[Document], found: Collections, address: ServerAddress, limit: asyncio.Timeout
) -> Document:
    """Create missing collections, check the existing ones, and return the document that identifies the store.

    Creating them, and indexes of large ones, may take longer than opening a handle, so it extends the limit.
    """
    stored = await found.store.find_one({"_id": STORE})
    there = {*await database.list_collection_names(filter={"name": {"$in": [one.name for one in found]}})}
    if stored is not None and (gone := [repr(one.name) for one in found if one.name not in there]):
        raise StoreDamaged(
            address.location, f"the collections {', '.join(gone)} are missing"
        )  # it is stored after them
    if stored is None:
        if there and await found.events.find_one() is not None:
            raise ForeignFile(address.location, f"the collection {found.events.name!r} does not belong to a store")
        _extend(limit, address)
        await asyncio.gather(*(_create(database, one.name) for one in found if one.name not in there))
    await _check_indexes(found, address, limit)
    if stored is None:
        # the first process sets the identity
        fresh = {"identity": f"{uuid4()}/1", "schema": SCHEMA, "head": 0, "turns": 0}
        await found.store.update_one({"_id": STORE}, {"$setOnInsert": fresh}, upsert=True)
        stored = await found.store.find_one({"_id": STORE})
    return _checked(stored, found, address)


async def require(found: Collections, address: ServerAddress) -> Document:
    """Return the document that identifies the store, which must exist; change nothing."""
    stored = await found.store.find_one({"_id": STORE})
    if stored is None:
        raise StoreUnavailable(
            address.location, "there is no store, and opening it read-only does not create one: check the URL"
        )
    return _checked(stored, found, address)


def _checked(stored: Document | None, found: Collections, address: ServerAddress) -> Document:
    if stored is None or not isinstance(stored.get("identity"), str) or type(stored.get("schema")) is not int:
        raise StoreDamaged(address.location, f"{found.store.name!r} does not identify the store")
    if stored["schema"] > SCHEMA:
        raise StoreTooNew(address.location, stored["schema"], SCHEMA)
    return stored


def _extend(limit: asyncio.Timeout, address: ServerAddress) -> None:
    limit.reschedule(asyncio.get_running_loop().time() + CREATING * address.lock_timeout)


async def _create(database: AsyncDatabase[Document], name: str) -> None:
    try:
        await database.create_collection(name, check_exists=False)
    except OperationFailure as exc:
        if code(exc) != EXISTS:
            raise


async def _check_indexes(found: Collections, address: ServerAddress, limit: asyncio.Timeout) -> None:
    """Create missing indexes and check the others: without `unique`, for example, one would accept duplicate ids."""
    there = {index["name"]: index async for index in await found.events.list_indexes()}
    missing = _INDEXES.keys() - there.keys()
    if missing:
        models = [IndexModel([*_INDEXES[name]["key"].items()], name=name, **_options(name)) for name in missing]
        _extend(limit, address)
        await found.events.create_indexes(models)
    for name in _INDEXES.keys() & there.keys():
        if differs(name, there[name]):
            raise StoreDamaged(
                address.location,
                f"the index {name!r} of {found.events.name!r} has another definition",
                "drop it and connect again",
            )


async def missing_indexes(found: Collections) -> list[str]:
    """Return the names of the indexes that are missing, or have another definition; change nothing."""
    there = {index["name"]: index async for index in await found.events.list_indexes()}
    return [name for name in _INDEXES if name not in there or differs(name, there[name])]


def differs(name: str, index: Mapping[str, Any]) -> bool:
    """Whether an index of that name has another definition than goes_lite gives it."""
    own = {"key": dict(index["key"]), **{key: index.get(key) for key in _options(name)}}
    return own != _INDEXES[name]


def _options(name: str) -> dict[str, Any]:
    return {option: value for option, value in _INDEXES[name].items() if option != "key"}


async def sizes(found: Collections, session: ClientSession) -> dict[str, int]:
    """Return the bytes of each collection, with its indexes; what was written since the last checkpoint may not count yet."""
    sizes: dict[str, int] = {}
    for name, collection in zip(_NAMES, found, strict=True):
        local = collection.with_options(read_concern=ReadConcern("local"))  # the only one that statistics know
        cursor = await local.aggregate([{"$collStats": {"storageStats": {}}}], session=session)
        for document in await cursor.to_list():
            sizes[name] = int(document["storageStats"].get("totalSize", 0))
    return sizes


async def erase(database: AsyncDatabase[Document], found: Collections, address: ServerAddress) -> None:
    """Drop the collections of a store; if they are not a store's, raise ForeignFile and drop nothing."""
    there = await database.list_collection_names(filter={"name": {"$in": [one.name for one in found]}})
    if not there:
        return
    if await found.store.find_one({"_id": STORE, "identity": {"$type": "string"}}) is None:
        raise ForeignFile(address.location, f"{found.store.name!r} does not identify a store")
    dropping = asyncio.ensure_future(_drop(found))
    while not dropping.done():
        await asyncio.wait([dropping], timeout=0.2)
        if not dropping.done():  # a transaction is open; end it if it is abandoned
            await end_abandoned(database.client)
    await dropping


async def _drop(found: Collections) -> None:
    await asyncio.gather(*(one.drop() for one in found if one is not found.store))
    await found.store.drop()  # last, since it identifies the store
