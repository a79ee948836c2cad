"""Inside a transaction: what commits together, who sees what, and what an error undoes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from goes_lite.contract.backend import PROCESSES, TRANSACTIONS, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    DuplicateEventError,
    InvalidEventError,
    LeaseLost,
    ModelConflict,
    TransactionError,
)
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place
from goes_lite_conformance.harness.samples import (
    A,
    B,
    Closed,
    contents,
    fill,
    note,
    registry,
    snapshot,
    story,
    take,
    texts,
)
from goes_lite_conformance.rule import needs, only


@dataclass(frozen=True)
class Total:
    """A read model."""

    sum: int = 0


class Leaving(BaseException):
    """Not an Exception: like KeyboardInterrupt, but harmless."""


class TransactionRules(Contract):
    """Rules BE-TX about the inside of a transaction."""

    @needs(TRANSACTIONS)
    async def test_everything_in_it_commits_together(self, db: Backend) -> None:
        """BE-TX-001: When its block ends, everything written to each of its stores is stored."""
        async with db.transaction() as tx:
            await fill(tx)
            inside = await contents(tx)
        assert await contents(db) == inside
        assert len(await db.events.load(A)) == 2
        assert await db.snapshots.latest(A) == snapshot(A, 2)
        assert await db.models.get("c", "1") is not None
        assert await db.checkpoints.get("reader") is not None

    @needs(TRANSACTIONS)
    async def test_an_exception_rolls_everything_back(self, db: Backend) -> None:
        """BE-TX-002: An exception propagates out of the block, and nothing that was written in it is stored."""
        before = await contents(db)
        error = ZeroDivisionError("mine")
        with pytest.raises(ZeroDivisionError) as caught:
            async with db.transaction() as tx:
                await fill(tx)
                raise error
        assert caught.value is error
        assert await contents(db) == before
        assert await db.events.count(EventQuery(tags=["t:1"])) == 0
        await db.events.append(story(A, 1))

    @needs(TRANSACTIONS)
    async def test_a_rollback_restores_what_was_changed_and_deleted(self, db: Backend) -> None:
        """BE-TX-003: What was overwritten, advanced or deleted in a block that raised is as it was before."""
        await fill(db)
        before = await contents(db)
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                assert await tx.events.delete(A) == 2
                await tx.events.append(story(A, 1))
                await tx.snapshots.save(snapshot(A, 1, "{}"))
                await tx.models.put("c", "1", "{}")
                await tx.models.put("c", "2", "{}")
                await tx.checkpoints.save("reader", 1)
                await tx.checkpoints.save("other", 1)
                raise ZeroDivisionError
        after = await contents(db)
        after["events"] = (*after["events"][:2], before["events"][2], *after["events"][3:])  # the head may have moved
        assert after == before

    @needs(TRANSACTIONS)
    async def test_whatever_leaves_the_block_rolls_it_back(self, db: Backend) -> None:
        """BE-TX-004: Even an exception that is not an Exception rolls the block back."""
        with pytest.raises(Leaving):
            async with db.transaction() as tx:
                await tx.events.append([note("x")])
                raise Leaving
        assert await db.events.count() == 0

    @needs(TRANSACTIONS)
    @only("async")
    async def test_a_cancelled_block_is_rolled_back(self, db: Backend) -> None:
        """BE-TX-005: Wherever a block is cancelled, all of it is stored or nothing, and the store works as before."""
        for turns in range(30):

            async def work(name: str = f"n{turns}") -> None:
                async with db.transaction() as tx:
                    await tx.events.append([note("first", (name, "1"), 1)])
                    await asyncio.sleep(0)
                    await tx.models.put("c", name, "{}")
                    await tx.events.append([note("second", (name, "1"), 2)])

            task = asyncio.create_task(work())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            stored = await db.events.count(EventQuery(aggregate_names=[f"n{turns}"]))
            model = await db.models.get("c", f"n{turns}")
            assert (stored, model is None) in ((0, True), (2, False))
        await db.events.append([note("x")])

    @needs(TRANSACTIONS)
    async def test_a_transaction_reads_the_events_that_it_wrote(self, db: Backend) -> None:
        """BE-TX-006: Its event store shows its own events by every way of reading, at the positions that were returned."""
        await db.events.append([note("before")])
        async with db.transaction() as tx:
            events = [*story(A, 70), note("x", tags=["t:1"])]
            positions = (await tx.events.append(events)).positions
            same(await tx.events.load(A), events[:70])
            assert [event.position for event in await tx.events.query(after=1).list()] == list(positions)
            same(await tx.events.query(EventQuery(tags=["t:1"])).list(), events[70:])
            assert await tx.events.find(events[0].id) == events[0]
            assert (await tx.events.head(), await tx.events.count()) == (positions[-1], 72)
            assert [(info.aggregate, info.version) for info in await tx.events.aggregates().list()] == [(A, 70)]
            assert await take(tx.events.follow(after=positions[69]), 1) == ["x"]
            assert await tx.events.delete(A) == 70
            assert await texts(tx) == ["before", "x"]  # type: ignore[arg-type]
        assert await texts(db) == ["before", "x"]

    @needs(TRANSACTIONS)
    async def test_a_transaction_reads_what_else_it_wrote(self, db: Backend) -> None:
        """BE-TX-007: Its snapshots, models and checkpoints show what was written to them."""
        async with db.transaction() as tx:
            await tx.models.put("c", "1", '{"f": 1}')
            await tx.models.put("c", "1", '{"f": 2}')
            assert [record.version for record in await tx.models.query("c", where={"f": 2}).list()] == [2]
            await tx.snapshots.save(snapshot(A, 3))
            assert await tx.snapshots.latest(A) == snapshot(A, 3)
            await tx.checkpoints.save("reader", 5)
            assert [checkpoint.position for checkpoint in await tx.checkpoints.all()] == [5]

    @needs(TRANSACTIONS)
    async def test_events_are_stored_at_the_positions_that_were_returned(self, db: Backend) -> None:
        """BE-TX-008: Several appends in one block get increasing positions, and are found there after the commit."""
        events = story(A, 6)
        positions: list[int] = []
        async with db.transaction() as tx:
            for first in range(0, 6, 2):
                positions += (await tx.events.append(events[first : first + 2])).positions
        assert positions == sorted(set(positions))
        stored = await db.events.query().list()
        same(stored, events)
        assert [event.position for event in stored] == positions
        assert await db.events.head() == positions[-1]

    @needs(TRANSACTIONS, PROCESSES)
    async def test_nobody_sees_it_before_the_commit(self, place: Place, db: Backend) -> None:
        """BE-TX-009: Neither another handle nor this handle's own stores show anything of it before the commit."""
        async with place.open() as other:
            before = await contents(other)
            async with db.transaction() as tx:
                await fill(tx)
                assert await contents(other) == before
                assert await contents(db) == before
            assert await contents(other) == await contents(db) != before

    @needs(TRANSACTIONS)
    async def test_concurrent_readers_never_see_what_is_rolled_back(self, place: Place, db: Backend) -> None:
        """BE-TX-010: A concurrent reader never sees anything of a transaction that is rolled back."""
        begun = Moment(place)

        async def read() -> set[str]:
            seen: set[str] = set()
            while "end" not in seen:
                seen.update(await texts(db))
                begun.come()
            return seen

        reader = place.alongside(read())
        await begun.wait()
        for number in range(10):
            with pytest.raises(ZeroDivisionError):
                async with db.transaction() as tx:
                    await tx.events.append([note("rolled back")])
                    await tx.models.put("c", str(number), "{}")
                    raise ZeroDivisionError
        await db.events.append([note("end")])
        assert await reader.result() == {"end"}

    @needs(TRANSACTIONS)
    async def test_a_refused_append_in_it_is_undone_alone(self, db: Backend) -> None:
        """BE-TX-011: A conflict inside counts what the transaction wrote, and writes nothing; the block continues."""
        await db.events.append(story(A, 1))
        async with db.transaction() as tx:
            await tx.events.append(story(A, 1, after=1))
            with refused(ConcurrencyError, aggregate=A, expected=1, actual=2):
                await tx.events.append([note("refused"), *story(A, 1, after=1)])
            with refused(InvalidEventError):
                await tx.events.append([note("refused"), note("gap", B, 1), note("gap", B, 3)])
            await tx.events.append(story(A, 1, after=2))
        assert await texts(db) == ["a-1", "a-2", "a-3"]

    @needs(TRANSACTIONS)
    async def test_conditions_in_it_are_judged_with_what_it_wrote(self, db: Backend) -> None:
        """BE-TX-012: A condition inside sees the transaction's own events; its failure undoes only the refused append."""
        tagged = EventQuery(tags=["seat:1"])
        async with db.transaction() as tx:
            condition = AppendCondition(tagged)
            taken = (await tx.events.append([note("first", tags=["seat:1"])], condition=condition)).position
            with refused(AppendConditionFailed, condition=condition, position=taken):
                await tx.events.append([note("second", tags=["seat:1"])], condition=condition)
            await tx.events.append([note("third")], condition=AppendCondition(tagged, taken))
        assert await texts(db) == ["first", "third"]

    @needs(TRANSACTIONS)
    async def test_a_retry_in_it_is_recognised(self, db: Backend) -> None:
        """BE-TX-013: Appending the same events again is a retry, whether they were stored before the transaction or in it.

        Altered events raise DuplicateEventError.
        """
        earlier = note("earlier")
        await db.events.append([earlier])
        async with db.transaction() as tx:
            own = story(A, 2)
            first = await tx.events.append(own)
            assert await tx.events.append(own) == Appended(first.positions, already_committed=True)
            assert (await tx.events.append([earlier])).already_committed
            with refused(DuplicateEventError, event_id=own[0].id, position=first.positions[0]):
                await tx.events.append([note("new"), note("altered", A, 1, id=own[0].id)])
        assert await texts(db) == ["earlier", "a-1", "a-2"]
        assert (await db.events.append(own)).already_committed

    @needs(TRANSACTIONS)
    async def test_a_model_conflict_in_it_is_undone_alone(self, db: Backend) -> None:
        """BE-TX-014: A refused write of a model inside changes nothing, and the block continues."""
        await db.models.put("c", "1", '{"n": 1}')
        async with db.transaction() as tx:
            assert await tx.models.put("c", "1", '{"n": 2}', expected=1) == 2
            with refused(ModelConflict, collection="c", id="1", expected=1, actual=2):
                await tx.models.put("c", "1", '{"n": 3}', expected=1)
            await tx.models.put("c", "2", "{}", expected=0)
        assert [(r.id, r.version, r.data) for r in await db.models.query("c").list()] == [
            ("1", 2, '{"n": 2}'),
            ("2", 1, "{}"),
        ]

    @needs(TRANSACTIONS)
    async def test_a_name_that_was_rolled_back_is_no_other_name(self, db: Backend) -> None:
        """BE-TX-015: After a rollback of the first event of a type, events of another type keep their own names.

        Stores number the names of events, and may assign a number again after a rollback.
        """
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("x", A, 1)])
                assert [event.name for event in await tx.events.query().list()] == ["sample.noted"]
                raise ZeroDivisionError
        await db.events.append([Event(Closed(), aggregate=B, version=1, registry=registry)])
        stored = (await db.events.query().list())[0]
        assert (stored.name, stored.data, stored.aggregate) == ("other.closed", Closed(), B)

    @needs(TRANSACTIONS)
    async def test_typed_models_are_part_of_it(self, db: Backend) -> None:
        """BE-TX-016: `models_of` of a transaction reads and writes in it, and is rolled back with it."""
        outside = db.models_of("totals", Total)
        async with db.transaction() as tx:
            inside = tx.models_of("totals", Total)
            await inside.put("t", Total(1))
            await inside.use("t", lambda total: Total(total.sum + 1))
            assert await inside.get("t") == Total(2)
        assert await outside.get("t") == Total(2)
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.models_of("totals", Total).put("t", Total(3))
                raise ZeroDivisionError
        assert await outside.get("t") == Total(2)

    @needs(TRANSACTIONS)
    async def test_a_lost_lease_takes_the_whole_transaction_with_it(self, db: Backend) -> None:
        """BE-TX-017: A checkpoint under a lost lease raises LeaseLost, and nothing of the block is stored.

        An instance that was paused for too long cannot write into the read model of its successor.
        """
        lost = await db.leases.acquire("reader", "old", 60)
        await db.leases.release(lost)
        current = await db.leases.acquire("reader", "new", 60)
        totals = db.models_of("totals", Total)
        with refused(LeaseLost, name="reader", owner="new", token=lost.token, current=current.token):
            async with db.transaction() as tx:
                await tx.models_of("totals", Total).put("t", Total(1))
                await tx.checkpoints.save("reader", 1, lease=lost)
        assert await totals.find("t") is None
        assert await db.checkpoints.get("reader") is None
        async with db.transaction() as tx:
            await tx.models_of("totals", Total).put("t", Total(1))
            await tx.checkpoints.save("reader", 1, lease=current)
        assert await totals.get("t") == Total(1)

    @needs(TRANSACTIONS)
    async def test_a_read_model_and_its_checkpoint_count_once(self, db: Backend) -> None:
        """BE-TX-018: A consumer that saves its checkpoint with its read model counts each event once, whenever it dies.

        It may die before, between and after the two writes: the next one resumes from what is stored.
        """
        await db.events.append([note("x") for _ in range(6)])

        async def consume(dies_at: str) -> None:
            checkpoint = await db.checkpoints.get("reader")
            after = checkpoint.position if checkpoint else 0
            page = await db.events.query(after=after, limit=2).list()
            async with db.transaction() as tx:
                for event in page:
                    totals = tx.models_of("totals", Total)
                    await totals.use("t", lambda total: Total(total.sum + 1), default=Total())
                    if dies_at == "between":
                        raise ZeroDivisionError
                    await tx.checkpoints.save("reader", event.position)
                if dies_at == "end":
                    raise ZeroDivisionError

        for dies_at in ("between", "end", "", "end", "", "between", "", ""):
            try:
                await consume(dies_at)
            except ZeroDivisionError:
                pass
        assert await db.models_of("totals", Total).get("t") == Total(6)

    @needs(TRANSACTIONS)
    async def test_waiting_in_it_for_new_events_is_refused(self, db: Backend) -> None:
        """BE-TX-019: Following inside raises TransactionError where it would wait for a commit, which it prevents itself."""
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            following = tx.events.follow(after=0)
            assert await take(following, 1) == ["x"]
            with refused(TransactionError):
                await anext(following)
        assert await texts(db) == ["x"]
