"""Writing read models: versions count the writes, and a write that expects another version is refused."""

from __future__ import annotations

import json
from typing import Any

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend
from goes_lite.contract.model_store import ModelRecord
from goes_lite.errors import ModelConflict
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import CONFUSABLE
from goes_lite_conformance.rule import needs

DOCUMENTS: tuple[Any, ...] = (
    None, True, False, 0, -1, 0.5, 1.5e-7, 2**53 + 1, -(2**63), 2**63 - 1, "", "null", "é", "e\u0301", "😀", "\0", "a\0b",
    "\u2028\r\n\t\"\\'/;--", [], [[]], {}, [None, True, 1, "1", [1], {"1": 1}], {"a": None, "b": {"c": [{"d": 0.1}]}},
    {"": 1}, {" ": 1, "é": 2, "E": 3, "e": 4, "$where": 5, "a.b": 6, "_id": 7, "'": 8, '"': 9, "\\": 10, "\n": 11, "0": 12},
)  # fmt: skip


async def read(db: Backend, id: str, collection: str = "c") -> tuple[int, Any] | None:
    """Return the version and the document of a record, or None if there is none."""
    record = await db.models.get(collection, id)
    return None if record is None else (record.version, json.loads(record.data))


class PutRules(Contract):
    """Rules MS-PUT."""

    async def test_a_version_counts_the_writes(self, db: Backend) -> None:
        """MS-PUT-001: The first `put` of a record returns version 1, and each later one the next version."""
        assert [await db.models.put("c", "1", f"{number}") for number in (5, 6, 6)] == [1, 2, 3]

    async def test_a_record_is_what_was_written_last(self, db: Backend) -> None:
        """MS-PUT-002: `get` returns the collection, the id, the version and the data of the last write."""
        await db.models.put("c", "1", '{"n":1}')
        await db.models.put("c", "1", '{"n":2}')
        record = await db.models.get("c", "1")
        assert record is not None
        assert record == ModelRecord("c", "1", 2, record.data)
        assert (type(record), type(record.data)) == (ModelRecord, str)
        assert json.loads(record.data) == {"n": 2}

    async def test_there_may_be_no_record(self, db: Backend) -> None:
        """MS-PUT-003: `get` returns None where nothing was written."""
        assert await db.models.get("c", "1") is None
        await db.models.put("c", "1", "1")
        assert await db.models.get("c", "2") is None
        assert await db.models.get("d", "1") is None

    async def test_documents_come_back_as_they_were(self, db: Backend) -> None:
        """MS-PUT-004: Any JSON is read back with the same values, the same types and the same field names."""
        for number, document in enumerate(DOCUMENTS):
            await db.models.put("c", str(number), json.dumps(document))
        found = [await read(db, str(number)) for number in range(len(DOCUMENTS))]
        assert [exactly(one and one[1]) for one in found] == [exactly(document) for document in DOCUMENTS]

    async def test_the_letters_of_json_do_not_matter(self, db: Backend) -> None:
        """MS-PUT-005: JSON in another spelling (escapes, white space) is the same document."""
        await db.models.put("c", "1", ' { "\\u00e9" : "\\ud83d\\ude00\\/\\\\u0041" ,\n"a" : [ 1 , 2 ] } ')
        assert await read(db, "1") == (1, {"é": "😀/\\u0041", "a": [1, 2]})

    async def test_a_document_may_be_large(self, db: Backend) -> None:
        """MS-PUT-006: A document of two megabytes is kept whole."""
        document = {"words": ["é" * 1000] * 1000}
        await db.models.put("c", "1", json.dumps(document, ensure_ascii=False))
        found = await read(db, "1")
        assert found is not None
        assert (found[1] == document) is True

    async def test_ids_and_collections_are_not_altered(self, db: Backend) -> None:
        """MS-PUT-007: Ids and collection names that differ at all are different, whatever the collation."""
        names = (*CONFUSABLE, "x" * 1024)
        for number, name in enumerate(names):
            assert await db.models.put("c", name, str(number)) == 1
            assert await db.models.put(name, "1", str(number)) == 1
        assert [await read(db, name) for name in names] == [(1, number) for number in range(len(names))]
        assert [await read(db, "1", name) for name in names] == [(1, number) for number in range(len(names))]

    async def test_collections_do_not_share_ids(self, db: Backend) -> None:
        """MS-PUT-008: The same id in two collections identifies two records, each with its own version."""
        assert [await db.models.put("c", "1", "1"), await db.models.put("c", "1", "2")] == [1, 2]
        assert await db.models.put("d", "1", "3") == 1
        assert (await read(db, "1"), await read(db, "1", "d")) == ((2, 2), (1, 3))

    async def test_no_write_is_lost(self, place: Place, db: Backend) -> None:
        """MS-PUT-009: Every concurrent write counts: their versions are all different, and none is skipped."""
        versions = await place.together(*(db.models.put("c", "1", str(number)) for number in range(20)))
        assert sorted(versions) == list(range(1, 21))
        assert await read(db, "1") == (20, versions.index(20))

    @needs(PERSISTENT)
    async def test_models_survive_closing(self, place: Place) -> None:
        """MS-PUT-010: Written records are still there after closing and reopening, and their versions continue."""
        async with place.open() as db:
            await db.models.put("c", "1", '"é"')
        async with place.open() as db:
            assert await read(db, "1") == (1, "é")
            assert await db.models.put("c", "1", "2", expected=1) == 2

    @needs(PROCESSES)
    async def test_other_handles_see_a_model(self, place: Place, db: Backend) -> None:
        """MS-PUT-011: Once `put` has returned, every other handle finds what was written."""
        async with place.open() as other:
            assert await read(other, "1") is None
            await db.models.put("c", "1", "5")
            assert await read(other, "1") == (1, 5)


