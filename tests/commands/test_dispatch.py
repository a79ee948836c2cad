"""Dispatching: one handler for each command, its result, and its errors as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from goes_lite_conformance.harness.contract import in_thread

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import (
    AggregateNotFound,
    CommandNotHandled,
    CommandRejected,
    ConfigError,
    RegistrationError,
    UnregisteredTypeError,
)
from tests.commands.commands_kit import PATIENCE, Greet, Order, Paid, Pay, Placed, PlaceOrder, Remind, raised, registry
from tests.conftest_kit import SQLitePlace


def test_a_function_handles_a_command(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, got = db.commands, list[Any]()

        async def remind(command: Remind) -> str:
            got.append(command)
            return f"reminded {command.whom}"

        commands.handle(Remind, remind)
        assert await commands.dispatch(Remind("ada")) == "reminded ada"
        assert got == [Remind("ada")]
        assert commands.handled == ("remind",)

    world.with_handle(test)


def test_methods_of_an_aggregate_handle_commands(world: SQLitePlace) -> None:
    """Load, handle, save: what is recorded is stored, what is returned comes back."""

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        assert await commands.dispatch(PlaceOrder("1", 450)) is None
        assert await commands.dispatch(Pay("1", 50)) == 400
        events = await db.events.query().list()
        assert [(event.aggregate, event.version, event.data) for event in events] == [
            (("order", "1"), 1, Placed(450)),
            (("order", "1"), 2, Paid(50)),
        ]

    world.with_handle(test)


def test_what_a_handler_raises_comes_through_and_nothing_is_stored(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Order)
        commands.handle(Remind, lambda command: 1 / 0)
        with raised(ZeroDivisionError):
            await commands.dispatch(Remind("ada"))
        with raised(AggregateNotFound):
            await commands.dispatch(Pay("1", 5))
        await commands.dispatch(PlaceOrder("1", 450))
        with raised(
            CommandRejected, "1 is placed already", code="order_placed", details={"total": 450}, command="order.place"
        ):
            await commands.dispatch(PlaceOrder("1", 500))
        assert await db.events.count() == 1

    world.with_handle(test)


def test_nothing_handles_it(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        with raised(CommandNotHandled, "no handler for the command 'greet'", command="greet"):
            await db.commands.dispatch(Greet("ada"))

    world.with_handle(test)


@pytest.mark.parametrize("command", [5, "greet", Greet, None, Placed(5)])
def test_what_is_no_command(world: SQLitePlace, command: Any) -> None:
    async def test(db: Database) -> None:
        with raised(UnregisteredTypeError, "is not registered as a command: decorate the class with @command"):
            await db.commands.dispatch(command)

    world.with_handle(test)


def test_a_command_has_one_handler(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, print)
        for again in (Remind, "remind", "reminder.send"):
            with raised(RegistrationError, "'remind' already has a handler"):
                commands.handle(again, print)
        commands.serve(Order)
        with raised(RegistrationError, "already has a handler"):
            commands.serve(Order)

    world.with_handle(test)


def test_what_cannot_handle(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands

        class Mute(goes.Aggregate, name="mute", registry=registry):
            pass

        with raised(RegistrationError, "Mute handles no command"):
            commands.serve(Mute)
        with raised(RegistrationError, "no command is registered as 'unheard-of'"):
            commands.handle("unheard-of", print)
        with raised(UnregisteredTypeError, "int is not registered as a command"):
            commands.handle(int, print)

    world.with_handle(test)
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db, raised(ConfigError, "not 5"):
        db.commands.handle(Remind, 5)  # type: ignore[arg-type]


def test_one_class_handles_a_command_once() -> None:
    with raised(RegistrationError, r"twice, in one\(\) and in two\(\)"):

        class Twice(goes.Aggregate, name="twice", registry=registry):
            @goes.handles(Remind, id="whom")
            def one(self, command: Remind) -> None: ...

            @goes.handles(Remind, id="whom")
            def two(self, command: Remind) -> None: ...

        with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
            db.commands.serve(Twice)


def test_decorations_that_are_none() -> None:
    with raised(RegistrationError, "needs the command"):

        def handle(self: Any, command: Any) -> None: ...

        goes.handles(cast("Any", handle))

    with raised(RegistrationError, "not 5"):
        goes.handles(Remind, id=cast("Any", 5))
    with raised(RegistrationError, "decorates a method"):
        goes.handles(Remind)(cast("Any", 5))


def test_a_method_that_does_not_take_the_command() -> None:
    """It is refused where it is decorated; one with more that has defaults is not."""
    with raised(RegistrationError, r"write @handles\(…\) above def remind\(self, command\)"):

        @goes.handles(Remind)  # type: ignore[arg-type]
        def remind(self: Any) -> None: ...  # pyright: ignore[reportArgumentType]

    @goes.handles(Remind)
    def more(self: Any, command: Remind, *rest: Any, note: str = "") -> None: ...

    assert callable(more)


def test_an_id_that_the_command_does_not_have() -> None:
    """Found when it is served, with the fields that there are: a typo in the name of one."""

    class Misspelt(goes.Aggregate, name="misspelt", registry=registry):
        @goes.handles(Pay, id="oder")
        def pay(self, command: Pay) -> None: ...

    db = goes.blocking.connect("sqlite:///:memory:", registry=registry)
    with db, raised(RegistrationError, "Pay has no 'oder' to tell its aggregate; it has order, cents"):
        db.commands.serve(Misspelt)


def test_an_id_that_an_instance_finds_itself() -> None:
    """Only the class is known when it is served, and a `__getattr__` may have any name."""

    @dataclass(frozen=True)
    class Wrapped:
        order: str

        def __getattr__(self, name: str) -> str:
            if name == "wrapped":
                return f"w-{self.order}"
            raise AttributeError(name)

    own = goes.Registry()
    own.commands.register("wrapped", Wrapped)

    class Wrapper(goes.Aggregate, name="wrapper", registry=own):
        @goes.handles(Wrapped, id="wrapped", create=True)
        def wrap(self, command: Wrapped) -> str:
            return self.id

    with goes.blocking.connect(":memory:", registry=own) as db:
        db.commands.serve(Wrapper)
        assert db.commands.dispatch(Wrapped("1")) == "w-1"


def test_a_command_that_does_not_say_what_it_is_for(world: SQLitePlace) -> None:
    class Reminded(goes.Aggregate, name="reminded", registry=registry):
        @goes.handles("remind")
        def remind(self, command: Remind) -> None: ...

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Reminded)
        with raised(ConfigError, "'remind' has no 'id' that is a str or UUID"):
            await commands.dispatch(Remind("ada"))

    world.with_handle(test)


def test_a_subclass_has_the_last_word(world: SQLitePlace) -> None:
    class Loud(Order, name="loud-order"):
        def pay(self, command: Pay) -> int:
            return 2 * super().pay(command)

    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(Loud)
        await commands.dispatch(PlaceOrder("1", 10))
        assert await commands.dispatch(Pay("1", 1)) == 18

    world.with_handle(test)


def test_a_transaction_of_a_function(world: SQLitePlace) -> None:
    """What it writes there commits when it returns, and not if it raises."""

    async def test(db: Database) -> None:
        commands = db.commands

        async def remind(command: Remind, tx: Any) -> None:
            await tx.models.put("reminders", command.whom, "{}")
            if command.whom == "bad":
                raise ValueError

        commands.handle(Remind, remind, transactional=True)
        await commands.dispatch(Remind("ada"))
        with raised(ValueError):
            await commands.dispatch(Remind("bad"))
        assert [record.id async for record in db.models.query("reminders")] == ["ada"]

    world.with_handle(test)


def test_a_conflict_is_tried_again_on_an_aggregate_as_it_is_by_then(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        seen = list[int]()

        class Rushed(goes.Aggregate, name="rushed", registry=registry):
            paid: int = 0

            @goes.handles(Remind, id="whom", create=True)
            def remind(self, command: Remind) -> None:
                seen.append(self.paid)
                if len(seen) == 1:
                    append(goes.Event(Paid(7), aggregate=self.ref, version=1, registry=registry))
                self.record(Paid(1))

            @goes.applies(Paid)
            def _paid(self, event: goes.Event[Paid]) -> None:
                self.paid += event.data.cents

        commands.serve(Rushed)
        await commands.dispatch(Remind("ada"))
        assert seen == [0, 7]
        assert [event.data.cents async for event in db.events.query()] == [7, 1]

    with goes.blocking.connect(world.storage.folder / "app.db", registry=registry) as other:

        def append(event: goes.Event[Any]) -> None:
            in_thread(lambda: other.events.append([event]), PATIENCE)  # for it blocks

        world.with_handle(test)
