"""Cancelled: an append under a condition, and any operation that waits (G11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS, Backend
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.concurrency._given import CONTENDERS, succeeded
from goes_lite_conformance.concurrency._interrupt import TIMINGS, Interruption, at_every_wait, interrupt
from goes_lite_conformance.concurrency.cancellation import was_cancelled
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, note, snapshot, story
from goes_lite_conformance.rule import needs, only

Operations = dict[str, Callable[[], Coroutine[Any, Any, Any]]]


async def each_ends_as_cancelled(operations: Operations) -> None:
    """Check that an operation cancelled at any of its waits raises CancelledError, and that a later one succeeds."""
    for what, begin in operations.items():

        async def attempt(
            interruption: Interruption,
            what: str = what,
            begin: Callable[[], Coroutine[Any, Any, Any]] = begin,
        ) -> bool:
            outcome, reached = await interrupt(begin(), interruption)
            if reached:
                assert type(outcome) is asyncio.CancelledError, f"{what}, {interruption}: continued with {outcome!r}"
            elif isinstance(outcome, BaseException):
                raise outcome
            return reached

        await at_every_wait(attempt)


class InterruptionRules(Contract):
    """Rules CC-CANCEL about conditions and about the cancellation itself."""

    @only("async")
    async def test_a_cancelled_append_under_a_condition(self, db: Backend) -> None:
        """CC-CANCEL-011: Wherever an append under a condition is cancelled, its events are stored whole or not at all.

        A retry under the same condition succeeds; an append that has not seen them is refused from then on.
        """
        query, seen = EventQuery(tags=["seat:1"]), 0

        async def attempt(interruption: Interruption) -> bool:
            nonlocal seen
            condition = AppendCondition(query, seen)
            own = AggregateRef("own", str(interruption))
            batch = [note("taken", tags=["seat:1"]), *story(own, 2), note("loose")]
            _, reached = await interrupt(db.events.append(batch, condition=condition), interruption)
            stored = [await db.events.find(event.id) is not None for event in batch]
            assert stored == sorted(stored), f"stored in part: {stored}"  # it may be stored while this looks
            again = await db.events.append(batch, condition=condition)
            assert again.already_committed or True not in stored
            with refused(AppendConditionFailed, condition=condition, position=again.positions[0]):
                await db.events.append([note("too late", tags=["seat:1"])], condition=condition)
            found = await db.events.query(after=seen).list()
            assert [(event.id, event.position) for event in found] == list(
                zip([event.id for event in batch], again.positions, strict=True)
            )
            seen = again.position
            return reached

        await at_every_wait(attempt)

    @only("async")
    async def test_no_operation_swallows_a_cancellation(self, db: Backend) -> None:
        """CC-CANCEL-012: An operation that is cancelled while it waits raises CancelledError, whatever it has done.

        A task that swallows its cancellation runs for ever, and a task group that waits for it never ends.
        """
        first, *_ = events = story(A, 3)
        await db.events.append(events)
        await db.snapshots.save(snapshot(A, 3))
        await db.models.put("c", "1", "1")
        lease = await db.leases.acquire("job", "ann", 60.0)
        counters = db.models_of("c", int)
        unused = AppendCondition(EventQuery(["other.closed"]))

        async def follow() -> None:
            await anext(db.events.follow(after=0))

        await each_ends_as_cancelled({
            "append": lambda: db.events.append([note("x")]),
            "append under a condition": lambda: db.events.append([note("x")], condition=unused),
            "load": lambda: db.events.load(A),
            "find": lambda: db.events.find(first.id),
            "head": db.events.head,
            "count": db.events.count,
            "query": lambda: db.events.query().list(),
            "aggregates": lambda: db.events.aggregates().list(),
            "follow": follow,
            "delete": lambda: db.events.delete(AggregateRef("own", "none")),
            "snapshots.save": lambda: db.snapshots.save(snapshot(A, 3)),
            "snapshots.latest": lambda: db.snapshots.latest(A),
            "models.put": lambda: db.models.put("c", "2", "{}"),
            "models.get": lambda: db.models.get("c", "1"),
            "models.use": lambda: counters.use("1", lambda number: number + 1, tries=1000),
            "checkpoints.save": lambda: db.checkpoints.save("reader", 1),
            "checkpoints.get": lambda: db.checkpoints.get("reader"),
            "leases.acquire": lambda: db.leases.acquire("job", "ann", 60.0),
            "leases.renew": lambda: db.leases.renew(lease, 60.0),
            "leases.get": lambda: db.leases.get("job"),
        })  # fmt: skip

    @only("async")
    @needs(TRANSACTIONS)
    async def test_no_transaction_swallows_a_cancellation(self, db: Backend) -> None:
        """CC-CANCEL-013: A transaction that is cancelled raises CancelledError, at whichever of its steps."""

        async def commit() -> None:
            async with db.transaction() as tx:
                await tx.events.append([note("x")])
                await tx.events.query().list()
                await tx.models.put("c", "1", "{}")

        async def roll_back() -> None:
            try:
                async with db.transaction() as tx:
                    await tx.events.append([note("rolled back")])
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass

        await each_ends_as_cancelled({"commit": commit, "rollback": roll_back})
        assert "rolled back" not in [event.data.text for event in await db.events.query().list()]

    @only("async")
    @needs(TRANSACTIONS)
    async def test_cancelled_transactions_disturb_no_others(self, place: Place, db: Backend) -> None:
        """CC-CANCEL-014: Of many concurrent transactions half are cancelled somewhere: the others commit.

        Each cancelled one is stored whole or not at all, even among many readers.
        """
        refs = [AggregateRef("own", str(number)) for number in range(CONTENDERS // 2 * place.rounds)]

        async def work(ref: AggregateRef) -> None:
            async with db.transaction() as tx:
                await tx.events.append(story(ref, 2))
                await tx.events.append(story(ref, 1, after=2))

        async def transact(number: int) -> Any:
            if number % 2:
                return await work(refs[number])
            interruption = Interruption(1 + number // 2 % 5, TIMINGS[number // 10 % 2])
            return (await interrupt(work(refs[number]), interruption))[0]

        async def read() -> None:
            for _ in range(4):
                await db.events.count()

        reading = [place.alongside(read()) for _ in range(CONTENDERS)]
        outcomes = await place.together(*(transact(number) for number in range(len(refs))))
        succeeded([await one.outcome() for one in reading])
        for number, (ref, outcome) in enumerate(zip(refs, outcomes, strict=True)):
            stored = len(await db.events.load(ref))
            assert stored == 3 or (stored == 0 and was_cancelled(outcome)), f"{stored} of 3, after {outcome!r}"
            assert number % 2 == 0 or outcome is None
        await work(AggregateRef("own", "behind them all"))
