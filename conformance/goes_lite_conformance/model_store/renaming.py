"""Renaming a collection: its records replace those of another, all at once."""

from __future__ import annotations

from functools import partial

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS, Backend
from goes_lite.contract.model_store import ModelRecord
from goes_lite.errors import InvalidQueryError
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, pause
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.model_store.bulk import all_of, read_many
from goes_lite_conformance.rule import needs


def rename_when_told(place: Place) -> None:
    """Rename in a process of its own, and report the result."""
    with place.blocking() as db:
        say("ready")
        listen()
        say([db.models.rename("new", "live"), len(db.models.query("live").list())])


class RenameRules(Contract):
    """Rules MS-RENAME."""

    async def test_every_record_moves(self, db: Backend) -> None:
        """MS-RENAME-001: `rename` moves every record, with its id, version and data, to `to` and returns their number."""
        await db.models.put_many("new", {f"{number:03}": str(number) for number in range(150)})
        await db.models.put_many("new", {"007": '{"é": 1}'})
        before = await all_of(db, "new")
        assert await db.models.rename("new", "live") == 150
        assert await all_of(db, "live") == [ModelRecord("live", *record[1:]) for record in before]
        assert await all_of(db, "new") == []
        assert (await db.models.get("new", "007"), await db.models.get_many("new", ["007"])) == (None, {})
        assert await db.models.get("live", "007") == ModelRecord("live", "007", 2, before[7].data)

    async def test_what_the_other_held_is_gone(self, db: Backend) -> None:
        """MS-RENAME-002: All records that `to` held before are gone, whatever their ids and versions."""
        for _ in range(3):
            await db.models.put_many("live", {"1": '"old"', "2": '"old"'})
        await db.models.put_many("new", {"1": '"new"', "3": '"new"'})
        assert await db.models.rename("new", "live") == 2
        assert await read_many(db, [*"123"], "live") == {"1": (1, "new"), "3": (1, "new")}
        assert [record.id for record in await all_of(db, "live")] == ["1", "3"]

    async def test_an_empty_collection_empties_the_other(self, db: Backend) -> None:
        """MS-RENAME-003: Renaming a collection without records returns 0, and `to` is empty afterwards all the same."""
        assert await db.models.rename("new", "live") == 0
        await db.models.put_many("live", {"1": "1", "2": "2"})
        assert await db.models.rename("new", "live") == 0
        assert await all_of(db, "live") == []

    async def test_versions_continue(self, db: Backend) -> None:
        """MS-RENAME-004: The versions of the records continue under the new name; the old name begins again."""
        await db.models.put("new", "1", "1")
        await db.models.put("new", "1", "2")
        await db.models.rename("new", "live")
        assert await db.models.put("live", "1", "3", expected=2) == 3
        assert await db.models.put("new", "1", "4", expected=0) == 1
        assert await db.models.rename("new", "live") == 1
        assert await read_many(db, [*"1"], "live") == {"1": (1, 4)}

    async def test_the_others_stay(self, db: Backend) -> None:
        """MS-RENAME-005: Collections with similar names are not affected."""
        names = ("c", "C", "cc", "c ", "%", "_", "c%", "é", "e\u0301")
        for name in names:
            await db.models.put_many(name, {"1": "1", "2": "2"})
        assert await db.models.rename("c", "to") == 2
        assert [len(await all_of(db, name)) for name in names] == [0, *[2] * 8]
        assert await db.models.rename("_", "%") == 2
        assert [len(await all_of(db, name)) for name in names] == [0, 2, 2, 2, 2, 0, 2, 2, 2]

    async def test_another_name_is_needed(self, db: Backend) -> None:
        """MS-RENAME-006: Renaming a collection to itself raises InvalidQueryError and changes nothing."""
        await db.models.put_many("c", {"1": "1"})
        await each_refused(
            InvalidQueryError,
            {name: partial(db.models.rename, name, name) for name in ("c", "unknown")},
        )
        assert await read_many(db, [*"1"]) == {"1": (1, 1)}

    async def test_nobody_sees_a_part_of_it(self, place: Place, db: Backend) -> None:
        """MS-RENAME-007: A concurrent reader finds all of the old records or all of the new ones, and never none."""
        ids = [str(number) for number in range(20)]
        await db.models.put_many("live", dict.fromkeys(ids, "0"))
        torn: list[object] = []
        last = 25

        async def switch() -> None:
            for number in range(1, last + 1):
                await db.models.put_many("new", dict.fromkeys(ids, str(number)))
                await db.models.rename("new", "live")

        async def look() -> None:
            while True:
                found = [record.data for record in (await db.models.get_many("live", ids)).values()]
                if len(found) != 20 or len(set(found)) != 1:
                    torn.append(found)
                if torn or found[0] == str(last):
                    return
                await pause(place)

        looking = place.alongside(look())
        await switch()
        await looking.result()
        assert torn == []

    @needs(PERSISTENT)
    async def test_it_stays_renamed(self, place: Place) -> None:
        """MS-RENAME-008: The renaming persists after closing and reopening."""
        async with place.open() as db:
            await db.models.put_many("live", {"1": "1", "2": "2"})
            await db.models.put_many("new", {"1": "5"})
            await db.models.rename("new", "live")
        async with place.open() as db:
            assert await read_many(db, [*"12"], "live") == {"1": (1, 5)}
            assert await all_of(db, "new") == []

    @needs(TRANSACTIONS)
    async def test_it_belongs_to_the_transaction(self, db: Backend) -> None:
        """MS-RENAME-009: In a transaction, a renaming is visible at once, commits with it, and is undone by a rollback."""
        await db.models.put_many("live", {"1": "1", "2": "2"})
        await db.models.put_many("new", {"1": "5"})
        before = await all_of(db, "live"), await all_of(db, "new")
        with refused(ZeroDivisionError):
            async with db.transaction() as tx:
                assert await tx.models.rename("new", "live") == 1
                assert [record.data for record in await tx.models.query("live").list()] == ["5"]
                raise ZeroDivisionError("this one is rolled back")
        assert (await all_of(db, "live"), await all_of(db, "new")) == before
        async with db.transaction() as tx:
            await tx.models.put_many("new", {"3": "7"})
            assert await tx.models.rename("new", "live") == 2
        assert await read_many(db, [*"123"], "live") == {"1": (1, 5), "3": (1, 7)}

    @needs(PROCESSES)
    async def test_other_handles_and_processes_see_it(self, place: Place, db: Backend) -> None:
        """MS-RENAME-010: A renaming by one handle is visible to all, in this process and in others."""
        await db.models.put_many("new", {"1": "5", "2": "6"})
        async with place.open() as other:
            assert await other.models.rename("new", "live") == 2
            assert await read_many(db, [*"12"], "live") == {"1": (1, 5), "2": (1, 6)}
            worker = place.spawn(rename_when_told)
            worker.expect("ready")
            await db.models.put_many("new", {"3": "7"})
            worker.tell()
            worker.expect([1, 1])
            worker.finish()
            assert await read_many(other, [*"123"], "live") == {"3": (1, 7)}
