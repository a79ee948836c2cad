"""The ModelStore of MongoDB; `goes_lite.contract.model_store.ModelStore` is the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from bson.int64 import Int64
from pymongo import DeleteOne, ReplaceOne, UpdateOne

from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import (
    ModelQuery,
    ModelRecord,
    check_collection,
    check_expected,
    check_model_key,
    check_model_keys,
    check_models,
    check_records,
    check_rename,
    parse_model,
)
from goes_lite.kit.paging import keyset_pages, upper_bound
from goes_lite.kit.stored import MODEL
from goes_lite_mongo._documents import native, of_collection, queryable, text_of
from goes_lite_mongo._driver import ClientSession, Document
from goes_lite_mongo._schema import Collections
from goes_lite_mongo._session import AnyExecutor

PAGE = 512
"""The maximum number of records in a page."""


class MongoModels:
    """Read models in the collection of that name, as documents, and as text where BSON cannot reproduce it."""

    def __init__(self, executor: AnyExecutor, found: Collections) -> None:
        self._executor = executor
        self._models = found.models

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        check_model_key(collection, id)
        key = _key(collection, id)
        row = await self._executor.read(lambda session: self._models.find_one({"_id": key}, session=session))
        return None if row is None else _record(row)

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        asked = check_model_keys(collection, ids)
        found: dict[str, ModelRecord] = {}

        async def work(session: ClientSession) -> list[Document]:
            keys = [_key(collection, id) for id in asked]
            return await self._models.find({"_id": {"$in": keys}}, session=session, batch_size=100_000).to_list()

        for row in await self._executor.read(work):
            record = _record(row)
            found[record.id] = record
        return {id: found[id] for id in asked if id in found}

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        check_model_key(collection, id)
        fields = _fields(collection, id, data)
        key = _key(collection, id)

        async def work(session: ClientSession) -> int:
            version = await self._version(session, key)
            check_expected(collection, id, expected, version)
            row = {"_id": key, "version": Int64(version + 1), **fields}
            await self._models.replace_one({"_id": key}, row, upsert=True, session=session)
            return version + 1

        return await self._executor.write(work)

    async def _version(self, session: ClientSession, key: Document) -> int:
        row = await self._models.find_one({"_id": key}, {"version": 1}, session=session)
        return 0 if row is None else int(row["version"])

    async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        writes: list[UpdateOne | DeleteOne] = []
        for id, data in sorted(check_models(collection, models), key=_id_of):
            wanted = {"_id": _key(collection, id)}
            if data is None:
                writes.append(DeleteOne(wanted))
                continue
            fields = _fields(collection, id, data)
            unset = {name: "" for name in ("doc", "text") if name not in fields}
            change: Document = {"$set": fields}
            change |= {"$inc": {"version": Int64(1)}} | ({"$unset": unset} if unset else {})
            writes.append(UpdateOne(wanted, change, upsert=True))

        async def work(session: ClientSession) -> None:
            if writes:
                await self._models.bulk_write(writes, ordered=False, session=session)

        await self._executor.write(work)

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        check_model_key(collection, id)
        key = _key(collection, id)

        async def work(session: ClientSession) -> bool:
            if expected is not None:
                check_expected(collection, id, expected, await self._version(session, key))
            return (await self._models.delete_one({"_id": key}, session=session)).deleted_count > 0

        return await self._executor.write(work)

    def query(
        self,
        collection: str,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[ModelRecord]:
        check_collection(collection)
        query = ModelQuery(where, order_by, limit, reverse=reverse)
        wanted = [_condition(names, value) for names, value in query.where]
        direction, beyond = (-1, "$lt") if reverse else (1, "$gt")

        def stages(last: Document | None, number: int) -> list[Document]:
            found: list[Document] = [{"$match": {"_id": _all(collection)}}]
            if last is not None and query.order_by is None:
                found.append({"$match": {"_id": {beyond: last["_id"]}}})
            if wanted:
                found.append({"$match": {"$expr": {"$and": wanted}}})
            sort: Document = {"_id": direction}
            if query.order_by is not None:
                found.append({"$addFields": {"k": _sort_key(query.order_by)}})
                sort = {"k": direction, "_id": direction}
                if last is not None:
                    # `$expr`, because the plain operators only compare values of one type
                    at = {"$literal": last["k"]}
                    later = {"$and": [{"$eq": ["$k", at]}, {beyond: ["$_id", {"$literal": last["_id"]}]}]}
                    found.append({"$match": {"$expr": {"$or": [{beyond: ["$k", at]}, later]}}})
            return [*found, {"$sort": sort}, {"$limit": number}]

        def page(last: Document | None, number: int) -> Awaitable[list[Document]]:
            async def work(session: ClientSession) -> list[Document]:
                cursor = await self._models.aggregate(stages(last, number), batchSize=number, session=session)
                return await cursor.to_list()

            return self._executor.read(work)

        return keyset_pages(page, _itself, _record, limit=upper_bound("limit", limit), most=PAGE)

    async def clear(self, collection: str) -> int:
        check_collection(collection)

        async def work(session: ClientSession) -> int:
            return (await self._models.delete_many({"_id": _all(collection)}, session=session)).deleted_count

        return await self._executor.write(work)

    async def rename(self, collection: str, to: str) -> int:
        check_rename(collection, to)

        async def work(session: ClientSession) -> int:
            await self._models.delete_many({"_id": _all(to)}, session=session)
            moved = 0
            async for row in self._models.find({"_id": _all(collection)}, sort=[("_id", 1)], session=session):
                row["_id"] = _key(to, row["_id"]["id"])
                await self._models.insert_one(row, session=session)
                moved += 1
            await self._models.delete_many({"_id": _all(collection)}, session=session)
            return moved

        return await self._executor.write(work)

    async def collections(self) -> list[str]:
        async def work(session: ClientSession) -> list[str]:
            names: list[str] = []
            after: Document = {}
            # one look into the index for each collection, however many records it has
            while (
                row := await self._models.find_one(
                    {"_id": {"$gt": after}}, {"_id": 1}, sort=[("_id", 1)], session=session
                )
            ) is not None:
                names.append(row["_id"]["collection"])
                after = {"collection": names[-1], "id": []}
            return names

        return await self._executor.read(work)

    async def import_models(self, records: Iterable[ModelRecord]) -> None:
        writes: list[ReplaceOne[Document]] = []
        for collection, id, version, data in check_records(records):
            key = _key(collection, id)
            row = {"_id": key, "version": Int64(version), **_fields(collection, id, data)}
            writes.append(ReplaceOne({"_id": key}, row, upsert=True))

        async def work(session: ClientSession) -> None:
            if writes:
                await self._models.bulk_write(writes, ordered=False, session=session)

        await self._executor.write(work)


def _itself(row: Document) -> Document:
    return row


def _id_of(item: tuple[str, str | None]) -> str:
    return item[0]


def _key(collection: str, id: str) -> Document:
    return {"collection": collection, "id": id}


def _all(collection: str) -> Document:
    """Return the range of a collection's keys: documents compare field by field, and a list is greater than any text."""
    return {"$gte": _key(collection, ""), "$lt": {"collection": collection, "id": []}}


