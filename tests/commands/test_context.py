"""The context: what belongs to what, from a command through its events to what follows from those."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import ConfigError, InvalidEventError
from goes_lite.events.ids import new_id
from tests.commands.commands_kit import PATIENCE, Order, Pay, Placed, PlaceOrder, Remind, raised, registry
from tests.conftest_kit import SQLitePlace

NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


def test_without_one_nothing_is_added() -> None:
    order = Order("1")
    order.place(PlaceOrder("1", 5))
    assert goes.Context.current() == goes.Context()
    assert dict(order.pending[0].metadata) == {}


def test_it_is_in_the_metadata_of_events_that_are_recorded_in_it() -> None:
    order = Order("1")
    with goes.Context.bind(actor="ada", correlation="c", request="r-7") as bound:
        assert goes.Context.current() is bound
        order.place(PlaceOrder("1", 5))
    order.pay(Pay("1", 5))
    assert [dict(event.metadata) for event in order.pending] == [
        {"actor": "ada", "correlation": "c", "request": "r-7"},
        {},
    ]


def test_what_an_event_is_given_goes_before_it() -> None:
    order = Order("1")
    with goes.Context.bind(actor="ada", request="r-7"):
        event = order.record(Placed(1), metadata={"actor": "bob", "own": "x"})
    assert dict(event.metadata) == {"actor": "bob", "request": "r-7", "own": "x"}


def test_blocks_lie_within_each_other() -> None:
    with goes.Context.bind(actor="ada", a="1"):
        with goes.Context.bind(b="2", a="3"):
            assert goes.Context.current().metadata == {"actor": "ada", "a": "3", "b": "2"}
        assert goes.Context.current().metadata == {"actor": "ada", "a": "1"}
        with goes.Context.bind(goes.Context(actor="bob")):
            assert goes.Context.current().metadata == {"actor": "bob"}


def test_a_deadline_only_comes_nearer() -> None:
    later = NOON + timedelta(hours=1)
    with goes.Context.bind(deadline=NOON), goes.Context.bind(deadline=later) as bound:
        assert bound.deadline == NOON
    with goes.Context.bind(deadline=later), goes.Context.bind(deadline=NOON) as bound:
        assert bound.deadline == NOON


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": 5},
        {"actor": ""},
        {"request": 7},
        {"correlation": "\ud800"},
        {"deadline": datetime(2026, 1, 1)},
    ],
    ids=repr,
)
def test_what_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    with raised(ConfigError), goes.Context.bind(**wrong):
        raise AssertionError("it was bound")
    assert goes.Context.current() == goes.Context()


def test_from_a_command_to_an_event_to_a_command_to_an_event(world: SQLitePlace) -> None:
    """Through a handler of the log, which may run anywhere and at any time: correlation and actor stay, causes are a chain."""
    id = new_id()

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)

        async def pay(event: goes.Event[Any]) -> None:
            if event.name == "order.placed":
                await commands.dispatch(Pay(str(event.aggregate and event.aggregate.id), 1))

        with goes.Context.bind(actor="ada", request="r-7"):
            await commands.dispatch(PlaceOrder("1", 450), id=id)
        async with db.processor("payer", pay) as payer:
            await payer.wait_for(await db.events.head(), PATIENCE)
        placed, paid = await db.events.query().list()
        assert dict(placed.metadata) == {
            "actor": "ada", "request": "r-7", "correlation": str(id), "causation": str(id),
        }  # fmt: skip
        assert dict(paid.metadata) == {**placed.metadata, "causation": paid.metadata["causation"]}
        assert paid.metadata["causation"] not in (str(id), str(placed.id))  # that of the command in between

    world.with_handle(test)


def test_a_command_knows_the_event_that_it_follows_from(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, seen = db.commands, list[dict[str, str]]()

        async def look(command: Any, proceed: Any) -> Any:
            seen.append(dict(command.metadata))
            return await proceed(command)

        commands.use(look)
        commands.serve(Order)
        commands.handle(Remind, lambda command: None)
        await commands.dispatch(PlaceOrder("1", 450))
        (placed,) = await db.events.query().list()

        async def remind(event: goes.Event[Any]) -> None:
            await commands.dispatch(Remind(event.name))

        async with db.processor("reminders", remind) as reminders:
            await reminders.wait_for(placed.position, PATIENCE)
        assert seen == [
            {},
            {"correlation": placed.metadata["correlation"], "causation": str(placed.id)},
        ]

    world.with_handle(test)


def test_handlers_of_a_bus_have_it_too(tmp_path: Path) -> None:
    seen = list[str]()
    with goes.blocking.connect(tmp_path / "a.db", registry=registry) as db:
        db.commands.serve(Order)
        heard = threading.Event()

        def hear(event: goes.Event[Any]) -> None:
            seen.append(goes.Context.current().causation)
            heard.set()

        db.bus.handle(["order.placed"], hear)
        db.commands.dispatch(PlaceOrder("1", 450))
        assert heard.wait(PATIENCE)
        assert seen == [str(next(db.events.query()).id)]


def test_in_tasks_and_threads() -> None:
    """Tasks and `to_thread` have it by themselves; a thread that is started by hand is given it."""

    async def tasks() -> None:
        with goes.Context.bind(actor="ada"):
            task = asyncio.create_task(asyncio.to_thread(goes.Context.current))
        assert (await task).actor == "ada"

    asyncio.run(tasks())
    seen = list[str]()

    def look() -> None:
        seen.append(goes.Context.current().actor)

    with goes.Context.bind(actor="ada"):
        threads = [threading.Thread(target=look), threading.Thread(target=goes.Context.carry(look))]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen[1] == "ada"


def test_decisions_have_it(world: SQLitePlace) -> None:
    model = goes.DecisionModel(goes.EventQuery(["order.placed"]), 0, lambda count, event: count + 1)

    async def test(db: Database) -> None:
        def made(count: int) -> list[goes.Event[Any]]:
            return [goes.Event(Placed(count), metadata={"own": "x"}, registry=registry)]

        with goes.Context.bind(actor="ada"):
            await db.decide(model, decide=made)
        await db.decide(model, decide=made)
        assert [dict(event.metadata) async for event in db.events.query()] == [
            {"actor": "ada", "own": "x"},
            {"own": "x"},
        ]

    world.with_handle(test)


def test_it_is_in_the_metadata_of_every_event_that_is_made_in_it() -> None:
    """However it is appended; given metadata takes precedence, and without a context nothing is added."""

    def event(**metadata: str) -> goes.Event[Placed]:
        return goes.Event(Placed(1), registry=registry, metadata=metadata or None)

    model = goes.DecisionModel(goes.EventQuery(["nothing"]), 0, lambda state, event: None)
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        with goes.Context.bind(actor="ada", request="r-17"):
            db.events.append([event(), event(actor="bob", own="x")])
            with db.transaction() as tx:
                tx.events.append([event()])
            db.decide(model, decide=lambda state: [event()])
            with pytest.raises(InvalidEventError, match="metadata must be a mapping"):
                goes.Event(Placed(1), registry=registry, metadata=cast(Any, [1]))
        db.events.append([event()])
        found = [dict(event.metadata) for event in db.events.query()]
    ada = {"actor": "ada", "request": "r-17"}
    assert found == [ada, {"actor": "bob", "own": "x", "request": "r-17"}, ada, ada, {}]


def test_the_handler_of_an_event_is_the_context_of_the_events_that_it_makes() -> None:
    """The handled event is their cause, also when they are made by hand."""
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        first = goes.Event(Placed(1), registry=registry, metadata={"actor": "ada"})
        db.events.append([first])

        def handle(event: goes.Event[Any]) -> None:
            if event.position == 1:
                db.events.append([goes.Event(Placed(2), registry=registry)])

        with db.processor("follow-up", handle) as follow_up:
            follow_up.wait_for(2, PATIENCE)
        second = db.events.query(after=1).list()
    cause = str(first.id)
    assert dict(second[0].metadata) == {"actor": "ada", "correlation": cause, "causation": cause}
