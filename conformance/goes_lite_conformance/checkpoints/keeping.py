"""Checkpoints: kept by name, each for one store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.errors import InvalidQueryError
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import CONFUSABLE
from goes_lite_conformance.rule import needs, only


async def saved(db: Backend, name: str) -> Checkpoint:
    """Return the checkpoint with this name, which must exist."""
    found = await db.checkpoints.get(name)
    assert found is not None
    return found


class CheckpointRules(Contract):
    """Rules CP-SAVE."""

    async def test_a_position_is_remembered(self, db: Backend) -> None:
        """CP-SAVE-001: A saved position is returned under its name, from 0 to the highest possible one."""
        for position in (0, 1, 2**53 + 1, 2**63 - 1):
            await db.checkpoints.save("p", position)
            found = await saved(db, "p")
            assert (type(found), found.name, found.position) == (Checkpoint, "p", position)

    async def test_there_may_be_no_checkpoint(self, db: Backend) -> None:
        """CP-SAVE-002: `get` returns None if no position was saved under the name."""
        assert await db.checkpoints.get("p") is None
        await db.checkpoints.save("p", 1)
        assert await db.checkpoints.get("q") is None

    async def test_a_checkpoint_is_replaced(self, db: Backend) -> None:
        """CP-SAVE-003: A later save replaces the position, even with an earlier one."""
        for position in (7, 9, 3):
            await db.checkpoints.save("p", position)
        assert [(one.name, one.position) for one in await db.checkpoints.all()] == [("p", 3)]

    async def test_names_are_told_from_each_other(self, db: Backend) -> None:
        """CP-SAVE-004: Names that differ at all have checkpoints of their own, whatever the collation."""
        for position, name in enumerate((*CONFUSABLE, "x" * 1024)):
            await db.checkpoints.save(name, position)
        found = [(await saved(db, name)).position for name in (*CONFUSABLE, "x" * 1024)]
        assert found == list(range(len(CONFUSABLE) + 1))

    async def test_a_checkpoint_has_the_time_of_its_save(self, db: Backend) -> None:
        """CP-SAVE-005: A checkpoint has the time of its latest save, in UTC."""
        await db.checkpoints.save("p", 1)
        first = (await saved(db, "p")).time
        assert first.utcoffset() == timedelta(0)
        later = first
        while later == first:
            await db.checkpoints.save("p", 1)
            later = (await saved(db, "p")).time
        assert later > first

    async def test_all_checkpoints_of_a_store_name_it(self, db: Backend) -> None:
        """CP-SAVE-006: Each checkpoint names its store, and all checkpoints of one store name the same."""
        await db.checkpoints.save("p", 1)
        await db.checkpoints.save("q", 2)
        stores = [one.store for one in await db.checkpoints.all()]
        assert len(stores) == 2
        assert len(set(stores)) == 1
        assert stores[0]

    @needs(PERSISTENT)
    async def test_the_store_stays_the_same(self, place: Place) -> None:
        """CP-SAVE-007: After closing and reopening, a checkpoint is still there and names the same store."""
        async with place.open() as db:
            await db.checkpoints.save("p", 1)
            before = await saved(db, "p")
        async with place.open() as db:
            assert await saved(db, "p") == before
            await db.checkpoints.save("q", 2)
            assert (await saved(db, "q")).store == before.store

    @needs(PROCESSES)
    async def test_the_store_is_the_same_to_all(self, place: Place, db: Backend) -> None:
        """CP-SAVE-008: Once `save` has returned, every handle finds the checkpoint, and all name the same store."""
        async with place.open() as other:
            await db.checkpoints.save("p", 1)
            assert await other.checkpoints.get("p") == await saved(db, "p")
            await other.checkpoints.save("q", 2)
            assert (await saved(db, "q")).store == (await saved(db, "p")).store

    @only("async")
    async def test_another_store_is_another(self, place: Place, db: Backend) -> None:
        """CP-SAVE-009: A checkpoint of another storage names another store."""
        with place.another() as elsewhere:
            async with elsewhere.open() as other:
                for one in (db, other):
                    await one.checkpoints.save("p", 1)
                assert (await saved(other, "p")).store != (await saved(db, "p")).store

    async def test_checkpoints_are_listed_by_name(self, db: Backend) -> None:
        """CP-SAVE-010: All checkpoints are listed by name, by code point; an empty store lists none."""
        assert await db.checkpoints.all() == []
        names = ("b", "a", "B", "10", "9", "é", "😀", "\ufb00")
        for position, name in enumerate(names):
            await db.checkpoints.save(name, position)
        listed = await db.checkpoints.all()
        assert [one.name for one in listed] == sorted(names)
        assert listed == [await saved(db, name) for name in sorted(names)]

    async def test_a_checkpoint_is_deleted(self, db: Backend) -> None:
        """CP-SAVE-011: `delete` removes a checkpoint and returns True, or False if there was none."""
        await db.checkpoints.save("p", 1)
        await db.checkpoints.save("q", 2)
        assert await db.checkpoints.delete("p") is True
        assert await db.checkpoints.get("p") is None
        assert await db.checkpoints.delete("p") is False
        assert [one.name for one in await db.checkpoints.all()] == ["q"]


class CheckpointRefusalRules(Contract):
    """Rules CP-BAD."""

    async def test_what_is_no_checkpoint_is_refused(self, db: Backend) -> None:
        """CP-BAD-001: An invalid name, position or lease raises InvalidQueryError, and nothing is saved or deleted."""
        await db.checkpoints.save("p", 1)
        before = await db.checkpoints.all()
        store = db.checkpoints
        wrong = cast("tuple[Any, ...]", ("", "a\0b", "\ud800", "x" * 1025, None, 5, b"p"))
        calls: dict[str, Callable[[], Any]] = {}
        for name in wrong:
            calls |= {
                f"save {name!r:.20}": partial(store.save, name, 1),
                f"get {name!r:.20}": partial(store.get, name),
                f"delete {name!r:.20}": partial(store.delete, name),
            }
        for position in cast("tuple[Any, ...]", (-1, "1", 1.0, True, None, 2**63)):
            calls[f"position {position!r}"] = partial(store.save, "p", position)
        calls["a lease that is a name"] = lambda: store.save("p", 2, lease=cast("Any", "job"))
        await each_refused(InvalidQueryError, calls)
        assert await store.all() == before
