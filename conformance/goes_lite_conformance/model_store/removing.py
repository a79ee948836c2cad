"""Removing read models: one, at any or at an expected version, or a whole collection."""

from __future__ import annotations

from goes_lite.contract.backend import Backend
from goes_lite.errors import ModelConflict
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.model_store.writing import read


class ModelDeleteRules(Contract):
    """Rules MS-DELETE."""

    async def test_a_record_is_deleted(self, db: Backend) -> None:
        """MS-DELETE-001: Deleting an existing record returns True; the others stay, in all collections."""
        for collection, id in (("c", "1"), ("c", "2"), ("d", "1")):
            await db.models.put(collection, id, "5")
        assert await db.models.delete("c", "1") is True
        assert await read(db, "1") is None
        assert [record.id for record in await db.models.query("c").list()] == ["2"]
        assert await read(db, "1", "d") == (1, 5)

    async def test_no_record_to_delete_is_no_error(self, db: Backend) -> None:
        """MS-DELETE-002: Deleting a record that does not exist returns False."""
        await db.models.put("c", "1", "5")
        assert await db.models.delete("c", "2") is False
        assert await db.models.delete("d", "1") is False
        assert await read(db, "1") == (1, 5)

    async def test_a_record_is_deleted_at_the_expected_version(self, db: Backend) -> None:
        """MS-DELETE-003: With the stored version as `expected`, the record is deleted."""
        for _ in range(2):
            await db.models.put("c", "1", "5")
        assert await db.models.delete("c", "1", expected=2) is True
        assert await read(db, "1") is None

    async def test_at_another_version_nothing_is_deleted(self, db: Backend) -> None:
        """MS-DELETE-004: With another version, ModelConflict has both versions, and the record stays."""
        for _ in range(2):
            await db.models.put("c", "1", "5")
        for expected in (0, 1, 3):
            with refused(ModelConflict, collection="c", id="1", expected=expected, actual=2):
                await db.models.delete("c", "1", expected=expected)
        assert await read(db, "1") == (2, 5)

    async def test_a_missing_record_is_deleted_at_version_0(self, db: Backend) -> None:
        """MS-DELETE-005: Without a record, `expected=0` holds, and any other version conflicts with 0."""
        assert await db.models.delete("c", "1", expected=0) is False
        with refused(ModelConflict, collection="c", id="1", expected=2, actual=0):
            await db.models.delete("c", "1", expected=2)

    async def test_a_deleted_record_begins_again(self, db: Backend) -> None:
        """MS-DELETE-006: A deleted record begins again: `expected=0` holds, and its version is 1."""
        for _ in range(3):
            await db.models.put("c", "1", "5")
        await db.models.delete("c", "1")
        assert await db.models.put("c", "1", "6", expected=0) == 1
        assert await read(db, "1") == (1, 6)


class ClearRules(Contract):
    """Rules MS-CLEAR."""

    async def test_a_collection_is_cleared(self, db: Backend) -> None:
        """MS-CLEAR-001: `clear` removes all records of the collection and returns their number; other collections stay."""
        for collection in ("c", "C", "cc"):
            for number in range(150):
                await db.models.put(collection, str(number), "5")
        assert await db.models.clear("c") == 150
        assert [len(await db.models.query(name).list()) for name in ("c", "C", "cc")] == [0, 150, 150]

    async def test_an_empty_collection_is_clear(self, db: Backend) -> None:
        """MS-CLEAR-002: Clearing a collection without records returns 0."""
        assert await db.models.clear("c") == 0
        await db.models.put("c", "1", "5")
        assert (await db.models.clear("c"), await db.models.clear("c")) == (1, 0)

    async def test_a_cleared_collection_begins_again(self, db: Backend) -> None:
        """MS-CLEAR-003: The records of a cleared collection begin again at version 1."""
        for _ in range(3):
            await db.models.put("c", "1", "5")
        await db.models.clear("c")
        assert await db.models.put("c", "1", "5") == 1