class ExpectedRules(Contract):
    """Rules MS-EXPECTED."""

    async def test_a_new_record_is_expected(self, db: Backend) -> None:
        """MS-EXPECTED-001: With `expected=0`, a record is written if there is none."""
        assert await db.models.put("c", "1", "5", expected=0) == 1
        assert await read(db, "1") == (1, 5)

    async def test_a_record_that_exists_is_not_new(self, db: Backend) -> None:
        """MS-EXPECTED-002: With `expected=0` and an existing record, ModelConflict has both versions, and nothing is written."""
        await db.models.put("c", "1", "5")
        with refused(ModelConflict, collection="c", id="1", expected=0, actual=1):
            await db.models.put("c", "1", "6", expected=0)
        assert await read(db, "1") == (1, 5)

    async def test_the_version_is_the_expected_one(self, db: Backend) -> None:
        """MS-EXPECTED-003: With the stored version as `expected`, the record is written."""
        for version in range(4):
            assert await db.models.put("c", "1", str(version), expected=version) == version + 1
        assert await read(db, "1") == (4, 3)

    async def test_another_version_is_a_conflict(self, db: Backend) -> None:
        """MS-EXPECTED-004: With an older or later version, ModelConflict has both versions, and nothing is written."""
        for _ in range(3):
            await db.models.put("c", "1", "5")
        for expected in (1, 2, 4, 2**63 - 1):
            with refused(ModelConflict, collection="c", id="1", expected=expected, actual=3):
                await db.models.put("c", "1", "6", expected=expected)
        assert await read(db, "1") == (3, 5)

    async def test_a_missing_record_is_at_version_0(self, db: Backend) -> None:
        """MS-EXPECTED-005: Without a record, any version but 0 raises ModelConflict with `actual` 0, and none is written."""
        await db.models.put("c", "2", "5")
        with refused(ModelConflict, collection="c", id="1", expected=1, actual=0):
            await db.models.put("c", "1", "6", expected=1)
        assert await read(db, "1") is None

    async def test_one_of_several_contenders_wins(self, place: Place, db: Backend) -> None:
        """MS-EXPECTED-006: Of concurrent writes that expect the same version, one succeeds; the others raise ModelConflict."""
        for version in (0, 1):
            outcomes = await place.together(
                *(db.models.put("c", "1", str(number), expected=version) for number in range(16))
            )
            winners = [number for number, outcome in enumerate(outcomes) if outcome == version + 1]
            assert len(winners) == 1, outcomes
            assert sum(type(outcome) is ModelConflict for outcome in outcomes) == 15, outcomes
            assert await read(db, "1") == (version + 1, winners[0])

    @needs(PROCESSES)
    async def test_one_of_several_handles_wins(self, place: Place, db: Backend) -> None:
        """MS-EXPECTED-007: Of concurrent writes through several handles, one succeeds; the others raise ModelConflict."""
        async with place.open() as second, place.open() as third:
            handles = [db, second, third] * 4
            outcomes = await place.together(*(one.models.put("c", "1", "5", expected=0) for one in handles))
        assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["ModelConflict"] * 11 + ["int"]
        assert await read(db, "1") == (1, 5)


def exactly(document: Any) -> str:
    """Return one text for equal documents: true is not 1, and the order of fields does not matter."""
    return json.dumps(document, sort_keys=True)
