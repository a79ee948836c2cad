"""The identity of a store, which its checkpoints carry."""

from __future__ import annotations

from goes_lite.contract.backend import PERSISTENT, PROCESSES, TRANSACTIONS, Backend
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.harness.workers import say
from goes_lite_conformance.rule import needs


def say_identity(place: Place) -> None:
    """Say the identity of the store, in a process of its own."""
    with place.blocking() as db:
        say(db.identity)


class IdentityRules(Contract):
    """Rules BE-IDENTITY."""

    async def test_it_is_what_checkpoints_belong_to(self, db: Backend) -> None:
        """BE-IDENTITY-001: The identity is a non-empty str, and every checkpoint that is saved carries it."""
        await db.checkpoints.save("reader", 0)
        checkpoint = await db.checkpoints.get("reader")
        assert checkpoint is not None
        assert checkpoint.store == db.identity
        assert type(db.identity) is str
        assert db.identity

    @needs(TRANSACTIONS)
    async def test_so_it_is_in_a_transaction(self, db: Backend) -> None:
        """BE-IDENTITY-002: A checkpoint that is saved in a transaction carries the identity, too."""
        async with db.transaction() as tx:
            await tx.checkpoints.save("reader", 0)
        assert [checkpoint.store for checkpoint in await db.checkpoints.all()] == [db.identity]

    async def test_two_storages_have_two(self, place: Place, db: Backend) -> None:
        """BE-IDENTITY-003: No two storages have the same identity."""
        with place.another() as elsewhere:
            async with elsewhere.open() as other:
                assert other.identity != db.identity

    @needs(PERSISTENT)
    async def test_it_stays(self, place: Place) -> None:
        """BE-IDENTITY-004: The identity is the same whenever the storage is opened, and a closed handle still has it."""
        opened: list[Backend] = []
        for number in range(3):
            async with place.open() as db:
                await db.events.append([note(str(number))])
                opened.append(db)
                assert db.identity == opened[0].identity
        assert {db.identity for db in opened} == {opened[0].identity}

    @needs(PROCESSES)
    async def test_all_handles_have_one(self, place: Place, db: Backend) -> None:
        """BE-IDENTITY-005: Every handle has the same identity, in this process and in others."""
        async with place.open() as other:
            assert other.identity == db.identity
            worker = place.spawn(say_identity)
            worker.expect(db.identity)
            worker.finish()
