"""A command with an id, dispatched twice at once: whichever is slower gets the result of the other, whatever it ran into."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.workers import Process

import goes_lite as goes
from goes_lite.commands import CommandBus, _receipts
from goes_lite.contract.backend import TRANSACTIONS
from goes_lite.database import Database
from goes_lite.errors import CommandMismatch, CommandRejected
from goes_lite.events.ids import new_id
from tests.commands.commands_kit import PATIENCE, Order, Placed, PlaceOrder, raised, registry
from tests.conftest_kit import SQLitePlace


def decide(total: int, command: PlaceOrder) -> list[object]:
    if total:
        raise CommandRejected("order_placed", "placed already")
    return [Placed(command.total)]


decided = goes.Decider(
    "decided", initial=0, decide=decide, evolve=lambda total, event: event.total, events=[Placed], commands=[PlaceOrder],
    id="order", registry=registry,
)  # fmt: skip


def by_aggregate(db: Any, place: Callable[[], Any]) -> None:
    db.commands.serve(Order)


def by_decider(db: Any, place: Callable[[], Any]) -> None:
    db.commands.serve(decided.aggregate)


def placing(command: PlaceOrder) -> Callable[[Order], None]:
    return lambda order: order.place(command)


def by_function(db: Any, place: Callable[[], Any]) -> None:
    def handle(command: PlaceOrder) -> None:
        place()
        db.repository(Order).use(command.order, placing(command), create=True)

    db.commands.handle(PlaceOrder, handle)


def by_transaction(db: Any, place: Callable[[], Any]) -> None:
    def handle(command: PlaceOrder, tx: Any) -> None:
        place()
        db.repository(Order).within(tx).use(command.order, placing(command), create=True)

    db.commands.handle(PlaceOrder, handle, transactional=True)


HANDLERS = [by_aggregate, by_decider, by_function, by_transaction]


@pytest.mark.parametrize("register", HANDLERS)
def test_by_threads_of_two_handles(tmp_path: Path, register: Callable[[Any, Any], None]) -> None:
    """Each handler rejects the second attempt, and nobody ever hears of that."""
    path, answers = tmp_path / "app.db", list[Any]()
    with (
        goes.blocking.connect(path, registry=registry, durability="normal") as one,
        goes.blocking.connect(path, registry=registry, durability="normal") as two,
    ):
        for db in (one, two):
            register(db, lambda: None)
        for number in range(20):
            id, barrier = new_id(), threading.Barrier(3)

            def ask(db: Any, command: PlaceOrder, id: Any = id, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                try:
                    answers.append(db.commands.dispatch(command, id=id))
                except Exception as exc:
                    answers.append(exc)

            threads = [threading.Thread(target=ask, args=(db, PlaceOrder(str(number), 5))) for db in (one, two, two)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert answers == [None] * 60
        assert one.events.count() == 20


def test_by_another_process(tmp_path: Path) -> None:
    """Two processes do the same commands in the same order, with each kind of handler."""
    ids = {register.__name__: [str(new_id()) for _ in range(15)] for register in HANDLERS}
    arguments = json.dumps({"folder": str(tmp_path), "ids": ids})
    workers = [Process("twin", "-W", "error", "-m", "tests.commands.commands_jobs", arguments) for _ in range(2)]
    try:
        for name in ids:
            for worker in workers:
                worker.expect(name)
            for worker in workers:
                worker.tell()
            for worker in workers:
                worker.expect(["None"])
            with goes.blocking.connect(tmp_path / f"{name}.db", registry=registry) as db:
                assert db.events.count() == 15
    finally:
        for worker in workers:
            worker.close()


def test_one_that_comes_while_a_function_works_waits_for_it(world: SQLitePlace) -> None:
    """Also if it comes through another handle."""

    async def test(db: Database) -> None:
        begun, go, calls = threading.Event(), threading.Event(), list[str]()

        def slow(command: PlaceOrder) -> int:
            calls.append(command.order)
            begun.set()
            assert go.wait(PATIENCE)
            return command.total

        id, answers = new_id(), list[Any]()
        other.commands.handle(PlaceOrder, slow)
        first = threading.Thread(
            target=lambda: answers.append(other.commands.dispatch(PlaceOrder("1", 5), id=id)), daemon=True
        )
        first.start()
        assert begun.wait(PATIENCE)
        commands: CommandBus = db.commands
        commands.handle(PlaceOrder, slow)
        with raised(CommandMismatch):
            await commands.dispatch(PlaceOrder("2", 5), id=id)
        threading.Timer(0.05, go.set).start()
        answers.append(await commands.dispatch(PlaceOrder("1", 5), id=id))
        first.join()
        assert answers == [5, 5]
        assert calls == ["1"]

    with goes.blocking.connect(str(world.storage.folder / "app.db"), registry=registry) as other:
        world.with_handle(test)


def test_if_the_first_fails_the_second_is_handled(tmp_path: Path) -> None:
    async def test() -> None:
        begun, go, calls = asyncio.Event(), asyncio.Event(), list[int]()

        async def handle(command: PlaceOrder) -> int:
            calls.append(len(calls))
            if len(calls) == 1:
                begun.set()
                await go.wait()
                raise OSError
            return 7

        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            db.commands.handle(PlaceOrder, handle)
            id = new_id()
            first = asyncio.create_task(db.commands.dispatch(PlaceOrder("1", 5), id=id))
            await begun.wait()
            second = asyncio.create_task(db.commands.dispatch(PlaceOrder("1", 5), id=id))
            go.set()
            with pytest.raises(OSError):
                await first
            async with asyncio.timeout(PATIENCE):
                assert await second == 7

    asyncio.run(test())


def test_one_whose_process_died_is_handled_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the time of day was set meanwhile."""
    monkeypatch.setattr(_receipts, "PATIENCE", 0.05)

    async def test() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            id, never, begun = new_id(), asyncio.Event(), asyncio.Event()

            async def stuck(command: PlaceOrder) -> None:
                begun.set()
                await never.wait()

            async with goes.connect(tmp_path / "a.db", registry=registry) as dead:
                dead.commands.handle(PlaceOrder, stuck)
                first = asyncio.create_task(dead.commands.dispatch(PlaceOrder("1", 5), id=id))
                await begun.wait()
                db.commands.handle(PlaceOrder, lambda command: 8)
                assert await db.commands.dispatch(PlaceOrder("1", 5), id=id) == 8
                never.set()  # it was only slow: the result that was stored first counts
                assert await first == 8
            assert [one.id async for one in db.models.query("goes:receipts")] == [str(id)]

    asyncio.run(test())


def test_without_transactions(tmp_path: Path) -> None:
    """The receipt follows the events, so the other waits for it."""

    async def test() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            db.backend.abilities -= {TRANSACTIONS}
            db.commands.serve(Order)
            for number in range(10):
                id = new_id()
                asked = (db.commands.dispatch(PlaceOrder(str(number), 5), id=id) for _ in range(3))
                assert await asyncio.gather(*asked) == [None] * 3
            assert await db.events.count() == 10

    asyncio.run(test())
