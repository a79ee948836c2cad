"""What an upgrade changes: a verdict for each event and command, with the reason and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, TypeVar
from uuid import UUID

import pytest

import goes_lite as goes
from goes_lite.codec import FunctionCodec
from goes_lite.errors import ConfigError, DecodeError, UnknownEventError
from goes_lite.schema import Change, Verdict, changes, describe, parse
from tests.codec.codec_kit import needs_msgspec

T = TypeVar("T")


@dataclass(frozen=True)
class Old:
    name: str


@dataclass(frozen=True)
class Wider:
    name: str
    note: str = ""


@dataclass(frozen=True)
class Stricter:
    name: str
    note: str


@dataclass(frozen=True)
class Other:
    name: int


def registry(*steps: int, type: Any = Old, name: str = "made", **options: Any) -> goes.Registry:
    """A program that registers one event, and upcasters from these schemas."""
    made = goes.Registry()
    made.register(name, type, **options)
    for step in steps:
        made.upcast(name, step)(_same)
    return made


def _same(old: T) -> T:
    return old


def compare(old: goes.Registry, new: goes.Registry) -> list[Change]:
    return changes(*(parse(json.dumps(describe(one))) for one in (old, new)))


def only(old: goes.Registry, new: goes.Registry) -> Change:
    (change,) = compare(old, new)
    return change


def stored_by(old: goes.Registry, new: goes.Registry, value: Any) -> Callable[[], Any]:
    """Return the function that reads with one program what the other one stores."""
    name = old.names()[0]
    encoded = goes.Event(value, name=name, registry=old).encoded
    return lambda: new.decode(name, *encoded)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (registry(), registry(), Verdict.FULL),
        (registry(), registry(type=Wider), Verdict.FULL),
        (registry(), registry(type=Stricter), Verdict.FORWARD),
        (registry(type=Stricter), registry(), Verdict.BACKWARD),
        (registry(), registry(type=Other), Verdict.BREAKING),
        (registry(), registry(1, type=Other, schema=2), Verdict.BACKWARD),
        (registry(), registry(type=Other, schema=2), Verdict.BREAKING),
        (registry(), registry(1, type=Other, schema=3), Verdict.BREAKING),
        (registry(1, schema=2), registry(schema=2), Verdict.FORWARD),
        (registry(1, schema=2), registry(), Verdict.BREAKING),
        (registry(), registry(name="called", aliases=["made"]), Verdict.BACKWARD),
        (registry(), registry(name="called", aliases=["made"], type=Other), Verdict.BREAKING),
        (registry(), goes.Registry(), Verdict.BREAKING),
        (goes.Registry(), registry(), Verdict.BACKWARD),
    ],
    ids=[
        "same", "field with a default", "field without one", "field gone", "another type", "upcaster", "no upcaster",
        "one upcaster of two", "upcaster gone", "older", "renamed", "renamed and another type", "gone", "new",
    ],
)  # fmt: skip
def test_each_change_has_its_verdict(old: goes.Registry, new: goes.Registry, verdict: Verdict) -> None:
    change = only(old, new)
    assert change.verdict is verdict
    assert bool(change.fix) == bool(change.backward)
    assert bool(change.backward) == (verdict in (Verdict.FORWARD, Verdict.BREAKING))


@pytest.mark.parametrize("type", [Old, Wider, Stricter, Other])
@pytest.mark.parametrize("steps", [(), (1,), (1, 2), (2,)])
@pytest.mark.parametrize("schema", [1, 2, 3])
def test_backward_is_what_a_program_can_read(type: Any, steps: tuple[int, ...], schema: int) -> None:
    """Of each combination of a type, a schema and upcasters."""
    steps = tuple(step for step in steps if step < schema)
    old, new = registry(), registry(*steps, type=type, schema=schema)
    read = stored_by(old, new, Old("ada"))
    if not only(old, new).backward:
        if schema == 1:  # else an upcaster makes the new form, which here it does not
            read()
    else:
        with pytest.raises(DecodeError):
            read()


def test_the_missing_upcaster_is_named() -> None:
    change = only(registry(), registry(2, type=Other, schema=3))
    assert change.backward[0].problem == (
        "no upcaster leads from schema 1 to 2, so what is stored in that form cannot be read"
    )
    assert change.fix == "register upcast('made', 1)"
    change = only(registry(1, 2, schema=3), registry(type=Other, schema=4))
    assert change.fix == "register upcast('made', 1) and upcast('made', 2) and upcast('made', 3)"
    assert "from schema 1 to 2 and from schema 2 to 3 and from schema 3 to 4 any more" in change.backward[0].problem


def test_a_change_of_type_says_where_and_gives_an_example() -> None:
    (gap,) = only(registry(), registry(type=Other)).backward
    assert gap == ("$.name", "str is stored, int is expected", {"name": "?"})


def test_upcasters_of_a_former_name_count_for_what_is_stored_under_it() -> None:
    new = goes.Registry()
    new.register("called", Other, schema=2, aliases=["made"])
    new.upcast("made", 1)(_same)
    assert only(registry(), new).verdict is Verdict.BACKWARD
    assert only(registry(name="called"), new).fix == "register upcast('called', 1)"


def test_a_former_name_that_is_not_known_any_more_breaks() -> None:
    old, new = registry(name="called", aliases=["made"]), registry(name="called")
    change = only(old, new)
    assert (change.name, change.verdict) == ("called", Verdict.FORWARD)
    assert "'made', a former name, is not known any more" in change.backward[0].problem
    assert change.fix == "name 'made' in the aliases of 'called'"
    with pytest.raises(UnknownEventError):
        new.decode("made", "json", 1, '{"name":"ada"}')
    assert only(old, old).verdict is Verdict.FULL


def test_a_former_name_that_became_another_type_is_compared_with_it() -> None:
    """And is not new, as the old program stored it."""
    old = registry(name="called", aliases=["made"])
    new = registry(name="called")
    new.register("made", Other)
    assert [(one.name, one.verdict) for one in compare(old, new)] == [
        ("called", Verdict.FULL),
        ("made", Verdict.BREAKING),
    ]
    assert [one.verdict for one in compare(old, registry())] == [Verdict.BREAKING, Verdict.FULL]


def test_an_upcaster_of_a_former_name_that_is_gone_breaks() -> None:
    """That of today's name is used in its place, and was made for another form."""

    def program(*names: str, **options: Any) -> goes.Registry:
        made = registry(name="called", schema=2, **options)
        for name in names:
            made.upcast(name, 1)(_same)
        return made

    old, new = program("called", "made", aliases=["made"]), program("called", aliases=["made"])
    change = only(old, new)
    assert (change.verdict, change.fix) == (Verdict.FORWARD, "register upcast('made', 1)")
    assert "the upcaster of 'made' from schema 1 to 2 is gone" in change.backward[0].problem
    assert only(new, old).verdict is Verdict.FULL
    # One that moves along with its event, to a name that had none, still does what it did.
    assert only(registry(1, schema=2), new).verdict is Verdict.BACKWARD
    before = program("called")
    before.register("made", Other, schema=2)
    before.upcast("made", 1)(_same)
    assert [one.verdict for one in compare(before, new)] == [Verdict.FULL, Verdict.BREAKING]


