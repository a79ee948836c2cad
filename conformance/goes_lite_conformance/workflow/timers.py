"""Timers: found in the store by their order, whoever set them, and whatever the clock does."""

from __future__ import annotations

from datetime import timedelta

from goes_lite.contract.backend import PERSISTENT, TRANSACTIONS
from goes_lite.events.event import Event
from goes_lite.events.workflow import ENDED
from goes_lite.testing import FakeClock
from goes_lite.workflow import CancelTimer, Effect, Fail, SetTimer, starts
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import NOON
from goes_lite_conformance.rule import needs
from goes_lite_conformance.workflow._given import NEVER, Opened, Tasks, Texts, instance, noted, opened, registry, said

DAY = timedelta(days=1)


class Timed(Tasks, name="tasks"):
    """Sets three timers, the last one first, and replaces and cancels two more."""

    @starts(Opened)
    def opened(self, state: Texts, event: Event[Opened]) -> list[Effect]:
        return [
            SetTimer("third", at=NOON + 3 * DAY), SetTimer("first", at=NOON + 9 * DAY), SetTimer("second", at=NOON + 2 * DAY),
            SetTimer("first", at=NOON + DAY), SetTimer("soon", at=NOON + DAY), CancelTimer("soon"), CancelTimer("never"),
        ]  # fmt: skip


class TimerRules(Contract):
    """Rules WF-TIMER."""

    @needs(TRANSACTIONS)
    async def test_it_fires(self, place: Place) -> None:
        """WF-TIMER-001: A timer fires once, as soon as it is due, in a process that waits for nothing else."""
        async with place.open(registry=registry) as db, db.workflow(Tasks()):
            await db.events.append([opened("a", "soon")])

            async def fired() -> bool:
                return bool(await noted(db))

            await until(place, fired)
            assert (await noted(db), (await instance(db, "a")).timers) == (["soon fired"], {})

    @needs(TRANSACTIONS)
    async def test_replaced_and_cancelled(self, place: Place) -> None:
        """WF-TIMER-002: A timer replaces one of its name, a cancelled one never fires, the others fire in the order of time."""
        clock = FakeClock(NOON)
        async with place.open(registry=registry, clock=clock) as db:
            await db.events.append([opened("a")])
            flow = db.workflow(Timed())
            await flow.catch_up()
            clock.set(NOON + DAY - timedelta(microseconds=1))
            await flow.catch_up()
            assert await noted(db) == []
            clock.set(NOON + DAY)
            await flow.catch_up()
            assert await noted(db) == ["first fired"]
            clock.set(NOON + 30 * DAY)
            await flow.catch_up()
            assert await noted(db) == ["first fired", "second fired", "third fired"]
            assert await db.models.query("goes:timers:tasks").list() == []

    @needs(TRANSACTIONS)
    async def test_a_clock_that_is_set_back(self, place: Place) -> None:
        """WF-TIMER-003: A clock that is set back fires nothing twice, and what is due later still fires."""
        clock = FakeClock(NOON)
        async with place.open(registry=registry, clock=clock) as db:
            await db.events.append([opened("a")])
            flow = db.workflow(Timed())
            for now in (NOON, NOON + 2 * DAY, NOON - DAY, NOON + 2 * DAY, NOON + 3 * DAY):
                clock.set(now)
                await flow.catch_up()
            assert await noted(db) == ["first fired", "second fired", "third fired"]

    @needs(TRANSACTIONS, PERSISTENT)
    async def test_years_away(self, place: Place) -> None:
        """WF-TIMER-004: A timer of 400 days survives its process, and fires in another one."""
        clock = FakeClock(NOON)
        async with place.open(registry=registry, clock=clock) as db:
            await db.events.append([opened("a", "never")])
            await db.workflow(Tasks()).catch_up()
            assert await noted(db) == []
        clock.set(NOON + 2 * NEVER + 20 * 365 * DAY)
        async with place.open(registry=registry, clock=clock) as db:
            await db.workflow(Tasks()).catch_up()
            assert await noted(db) == ["never fired"]

    @needs(TRANSACTIONS)
    async def test_many(self, place: Place) -> None:
        """WF-TIMER-005: Any number of timers may be due at once: each fires once, in the order of time."""
        clock = FakeClock(NOON)
        keys = [f"{number:03d}" for number in range(450)]
        async with place.open(registry=registry, clock=clock) as db:
            await db.events.append([opened(key) for key in reversed(keys)])
            flow = db.workflow(Timed())
            await flow.catch_up()
            clock.set(NOON + 2 * DAY)
            await flow.catch_up()
            assert await noted(db) == ["first fired"] * 450 + ["second fired"] * 450

    @needs(TRANSACTIONS)
    async def test_the_end(self, place: Place) -> None:
        """WF-TIMER-006: An instance that ends takes its timers along."""

        class Brief(Timed, name="tasks"):
            @starts(Opened)
            def opened(self, state: Texts, event: Event[Opened]) -> list[Effect]:
                return [*super().opened(state, event), Fail("brief")]

        async with place.open(registry=registry, clock=FakeClock(NOON)) as db:
            await db.events.append([opened("a"), opened("b"), said("end", "b")])
            await db.workflow(Brief()).catch_up()
            assert await db.models.query("goes:timers:tasks").list() == []
            assert len([event async for event in db.events.query() if event.name == ENDED]) == 2
