"""Instances that cannot handle an input: alone with it, and going on in order."""

from __future__ import annotations

from goes_lite.contract.backend import TRANSACTIONS
from goes_lite.errors import InstanceNotFound
from goes_lite.testing import FakeClock
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON
from goes_lite_conformance.rule import needs
from goes_lite_conformance.workflow._given import Tasks, instance, opened, registry, said, texts_of_commands, told


class AloneRules(Contract):
    """Rules WF-ALONE."""

    @needs(TRANSACTIONS)
    async def test_the_others_go_on(self, place: Place) -> None:
        """WF-ALONE-001: An instance that cannot handle an input keeps no other waiting; its own inputs wait in order."""
        clock, tasks = FakeClock(NOON), Tasks()
        async with place.open(registry=registry, clock=clock) as db:
            flow = db.workflow(tasks)
            tasks.broken = True
            await db.events.append([
                *(opened(key) for key in "abc"), said("1", *"abc"), said("hard", "b"), said("2", *"abc"), said("do 3", *"abc"),
            ])  # fmt: skip
            await flow.catch_up()
            for key in "ac":
                assert await told(db, key) == ["", "1", "2", "do 3"]
            assert await told(db, "b") == ["", "1"]
            assert [one.key for one in await db.workflows.stuck()] == ["b"]
            tasks.broken = False
            await db.events.append([said("4", *"abc")])
            clock.set(NOON.replace(year=2027))
            await flow.catch_up()
            assert await told(db, "b") == ["", "1", "hard", "2", "do 3", "4"]
            assert ((await instance(db, "b")).failing, await texts_of_commands(db)) == (None, ["3"] * 3)

    @needs(TRANSACTIONS)
    async def test_suspended(self, place: Place) -> None:
        """WF-ALONE-002: After its patience it is suspended; a retry goes on with what waits, before newer inputs."""
        clock, tasks = FakeClock(NOON), Tasks()
        async with place.open(registry=registry, clock=clock) as db:
            flow = db.workflow(tasks, patience=10)
            tasks.broken = True
            await db.events.append([opened("a"), said("hard", "a"), said("1", "a")])
            await flow.catch_up()
            clock.set(NOON.replace(year=2027))
            await flow.catch_up()
            found = await instance(db, "a")
            assert (found.status, found.inputs) == ("suspended", 1)
            assert found.failing is not None
            assert (found.failing.error, found.failing.attempts) == ("ValueError: too hard", 2)
            await db.events.append([said("2", "a")])
            await flow.catch_up()
            tasks.broken = False
            await db.workflows.retry("tasks", "a")
            await db.events.append([said("3", "a")])
            await flow.catch_up()
            assert await told(db, "a") == ["", "hard", "1", "2", "3"]
            assert await db.workflows.stuck("tasks") == []

    @needs(TRANSACTIONS)
    async def test_skipped(self, place: Place) -> None:
        """WF-ALONE-003: A skip leaves one input out for good, and what waited behind it follows."""
        tasks = Tasks()
        async with place.open(registry=registry) as db:
            flow = db.workflow(tasks)
            tasks.broken = True
            await db.events.append([opened("a"), said("hard", "a"), said("1", "a")])
            await flow.catch_up()
            await db.workflows.skip("tasks", "a")
            await flow.catch_up()
            await flow.reset()
            await flow.catch_up()
            assert await told(db, "a") == ["", "1"]

    @needs(TRANSACTIONS)
    async def test_cancelled(self, place: Place) -> None:
        """WF-ALONE-004: A cancelled instance has ended: nothing concerns it any more, and nothing of it waits."""
        tasks = Tasks()
        async with place.open(registry=registry) as db:
            flow = db.workflow(tasks)
            tasks.broken = True
            await db.events.append([opened("a", "never"), said("hard", "a"), said("1", "a")])
            await flow.catch_up()
            await db.workflows.cancel("tasks", "a", reason="lost")
            await db.events.append([said("2", "a")])
            await flow.catch_up()
            found = await instance(db, "a")
            assert (found.status, found.reason, await told(db, "a")) == ("cancelled", "lost", ["never"])
            left = [
                name for name in await db.models.collections() if name.startswith(("goes:timers:", "goes:waiting:"))
            ]
            assert left == []
            with refused(InstanceNotFound, workflow="tasks", key="a"):
                await db.workflows.cancel("tasks", "a")