def _fields(collection: str, id: str, data: str) -> Document:
    """Return the stored fields for JSON text."""
    value = parse_model(collection, id, data)
    exact, document = native(data)
    return {"doc": document} if exact else {"doc": queryable(value), "text": data}


@of_collection("models")
def _record(row: Document) -> ModelRecord:
    key = row["_id"]
    data = row["text"] if "text" in row else text_of(row["doc"])
    return ModelRecord._make(MODEL.check((key["collection"], key["id"], int(row["version"]), data)))


def _field(names: tuple[str, ...]) -> Any:
    """Return the field as an expression; each name is the key of a document, never of the items of a list."""
    found: Any = "$doc"
    for name in names:
        within: Document = {"$cond": [{"$eq": [{"$type": found}, "object"]}, found, {"$literal": {}}]}
        found = {"$getField": {"field": {"$literal": name}, "input": within}}
    return found


def _condition(names: tuple[str, ...], value: Any) -> Document:
    field = _field(names)
    if value is None:
        return {"$in": [{"$type": field}, ["missing", "null"]]}
    return {"$eq": [field, {"$literal": Int64(value) if type(value) is int else value}]}


def _sort_key(names: tuple[str, ...]) -> Document:
    """Return the sort key: null, then numbers (false and true as 0 and 1), then text, in the order of BSON."""
    field = _field(names)
    kind = {"$type": field}
    branches = [
        {"case": {"$in": [kind, ["missing", "null"]]}, "then": None},
        {"case": {"$eq": [kind, "bool"]}, "then": {"$toInt": field}},
    ]
    return {"$switch": {"branches": branches, "default": field}}
