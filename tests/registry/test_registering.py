"""Registering events: names, types, registering again, and several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from goes_lite.codec import Codec, StdlibJson
from goes_lite.errors import RegistrationError, UnregisteredTypeError
from goes_lite.events.fields import check_name
from goes_lite.events.registry import Registry, default_registry, event
from tests.registry.registry_kit import Letter, Note, Placed, Size, Status

# --- names ----------------------------------------------------------------------------------------------------------


def test_event_decorator_returns_the_class(registry: Registry) -> None:
    """The decorator registers the class and changes nothing about it."""

    @registry.event("note.added")
    @dataclass
    class Added:
        text: str

    assert registry.type_of("note.added") is Added
    assert registry.name_of(Added("x")) == "note.added"
    assert "note.added" in registry
    assert registry.names() == ("note.added",)


def test_event_uses_the_default_registry() -> None:
    """`goes.event` fills the registry that everything uses by default."""

    @event("test_registry.only-here")
    @dataclass
    class OnlyHere:
        pass

    assert default_registry.type_of("test_registry.only-here") is OnlyHere


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\tb", "a\x00b", "a\x9fb", "order.*", "x" * 256, "\ud800", "a\u2003b"]
)
def test_names_that_no_backend_could_keep(registry: Registry, name: str) -> None:
    """A name is 1 to 255 characters without whitespace, control characters, `*` and lone surrogates."""
    with pytest.raises(RegistrationError, match="an event name"):
        registry.register(name, Note)


@pytest.mark.parametrize("name", ["a", "order.placed", "\u00e9v\u00e9nement/\u6ce8\u6587", "x" * 255, "a>b:c#1"])
def test_check_name_returns_good_names(name: str) -> None:
    """Any other text is a name."""
    assert check_name(name, "a name") == name


def test_check_name_says_what() -> None:
    """The message says what was being named."""
    with pytest.raises(RegistrationError, match="^a lease name must be a str, not int$"):
        check_name(5, "a lease name")


def test_unregistered_type(registry: Registry) -> None:
    """A value of an unknown class has no name, and neither has a subclass of a registered class."""

    class Special(Note):
        pass

    registry.register("note", Note)

    with pytest.raises(UnregisteredTypeError, match="Special is not registered as an event"):
        registry.name_of(Special("x", 1))
    with pytest.raises(UnregisteredTypeError):
        registry.capture(5)


def test_type_with_several_names(registry: Registry) -> None:
    """One type may have several names; then each value needs one said."""
    registry.register("letter.sent", Letter)
    registry.register("letter.read", Letter)

    with pytest.raises(UnregisteredTypeError, match=r"several names \('letter.sent', 'letter.read'\)"):
        registry.name_of({"body": "x"})
    assert registry.capture({"body": "x"}, "letter.read")[0] == "letter.read"


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Note, Note("x", 1)),
        (Size, Size(1, 2)),
        (Letter, {"body": "x"}),
        (Status, Status.OPEN),
        (int, 5),
        (None, None),
        (dict[str, int], {"a": 1}),
        (list[int], [1]),
    ],
)
def test_kinds_of_types(registry: Registry, hint: Any, value: object) -> None:
    """Classes, scalars and typing forms are registered alike, and found by the value's class."""
    registry.register("it", hint)
    name, copy, encoded = registry.capture(value)

    assert (name, copy) == ("it", value)
    assert registry.decode("it", *encoded) == value


def test_unsupported_type_is_refused_at_registration(registry: Registry) -> None:
    """What could never be stored fails where it is registered, not where it is first recorded."""

    @dataclass
    class Bad:
        lock: complex

    with pytest.raises(RegistrationError, match="Bad.lock: complex is not supported"):
        registry.register("bad", Bad)
    assert "bad" not in registry


def test_forward_reference_is_looked_up_at_first_use(registry: Registry) -> None:
    """A class may name one that is defined further down; one that never appears is an error at first use."""

    @registry.event("later")
    @dataclass
    class Holder:
        later: Later

    @registry.event("never")
    @dataclass
    class Broken:
        never: Never  # type: ignore[name-defined] # noqa: F821 # pyright: ignore[reportUndefinedVariable]

    assert registry.capture(Holder(Later(1)))[2].payload == '{"later":{"value":1}}'
    with pytest.raises(RegistrationError, match="Broken: the annotation 'Never' cannot be resolved"):
        registry.capture(Broken(1))


