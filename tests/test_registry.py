"""The registry: names, types, aliases, upcasters, and capturing data when an event is recorded."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from typing import Any, NamedTuple, TypedDict, cast

import pytest

from goes_lite.codec import Codec, FunctionCodec, StdlibJson
from goes_lite.errors import (
    DecodeError,
    EncodeError,
    RegistrationError,
    UnknownEventError,
    UnregisteredTypeError,
)
from goes_lite.registry import Encoded, Raw, Registry, check_name, default_registry, event

needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")
HAS_PROTOBUF = find_spec("google") is not None and find_spec("google.protobuf") is not None
needs_protobuf = pytest.mark.skipif(not HAS_PROTOBUF, reason="protobuf is not installed")


@dataclass(frozen=True)
class Note:
    text: str
    amount: int


@dataclass
class Placed:
    items: list[str]
    total: int = 0


class Size(NamedTuple):
    width: int
    height: int


class Status(Enum):
    OPEN = "open"


class Letter(TypedDict):
    body: str


@pytest.fixture(params=["stdlib", pytest.param("msgspec", marks=needs_msgspec)])
def registry(request: pytest.FixtureRequest) -> Registry:
    """An empty registry, with each JSON implementation."""
    if request.param == "stdlib":
        return Registry(codec=StdlibJson())
    from goes_lite.codec import MsgspecJson

    return Registry(codec=MsgspecJson())


def upcaster(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A lambda, for type checkers: they do not look into one that is handed to a generic decorator."""
    return function


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
    with pytest.raises(RegistrationError, match="Broken: the annotation 'Never' cannot be looked up"):
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
        RegistrationError, match="'note' is registered for .*Note already, and cannot mean .*Placed too"
    ):
        registry.register("note", Placed)
    with pytest.raises(RegistrationError, match="'note' is registered already, with another schema, aliases or codec"):
        registry.register("note", Note, schema=2)
    with pytest.raises(RegistrationError, match="'memo' is an alias of 'note' already"):
        registry.register("memo", Note)
    with pytest.raises(RegistrationError, match="'memo' cannot be an alias of 'placed': it belongs to 'note'"):
        registry.register("placed", Placed, aliases=["memo"])
    with pytest.raises(RegistrationError, match="'placed' cannot be an alias of itself"):
        registry.register("placed", Placed, aliases=["placed"])
    with pytest.raises(RegistrationError, match=r"write aliases=\['memo'\]"):
        registry.register("placed", Placed, aliases="memo")
    with pytest.raises(RegistrationError, match="a schema version is an int from 1 on, not 0"):
        registry.register("placed", Placed, schema=0)
    assert registry.names() == ("note",)


# --- aliases and old schemas ----------------------------------------------------------------------------------------


def test_aliases(registry: Registry) -> None:
    """Events stored under a former name are read as today's; queries can ask for all spellings."""
    registry.register("note.added", Note, aliases=["note.created", "note.new"])

    assert registry.decode("note.new", "json", 1, '{"text":"a","amount":1}') == Note("a", 1)
    assert registry.canonical("note.created") == "note.added"
    assert registry.canonical("unknown") == "unknown"
    assert registry.spellings("note.new") == ("note.added", "note.created", "note.new")
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

    with pytest.raises(RegistrationError, match="schema 1 of 'note' has an upcaster already"):
        registry.upcast("note", 1)(upcaster(lambda old: old))
    with pytest.raises(RegistrationError, match="leads past today's schema 2 .* register that with schema=3"):
        registry.upcast("note", 2)(upcaster(lambda old: old))
    registry.upcast("placed", 1)(upcaster(lambda old: old))
    with pytest.raises(RegistrationError, match="leads past today's schema 1"):
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

    with pytest.raises(DecodeError, match="written as schema 2 of 'note', and this program knows up to 1"):
        registry.decode("note", "json", 2, "{}")


# --- capturing ------------------------------------------------------------------------------------------------------


def test_mutating_data_afterwards_does_not_change_history(registry: Registry) -> None:
    """The captured copy and its payload are as the data was at that moment."""
    registry.register("placed", Placed)
    data = Placed(["tea"], 450)
    name, copy, encoded = registry.capture(data)
    data.items.append("milk")

    assert name == "placed"
    assert copy == Placed(["tea"], 450)
    assert encoded == Encoded("json", 1, '{"items":["tea"],"total":450}')


