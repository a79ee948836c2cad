"""A handler that is too late: on every face the caller hears of it, and nothing is written after the deadline."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.commands import CommandBus
from goes_lite.database import Database
from goes_lite.errors import CommandTimeout
from goes_lite.events.ids import new_id
from goes_lite.testing import FakeClock
from tests.commands.commands_kit import PATIENCE, Greet, Order, Pay, PlaceOrder, Remind, raised, registry
from tests.conftest_kit import SQLitePlace

NOTHING = "it was begun, and nothing of it is stored"


class Slow(Order, name="order"):
    """Takes ten seconds of the clock to pay."""

    clock = FakeClock()

    @goes.handles(Remind, id="whom")
    def remind(self, command: Remind) -> None:
        self.pay(Pay(self.id, 1))
        self.clock.advance(10)


@pytest.mark.parametrize("id", [None, new_id()], ids=["", "once"])
def test_an_aggregate_is_not_saved(world: SQLitePlace, id: Any) -> None:
    async def test(db: Database) -> None:
        commands: CommandBus = db.commands
        commands.serve(Slow)
        await commands.dispatch(PlaceOrder("1", 5))
        with raised(CommandTimeout, NOTHING, begun=True, written=False, command="remind"):
            await commands.dispatch(Remind("1"), timeout=9, id=id)
        assert await db.events.count() == 1
        assert [one.id async for one in db.models.query("goes:receipts")] == []
        await commands.dispatch(Remind("1"), timeout=11, id=id)
        assert await db.events.count() == 2

    world.with_handle(test, clock=Slow.clock)


def test_what_a_function_writes_is_refused_after_it(world: SQLitePlace) -> None:
    """What it wrote before stays; a transaction that it has open is rolled back."""

    async def test(db: Database) -> None:
        commands, clock, kept = db.commands, Slow.clock, list[Any]()

        async def greet(command: Greet) -> None:
            await db.models.put("greetings", "early", "{}")
            clock.advance(10)
            for late in (
                lambda: db.models.put("greetings", "late", "{}"),
                lambda: db.repository(Order).use("1", lambda order: order.place(PlaceOrder("1", 5)), create=True),
                lambda: commands.dispatch_async(Remind("ada")),
                lambda: db.checkpoints.save("late", 1),
            ):
                with pytest.raises(CommandTimeout) as refused:
                    await late()
                kept.append(refused.value.written)

        async def remind(command: Remind) -> None:
            async with db.transaction() as tx:
                await tx.models.put("greetings", "within", "{}")
                clock.advance(10)

        commands.handle(Greet, world.function(greet))
        commands.handle(Remind, world.function(remind))
        with raised(CommandTimeout, "what it wrote until then stays", written=True):
            await commands.dispatch(Greet("ada"), timeout=9)
        with raised(CommandTimeout, NOTHING, written=False):
            await commands.dispatch(Remind("ada"), timeout=9)
        if world.face == "blocking":  # on the others it was cancelled, or its thread goes on
            assert kept == [True] * 4
        assert [one.id async for one in db.models.query("greetings")] == ["early"]
        assert (await db.events.count(), await commands.accepted(), await db.checkpoints.all()) == (0, [], [])
        await db.models.put("greetings", "afterwards", "{}")

    world.with_handle(test, clock=Slow.clock)


def test_a_transaction_of_the_handler_is_rolled_back(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, id = db.commands, new_id()

        async def remind(command: Remind, tx: Any) -> str:
            await tx.models.put("reminders", command.whom, "{}")
            Slow.clock.advance(10)
            return "done"

        commands.handle(Remind, world.function(remind), transactional=True)
        with raised(CommandTimeout, NOTHING, written=False):
            await commands.dispatch(Remind("ada"), timeout=9, id=id)
        assert await db.models.get("reminders", "ada") is None
        assert await commands.dispatch(Remind("ada"), id=id) == "done"

    world.with_handle(test, clock=Slow.clock)


def test_one_that_only_takes_long_is_too_late_as_well(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, id = db.commands, new_id()
        commands.handle(Remind, lambda command: Slow.clock.advance(10))
        for one in (None, id):
            with raised(CommandTimeout, begun=True):
                await commands.dispatch(Remind("ada"), timeout=9, id=one)
        assert await commands.dispatch(Remind("ada"), id=id) is None  # nobody waits for the one that failed

    world.with_handle(test, clock=Slow.clock)


def test_the_deadline_of_the_outer_command_holds_for_the_inner_one(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands: CommandBus = db.commands
        commands.serve(Slow)
        await commands.dispatch(PlaceOrder("1", 5))

        async def greet(command: Greet) -> None:
            await commands.dispatch(Remind("1"))

        commands.handle(Greet, world.function(greet))
        with raised(CommandTimeout, NOTHING, written=False):
            await commands.dispatch(Greet("ada"), timeout=9)
        assert await db.events.count() == 1

    world.with_handle(test, clock=Slow.clock)


def test_a_thread_that_goes_on_writes_nothing(tmp_path: Path) -> None:
    """On a loop thread the caller hears of it in time; the handler's thread cannot be stopped."""
    with goes.blocking.connect(tmp_path / "a.db", registry=registry, inline=False) as db:
        told, ended = threading.Event(), threading.Event()

        def remind(command: Remind) -> None:
            assert told.wait(PATIENCE)
            try:
                db.models.put("reminders", "late", "{}")
            finally:
                ended.set()

        db.commands.handle(Remind, remind)
        with raised(CommandTimeout, NOTHING, begun=True, written=False):
            db.commands.dispatch(Remind("ada"), timeout=0.05)
        told.set()
        assert ended.wait(PATIENCE)
        assert db.models.get("reminders", "late") is None


def test_a_write_whose_turn_comes_too_late_is_refused(tmp_path: Path) -> None:
    """It was queued in time, behind a long transaction of another handle."""
    with (
        goes.blocking.connect(tmp_path / "a.db", registry=registry) as db,
        goes.blocking.connect(tmp_path / "a.db", registry=registry) as other,
    ):
        db.commands.handle(Remind, lambda command: db.models.put("reminders", "late", "{}"))
        held, go = threading.Event(), threading.Event()

        def hold() -> None:
            with other.transaction():
                held.set()
                go.wait(PATIENCE)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(PATIENCE)
        threading.Timer(0.15, go.set).start()
        with raised(CommandTimeout, NOTHING, written=False):
            db.commands.dispatch(Remind("ada"), timeout=0.05)
        thread.join()
        assert db.models.get("reminders", "late") is None


def test_a_handler_that_awaits_is_cancelled(tmp_path: Path) -> None:
    async def test() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:

            async def remind(command: Remind) -> None:
                await db.models.put("reminders", "early", "{}")
                await asyncio.Event().wait()

            db.commands.handle(Remind, remind)
            with raised(CommandTimeout, begun=True, written=True):
                await db.commands.dispatch(Remind("ada"), timeout=0.05)
            assert await db.models.get("reminders", "early") is not None

    asyncio.run(test())