def test_a_document_without_upcasters_of_former_names_and_encodings_can_be_read() -> None:
    document = describe(registry(1, schema=2, aliases=["once"]))
    for one in document["events"].values():
        del one["own_upcasters"], one["encoding"]
    old = parse(document)
    (change,) = changes(old, parse(describe(registry(1, schema=2, aliases=["once"]))))
    assert change.verdict is Verdict.FULL
    assert old.events["made"].encoding == "json"


@needs_msgspec
@pytest.mark.parametrize(
    ("before", "value", "after", "message"),
    [
        (datetime, datetime(2026, 1, 1, tzinfo=UTC), str, "datetime is stored, str is expected"),
        (bytes, b"a", str, "bytes is stored, str is expected"),
        (dict[int, int], {1: 2}, dict[str, int], "int is stored, str is expected"),
        (dict[int, int], {1: 2}, dict[Decimal, int], ""),
        (dict[bytes, int], {b"a": 2}, dict[str, int], "bytes is stored, str is expected"),
        (datetime, datetime(2026, 1, 1, tzinfo=UTC), datetime, ""),
        (UUID, UUID(int=1), str, ""),
    ],
)
def test_msgpack_has_forms_of_its_own(before: Any, value: Any, after: Any, message: str) -> None:
    """What is text in JSON and can be read as a str is not text there."""
    data: type[Any] = make_dataclass("Data", [("value", before)])
    today: type[Any] = make_dataclass("Data", [("value", after)])
    old, new = registry(type=data, codec="msgpack"), registry(type=today, codec="msgpack")
    assert [gap.problem for gap in only(old, new).backward] == ([message] if message else [])
    read = stored_by(old, new, data(value))
    if message:
        with pytest.raises(DecodeError):
            read()
    else:
        read()
    json = registry(type=data)
    assert only(json, old).verdict is only(old, json).verdict is Verdict.FULL