@dataclass
class Later:
    value: int


# --- registering again ----------------------------------------------------------------------------------------------


def make_reloaded(fields: dict[str, Any]) -> type[Any]:
    return type("Reloaded", (), {"__annotations__": fields, "__module__": __name__, "__qualname__": "Reloaded"})


def test_reloading_a_module_replaces_the_class(registry: Registry) -> None:
    """The same class again (by module and qualified name), with the same options, takes the place of the old one."""
    old, new = dataclass(make_reloaded({"a": int})), dataclass(make_reloaded({"a": int, "b": str}))
    registry.register("x", old, schema=2, aliases=["w"])
    registry.register("x", new, schema=2, aliases=["w"])

    assert registry.type_of("x") is new
    assert registry.type_of("w") is new
    assert registry.capture(new(1, "y"))[2].payload == '{"a":1,"b":"y"}'
    with pytest.raises(UnregisteredTypeError):
        registry.name_of(old(1))


def test_contradictions_are_refused(registry: Registry) -> None:
    """A name means one type, and an alias belongs to one name."""
    registry.register("note", Note, aliases=["memo"])

    with pytest.raises(
        RegistrationError, match="'note' is already registered for .*Note, and cannot also mean .*Placed:"
    ):
        registry.register("note", Placed)
    with pytest.raises(RegistrationError, match="'note' is already registered with another schema, aliases or codec"):
        registry.register("note", Note, schema=2)
    with pytest.raises(RegistrationError, match="'memo' is already an alias of 'note'"):
        registry.register("memo", Note)
    with pytest.raises(RegistrationError, match="'memo' cannot be an alias of 'placed': it belongs to 'note'"):
        registry.register("placed", Placed, aliases=["memo"])
    with pytest.raises(RegistrationError, match="'placed' cannot be an alias of itself"):
        registry.register("placed", Placed, aliases=["placed"])
    with pytest.raises(RegistrationError, match=r"write aliases=\['memo'\]"):
        registry.register("placed", Placed, aliases="memo")
    with pytest.raises(RegistrationError, match="a schema version must be an int ≥ 1, not 0"):
        registry.register("placed", Placed, schema=0)
    assert registry.names() == ("note",)


# --- threads --------------------------------------------------------------------------------------------------------


def test_threads_may_register_and_decode_at_once() -> None:
    """Registering in one thread never breaks decoding in another."""
    registry = Registry(codec=StdlibJson())
    registry.register("note", Note)
    problems: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert registry.decode("note", "json", 1, '{"text":"a","amount":1}') == Note("a", 1)
                assert registry.capture(Note("a", 1))[0] == "note"
                assert "note" in registry.names()
        except BaseException as exc:
            problems.append(exc)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in readers:
        thread.start()
    for number in range(200):
        registry.register(f"placed.{number}", dict[str, int])
    done.set()
    for thread in readers:
        thread.join()

    assert problems == []
    assert len(registry.names()) == 201


def test_repr(registry: Registry) -> None:
    """The repr says how much is registered and what new events are encoded as."""
    registry.register("note", Note)

    assert repr(registry) == "<Registry 1 names, json>"
    assert isinstance(registry.codec, Codec)


def test_what_is_no_type_has_no_names(registry: Registry) -> None:
    with pytest.raises(UnregisteredTypeError, match="5 is not registered as an event"):
        registry.names_of(5)


def test_decorators_without_parentheses_say_what_to_write(registry: Registry) -> None:
    """They would replace the class or the function by something else."""

    class Bare:
        pass

    for decorator, form in ((registry.event, "@event"), (registry.commands.event, "@command")):
        with pytest.raises(
            RegistrationError, match=rf"needs the name: write {form}\('some.name'\) above the class .*Bare"
        ):
            cast(Any, decorator)(Bare)
    upcaster: Callable[[Any], Any] = lambda old: old
    with pytest.raises(RegistrationError, match=r"write @upcast\('some.name', 1\)"):
        cast(Any, registry.upcast)(upcaster, 1)
