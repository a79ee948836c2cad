"""Importing records of another store, and listing collections, as a copy does."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import TRANSACTIONS, Backend
from goes_lite.contract.model_store import ModelRecord
from goes_lite.errors import InvalidQueryError, ModelConflict, ModelError
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import CONFUSABLE
from goes_lite_conformance.model_store.bulk import all_of
from goes_lite_conformance.rule import needs


class CollectionsRules(Contract):
    """Rules MS-COLL."""

    async def test_collections_are_listed(self, db: Backend) -> None:
        """MS-COLL-001: `collections` returns the names of all collections with a record, each once, by code point."""
        assert await db.models.collections() == []
        names = (*CONFUSABLE, "goes:receipts", "z" * 1024)
        for name in names:
            await db.models.put_many(name, {"1": "1", "2": "2", "\U0001f600": "3"})
        assert await db.models.collections() == sorted(names)

    async def test_an_empty_collection_is_not_listed(self, db: Backend) -> None:
        """MS-COLL-002: A collection whose last record was removed, or that was renamed, is not listed."""
        for name in ("a", "b", "c", "d"):
            await db.models.put(name, "1", "1")
        await db.models.delete("a", "1")
        await db.models.clear("b")
        await db.models.rename("c", "e")
        assert await db.models.collections() == ["d", "e"]


class ModelImportRules(Contract):
    """Rules MS-IMPORT."""

    async def test_records_are_kept(self, db: Backend) -> None:
        """MS-IMPORT-001: Imported records have the collections, ids, versions and data that they came with."""
        records = [
            *(ModelRecord("c", f"{number:03}", number + 1, f'{{"n": {number}}}') for number in range(150)),
            ModelRecord("d", "é", 2**63 - 1, '[1.50, "\u2028", null]'),
            ModelRecord("goes:receipts", "1", 7, '"text"'),
        ]
        await db.models.import_models(records)
        assert [record for name in ("c", "d", "goes:receipts") for record in await all_of(db, name)] == records
        assert [record.id for record in await db.models.query("c", where={"n": 7}).list()] == ["007"]
        assert await db.models.collections() == ["c", "d", "goes:receipts"]

    async def test_versions_go_on(self, db: Backend) -> None:
        """MS-IMPORT-002: The next write of an imported record continues its version."""
        await db.models.import_models([ModelRecord("c", "1", 41, "1")])
        with refused(ModelConflict, expected=1, actual=41):
            await db.models.put("c", "1", "2", expected=1)
        assert await db.models.put("c", "1", "2", expected=41) == 42

    async def test_existing_records_are_replaced(self, db: Backend) -> None:
        """MS-IMPORT-003: An imported record replaces one of its id, also one of a higher version; others stay."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        for _ in range(3):
            await db.models.put("c", "1", "1")
        for _ in range(2):
            await db.models.import_models([ModelRecord("c", "1", 2, '"new"'), ModelRecord("c", "3", 1, "3")])
        found = [ModelRecord("c", "1", 2, '"new"'), ModelRecord("c", "2", 1, "2"), ModelRecord("c", "3", 1, "3")]
        assert await all_of(db, "c") == found
        await db.models.import_models([])
        assert await all_of(db, "c") == found

    async def test_all_or_none(self, db: Backend) -> None:
        """MS-IMPORT-004: If one record is refused, none is written."""
        good = ModelRecord("c", "1", 1, "1")
        with refused(ModelError):
            await db.models.import_models([good, ModelRecord("c", "2", 1, "{nonsense")])
        bad: dict[str, Any] = {
            "version 0": [good, good._replace(version=0)],
            "a version that is no number": [good, good._replace(version=cast("Any", "1"))],
            "too high a version": [good, good._replace(version=2**63)],
            "an empty id": [good, good._replace(id="")],
            "an empty collection": [good, good._replace(collection="")],
            "no record": [good, ("c", "2", 1, "1")],
            "no collection of records": 7,
            "one record": good,
        }
        await each_refused(InvalidQueryError, {k: partial(db.models.import_models, v) for k, v in bad.items()})
        assert await db.models.collections() == []

    @needs(TRANSACTIONS)
    async def test_it_takes_part_in_transactions(self, db: Backend) -> None:
        """MS-IMPORT-005: Records imported in a transaction are listed there, and stored with it or not at all."""
        with refused(RuntimeError):
            async with db.transaction() as tx:
                await tx.models.import_models([ModelRecord("c", "1", 3, "1")])
                assert await tx.models.collections() == ["c"]
                raise RuntimeError("undo")
        assert await db.models.collections() == []
