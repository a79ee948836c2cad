"""Aliases and old schemas: events stored under former names and forms are read as today's."""

from __future__ import annotations

from typing import Any

import pytest

from goes_lite.errors import DecodeError, InvalidQueryError, RegistrationError, UnknownEventError
from goes_lite.events.registry import Registry
from tests.registry.registry_kit import Note, Placed, upcaster


def test_aliases(registry: Registry) -> None:
    """Events stored under a former name are read as today's; queries can ask for all spellings."""
    registry.register("note.added", Note, aliases=["note.created", "note.new"])

    assert registry.decode("note.new", "json", 1, '{"text":"a","amount":1}') == Note("a", 1)
    assert registry.canonical("note.created") == "note.added"
    assert registry.canonical("unknown") == "unknown"
    assert registry.spellings("note.added") == ("note.added", "note.created", "note.new")
    with pytest.raises(InvalidQueryError, match="'note.new' is a former name, its events are read as 'note.added'"):
        registry.spellings("note.new")
    assert registry.spellings("unknown") == ("unknown",)
    assert registry.capture(Note("a", 1), "note.new")[0] == "note.added"


def test_unknown_name(registry: Registry) -> None:
    """A stored name that nobody registered is an error that names it and its position."""
    with pytest.raises(UnknownEventError) as caught:
        registry.decode("gone", "json", 1, "{}", 7)

    assert (caught.value.name, caught.value.position) == ("gone", 7)
    with pytest.raises(UnknownEventError):
        registry.decoder("gone", "json", 1)
    with pytest.raises(UnknownEventError):
        registry.type_of("gone")


def test_upcasters_run_from_the_stored_schema_to_todays(registry: Registry) -> None:
    """Each upcaster leads one version further, on plain values."""
    registry.register("note", Note, schema=3)

    @registry.upcast("note", 1)
    def rename(old: dict[str, Any]) -> dict[str, Any]:
        return {"text": old["t"], "amount": old["amount"]}

    @registry.upcast("note", 2)
    def to_cents(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "amount": old["amount"] * 100}

    assert registry.decode("note", "json", 1, '{"t":"a","amount":1}') == Note("a", 100)
    assert registry.decode("note", "json", 2, '{"text":"a","amount":1}') == Note("a", 100)
    assert registry.decode("note", "json", 3, '{"text":"a","amount":1}') == Note("a", 1)
    assert rename({"t": "a", "amount": 1}) == {"text": "a", "amount": 1}
    assert to_cents({"amount": 1}) == {"amount": 100}


def test_upcaster_may_end_the_chain(registry: Registry) -> None:
    """An upcaster that returns an instance of today's type is the last one."""
    registry.register("note", Note, schema=3)
    registry.upcast("note", 1)(upcaster(lambda old: Note(old["text"], 5)))

    assert registry.decode("note", "json", 1, '{"text":"a"}') == Note("a", 5)


def test_gap_in_the_chain(registry: Registry) -> None:
    """A missing step is an error that names it when such an event is read; others are not affected."""
    registry.register("note", Note, schema=3)
    registry.upcast("note", 1)(upcaster(lambda old: old))
    decoder = registry.decoder("note", "json", 1)

    with pytest.raises(DecodeError, match=r"no upcaster leads from schema 2 to 3 of 'note'.*upcast\('note', 2\)"):
        decoder("{}")
    assert registry.decode("note", "json", 3, '{"text":"a","amount":1}') == Note("a", 1)


def test_upcasters_of_an_alias_come_first(registry: Registry) -> None:
    """What was stored under a former name may need another way than what was stored under today's."""
    registry.register("note", Note, schema=2, aliases=["memo"])
    registry.upcast("memo", 1)(upcaster(lambda old: {"text": old["memo"], "amount": 0}))
    registry.upcast("note", 1)(upcaster(lambda old: {"text": old["note"], "amount": 1}))

    assert registry.decode("memo", "json", 1, '{"memo":"a"}') == Note("a", 0)
    assert registry.decode("note", "json", 1, '{"note":"a"}') == Note("a", 1)


def test_upcaster_registered_after_the_first_read(registry: Registry) -> None:
    """A registration counts at once, also for decoders that are asked for again."""
    registry.register("note", Note, schema=2)
    with pytest.raises(DecodeError):
        registry.decode("note", "json", 1, "{}")
    registry.upcast("note", 1)(upcaster(lambda old: Note("late", 1)))

    assert registry.decode("note", "json", 1, "{}") == Note("late", 1)


def test_upcaster_contradictions(registry: Registry) -> None:
    """There is one upcaster per name and schema, and none that leads past today's schema."""
    registry.register("note", Note, schema=2)
    registry.upcast("note", 1)(upcaster(lambda old: old))

    with pytest.raises(RegistrationError, match="schema 1 of 'note' already has an upcaster"):
        registry.upcast("note", 1)(upcaster(lambda old: old))
    with pytest.raises(RegistrationError, match="leads past the current schema 2 .* register that with schema=3"):
        registry.upcast("note", 2)(upcaster(lambda old: old))
    registry.upcast("placed", 1)(upcaster(lambda old: old))
    with pytest.raises(RegistrationError, match="leads past the current schema 1"):
        registry.register("placed", Placed)


def test_failing_upcaster(registry: Registry) -> None:
    """What an upcaster raises is a DecodeError that says which one it was, with the cause kept."""
    registry.register("note", Note, schema=2)
    registry.upcast("note", 1)(upcaster(lambda old: old["missing"]))

    with pytest.raises(DecodeError, match="the upcaster from schema 1 of 'note' raised KeyError: 'missing'") as caught:
        registry.decode("note", "json", 1, "{}", 9)
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.name, caught.value.position) == ("note", 9)


def test_schema_of_the_future(registry: Registry) -> None:
    """An event of a newer program is not guessed at."""
    registry.register("note", Note)

    with pytest.raises(DecodeError, match="written as schema 2 of 'note', but this program knows only up to 1"):
        registry.decode("note", "json", 2, "{}")