def test_immutable_data_is_its_own_copy(registry: Registry) -> None:
    """A value that cannot change, going by its annotations, is not copied."""

    @dataclass(frozen=True)
    class Deep:
        notes: tuple[Note, ...]
        sizes: frozenset[Size]

    registry.register("deep", Deep)
    registry.register("status", Status)
    deep = Deep((Note("a", 1),), frozenset([Size(1, 2)]))

    assert registry.capture(deep)[1] is deep
    assert registry.capture(Status.OPEN)[1] is Status.OPEN


def test_frozen_class_with_a_list_is_copied(registry: Registry) -> None:
    """A frozen dataclass is only as immutable as its fields."""

    @dataclass(frozen=True)
    class Shallow:
        items: list[str] = field(default_factory=list[str])

    registry.register("shallow", Shallow)
    data = Shallow(["a"])
    copy = cast(Shallow, registry.capture(data)[1])
    data.items.append("b")

    assert copy.items == ["a"]


def test_wrong_data_is_refused_and_names_the_event(registry: Registry) -> None:
    """Data that does not fit never gets into the log, whether its type is immutable or not."""
    registry.register("note", Note)
    registry.register("placed", Placed)

    with pytest.raises(EncodeError, match=r"^\$\.amount: expected int, got str \(event 'note'\)$") as caught:
        registry.capture(Note("a", cast(Any, "1")))
    assert (caught.value.path, caught.value.name) == ("$.amount", "note")
    with pytest.raises(EncodeError, match=r"^\$\.items\[1\]: expected str, got int \(event 'placed'\)$"):
        registry.capture(Placed(["a", cast(Any, 5)]))
    with pytest.raises(EncodeError, match=r"^\$: expected Note, got Placed \(event 'note'\)$"):
        registry.capture(Placed([]), "note")


def test_data_that_cannot_be_read_back_is_refused(registry: Registry) -> None:
    """A class that would refuse its own stored form is found out when the event is recorded."""

    @dataclass
    class Moody:
        amount: int

        def __post_init__(self) -> None:
            if self.amount == 0:
                raise ValueError("no")

    registry.register("moody", Moody)
    data = Moody(1)
    data.amount = 0

    with pytest.raises(EncodeError, match="cannot be read back: .*Moody refused it: ValueError: no"):
        registry.capture(data)


def test_decode_errors_name_the_event_and_its_position(registry: Registry) -> None:
    """A damaged event is found by its position; a decoder alone does not know it."""
    registry.register("note", Note)

    with pytest.raises(DecodeError, match=r"^\$\.text: expected str, got int \(event 'note' at position 3\)$"):
        registry.decode("note", "json", 1, '{"text":1}', 3)
    with pytest.raises(DecodeError, match=r"^\$\.text: expected str, got int$"):
        registry.decoder("note", "json", 1)('{"text":1}')


def test_decoder_is_compiled_once(registry: Registry) -> None:
    """Asking again is one dict lookup."""
    registry.register("note", Note)

    assert registry.decoder("note", "json", 1) is registry.decoder("note", "json", 1)


def test_values_without_a_name(registry: Registry) -> None:
    """Snapshots and read models use the same codec without an event name."""
    encoded = registry.encode_value(dict[str, Note], {"a": Note("x", 1)})

    assert encoded == Encoded("json", 1, '{"a":{"text":"x","amount":1}}')
    assert registry.decode_value(dict[str, Note], "json", encoded.payload) == {"a": Note("x", 1)}
    with pytest.raises(DecodeError):
        registry.decode_value(int, "json", '"x"')
    with pytest.raises(EncodeError):
        registry.encode_value(int, "x")


# --- codecs ---------------------------------------------------------------------------------------------------------


def shout() -> FunctionCodec:
    return FunctionCodec(
        "shout", lambda note: note.text.upper().encode(), lambda payload, type: Note(payload.decode().lower(), 0)
    )


def test_codec_is_one_line_to_swap(registry: Registry) -> None:
    """After a swap new events have the new encoding, and old ones are still read."""
    registry.register("note", Note)
    before = registry.capture(Note("a", 0))[2]
    registry.codec = shout()
    after = registry.capture(Note("b", 0))[2]
    registry.codec = "json"

    assert (before.encoding, after.encoding) == ("json", "shout")
    assert registry.decode("note", *before) == Note("a", 0)
    assert registry.decode("note", *after) == Note("b", 0)
    assert registry.codec.name == "json"


