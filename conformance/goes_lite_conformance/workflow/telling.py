"""Telling instances their inputs: which, in which order, how often, and what commits together."""

from __future__ import annotations

import json

from goes_lite.contract.backend import PERSISTENT, TRANSACTIONS
from goes_lite.events.query import EventQuery
from goes_lite.events.workflow import HANDLED
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, pause, until
from goes_lite_conformance.rule import needs
from goes_lite_conformance.workflow._given import (
    Tasks,
    handle,
    instance,
    noted,
    opened,
    registry,
    said,
    texts_of_commands,
    told,
)


class TellRules(Contract):
    """Rules WF-TELL."""

    @needs(TRANSACTIONS)
    async def test_its_own_inputs(self, place: Place) -> None:
        """WF-TELL-001: An instance is told the events that concern its key, in the order of the log, whatever the batches are."""
        async with place.open(registry=registry) as db:
            keys = [f"k{number}" for number in range(5)]
            await db.events.append([opened(key, "open") for key in keys])
            await db.events.append([said(f"{number}", *keys[: 1 + number % 5]) for number in range(20)])
            for batch in (3, 7, 100):
                await db.workflow(Tasks(), batch=batch).catch_up()
                await db.events.append([said(f"after {batch}", *keys)])
            await db.workflow(Tasks()).catch_up()
            for place_of, key in enumerate(keys):
                mine = [str(number) for number in range(20) if number % 5 >= place_of]
                assert await told(db, key) == ["open", *mine, "after 3", "after 7", "after 100"]
                assert (await instance(db, key)).inputs == len(mine) + 4

    @needs(TRANSACTIONS)
    async def test_what_commits_together(self, place: Place) -> None:
        """WF-TELL-002: Position, history, state, timers and commands commit together: one sees all of an input, or nothing."""
        async with place.open(registry=registry) as db:
            await db.events.append([opened("a", "never"), *(said(f"do {number}", "a") for number in range(1, 30))])
            seen = 0
            async with db.workflow(Tasks(), batch=2):
                while seen < 30:
                    async with db.view() as view:
                        inputs = await view.events.count(EventQuery([HANDLED]))
                        record = await view.models.get("goes:workflow:tasks", "a")
                        commands = await view.models.query("goes:commands").list()
                        timers = await view.models.query("goes:timers:tasks").list()
                        checkpoint = await view.checkpoints.get("workflow:tasks")
                    assert inputs >= seen
                    seen = inputs
                    if record is None:
                        assert (inputs, commands, timers) == (0, [], [])
                        continue
                    found = json.loads(record.data)
                    assert (found["inputs"], len(found["state"]["texts"])) == (inputs, inputs)
                    assert (len(commands), len(timers)) == (inputs - 1, 1)
                    assert checkpoint is not None
                    assert checkpoint.position >= found["position"]
                    await pause(place)

    @needs(TRANSACTIONS)
    async def test_redelivery(self, place: Place) -> None:
        """WF-TELL-003: An input counts once, also if the log is read again from its beginning."""
        async with place.open(registry=registry) as db:
            await db.events.append([opened("a", "do this"), said("note that", "a", "b"), opened("b"), said("end", "b")])
            flow = db.workflow(Tasks())
            await flow.catch_up()
            before = [await instance(db, key) for key in "ab"], await db.events.head()
            await flow.reset()
            await flow.catch_up()
            assert before == ([await instance(db, key) for key in "ab"], await db.events.head())
            assert await texts_of_commands(db) == ["this"]
            assert await db.events.count(EventQuery([HANDLED])) == 4

    @needs(TRANSACTIONS)
    async def test_outcomes(self, place: Place) -> None:
        """WF-TELL-004: The outcome of each of its commands is an input: done with the result, or rejected with the code."""
        async with place.open(registry=registry) as db:
            handle(db)
            await db.events.append([opened("a", "do this"), said("do no", "a")])
            async with db.commands.worker(), db.workflow(Tasks()):

                async def over() -> bool:
                    found = await db.workflows.find("tasks", "a")
                    return found is not None and found.inputs == 4

                await until(place, over)
            assert sorted((await told(db, "a"))[2:]) == ["done this", "rejected refused"]
            assert await noted(db) == ["this"]

    @needs(TRANSACTIONS)
    async def test_associations(self, place: Place) -> None:
        """WF-TELL-005: Events with an associated key concern the instances that associated it, until they drop it or end."""
        async with place.open(registry=registry) as db:
            for batch in (1, 500):
                a, b, k = f"a{batch}", f"b{batch}", f"k{batch}"
                await db.events.append([
                    opened(a, f"with {k}"), said("1", k), opened(b, f"with {k}"), said("2", k), said(f"without {k}", a),
                    said("3", k), said("end", b), said("4", k),
                ])  # fmt: skip
                await db.workflow(Tasks(), batch=batch).catch_up()
                assert await told(db, a) == [f"with {k}", "1", "2", f"without {k}"]
                assert await told(db, b) == [f"with {k}", "2", "3", "end"]
            assert await db.models.query("goes:associations:tasks").list() == []

    @needs(TRANSACTIONS)
    async def test_nobody(self, place: Place) -> None:
        """WF-TELL-006: Events for an instance that does not exist or has ended are counted, and change nothing."""
        async with place.open(registry=registry) as db:
            await db.events.append([said("1", "a"), opened("a", "end"), said("2", "a"), opened("b")])
            flow = db.workflow(Tasks())
            await flow.catch_up()
            assert (await told(db, "a"), await noted(db)) == (["end"], [])
            assert (await instance(db, "a")).status == "completed"
            assert [one.key for one in await db.workflows.list("tasks", live=True)] == ["b"]

    @needs(TRANSACTIONS)
    async def test_compensation(self, place: Place) -> None:
        """WF-TELL-007: Compensation dispatches what undoes the steps in reverse, each after the one before is done."""
        async with place.open(registry=registry) as db:
            handle(db)
            await db.events.append([opened("a"), *(said(f"undo {step}", "a") for step in "123"), said("back", "a")])
            async with db.commands.worker(), db.workflow(Tasks()):

                async def over() -> bool:
                    found = await db.workflows.find("tasks", "a")
                    return found is not None and found.ended

                await until(place, over)
            assert await noted(db) == ["3", "2", "1"]
            assert ((await instance(db, "a")).status, (await instance(db, "a")).reason) == ("failed", "back")

    @needs(TRANSACTIONS, PERSISTENT)
    async def test_another_handle(self, place: Place) -> None:
        """WF-TELL-008: Another handle, on the other face, goes on where the first one stopped, with the same state."""
        async with place.open(registry=registry) as db:
            await db.events.append([opened("a", "do this"), said("1", "a")])
            await db.workflow(Tasks()).catch_up()
        async with place.open(registry=registry) as db:
            await db.events.append([said("2", "a")])
            await db.workflow(Tasks()).catch_up()
            assert await told(db, "a") == ["do this", "1", "2"]
            assert await texts_of_commands(db) == ["this"]
