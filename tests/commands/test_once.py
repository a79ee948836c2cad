"""A command with an id counts once: dispatched again, at the same time, in another process, after a crash."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.workers import Process

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import CommandMismatch, CommandRejected, EncodeError
from goes_lite.events.ids import new_id
from tests.commands.commands_kit import PATIENCE, Order, Pay, PlaceOrder, Remind, raised, registry
from tests.conftest_kit import SQLitePlace


def test_dispatched_again_it_is_not_done_again(world: SQLitePlace) -> None:
    """Here, and on another handle; the result is the same."""
    id = new_id()

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        await commands.dispatch(PlaceOrder("1", 450))
        assert [await commands.dispatch(Pay("1", 50), id=id) for _ in range(3)] == [400] * 3
        async with world.open() as other:
            other.commands.serve(Order)
            assert await other.commands.dispatch(Pay("1", 50), id=id) == 400
        assert await commands.dispatch(Pay("1", 50)) == 350  # one without an id counts each time
        assert await db.events.count() == 3

    world.with_handle(test)


def test_another_command_with_the_same_id_is_refused(world: SQLitePlace) -> None:
    id = new_id()

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        commands.handle(Remind, lambda command: None)
        await commands.dispatch(PlaceOrder("1", 450), id=id)
        with raised(CommandMismatch, "with other data", other="order.place"):
            await commands.dispatch(PlaceOrder("1", 451), id=id)
        with raised(CommandMismatch, "used before, as 'order.place'", command="remind", command_id=id):
            await commands.dispatch(Remind("ada"), id=id)

    world.with_handle(test)


def test_one_that_failed_may_be_tried_again(world: SQLitePlace) -> None:
    id = new_id()

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[str]()

        async def remind(command: Remind, tx: Any) -> str:
            calls.append(command.whom)
            await tx.models.put("reminders", str(len(calls)), "{}")
            if len(calls) == 1:
                raise OSError
            return "done"

        commands.handle(Remind, remind, transactional=True)
        with raised(OSError):
            await commands.dispatch(Remind("ada"), id=id)
        assert await commands.dispatch(Remind("ada"), id=id) == "done"
        assert await commands.dispatch(Remind("ada"), id=id) == "done"
        assert [record.id async for record in db.models.query("reminders")] == ["2"]

    world.with_handle(test)


class Full(CommandRejected):
    """A rejection of the program's own."""

    def __init__(self, room: int) -> None:
        super().__init__("full", f"no room for {room}", details={"room": room})


@pytest.mark.parametrize("transactional", [True, False])
def test_a_rejection_is_an_answer(world: SQLitePlace, transactional: bool) -> None:
    """Dispatched again, here or elsewhere, the same is raised and the handler is not called; an own class is restored."""

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[str]()

        def remind(command: Remind, *tx: Any) -> str:
            calls.append(command.whom)
            if len(calls) == 1:
                raise Full(7)
            return "done"

        def refused() -> Any:
            return raised(Full, "no room for 7", code="full", details={"room": 7}, command="remind")

        commands.handle(Remind, remind, transactional=transactional)
        for _ in range(2):
            with refused():
                await commands.dispatch(Remind("ada"), id="key")
        async with world.open() as other:
            other.commands.handle(Remind, remind, transactional=transactional)
            with refused():
                await other.commands.dispatch(Remind("ada"), id="key")
        with raised(CommandMismatch):
            await commands.dispatch(Remind("bob"), id="key")
        id = await commands.dispatch_async(Remind("ada"), id="key")
        assert await commands.accepted() == []
        with refused():
            await commands.outcome(id)
        assert calls == ["ada"]
        assert await commands.dispatch(Remind("ada")) == "done"
        await commands.forget(datetime.now(timezone.utc) + timedelta(days=1))
        assert await commands.dispatch(Remind("ada"), id="key") == "done"

    world.with_handle(test)


def test_an_accepted_command_that_was_rejected_counts_again_when_it_is_redriven_or_withdrawn(
    world: SQLitePlace,
) -> None:
    async def test(db: Database) -> None:
        commands, calls = db.commands, list[str]()

        def remind(command: Remind) -> str:
            calls.append(command.whom)
            if len(calls) in (1, 3):
                raise Full(7)
            return "done"

        commands.handle(Remind, remind)
        id = await commands.dispatch_async(Remind("ada"))
        async with commands.worker():
            with raised(CommandRejected, code="full"):
                await commands.outcome(id, PATIENCE)
            with raised(Full):
                await commands.dispatch(Remind("ada"), id=id)
            assert await commands.redrive(id)
            assert await commands.outcome(id, PATIENCE) == "done"
            other = await commands.dispatch_async(Remind("bob"))
            with raised(CommandRejected, code="full"):
                await commands.outcome(other, PATIENCE)
            assert await commands.withdraw(other)
        assert await commands.dispatch(Remind("bob"), id=other) == "done"
        assert calls == ["ada", "ada", "bob", "bob"]

    world.with_handle(test)


