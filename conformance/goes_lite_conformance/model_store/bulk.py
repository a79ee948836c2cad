"""Many read models at once: read as of one moment, written all or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS, Backend
from goes_lite.contract.model_store import ModelRecord
from goes_lite.errors import InvalidQueryError, ModelError
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, pause
from goes_lite_conformance.harness.samples import CONFUSABLE
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.model_store.refusals import NO_NAMES, NOT_JSON
from goes_lite_conformance.model_store.writing import DOCUMENTS, exactly, read
from goes_lite_conformance.rule import needs

NAMES = (*CONFUSABLE, "x" * 1024, "\ufb00", "😀", "\n\x01", '{"a":1}', "\\u0041")

Read = dict[str, tuple[int, Any]]


async def read_many(db: Backend, ids: Any, collection: str = "c") -> Read:
    """Return the versions and documents of records, by id."""
    found = await db.models.get_many(collection, ids)
    return {id: (record.version, json.loads(record.data)) for id, record in found.items()}


async def all_of(db: Backend, collection: str = "c") -> list[ModelRecord]:
    """Return every record of a collection, by id."""
    return await db.models.query(collection).list()


def write_many(place: Place) -> None:
    """Read and write in a process of its own."""
    with place.blocking() as db:
        say({id: record.version for id, record in db.models.get_many("c", ["2", "1", "3"]).items()})
        listen()
        db.models.put_many("c", {"1": "10", "2": None, "3": "30"})
        say("done")


class BulkReadRules(Contract):
    """Rules MS-BULK about reading."""

    async def test_what_is_there_is_answered(self, db: Backend) -> None:
        """MS-BULK-001: `get_many` returns the records that exist, by id, as `get` does, and leaves out the others."""
        for collection, id, data in (("c", "1", "5"), ("c", "2", '{"é": [1]}'), ("c", "2", '"x"'), ("d", "3", "5")):
            await db.models.put(collection, id, data)
        found = await db.models.get_many("c", ["1", "2", "3", "4"])
        assert found == {"1": await db.models.get("c", "1"), "2": await db.models.get("c", "2")}
        assert [(type(record), record.version) for record in found.values()] == [(ModelRecord, 1), (ModelRecord, 2)]
        assert await db.models.get_many("unknown", ["1"]) == {}

    async def test_records_come_in_the_order_of_the_ids(self, db: Backend) -> None:
        """MS-BULK-002: Records are returned in the order in which they are asked for, each once even if asked for twice."""
        await db.models.put_many("c", {str(number): str(number) for number in range(10)})
        assert list(await db.models.get_many("c", ["7", "3", "x", "7", "9", "0", "3"])) == ["7", "3", "9", "0"]

    async def test_ids_may_come_from_anywhere(self, db: Backend) -> None:
        """MS-BULK-003: The ids may be any collection or iterator, even an empty one."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        wanted: tuple[Any, ...] = (("1", "2"), {"1", "2"}, {"1": 0, "2": 0}, {"1": 0, "2": 0}.keys(), iter(["1", "2"]))
        for ids in wanted:
            assert await read_many(db, ids) == {"1": (1, 1), "2": (1, 2)}
        assert await read_many(db, (id for id in "12")) == {"1": (1, 1), "2": (1, 2)}
        assert await read_many(db, []) == {}

    async def test_ids_may_be_thousands(self, db: Backend) -> None:
        """MS-BULK-004: One call each writes and reads thousands of records, every one of them."""
        written = {f"{number:06}": str(number) for number in range(35_000)}
        await db.models.put_many("c", written)
        found = await db.models.get_many("c", [*written, "x"])
        assert {id: record.data for id, record in found.items()} == written

    async def test_any_id_is_told_from_any_other(self, db: Backend) -> None:
        """MS-BULK-005: Ids and collections that a collation or an escape might confuse are distinct."""
        await db.models.put_many("c", {name: str(number) for number, name in enumerate(NAMES)})
        assert await read_many(db, NAMES) == {name: (1, number) for number, name in enumerate(NAMES)}
        for name in NAMES:
            await db.models.put_many(name, {"1": json.dumps(name)})
        assert [await read_many(db, ["1"], name) for name in NAMES] == [{"1": (1, name)} for name in NAMES]
        assert list(await read_many(db, NAMES[1:20:3])) == list(NAMES[1:20:3])

    async def test_records_are_read_as_of_one_moment(self, place: Place, db: Backend) -> None:
        """MS-BULK-006: While `put_many` writes the same value to many records, `get_many` finds the same value in all of them."""
        ids = [str(number) for number in range(20)]
        await db.models.put_many("c", dict.fromkeys(ids, "0"))
        moments: list[Read] = []

        async def write() -> None:
            for number in range(1, 41):
                await db.models.put_many("c", dict.fromkeys(ids, str(number)))

        async def look() -> None:
            while not moments or moments[-1]["0"][1] < 40:
                moments.append(await read_many(db, ids))
                await pause(place)

        writing, looking = place.alongside(write()), place.alongside(look())
        await writing.result()
        await looking.result()
        torn = [found for found in moments if len(set(found.values())) != 1]
        assert torn == []


