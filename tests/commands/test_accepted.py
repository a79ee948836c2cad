"""Commands that are accepted, and done later by a worker: once, whatever happens until then."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.workers import Process

import goes_lite as goes
from goes_lite.commands import CommandBus
from goes_lite.database import Database
from goes_lite.errors import (
    CommandFailed,
    CommandMismatch,
    CommandNotFound,
    CommandRejected,
    CommandTimeout,
    ConfigError,
    DecodeError,
    InvalidEventError,
)
from goes_lite.events.ids import new_id
from goes_lite.testing import FakeClock
from tests.commands.commands_kit import PATIENCE, Greet, Order, Paid, Pay, Placed, PlaceOrder, Remind, raised, registry
from tests.conftest_kit import SQLitePlace


def at_once(attempt: int) -> float:
    """No pause."""
    return 0.0


AT_ONCE: dict[str, Any] = {"backoff": at_once}


def test_a_worker_does_them_and_anybody_may_ask_for_the_outcome(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        placed = await commands.dispatch_async(PlaceOrder("1", 450))
        paid = await commands.dispatch_async(Pay("1", 50))
        assert await db.events.count() == 0
        assert [(one.id, one.name, one.data, one.attempts) for one in await commands.accepted()] == [
            (placed, "order.place", PlaceOrder("1", 450), 0), (paid, "order.pay", Pay("1", 50), 0),
        ]  # fmt: skip
        async with commands.worker() as worker:
            assert await commands.outcome(placed, PATIENCE) is None
            assert await commands.outcome(paid, PATIENCE) == 400
            async with world.open() as other:
                assert await other.commands.outcome(paid) == 400
        assert (await commands.accepted(), worker.handled, worker.running) == ([], 2, False)
        assert await db.events.count() == 2

    world.with_handle(test)


def test_they_are_there_after_closing_and_opening(world: SQLitePlace) -> None:
    ids = list[Any]()

    async def accept(db: Any) -> None:
        with goes.Context.bind(actor="ada", request="r-7"):
            ids.append(await db.commands.dispatch_async(PlaceOrder("1", 450)))

    async def work(db: Any) -> None:
        commands = db.commands
        commands.serve(Order)
        async with commands.worker():
            await commands.outcome(ids[0], PATIENCE)
        (event,) = await db.events.query().list()
        assert dict(event.metadata) == {
            "actor": "ada", "request": "r-7", "correlation": str(ids[0]), "causation": str(ids[0]),
        }  # fmt: skip

    world.with_handle(accept)
    world.with_handle(work)


def test_with_a_transaction(world: SQLitePlace) -> None:
    """Accepted if that commits, and not else."""

    async def test(db: Database) -> None:
        commands = db.commands

        def inner(tx: Any) -> Any:
            return tx if world.face == "async" else tx.target

        async with db.transaction() as tx:
            await commands.dispatch_async(Remind("ada"), tx=inner(tx))
        with pytest.raises(OSError):
            async with db.transaction() as tx:
                await commands.dispatch_async(Remind("bob"), tx=inner(tx))
                raise OSError
        assert [json.loads(one.encoded.payload) for one in await commands.accepted()] == [{"whom": "ada"}]

    world.with_handle(test)


def test_withdrawn_redriven_and_forgotten_in_a_transaction(world: SQLitePlace) -> None:
    """If that commits, and not else; something else than a transaction is refused."""

    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, lambda command: command.whom)

        def inner(tx: Any) -> Any:
            return tx if world.face == "async" else tx.target

        late = datetime.now(timezone.utc) + timedelta(days=3)
        id = await commands.schedule(Remind("ada"), at=late)
        await commands.dispatch(Remind("bob"), id=new_id())
        await db.models.put("goes:commands", "f", json.dumps({**STORED, "state": "failed"}))
        with pytest.raises(OSError):
            async with db.transaction() as tx:
                assert await commands.withdraw(id, tx=inner(tx))
                assert await commands.forget(late, tx=inner(tx)) == 1
                raise OSError
        assert [one.id for one in await commands.accepted()] == [id]
        async with db.transaction() as tx:
            assert await commands.withdraw(id, tx=inner(tx))
            assert not await commands.withdraw(id, tx=inner(tx))
            assert not await commands.redrive(id, tx=inner(tx))
            assert await commands.forget(late, tx=inner(tx)) == 1
            assert [one.id for one in await commands.accepted()] == [id]
        assert await commands.accepted() == []
        assert await commands.forget(late) == 0
        for wrong in (5, "tx", db.backend if world.face == "async" else db):
            with raised(ConfigError, "tx must be a transaction"):
                await commands.withdraw(id, tx=wrong)
            with raised(ConfigError, "tx must be a transaction"):
                await commands.dispatch_async(Remind("ada"), tx=wrong)

    world.with_handle(test)


def test_accepted_again_it_is_done_once(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, calls, id = db.commands, list[Any](), new_id()
        commands.handle(Remind, calls.append)
        assert [await commands.dispatch_async(Remind("ada"), id=id) for _ in range(2)] == [id, id]
        with raised(CommandMismatch):
            await commands.dispatch_async(Remind("bob"), id=id)
        async with commands.worker():
            await commands.outcome(id, PATIENCE)
            assert await commands.dispatch_async(Remind("ada"), id=id) == id
            assert await commands.accepted() == []
            assert await commands.dispatch(Remind("ada"), id=id) is None
            with raised(CommandMismatch):
                await commands.dispatch_async(Remind("bob"), id=id)
        assert calls == [Remind("ada")]

    world.with_handle(test)


def test_one_that_fails_is_tried_again_and_then_given_up(world: SQLitePlace) -> None:
    """The others go on. It can be redriven, with all its attempts, or withdrawn."""

    async def test(db: Database) -> None:
        commands, calls, good = db.commands, list[str](), list[bool]()

        def remind(command: Any) -> str:
            calls.append(command.whom)
            if not good and command.whom == "bad":
                raise OSError("mailbox full")
            return "done"

        commands.handle(Remind, remind)
        bad = await commands.dispatch_async(Remind("bad"))
        other = await commands.dispatch_async(Remind("other"))
        async with commands.worker(attempts=3, **AT_ONCE) as worker:
            with raised(
                CommandFailed, "failed after 3 attempt.*mailbox full", attempts=3, error="OSError: mailbox full",
                command="remind", command_id=bad,
            ):  # fmt: skip
                await commands.outcome(bad, PATIENCE)
            assert type(worker.error) is OSError
            assert await commands.outcome(other, PATIENCE) == "done"
            assert [one.id for one in await commands.accepted(failed=True)] == [bad]
            good.append(True)
            assert await commands.redrive(bad)
            assert await commands.outcome(bad, PATIENCE) == "done"
            assert not await commands.redrive(bad)
        assert sorted(calls) == ["bad"] * 4 + ["other"]
        assert not await commands.withdraw(bad)

    world.with_handle(test)


def test_a_rejection_is_final_and_comes_back_as_itself(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        await commands.dispatch(PlaceOrder("1", 450))
        id = await commands.dispatch_async(PlaceOrder("1", 450))
        async with commands.worker(**AT_ONCE):
            with raised(
                CommandRejected, "1 is placed already", code="order_placed", details={"total": 450},
                command="order.place", command_id=id,
            ):  # fmt: skip
                await commands.outcome(id, PATIENCE)
        (failed,) = await commands.accepted(failed=True)
        assert failed.attempts == 1
        assert await commands.withdraw(id)
        with raised(CommandNotFound):
            await commands.outcome(id)

    world.with_handle(test)


def test_an_outcome_that_is_not_there_yet(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        id = await commands.dispatch_async(Remind("ada"))
        with raised(CommandTimeout, begun=False, command="remind"):
            await commands.outcome(id, 0.01)
        with raised(CommandNotFound, "no command with the id", command_id=(other := new_id())):
            await commands.outcome(other)

    world.with_handle(test)


def test_a_worker_takes_what_its_bus_handles(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Greet, lambda command: "greeted")
        remind = await commands.dispatch_async(Remind("ada"))
        greet = await commands.dispatch_async(Greet("ada"))
        async with commands.worker():
            assert await commands.outcome(greet, PATIENCE) == "greeted"
            assert [(one.id, one.attempts) for one in await commands.accepted()] == [(remind, 0)]
            async with world.open() as other:
                others: CommandBus = other.commands
                others.handle(Remind, lambda command: "reminded")
                async with others.worker():
                    assert await commands.outcome(remind, PATIENCE) == "reminded"

    world.with_handle(test)


def test_one_that_is_too_late_is_given_up(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, calls = db.commands, list[Any]()
        commands.handle(Remind, calls.append)
        id = await commands.dispatch_async(Remind("ada"), timeout=0)
        async with commands.worker():
            with raised(CommandFailed, code="command_timeout", attempts=1):
                await commands.outcome(id, PATIENCE)
        assert calls == []

    world.with_handle(test)


def test_what_cannot_be_read_is_given_up(world: SQLitePlace) -> None:
    """Registered otherwise by whoever is to do it."""
    other = goes.Registry()
    other.commands.register("remind", int)

    async def test(db: Database) -> None:
        id = await db.commands.dispatch_async(Remind("ada"))
        async with world.open(registry=other) as changed:
            commands: CommandBus = changed.commands
            commands.handle("remind", lambda number: number)
            async with commands.worker():
                with raised(CommandFailed, "DecodeError", attempts=1):
                    await commands.outcome(id, PATIENCE)

    world.with_handle(test)


STORED: dict[str, Any] = {
    "id": "0199aaaa-0000-7000-8000-000000000001", "command": "remind", "encoding": "json", "schema": 1,
    "payload": '{"whom":"ada"}', "binary": False, "metadata": {}, "deadline": None, "time": "2026-01-01T00:00:00Z", "due": 1,
    "state": "waiting",
}  # fmt: skip
DAMAGED: list[Any] = [
    {**STORED, "payload": "{"}, {**STORED, "encoding": "rot13"}, {**STORED, "binary": True, "payload": "ä"},
    {**STORED, "schema": "new"}, {**STORED, "metadata": None}, {**STORED, "time": "noon"}, {**STORED, "due": None},
    {"state": "waiting"}, {**STORED, "id": "1"}, {**STORED, "id": str(new_id())}, {**STORED, "deadline": "soon"},
]  # fmt: skip


@pytest.mark.parametrize("stored", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_one_does_not_stop_the_others(world: SQLitePlace, stored: dict[str, Any]) -> None:
    """It is given up at once, with a typed error, and can still be listed, redriven and withdrawn."""

    async def test(db: Database) -> None:
        commands, id = db.commands, new_id()
        commands.handle(Remind, lambda command: command.whom)
        await db.models.put(
            "goes:commands",
            str(id),
            json.dumps({**stored, "id": str(id) if stored.get("id") == STORED["id"] else stored.get("id")}),
        )
        good = await commands.dispatch_async(Remind("bob"))
        assert len(await commands.accepted()) == 2
        async with commands.worker():
            assert await commands.outcome(good, PATIENCE) == "bob"
            with pytest.raises(CommandFailed, match="Error: ") as caught:
                await commands.outcome(id, PATIENCE)
            assert "Error: " in caught.value.error
        (failed,) = await commands.accepted(failed=True)
        assert failed.error == caught.value.error
        assert await commands.redrive(id)
        assert await commands.withdraw(id)

    world.with_handle(test)


def test_one_of_an_unknown_name_waits_and_does_not_stop_the_others(world: SQLitePlace) -> None:
    """Another program on the store may know it."""

    async def test(db: Database) -> None:
        commands, id = db.commands, new_id()
        commands.handle(Remind, lambda command: command.whom)
        await db.models.put("goes:commands", str(id), json.dumps({**STORED, "id": str(id), "command": "unheard.of"}))
        good = await commands.dispatch_async(Remind("bob"))
        async with commands.worker():
            assert await commands.outcome(good, PATIENCE) == "bob"
        assert [(one.name, one.attempts) for one in await commands.accepted()] == [("unheard.of", 0)]

    world.with_handle(test)


def test_a_damaged_receipt_is_kept(world: SQLitePlace) -> None:
    """Its command is not handled again, and the other receipts can still be removed."""

    async def test(db: Database) -> None:
        commands, id = db.commands, new_id()
        commands.handle(Remind, lambda command: command.whom)
        await commands.dispatch(Remind("bob"), id=new_id())
        await db.models.put("goes:receipts", str(id), "{}")
        with raised(DecodeError):
            await commands.dispatch(Remind("ada"), id=id)
        assert await commands.forget(datetime.now(timezone.utc) + timedelta(days=1)) == 1
        assert [one.id async for one in db.models.query("goes:receipts")] == [str(id)]

    world.with_handle(test)


@pytest.mark.parametrize("options", [{"attempts": 0}, {"concurrency": 0}, {"claim": 0}, {"backoff": 5}], ids=repr)
def test_what_makes_no_worker(world: SQLitePlace, options: dict[str, Any]) -> None:
    async def test(db: Database) -> None:
        with raised(ConfigError):
            db.commands.worker(**options)
        with raised(InvalidEventError):
            await db.commands.schedule(Remind("ada"), at=datetime(2026, 1, 1))

    world.with_handle(test)


def test_it_can_be_started_and_stopped_and_started(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, lambda command: command.whom)
        worker = commands.worker(concurrency=3)
        assert not worker.running
        async with worker:
            with raised(ConfigError, "already running"):
                worker.start()
            ids = [await commands.dispatch_async(Remind(str(number))) for number in range(20)]
            assert [await commands.outcome(id, PATIENCE) for id in ids] == [str(number) for number in range(20)]
        async with worker:
            assert await commands.outcome(await commands.dispatch_async(Remind("x")), PATIENCE) == "x"
        assert worker.handled == 21

    world.with_handle(test)


def test_closing_the_handle_ends_it(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        async with world.open() as other:
            commands: CommandBus = other.commands
            commands.handle(Remind, lambda command: command.whom)
            worker: Any = commands.worker()
            if world.face == "async":
                worker.start()
            else:
                worker.target.start()
            await commands.outcome(await commands.dispatch_async(Remind("x")), PATIENCE)
        await worker.stop()
        assert not worker.running

    world.with_handle(test)


# --- at a time --------------------------------------------------------------------------------------------------------


def test_at_a_time_of_day(tmp_path: Path) -> None:
    """Not before; those that are due first, first. A clock that is set forward, or a machine that slept, brings it on."""

    async def test() -> None:
        clock, done = FakeClock(), list[str]()
        async with goes.connect(tmp_path / "a.db", registry=registry, clock=clock) as db:
            db.commands.handle(Remind, lambda command: done.append(command.whom))
            begin = clock.now()
            late = await db.commands.schedule(Remind("late"), at=begin + timedelta(hours=2))
            early = await db.commands.schedule(Remind("early"), at=begin + timedelta(minutes=1))
            async with db.commands.worker():
                await clock.until_waiting()
                clock.advance(59.5)
                await clock.until_waiting()
                assert done == []
                clock.advance(0.5)
                await outcome(db, clock, early)
                assert done == ["early"]
                clock.set(begin + timedelta(hours=3))
                await clock.until_waiting()
                clock.advance(1)
                await outcome(db, clock, late)
        assert done == ["early", "late"]

    async def outcome(db: goes.Database, clock: FakeClock, id: Any) -> None:
        asked = asyncio.create_task(db.commands.outcome(id))
        async with asyncio.timeout(PATIENCE):
            await asked

    asyncio.run(test())


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """Commands without a time are begun immediately; those with one wait for it."""

    async def test() -> None:
        clock, done = FakeClock(), list[str]()
        async with goes.connect(tmp_path / "a.db", registry=registry, clock=clock) as db:
            good: list[bool] = []

            def remind(command: Remind) -> str:
                done.append(command.whom)
                if command.whom == "bad" and not good:
                    raise OSError
                return command.whom

            db.commands.handle(Remind, remind)
            begin = clock.now()
            await db.commands.schedule(Remind("at a time"), at=begin)
            bad = await db.commands.dispatch_async(Remind("bad"))
            async with asyncio.timeout(PATIENCE), db.commands.worker(attempts=1):
                with pytest.raises(CommandFailed):
                    await db.commands.outcome(bad)
            done.clear()
            good.append(True)
            await db.commands.schedule(Remind("at a time"), at=begin)
            ids = [await db.commands.dispatch_async(Remind(whom)) for whom in ("ada", "bob")]
            assert await db.commands.redrive(bad)
            clock.set(begin - timedelta(minutes=10))
            ids.append(await db.commands.dispatch_async(Remind("cy")))
            async with asyncio.timeout(PATIENCE), db.commands.worker():
                assert [await db.commands.outcome(id) for id in (*ids, bad)] == ["ada", "bob", "cy", "bad"]
                assert done[0] == "cy"
                assert sorted(done[1:]) == ["ada", "bad", "bob"]
                assert [json.loads(one.encoded.payload)["whom"] for one in await db.commands.accepted()] == [
                    "at a time"
                ]

    asyncio.run(test())


def test_the_past_is_now(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, lambda command: command.whom)
        id = await commands.schedule(Remind("ada"), at=datetime(2020, 1, 1, tzinfo=timezone.utc))
        async with commands.worker():
            assert await commands.outcome(id, PATIENCE) == "ada"

    world.with_handle(test)


def test_pauses_between_attempts(tmp_path: Path) -> None:
    async def test() -> None:
        clock, times = FakeClock(), list[float]()
        async with goes.connect(tmp_path / "a.db", registry=registry, clock=clock) as db:

            def remind(command: Remind) -> None:
                times.append(clock.monotonic())
                if len(times) < 3:
                    raise OSError

            db.commands.handle(Remind, remind)
            id = await db.commands.dispatch_async(Remind("ada"))
            async with db.commands.worker(backoff=lambda attempt: 10.0 * attempt):
                async with asyncio.timeout(PATIENCE):
                    while len(times) < 3:
                        await clock.until_waiting()
                        clock.advance(0.5)
                    await db.commands.outcome(id)
        first, second, third = times
        assert 10 <= second - first <= 12
        assert 20 <= third - second <= 22

    asyncio.run(test())


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def test_killed_while_they_are_under_way_each_has_one_effect(tmp_path: Path, rounds: int) -> None:
    """Workers of two processes are killed again and again, at whatever they are doing; one command leads to another."""
    path = str(tmp_path / "app.db")
    with goes.blocking.connect(path, registry=registry) as db:
        db.commands.serve(Order)
        db.commands.dispatch(PlaceOrder("1", 450))
        reminded = list[int]()
        arguments = json.dumps({"path": path, "hands": 2})
        for number in range(3 * rounds):
            begin = datetime.now(timezone.utc)
            for one in range(10):
                command = Remind(str(10 * number + one + 1))
                if one % 2:
                    db.commands.dispatch_async(command)
                else:
                    db.commands.schedule(command, at=begin + timedelta(seconds=one / 50))
                reminded.append(10 * number + one + 1)
            seen = db.events.head()
            workers = [
                Process("worker", "-W", "error", "-m", "tests.commands.commands_jobs", arguments) for _ in range(2)
            ]
            try:
                for worker in workers:
                    worker.expect("started")
                while db.events.head() < seen + 1 + number % 5 and db.commands.accepted():
                    db.commits.wait(db.commits.count, 0.05)  # so that they are in the middle of something
                for worker in workers:
                    worker.kill()
            finally:
                for worker in workers:
                    worker.close()

        def remind(command: Remind, tx: Any) -> None:
            record = tx.models.get("reminders", command.whom)
            count = json.loads(record.data)["count"] if record else 0
            tx.models.put("reminders", command.whom, json.dumps({"count": count + 1}))
            db.commands.dispatch_async(Pay("1", int(command.whom)), tx=tx)

        db.commands.handle(Remind, remind, transactional=True)
        with db.commands.worker(attempts=100):
            while db.commands.accepted():
                db.commits.wait(db.commits.count, 0.05)
        counts = {record.id: json.loads(record.data)["count"] for record in db.models.query("reminders")}
        assert counts == {str(number): 1 for number in reminded}
        paid = [event.data.cents for event in db.events.query() if isinstance(event.data, Paid)]
        assert sorted(paid) == reminded
        assert db.commands.accepted(failed=True) == []
        assert isinstance(next(db.events.query()).data, Placed)
