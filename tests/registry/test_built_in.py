"""Events of goes_lite itself: known in every registry, under names that nobody else may register."""

from __future__ import annotations

import json
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import RegistrationError, UnknownEventError, UnregisteredTypeError
from goes_lite.events.ids import new_id
from goes_lite.events.outcome import COMMAND_OUTCOME, CommandOutcome
from goes_lite.events.registry import Registry
from tests.codec import codec_kit
from tests.registry.registry_kit import Note


def told(**fields: Any) -> CommandOutcome:
    return CommandOutcome(new_id(), "order.place", "done", **fields)


@pytest.mark.parametrize("codec", ["json", pytest.param("msgpack", marks=codec_kit.needs_msgspec)])
def test_every_registry_knows_them(codec: str) -> None:
    """Their data are JSON whatever the codec; they are not among the names of the program."""
    registry = Registry(codec=codec)
    value = told(result="5")
    assert registry.name_of(value) == COMMAND_OUTCOME
    assert registry.names_of(CommandOutcome) == (COMMAND_OUTCOME,)
    assert registry.type_of(COMMAND_OUTCOME) is CommandOutcome
    assert registry.spellings(COMMAND_OUTCOME) == (COMMAND_OUTCOME,)
    assert COMMAND_OUTCOME in registry
    assert registry.names() == ()
    name, data, (encoding, schema, payload) = registry.capture(value)
    assert (name, data, encoding, schema) == (COMMAND_OUTCOME, value, "json", 1)
    assert json.loads(payload)["result"] == "5"
    assert registry.decode(name, encoding, schema, payload) == value
    assert goes.Event(value, registry=registry).name == COMMAND_OUTCOME


def test_commands_have_none() -> None:
    registry = Registry()
    assert COMMAND_OUTCOME not in registry.commands
    with pytest.raises(UnregisteredTypeError):
        registry.commands.name_of(told())
    with pytest.raises(UnknownEventError):
        registry.commands.type_of(COMMAND_OUTCOME)


@pytest.mark.parametrize("name", ["goes.command.outcome", "goes.mine", "goes."])
def test_nobody_else_may_register_their_names(name: str) -> None:
    for registry in (Registry(), Registry().commands):
        with pytest.raises(RegistrationError, match="must not begin with 'goes.', which is kept for"):
            registry.register(name, Note)
        with pytest.raises(RegistrationError, match="an alias must not begin with 'goes.'"):
            registry.register("note", Note, aliases=[name])
        assert registry.names() == ()
        registry.register("goes-note", Note)


def test_a_program_that_registers_nothing_reads_them() -> None:
    """A plain query returns them decoded; one that reads what is stored returns the text."""
    with goes.blocking.connect("sqlite:///:memory:", registry=Registry()) as db:
        value = told(details='{"a":1}')
        db.events.append([goes.Event(value, registry=Registry(), tags=["command:1"])])
        (event,) = db.events.query().list()
        assert (event.data, event.name) == (value, COMMAND_OUTCOME)
        assert db.events.query(goes.EventQuery([COMMAND_OUTCOME])).list() == [event]
        (stored,) = db.events.stored().list()
        assert json.loads(stored.data.payload)["command"] == "order.place"
