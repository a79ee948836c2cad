"""Keys of a program's own instead of UUIDs: equal keys, equal ids, everywhere and for ever."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid5

import pytest

from goes_lite.commands import command_id
from goes_lite.database import Database
from goes_lite.errors import CommandMismatch, GoesError, InvalidCommandKey
from tests.commands.commands_kit import PATIENCE, Order, Pay, PlaceOrder, Remind, raised
from tests.conftest_kit import SQLitePlace

NAMESPACE = UUID("8d0a9a1e-6d2c-5b0e-9c54-0b7a3f1f6c21")


def test_the_id_of_a_key() -> None:
    """As documented, so that other tools find the same; a UUID, or its text, is itself."""
    own = UUID("0199c0de-0000-7000-8000-00000000abcd")
    assert (
        command_id("ada/order-17") == uuid5(NAMESPACE, "ada/order-17") == UUID("cb1b26dc-1184-585b-bd7b-c4fabea60515")
    )
    assert command_id(own) == command_id(str(own)) == command_id(str(own).upper()) == own
    assert command_id(f"{own}x") == uuid5(NAMESPACE, f"{own}x")
    assert command_id(own.hex) == uuid5(NAMESPACE, own.hex)
    assert len({command_id(key) for key in ("a", "A", " a", "a ", "é", "e\u0301", "x" * 255)}) == 7


def test_a_key_counts_once(world: SQLitePlace) -> None:
    """Whatever it is given to, and whether as a key or as its id."""

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[Any]()
        commands.serve(Order)

        def remind(command: Remind) -> str:
            calls.append(command)
            return command.whom

        commands.handle(Remind, remind)
        await commands.dispatch(PlaceOrder("1", 450), id="place 1")
        assert [await commands.dispatch(Pay("1", 50), id="pay 1") for _ in range(2)] == [400, 400]
        assert await commands.dispatch(Pay("1", 50), id=command_id("pay 1")) == 400
        with raised(CommandMismatch, command_id=command_id("pay 1")):
            await commands.dispatch(Pay("1", 60), id="pay 1")
        assert await commands.dispatch_async(Remind("ada"), id="remind 1") == command_id("remind 1")
        late = datetime.now(timezone.utc) + timedelta(days=3)
        assert await commands.schedule(Remind("bob"), id="remind 2", at=late) == command_id("remind 2")
        assert await commands.withdraw("remind 2")
        assert not await commands.redrive("remind 1")
        async with commands.worker():
            assert await commands.outcome("remind 1", PATIENCE) == "ada"
        assert calls == [Remind("ada")]

    world.with_handle(test)


@pytest.mark.parametrize("id", [5, b"0" * 16, "", " ", "a\nb", "a\0b", "\ud800", "x" * 256, ["a"], True])
def test_what_is_no_key(world: SQLitePlace, id: Any) -> None:
    late = datetime.now(timezone.utc) + timedelta(days=3)

    async def test(db: Database) -> None:
        commands = db.commands
        commands.handle(Remind, lambda command: None)
        for ask in (
            lambda: commands.dispatch(Remind("ada"), id=id),
            lambda: commands.dispatch_async(Remind("ada"), id=id),
            lambda: commands.schedule(Remind("ada"), id=id, at=late),
            lambda: commands.outcome(id),
            lambda: commands.withdraw(id),
            lambda: commands.redrive(id),
        ):
            with raised(InvalidCommandKey):
                await ask()
        assert await commands.accepted() == []

    world.with_handle(test)


def test_the_error_is_one_of_values() -> None:
    """So a web handler answers 400 for what its client sent."""
    assert issubclass(InvalidCommandKey, ValueError)
    assert issubclass(InvalidCommandKey, GoesError)