@dataclass(frozen=True)
class Answer:
    number: int
    when: tuple[str, ...]


def answers(command: Remind) -> Answer:
    return Answer(5, ("now", command.whom))


def test_a_result_is_kept_as_what_it_is_annotated_as() -> None:
    id = new_id()
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        db.commands.handle(Remind, answers)
        assert [db.commands.dispatch(Remind("ada"), id=id) for _ in range(2)] == [Answer(5, ("now", "ada"))] * 2


@pytest.mark.parametrize("result", [5, "text", None, True, 1.5, [1, {"a": None}]])
def test_a_plain_result_needs_no_annotation(world: SQLitePlace, result: Any) -> None:
    id = new_id()

    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, lambda command: result)
        found = [await commands.dispatch(Remind("ada"), id=id) for _ in range(2)]
        assert found == [result] * 2
        assert type(found[1]) is type(result)

    world.with_handle(test)


@pytest.mark.parametrize(
    "result", [object(), {1, 2}, (1, 2), {5: 6}, float("nan")], ids=["object", "set", "tuple", "int keys", "nan"]
)
def test_a_result_that_cannot_be_kept_is_an_error_and_nothing_is_stored(world: SQLitePlace, result: Any) -> None:
    """Also where the JSON would come back as something else."""

    async def test(db: Database) -> None:
        commands = db.commands

        async def remind(command: Remind, tx: Any) -> Any:
            await tx.models.put("reminders", command.whom, "{}")
            return result

        commands.handle(Remind, remind, transactional=True)
        with raised(EncodeError, "annotate the return type of the handler"):
            await commands.dispatch(Remind("ada"), id=new_id())
        assert await db.models.get("reminders", "ada") is None
        assert await commands.dispatch(Remind("ada")) is result  # it need not be kept

    world.with_handle(test)


def test_receipts_can_be_forgotten(world: SQLitePlace) -> None:
    id = new_id()

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[Any]()
        commands.handle(Remind, calls.append)
        await commands.dispatch(Remind("ada"), id=id)
        begun = db.runtime.clock.now()
        await commands.dispatch(Remind("bob"), id=new_id())
        assert await commands.forget(begun) == 1
        await commands.dispatch(Remind("ada"), id=id)
        assert calls == [Remind("ada"), Remind("bob"), Remind("ada")]

    world.with_handle(test)


def test_at_the_same_time_it_is_done_once(tmp_path: Path) -> None:
    """By tasks of one handle, and by threads of two."""

    async def tasks() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            db.commands.serve(Order)
            await db.commands.dispatch(PlaceOrder("1", 450))
            id = new_id()
            found = await asyncio.gather(*(db.commands.dispatch(Pay("1", 50), id=id) for _ in range(20)))
            assert found == [400] * 20
            assert await db.events.count() == 2

    asyncio.run(tasks())
    with (
        goes.blocking.connect(tmp_path / "a.db", registry=registry) as one,
        goes.blocking.connect(tmp_path / "a.db", registry=registry) as two,
    ):
        id, found = new_id(), list[int]()
        for db in (one, two):
            db.commands.serve(Order)

        def pay(db: goes.blocking.BlockingDatabase) -> None:
            found.append(db.commands.dispatch(Pay("1", 1), id=id))

        threads = [threading.Thread(target=pay, args=(db,)) for db in [one, two] * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [399] * 8
        assert one.events.count() == 3


def test_killed_between_the_commit_and_the_answer(tmp_path: Path) -> None:
    """Whoever did not get the answer dispatches again, and gets it; the events are there once."""
    path, id = str(tmp_path / "app.db"), new_id()
    arguments = json.dumps({"path": path, "id": str(id)})
    with Process("dispatch", "-W", "error", "-m", "tests.commands.commands_jobs", arguments) as worker:
        worker.expect("committed")
        worker.kill()
    with goes.blocking.connect(path, registry=registry) as db:
        db.commands.serve(Order)
        assert db.events.count() == 2
        assert db.commands.dispatch(Pay("1", 50), id=id) == 400
        assert db.events.count() == 2
