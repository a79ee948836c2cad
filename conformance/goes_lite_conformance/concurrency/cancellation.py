"""Cancelled at any of its waits, an operation is completed or not done at all, and nothing is lost (G11).

Each rule cancels an operation at its first wait, at its second, and so on until the point is no longer reached; and
then again, each time at the moment when what it waits for is ready.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS, Backend
from goes_lite.contract.event_store import Appended
from goes_lite.errors import LeaseHeld
from goes_lite.events.fields import AggregateRef
from goes_lite_conformance.concurrency._given import CONTENDERS, log
from goes_lite_conformance.concurrency._interrupt import MANY, TIMINGS, Interruption, at_every_wait, interrupt
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place
from goes_lite_conformance.harness.samples import A, note, snapshot, story
from goes_lite_conformance.rule import needs, only


def was_cancelled(outcome: Any) -> bool:
    """Return whether an operation ended as cancelled; raise any other error."""
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    return isinstance(outcome, asyncio.CancelledError)


class CancellationRules(Contract):
    """Rules CC-CANCEL."""

    @only("async")
    async def test_a_cancelled_append(self, db: Backend) -> None:
        """CC-CANCEL-001: Wherever an append is cancelled, its batch is stored whole or not at all, and a retry succeeds.

        Its aggregates are not left locked, nor at a version that they do not have.
        """
        appended = 0

        async def attempt(interruption: Interruption) -> bool:
            nonlocal appended
            own = AggregateRef("own", str(interruption))
            batch = [*story(own, 2), *story(A, 1, after=appended), note("loose")]
            outcome, reached = await interrupt(db.events.append(batch), interruption)
            stored = [await db.events.find(event.id) for event in batch]
            there = [event is not None for event in stored]
            assert there == sorted(there), f"stored in part: {there}"  # it may be stored while this looks
            if not was_cancelled(outcome):
                assert None not in stored
            again = await db.events.append(batch)
            assert again.already_committed or None in stored, "it was stored, and is stored again as new"
            if isinstance(outcome, Appended):
                assert again == Appended(outcome.positions, already_committed=True)
            appended += 1
            same(await db.events.load(own), batch[:2])
            await db.events.append(story(own, 1, after=2))
            assert len(await log(db)) == 5 * appended
            return reached

        await at_every_wait(attempt)

    @only("async")
    async def test_cancelled_appends_disturb_no_others(self, place: Place, db: Backend) -> None:
        """CC-CANCEL-002: Cancelled appends are stored whole or not at all, and concurrent ones are not affected.

        64 run concurrently, and half of them are cancelled, at different points.
        """
        batches = [story(AggregateRef("own", str(number)), 3) for number in range(CONTENDERS * place.rounds)]

        async def append(number: int) -> Any:
            if number % 2:
                return await db.events.append(batches[number])
            interruption = Interruption(1 + number // 2 % 3, TIMINGS[number // 2 % 2])
            outcome, _ = await interrupt(db.events.append(batches[number]), interruption)
            return outcome

        outcomes = await place.together(*(append(number) for number in range(len(batches))))
        assert all(isinstance(outcome, Appended) for outcome in outcomes[1::2])
        for batch, outcome in zip(batches, outcomes, strict=True):
            assert batch[0].aggregate is not None
            stored = await db.events.load(batch[0].aggregate)
            assert stored == batch or (was_cancelled(outcome) and stored == [])
            await db.events.append(batch)
        assert len(await log(db)) == 3 * len(batches)

    @only("async")
    @needs(TRANSACTIONS)
    async def test_a_cancelled_transaction(self, db: Backend) -> None:
        """CC-CANCEL-003: Wherever a transaction is cancelled, all of it is stored or nothing, and the next one begins at once."""

        async def work(ref: AggregateRef) -> None:
            async with db.transaction() as tx:
                await tx.events.append(story(ref, 2))
                await tx.models.put("c", ref.id, "{}")
                await tx.events.append(story(ref, 1, after=2))

        async def attempt(interruption: Interruption) -> bool:
            ref = AggregateRef("own", str(interruption))
            outcome, reached = await interrupt(work(ref), interruption)
            stored = (len(await db.events.load(ref)), await db.models.get("c", ref.id) is not None)
            assert stored in ((0, False), (3, True)), f"{stored} after {interruption}"
            assert was_cancelled(outcome) or stored[0] == 3
            if not stored[0]:
                await work(ref)
            return reached

        await at_every_wait(attempt)

    @only("async")
    @needs(TRANSACTIONS)
    async def test_those_who_wait_for_a_transaction(self, place: Place, db: Backend) -> None:
        """CC-CANCEL-004: A caller that is cancelled while it waits for a transaction to end holds up nobody after it.

        This holds whether it wants to append or to begin a transaction, although it never had its turn.
        """

        async def begin() -> None:
            async with db.transaction() as tx:
                await tx.events.append([note("second transaction")])

        begun, over = Moment(place), Moment(place)

        async def hold() -> None:
            async with db.transaction() as tx:
                await tx.events.append([note("first transaction")])
                begun.come()
                await over.wait()

        holder = place.alongside(hold())
        await begun.wait()
        waits: list[Callable[[], Coroutine[Any, Any, Any]]] = [lambda: db.events.append([note("append")]), begin]
        cancelled = [place.alongside(wait()) for wait in waits * 4]
        behind = [place.alongside(wait()) for wait in waits]
        await asyncio.sleep(0)
        for one in cancelled:
            one.cancel()
        outcomes = [await one.outcome() for one in cancelled] if place.durability != "memory" else []
        over.come()
        await holder.result()
        for one in behind:
            await one.result()
        assert all(map(was_cancelled, outcomes))

    @only("async")
    async def test_a_cancelled_deletion(self, db: Backend) -> None:
        """CC-CANCEL-005: Wherever a deletion is cancelled, the aggregate is gone with its snapshots, or all of it is there."""

        async def attempt(interruption: Interruption) -> bool:
            ref = AggregateRef("own", str(interruption))
            await db.events.append(story(ref, 3))
            await db.snapshots.save(snapshot(ref, 3))
            outcome, reached = await interrupt(db.events.delete(ref), interruption)
            left = (3, False)
            for _ in range(MANY):  # it may still be in progress
                left = (len(await db.events.load(ref)), await db.snapshots.latest(ref) is not None)
                if left in ((0, False), (3, True)):
                    break
            assert left == (0, False) or (left == (3, True) and was_cancelled(outcome)), f"{left} after {interruption}"
            await db.events.delete(ref)
            await db.events.append(story(ref, 1))
            return reached

        await at_every_wait(attempt)

    @only("async")
    async def test_a_cancelled_change_of_a_model(self, db: Backend) -> None:
        """CC-CANCEL-006: Wherever a change of a model is cancelled, it counts once or not at all, as the version shows."""
        counters = db.models_of("counter", int)
        await counters.put("1", 0)
        changes = 0

        async def attempt(interruption: Interruption) -> bool:
            nonlocal changes
            outcome, reached = await interrupt(counters.use("1", lambda number: number + 1), interruption)
            await counters.use("1", lambda number: number + 1, tries=MANY)  # the other may still be in progress
            record = await db.models.get("counter", "1")
            assert record is not None
            assert json.loads(record.data) == record.version - 1
            counted = record.version - 1 - changes
            assert counted == 2 or (counted == 1 and was_cancelled(outcome)), f"{counted} changes after {interruption}"
            changes = record.version - 1
            return reached

        await at_every_wait(attempt)

    @only("async")
    async def test_a_cancelled_lease(self, db: Backend) -> None:
        """CC-CANCEL-007: Wherever acquiring a lease is cancelled, its owner can acquire it at once, and then nobody else can."""

        async def attempt(interruption: Interruption) -> bool:
            name = str(interruption)
            _, reached = await interrupt(db.leases.acquire(name, "ann", 60.0), interruption)
            lease = await db.leases.acquire(name, "ann", 60.0)
            try:
                await db.leases.acquire(name, "bob", 60.0)
                raise AssertionError("bob has the lease of ann")
            except LeaseHeld:
                pass
            assert await db.leases.release(lease)
            return reached

        await at_every_wait(attempt)

    @only("async")
    async def test_cancelled_iterators_lose_nothing(self, db: Backend) -> None:
        """CC-CANCEL-008: Wherever an iterator is cancelled, the next call returns the next item: in order, none lost or repeated.

        This holds even if a page has just arrived, for queries, followers, aggregates, snapshots and models.
        """
        refs = [AggregateRef("own", f"{number:03}") for number in range(70)]
        await db.events.append([event for ref in refs for event in story(ref, 1)])
        for ref in refs:
            await db.snapshots.save(snapshot(ref, 1))
            await db.models.put("c", ref.id, "{}")
        iterators: dict[str, tuple[Callable[[], Any], Callable[[Any], str]]] = {
            "query": (db.events.query, lambda event: event.aggregate.id),
            "reversed query": (lambda: db.events.query(reverse=True), lambda event: event.aggregate.id),
            "follower": (lambda: db.events.follow(after=0), lambda event: event.aggregate.id),
            "aggregates": (db.events.aggregates, lambda info: info.aggregate.id),
            "snapshots": (db.snapshots.query, lambda one: one.aggregate.id),
            "models": (lambda: db.models.query("c"), lambda record: record.id),
        }
        wanted = [ref.id for ref in refs]
        for what, (open_one, id_of) in iterators.items():

            async def attempt(
                interruption: Interruption, what: str = what, open_one: Any = open_one, id_of: Any = id_of
            ) -> bool:
                pages, taken = open_one(), list[str]()

                async def take_all() -> None:
                    while len(taken) < len(refs):
                        taken.append(id_of(await anext(pages)))

                _, reached = await interrupt(take_all(), interruption)
                await take_all()
                assert taken == (wanted[::-1] if what == "reversed query" else wanted), f"{what}, {interruption}"
                return reached

            await at_every_wait(attempt)

    @only("async")
    async def test_cancelled_subscribers_lose_nothing(self, db: Backend) -> None:
        """CC-CANCEL-009: Wherever waiting for a delivery is cancelled, the next call gets the next one, and none is lost."""
        number = 0
        taken: list[str] = []
        async with db.bus.subscribe(["sample.noted"]) as subscription:

            async def take_one() -> None:
                delivery = await anext(subscription)
                taken.append(delivery.event.data.text)
                await delivery.ack()

            async def attempt(interruption: Interruption) -> bool:
                nonlocal number
                asking = asyncio.create_task(interrupt(take_one(), interruption))
                await asyncio.sleep(0)
                number += 1
                await db.events.append([note(str(number))])
                _, reached = await asking
                return reached

            await at_every_wait(attempt)
            await db.events.append([note("end")])
            while taken[-1:] != ["end"]:
                await asyncio.wait_for(take_one(), 30)
        assert taken == [*(str(n) for n in range(1, number + 1)), "end"]

    @only("async")
    async def test_a_cancelled_opening(self, place: Place) -> None:
        """CC-CANCEL-010: Wherever opening is cancelled, nothing stays open: the storage can be opened and used at once."""

        async def use() -> None:
            async with place.open() as db:
                await db.events.append([note("x")])

        async def attempt(interruption: Interruption) -> bool:
            _, reached = await interrupt(use(), interruption)
            await use()
            return reached

        await at_every_wait(attempt)