class BulkWriteRules(Contract):
    """Rules MS-BULK about writing."""

    async def test_versions_count_as_ever(self, db: Backend) -> None:
        """MS-BULK-007: Each record that `put_many` writes gets version 1 if it is new, otherwise its next version."""
        for _ in range(3):
            await db.models.put("c", "1", "5")
        await db.models.put_many("c", {"1": "6", "2": "7"})
        await db.models.put_many("c", {"2": "8", "3": "9"})
        assert await read_many(db, [*"1234"]) == {"1": (4, 6), "2": (2, 8), "3": (1, 9)}
        assert await db.models.put("c", "2", "10", expected=2) == 3

    async def test_none_removes(self, db: Backend) -> None:
        """MS-BULK-008: A value of None removes the record, if there is one; written again, it is new."""
        await db.models.put_many("c", {"1": "1", "2": "2", "3": "3"})
        await db.models.put("d", "1", "1")
        await db.models.put_many("c", {"1": None, "2": "5", "4": None})
        assert await read_many(db, [*"1234"]) == {"2": (2, 5), "3": (1, 3)}
        assert [record.id for record in await all_of(db)] == ["2", "3"]
        assert await read(db, "1", "d") == (1, 1)
        await db.models.put_many("c", {"1": "6"})
        assert await read(db, "1") == (1, 6)

    async def test_nothing_is_nothing(self, db: Backend) -> None:
        """MS-BULK-009: An empty mapping writes nothing and is not an error."""
        await db.models.put("c", "1", "5")
        await db.models.put_many("c", {})
        await db.models.put_many("unknown", {})
        assert await read(db, "1") == (1, 5)

    async def test_many_documents_come_back_as_they_were(self, db: Backend) -> None:
        """MS-BULK-010: Any JSON is kept as the same document, however it is spelled, and is found by its fields."""
        written = {str(number): document for number, document in enumerate(DOCUMENTS)}
        for spelled in (json.dumps, partial(json.dumps, ensure_ascii=False)):
            await db.models.put_many("c", {id: spelled(document) for id, document in written.items()})
            found = await read_many(db, written)
            assert {id: exactly(document) for id, (_, document) in found.items()} == {
                id: exactly(document) for id, document in written.items()
            }
        await db.models.put_many(
            "d", {"1": ' { "\\u00e9\\ud83d\\ude00": "\\/\\\\u0041" } ', "2": '{"é😀": "/\\\\u0041"}'}
        )
        assert [record.id for record in await db.models.query("d", where={"é😀": "/\\u0041"}).list()] == ["1", "2"]

    async def test_what_is_no_json_is_refused_with_all_the_rest(self, db: Backend) -> None:
        """MS-BULK-011: If a value is not JSON, ModelError names its record, and nothing is written or removed."""
        await db.models.put_many("c", {"1": "1", "2": "2", "3": "3"})
        before = await all_of(db)
        for data in NOT_JSON:
            if data is None:
                continue
            for place in range(4):
                models: list[tuple[str, Any]] = [("1", "5"), ("2", None), ("new", "5")]
                models.insert(place, ("3", data))
                with refused(ModelError, collection="c", id="3"):
                    await db.models.put_many("c", dict(models))
                    raise AssertionError(f"accepted: {data!r}")
        assert await all_of(db) == before

    async def test_what_names_no_record_is_refused_with_all_the_rest(self, db: Backend) -> None:
        """MS-BULK-012: If a key is not a valid id, InvalidQueryError is raised, and nothing is written or removed."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        before = await all_of(db)
        calls: dict[str, Callable[[], Any]] = {}
        for name in NO_NAMES:
            calls |= {
                f"last {name!r:.20}": partial(db.models.put_many, "c", {"1": "5", "2": None, name: "5"}),
                f"first {name!r:.20}": partial(db.models.put_many, "c", {name: None, "1": "5", "2": None}),
            }
        await each_refused(InvalidQueryError, calls)
        assert await all_of(db) == before

    async def test_what_is_no_collection_of_models_is_refused(self, db: Backend) -> None:
        """MS-BULK-013: Anything but a mapping, or a collection of ids, raises InvalidQueryError; a single str is neither."""
        models = db.models
        calls: dict[str, Callable[[], Any]] = {}
        for wrong in cast("tuple[Any, ...]", ("1", b"1", 1, None, object())):
            calls |= {
                f"get {wrong!r:.20}": partial(models.get_many, "c", wrong),
                f"put {wrong!r:.20}": partial(models.put_many, "c", wrong),
                f"find typed {wrong!r:.20}": partial(db.models_of("c", int).find_many, wrong),
                f"put typed {wrong!r:.20}": partial(db.models_of("c", int).put_many, wrong),
            }
        calls["put pairs"] = partial(models.put_many, "c", cast("Any", [("1", "5")]))
        await each_refused(InvalidQueryError, calls)
        assert await all_of(db) == []

    async def test_no_write_of_many_is_lost(self, place: Place, db: Backend) -> None:
        """MS-BULK-014: Every concurrent `put_many` and `put` counts: none is lost."""
        ids = [str(number) for number in range(5)]
        writes = [db.models.put_many("c", dict.fromkeys(ids, str(number))) for number in range(12)]
        outcomes = await place.together(*writes, *(db.models.put("c", id, "99") for id in ids))
        assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert {id: version for id, (version, _) in (await read_many(db, ids)).items()} == dict.fromkeys(ids, 13)

    @needs(PERSISTENT)
    async def test_what_was_written_survives_closing(self, place: Place) -> None:
        """MS-BULK-015: What `put_many` wrote and removed stays so after closing and reopening."""
        async with place.open() as db:
            await db.models.put_many("c", {"1": '"é"', "2": "2"})
            await db.models.put_many("c", {"2": None, "3": "3"})
        async with place.open() as db:
            assert await read_many(db, [*"123"]) == {"1": (1, "é"), "3": (1, 3)}

    @needs(TRANSACTIONS)
    async def test_a_transaction_has_it_all(self, db: Backend) -> None:
        """MS-BULK-016: In a transaction, `get_many` sees what `put_many` wrote, nobody else does, and it commits with it."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        async with db.transaction() as tx:
            await tx.models.put_many("c", {"1": "5", "2": None, "3": "7"})
            found = await tx.models.get_many("c", [*"321"])
            assert [(id, record.version, record.data) for id, record in found.items()] == [("3", 1, "7"), ("1", 2, "5")]
            await tx.models_of("c", int).put_many({"3": 8})
        assert await read_many(db, [*"123"]) == {"1": (2, 5), "3": (2, 8)}

    @needs(TRANSACTIONS)
    async def test_a_transaction_takes_it_back(self, db: Backend) -> None:
        """MS-BULK-017: Rolling back a transaction undoes what `put_many` wrote and removed in it."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        before = await all_of(db)
        with refused(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.models.put_many("c", {"1": "5", "2": None, "3": "7"})
                raise ZeroDivisionError("this one is rolled back")
        assert await all_of(db) == before

    @needs(TRANSACTIONS)
    async def test_a_transaction_goes_on_after_a_refusal(self, db: Backend) -> None:
        """MS-BULK-018: A refused `put_many` writes nothing in its transaction, and the rest commits."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        async with db.transaction() as tx:
            await tx.models.put_many("c", {"1": "5"})
            with refused(ModelError, collection="c", id="3"):
                await tx.models.put_many("c", {"1": "6", "2": None, "3": "no JSON"})
            await tx.models.put_many("c", {"4": "8"})
        assert await read_many(db, [*"1234"]) == {"1": (2, 5), "2": (1, 2), "4": (1, 8)}

    @needs(PROCESSES)
    async def test_other_handles_see_many(self, place: Place, db: Backend) -> None:
        """MS-BULK-019: Once `put_many` has returned, every other handle sees what it wrote and removed."""
        async with place.open() as other:
            for number in range(3):
                await db.models.put_many("c", {"1": str(number), "2": str(number)})
                assert await read_many(other, [*"123"]) == {"1": (2 * number + 1, number), "2": (1, number)}
                await other.models.put_many("c", {"1": str(number), "2": None})
                assert await read_many(db, [*"12"]) == {"1": (2 * number + 2, number)}

    @needs(PROCESSES)
    async def test_other_processes_see_many(self, place: Place, db: Backend) -> None:
        """MS-BULK-020: Handles in other processes see what `put_many` wrote and removed, and the other way round."""
        await db.models.put_many("c", {"1": "1", "2": "2"})
        await db.models.put_many("c", {"2": "2"})
        worker = place.spawn(write_many)
        worker.expect({"2": 2, "1": 1})
        worker.tell()
        worker.expect("done")
        worker.finish()
        assert await read_many(db, [*"123"]) == {"1": (2, 10), "3": (1, 30)}
