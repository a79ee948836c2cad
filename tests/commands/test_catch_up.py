"""A worker that handles what is due and returns, for programs that run once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from goes_lite.errors import CommandRejected, ConfigError
from goes_lite.testing import FakeClock
from tests.commands.commands_kit import Greet, Order, Pay, PlaceOrder, Remind
from tests.conftest_kit import SQLitePlace


def test_what_is_due_and_what_follows_from_it(world: SQLitePlace) -> None:
    async def test(db: Any) -> None:
        commands = db.commands
        commands.serve(Order)
        placed = await commands.dispatch_async(PlaceOrder("1", 450))
        paid = await commands.dispatch_async(Pay("1", 50))
        worker = commands.worker()

        assert await worker.catch_up() == 2
        assert (await commands.outcome(placed), await commands.outcome(paid)) == (None, 400)
        assert await worker.catch_up() == 0
        assert (worker.handled, worker.running) == (2, False)
        async with world.open() as other:
            assert await other.events.count() == 2

    world.with_handle(test)


def test_later_rejected_and_failed_ones_are_not_waited_for(world: SQLitePlace) -> None:
    clock = FakeClock()

    async def test() -> None:
        async with world.open(clock=clock) as db:

            def refuse(command: Remind) -> None:
                raise CommandRejected("no", command.whom)

            def fail(command: Greet) -> None:
                raise LookupError(command.whom)

            db.commands.handle(Remind, refuse)
            db.commands.handle(Greet, fail)
            await db.commands.dispatch_async(Remind("ada"))
            await db.commands.schedule(Remind("bob"), at=clock.now() + timedelta(days=1))
            await db.commands.dispatch_async(Greet("eve"))
            worker = db.commands.worker(attempts=2)

            assert await worker.catch_up() == 2
            assert [one.attempts for one in await db.commands.accepted()] == [1, 0]  # eve again, soon; bob tomorrow
            clock.advance(2 * 86_400)
            assert await worker.catch_up() == 2
            assert await db.commands.accepted() == []
            assert len(await db.commands.accepted(failed=True)) == 3

    world.run(test())


def test_a_running_worker_handles_them_already(world: SQLitePlace) -> None:
    async def test(db: Any) -> None:
        async with db.commands.worker() as worker:
            with pytest.raises(ConfigError, match="already running"):
                await worker.catch_up()

    world.with_handle(test)