def test_codec_of_one_event(registry: Registry) -> None:
    """One event may have its own codec."""
    registry.register("note", Note, codec=shout())
    registry.register("placed", Placed)

    assert registry.capture(Note("a", 0))[2] == Encoded("shout", 1, b"A")
    assert registry.capture(Placed([]))[2].encoding == "json"


def test_unknown_encoding(registry: Registry) -> None:
    """An encoding that no codec is known for is a DecodeError that names it."""
    registry.register("note", Note)

    with pytest.raises(DecodeError, match="no codec for the encoding 'shout' is known"):
        registry.decode("note", "shout", 1, b"A")


def test_codec_that_cannot_hold_what_is_registered(registry: Registry) -> None:
    """A swap to a codec that a registered type cannot use is refused, and nothing changes."""

    class Picky(StdlibJson):
        name = "picky"

        def check(self, type: Any, /) -> None:
            raise RegistrationError("not this one")

    registry.register("note", Note)
    with pytest.raises(RegistrationError, match="not this one"):
        registry.codec = Picky()

    assert registry.capture(Note("a", 1))[2].encoding == "json"


@needs_msgspec
def test_msgpack_events() -> None:
    """The msgpack codec stores bytes; old schemas are upcast from it like from JSON."""
    registry = Registry(codec="msgpack")
    registry.register("note", Note, schema=2)
    registry.upcast("note", 1)(upcaster(lambda old: {**old, "amount": 7}))
    payload = registry.encode_value(dict[str, str], {"text": "a"}).payload

    assert registry.capture(Note("a", 1))[2].encoding == "msgpack"
    assert isinstance(payload, bytes)
    assert registry.decode("note", "msgpack", 1, payload) == Note("a", 7)


@needs_protobuf
def test_protobuf_events(registry: Registry) -> None:
    """Protobuf messages use protobuf by themselves; their upcasters get bytes; a dataclass can succeed a message."""
    from google.protobuf.duration_pb2 import Duration

    registry.register("waited", Duration)
    data = Duration(seconds=3)
    name, copy, encoded = registry.capture(data)
    data.seconds = 4

    assert (name, encoded.encoding) == ("waited", "protobuf")
    assert copy == Duration(seconds=3)
    assert registry.decode("waited", *encoded) == Duration(seconds=3)

    newer = Registry(codec=registry.codec)
    newer.register("waited", Note, schema=2)
    with pytest.raises(DecodeError, match="no upcaster leads from schema 1"):
        newer.decode("waited", *encoded)

    @newer.upcast("waited", 1)
    def from_message(old: bytes) -> dict[str, Any]:
        return {"text": "waited", "amount": Duration.FromString(old).seconds}

    assert newer.decode("waited", *encoded) == Note("waited", 3)
    assert from_message(cast(bytes, encoded.payload)) == {"text": "waited", "amount": 3}
    with pytest.raises(DecodeError, match="the encoding 'protobuf' cannot hold today's type"):
        newer.decode("waited", "protobuf", 2, encoded.payload)


# --- Raw ------------------------------------------------------------------------------------------------------------


def test_raw() -> None:
    """Raw is a value: equal by its fields, hashable, unchangeable, and readable without a type."""
    raw = Raw("gone", "json", 2, '{"a":[1]}')

    assert raw.plain() == {"a": [1]}
    assert raw == Raw("gone", "json", 2, '{"a":[1]}')
    assert raw != Raw("gone", "json", 1, '{"a":[1]}')
    assert len({raw, Raw("gone", "json", 2, '{"a":[1]}')}) == 1
    assert pickle.loads(pickle.dumps(raw)) == raw
    assert repr(raw) == "<Raw 'gone' schema 2, 9 characters of json>"
    with pytest.raises(AttributeError, match="cannot be changed"):
        cast(Any, raw).name = "x"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del cast(Any, raw).name


def test_raw_of_an_unknown_encoding_is_its_payload() -> None:
    """Where no codec is known, or the codec needs a type, plain() is the payload; damage is an error."""
    assert Raw("gone", "shout", 1, b"A").plain() == b"A"
    with pytest.raises(DecodeError):
        Raw("gone", "json", 1, "{").plain()


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
