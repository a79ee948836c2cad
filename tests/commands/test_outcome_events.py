"""Outcomes of commands in the log: once, for those that ask for it, in the transaction that ends the command."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.commands import COMMAND_OUTCOME, CommandOutcome, DispatchedCommand, command_id
from goes_lite.database import Database
from goes_lite.errors import CommandFailed, CommandRejected, ConfigError
from goes_lite.events.ids import new_id
from tests.commands.commands_kit import PATIENCE, Order, Pay, PlaceOrder, Remind, raised
from tests.conftest_kit import SQLitePlace


def at_once(attempt: int) -> float:
    """No pause."""
    return 0.0


AT_ONCE: dict[str, Any] = {"backoff": at_once}


async def outcomes(db: Database, *tags: str) -> list[goes.Event[CommandOutcome]]:
    return await db.events.query(goes.EventQuery([COMMAND_OUTCOME], tags=tags)).list()


def test_one_that_is_done(world: SQLitePlace) -> None:
    """With its result, cause, correlation and tags; neither the event of its handler nor what follows has the question."""

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        await commands.dispatch(PlaceOrder("1", 450))
        with goes.Context.bind(actor="ada", request="r-7", correlation="c-1"):
            id = await commands.dispatch_async(Pay("1", 50), report=["shop:north", "till:3"])
            other = await commands.dispatch_async(Pay("1", 1))
        async with commands.worker():
            assert await commands.outcome(id, PATIENCE) == 400
            assert await commands.outcome(other, PATIENCE) == 399
        (event,) = await outcomes(db)
        assert event.data == CommandOutcome(id, "order.pay", "done", "400")
        assert event.tags == {f"command:{id}", "shop:north", "till:3"}
        assert dict(event.metadata) == {
            "actor": "ada", "request": "r-7", "correlation": "c-1", "causation": str(id),
        }  # fmt: skip
        assert await outcomes(db, "shop:north", "till:3") == [event]
        _, paid, told, last = await db.events.query().list()
        assert paid.metadata == event.metadata
        assert (told, last.name) == (event, "order.paid")
        assert await commands.accepted() == []

    world.with_handle(test)


def test_it_commits_with_the_receipt_and_what_the_handler_wrote(world: SQLitePlace) -> None:
    """A reader that sees one of them sees all, and the command does not wait any more."""

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        await commands.dispatch(PlaceOrder("1", 450))
        id = await commands.dispatch_async(Pay("1", 50), report=True)
        seen = list[Any]()

        async def look(command: DispatchedCommand[Any], proceed: Any) -> Any:
            result = await proceed(command)
            seen.append([event.name for event in await db.events.query().list()][1:])
            seen.append(await db.models.get("goes:commands", str(id)))
            return result

        def look_blocking(command: DispatchedCommand[Any], proceed: Any) -> Any:
            result = proceed(command)
            seen.append(world.face)
            return result

        commands.use(look if world.face == "async" else look_blocking)
        async with commands.worker():
            await commands.outcome(id, PATIENCE)
        if world.face == "async":
            assert seen == [["order.paid", COMMAND_OUTCOME], None]
        else:
            assert seen == [world.face]

    world.with_handle(test)


@pytest.mark.parametrize("transactional", [True, False])
def test_one_that_is_rejected(world: SQLitePlace, transactional: bool) -> None:
    async def test(db: Database) -> None:
        commands = db.commands

        def refuse(command: Remind, *tx: Any) -> None:
            raise CommandRejected("asleep", f"{command.whom} is asleep", details={"until": 7})

        commands.handle(Remind, refuse, transactional=transactional)
        id = await commands.dispatch_async(Remind("ada"), report=True)
        async with commands.worker(**AT_ONCE):
            with raised(CommandRejected, code="asleep"):
                await commands.outcome(id, PATIENCE)
        (event,) = await outcomes(db)
        assert event.data._replace(details="") == CommandOutcome(
            id, "remind", "rejected", None, "asleep", "ada is asleep", ""
        )
        assert json.loads(event.data.details) == {"until": 7}

    world.with_handle(test)


def test_one_that_is_given_up_and_then_redriven(world: SQLitePlace) -> None:
    """Each time that it ends is told."""

    async def test(db: Database) -> None:
        commands, good = db.commands, list[bool]()

        def remind(command: Any) -> str:
            if not good:
                raise OSError("mailbox full")
            return "done"

        commands.handle(Remind, remind)
        id = await commands.dispatch_async(Remind("ada"), report=True)
        async with commands.worker(attempts=2, **AT_ONCE):
            with raised(CommandFailed):
                await commands.outcome(id, PATIENCE)
            (event,) = await outcomes(db)
            assert event.data == CommandOutcome(id, "remind", "failed", None, "", "OSError: mailbox full", "{}", 2)
            good.append(True)
            assert await commands.redrive(id)
            assert await commands.outcome(id, PATIENCE) == "done"
        assert [event.data.outcome for event in await outcomes(db)] == ["failed", "done"]

    world.with_handle(test)


def test_one_that_cannot_be_read(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, lambda command: None)
        id = await commands.dispatch_async(Remind("ada"), report=True)
        record = await db.models.get("goes:commands", str(id))
        assert record is not None
        damaged = {**json.loads(record.data), "payload": '{"whom": 5}'}
        await db.models.put("goes:commands", str(id), json.dumps(damaged))
        async with commands.worker():
            with raised(CommandFailed):
                await commands.outcome(id, PATIENCE)
        (event,) = await outcomes(db)
        assert (event.data.outcome, event.data.message[:11]) == ("failed", "DecodeError")

    world.with_handle(test)


def test_one_that_is_withdrawn(world: SQLitePlace) -> None:
    """While it waits: nobody waits for it for ever. One that has failed is told already."""

    async def test(db: Database) -> None:
        commands = db.commands

        def inner(tx: Any) -> Any:
            return tx if world.face == "async" else tx.target

        late = datetime.now(timezone.utc) + timedelta(days=3)
        one = await commands.schedule(Remind("ada"), at=late, report=True)
        two = await commands.schedule(Remind("bob"), at=late, report=["tx:1"])
        await commands.schedule(Remind("cy"), at=late, id="cy")
        assert await commands.withdraw("cy")
        assert await outcomes(db) == []
        assert await commands.withdraw(one)
        with pytest.raises(OSError):
            async with db.transaction() as tx:
                assert await commands.withdraw(two, tx=inner(tx))
                raise OSError
        assert len(await commands.accepted()) == 1
        async with db.transaction() as tx:
            assert await commands.withdraw(two, tx=inner(tx))
            assert not await commands.withdraw(two, tx=inner(tx))
        assert [(event.data.id, event.data.outcome, event.data.code) for event in await outcomes(db)] == [
            (one, "failed", "withdrawn"), (two, "failed", "withdrawn"),
        ]  # fmt: skip
        assert len(await outcomes(db, "tx:1")) == 1
        assert await commands.accepted() == []

    world.with_handle(test)


def test_one_that_was_handled_or_accepted_before(world: SQLitePlace) -> None:
    """Whoever asks later is told, too; and nothing is told twice."""

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[str]()

        def remind(command: Remind) -> str:
            calls.append(command.whom)
            if command.whom == "eve":
                raise CommandRejected("no", "not her")
            return command.whom

        commands.handle(Remind, remind)
        assert await commands.dispatch(Remind("ada"), id="one") == "ada"
        one = command_id("one")
        for _ in range(2):
            assert one == await commands.dispatch_async(Remind("ada"), id="one", report=True)
        assert await commands.dispatch_async(Remind("bob"), id="two") == await commands.dispatch_async(
            Remind("bob"), id="two", report=["a:1"]
        )
        two = await commands.dispatch_async(Remind("bob"), id="two", report=["b:2"])
        with raised(CommandRejected):
            await commands.dispatch(Remind("eve"), id="three")
        three = await commands.dispatch_async(Remind("eve"), id="three", report=True)
        async with commands.worker():
            assert await commands.outcome(two, PATIENCE) == "bob"
        assert [(event.data.id, event.data.outcome, event.data.result) for event in await outcomes(db)] == [
            (one, "done", '"ada"'), (three, "rejected", None), (two, "done", '"bob"'),
        ]  # fmt: skip
        assert len(await outcomes(db, "a:1", "b:2")) == 1
        assert calls == ["ada", "eve", "bob"]

    world.with_handle(test)


def test_one_that_was_handled_when_its_worker_was_killed(world: SQLitePlace) -> None:
    """The next worker finds the receipt, and tells what that says."""

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[str]()
        commands.handle(Remind, lambda command: calls.append(command.whom))
        id = await commands.dispatch_async(Remind("ada"), report=True)
        record = await db.models.get("goes:commands", str(id))
        assert record is not None
        assert await commands.dispatch(Remind("ada"), id=id) is None
        assert await outcomes(db) == []
        async with commands.worker():
            await commands.outcome(id, PATIENCE)
        assert [event.data.outcome for event in await outcomes(db)] == ["done"]
        assert calls == ["ada"]

    world.with_handle(test)


@pytest.mark.parametrize("report", ["till:3", 5, ["no tag"], [5], None, ["a:" + "x" * 2000]])
def test_what_is_no_tag(world: SQLitePlace, report: Any) -> None:
    async def test(db: Database) -> None:
        with raised(ConfigError, "report must be a bool"):
            await db.commands.dispatch_async(Remind("ada"), report=report)
        assert await db.commands.accepted() == []

    world.with_handle(test)


def test_on_a_store_without_transactions(world: SQLitePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first outcome of a command is the only one."""

    async def test(db: Database) -> None:
        plain = db if isinstance(db, Database) else db.database
        monkeypatch.setattr(plain.backend, "abilities", plain.backend.abilities - {"transactions"}, raising=True)
        commands, good = db.commands, list[bool]()

        def remind(command: Any) -> str:
            if not good:
                raise OSError("mailbox full")
            return "done"

        commands.handle(Remind, remind)
        good.append(True)
        id = await commands.dispatch_async(Remind("ada"), id=new_id(), report=True)
        async with commands.worker(attempts=1):
            assert await commands.outcome(id, PATIENCE) == "done"
            good.clear()
            other = await commands.dispatch_async(Remind("bob"), report=True)
            with raised(CommandFailed):
                await commands.outcome(other, PATIENCE)
        assert [(event.data.id, event.data.outcome) for event in await outcomes(db)] == [
            (id, "done"),
            (other, "failed"),
        ]

    world.with_handle(test)