def test_who_does_not_have_the_codec_cannot_read_what_it_stored() -> None:
    codec = FunctionCodec("odd", repr, lambda text, _: Old(text), text=True)
    old, new = registry(codec=codec), registry()
    assert [only(old, old).verdict, only(old, new).verdict] == [Verdict.UNKNOWN, Verdict.FORWARD]
    assert only(new, old).verdict is Verdict.BACKWARD  # what is stored as JSON is read as JSON
    with pytest.raises(DecodeError):
        stored_by(old, new, Old("ada"))()
    stored_by(new, old, Old("ada"))()


def test_commands_are_compared_as_events_are() -> None:
    old, new = goes.Registry(), goes.Registry()
    old.commands.register("make", Old)
    new.commands.register("make", Other)
    change = only(old, new)
    assert (change.kind, change.name, change.verdict) == ("command", "make", Verdict.BREAKING)


def test_a_type_that_only_its_codec_knows_is_not_judged() -> None:
    def program() -> goes.Registry:
        codec = FunctionCodec("odd", repr, lambda text, _: complex(text), text=True)
        made = goes.Registry()
        made.register("made", complex, codec=codec)
        return made

    change = only(program(), program())
    assert (change.verdict, change.fix) == (Verdict.UNKNOWN, "")
    change = only(program(), registry())
    assert change.verdict is Verdict.BREAKING
    assert change.backward[0].problem == "'odd' is the encoding of what is stored, and the program reads 'json'"
    with pytest.raises(DecodeError):
        stored_by(program(), registry(), 1j)()
    assert only(program(), registry(type=Other, schema=2)).fix == "register upcast('made', 1)"


@pytest.mark.skipif(
    find_spec("google") is None or find_spec("google.protobuf") is None, reason="protobuf is not installed"
)
def test_a_protobuf_message_is_not_judged() -> None:
    from google.protobuf.timestamp_pb2 import Timestamp

    assert only(registry(type=Timestamp), registry(type=Timestamp)).verdict is Verdict.UNKNOWN


def typed(schema: str) -> str:
    return f'{{"format": 1, "events": {{"made": {{"schema": 1, "type": {schema}, "upcasters": {{"made": []}}}}}}}}'


@pytest.mark.parametrize(
    "document",
    [
        "", "[]", "{}", '{"format": true}', '{"format": 1, "events": []}', '{"format": 1, "events": {"made": {}}}',
        '{"format": 1, "events": {"made": {"schema": "1", "type": null, "upcasters": {"made": []}}}}',
        '{"format": 1, "events": {"made": {"schema": 1, "type": {"type": "odd"}, "upcasters": {"made": []}}}}',
        '{"format": 1, "events": {"made": {"schema": 1, "type": null, "upcasters": {}}}}',
        '{"format": 1, "events": {"made": {"schema": 0, "type": null, "upcasters": {"made": []}}}}',
        '{"format": 1, "events": {"made": {"schema": 10001, "type": null, "upcasters": {"made": []}}}}',
        '{"format": 1, "events": {"made": {"schema": 1, "type": null, "upcasters": {"made": [1e999]}}}}',
        '{"format": 1, "events": {"made": {"schema": 1, "type": null, "upcasters": {"made": "12"}}}}',
        '{"format": 1, "events": {"made": {"schema": 1, "encoding": 1, "type": null, "upcasters": {"made": []}}}}',
        typed('{"enum": []}'), typed('{"enum": [[1]]}'), typed('{"enum": [], "x-open": true}'), typed('{"anyOf": []}'),
        typed('{"type": "integer", "x-flags": [1e999]}'), typed('{"type": "array", "items": ' * 5000 + "{}" + "}" * 5000),
        typed('{"type": "object", "properties": {}, "required": [[1]]}'), "[" * 200_000,
        '{"format": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(document: str) -> None:
    with pytest.raises(ConfigError, match="goes-lite schema events") as caught:
        parse(document)
    assert "\n" not in str(caught.value)
    if "made" in document and len(document) < 1000:
        assert "JSON" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_document_of_a_later_version_asks_for_an_update() -> None:
    with pytest.raises(ConfigError, match="format 2, and this goes-lite knows 1: update it"):
        parse('{"format": 2, "events": {}}')
