"""Documented evolutions of a type: fields added with a default, removed or moved, another kind of class, other names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, make_dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.codec import StdlibJson
from goes_lite.codec import codec as find_codec
from goes_lite.errors import EncodeError
from tests.codec.codec_strategies import DICT, Typed, same, slow_data, types

Fields = dict[str, Any]
"""Hints by name."""


def always(value: object) -> Callable[[], Any]:
    return lambda: value


def of_dataclass(fields: Fields, defaults: Fields) -> Any:
    made: list[Any] = [
        (name, hint, field(default_factory=always(defaults[name])) if name in defaults else field())
        for name, hint in fields.items()
    ]
    return make_dataclass("Made", made, kw_only=True)


def of_attrs(fields: Fields, defaults: Fields) -> Any:
    import attrs

    made: dict[str, Any] = {}
    for name, hint in fields.items():
        extra: Any = {"factory": always(defaults[name])} if name in defaults else {}
        made[name] = attrs.field(type=hint, kw_only=True, **extra)
    return attrs.make_class("Made", made)


def of_struct(fields: Fields, defaults: Fields) -> Any:
    import msgspec

    made: list[Any] = [
        (name, hint, msgspec.field(default_factory=always(defaults[name]))) if name in defaults else (name, hint)
        for name, hint in fields.items()
    ]
    return msgspec.defstruct("Made", made, kw_only=True)


def of_namedtuple(fields: Fields, defaults: Fields) -> Any:
    ordered = sorted(fields, key=lambda name: name in defaults)
    made: Any = cast(Any, NamedTuple)("Made", [(name, fields[name]) for name in ordered])
    made._field_defaults = {name: defaults[name] for name in ordered if name in defaults}
    made.__new__.__defaults__ = tuple(made._field_defaults.values())
    return made


def of_typeddict(fields: Fields, defaults: Fields) -> Any:
    hints = {name: NotRequired[hint] if name in defaults else hint for name, hint in fields.items()}
    return cast(Any, TypedDict)("Made", hints)


KINDS: list[Callable[[Fields, Fields], Any]] = [
    of_dataclass,
    of_namedtuple,
    of_typeddict,
    *([of_attrs] if find_spec("attrs") else []),
    *([of_struct] if find_spec("msgspec") else []),
]
CODECS = ["stdlib", "json", *(["msgpack"] if find_spec("msgspec") else [])]


def values_of(typed: dict[str, Typed]) -> st.SearchStrategy[Fields]:
    return st.fixed_dictionaries({name: values for name, (_, values) in typed.items()})


@settings(deadline=None, suppress_health_check=slow_data)
@given(st.data())
def test_what_is_read_equals_what_was_written_after_each_documented_evolution(data: st.DataObject) -> None:
    """Kept fields are equal, added ones have their default, removed ones are gone; in every encoding and kind of class."""
    names = data.draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True))
    before = {name: data.draw(types) for name in names}
    kept = data.draw(st.lists(st.sampled_from(names), unique=True))
    added = {name: data.draw(types) for name in data.draw(st.lists(st.sampled_from("xyz"), max_size=2, unique=True))}
    written, defaults = data.draw(values_of(before)), data.draw(values_of(added))
    order = data.draw(st.permutations([*kept, *added]))
    once = data.draw(st.sampled_from(KINDS))({name: hint for name, (hint, _) in before.items()}, {})
    hints = {name: hint for name, (hint, _) in (before | added).items()}
    today = data.draw(st.sampled_from(KINDS))({name: hints[name] for name in order}, defaults)
    name = data.draw(st.sampled_from(["made", "made.today"]))
    schema = data.draw(st.sampled_from([1, 2]))
    reader, encoding = (data.draw(st.sampled_from(CODECS)) for _ in range(2))

    old = goes.Registry(codec=StdlibJson() if encoding == "stdlib" else encoding)
    old.register("made", once)
    new = goes.Registry(codec=StdlibJson() if reader == "stdlib" else reader)
    new.register(name, today, schema=schema, aliases=[] if name == "made" else ["made"])
    if schema == 2:
        new.upcast("made", 1)(dict)
    try:
        encoded = goes.Event(once(**written), name="made", registry=old).encoded
    except EncodeError:
        assume(False)  # beyond the 64 bits of msgpack
        raise
    found: Any = new.decode("made", *encoded)

    fields = found if isinstance(found, DICT) else {name: getattr(found, name) for name in order}
    expected = {name: written[name] for name in kept}
    if not isinstance(found, DICT):
        expected |= defaults
    assert fields.keys() == expected.keys()
    assert all(same(fields[name], value) for name, value in expected.items())


@pytest.mark.parametrize("codec", CODECS)
def test_a_namedtuple_evolves_like_any_other_class(codec: str) -> None:
    """Fields are found by name: those that are removed, moved or new in the middle do not shift the others."""

    class Point(NamedTuple):
        x: int
        y: int
        z: int

    class Later(NamedTuple):
        z: int
        new: int = 9
        x: int = 0

    old, new = (goes.Registry(codec=StdlibJson() if codec == "stdlib" else find_codec(codec)) for _ in range(2))
    old.register("point", Point)
    new.register("point", Later)
    with goes.blocking.connect("sqlite:///:memory:", registry=old) as db:
        db.events.append([goes.Event(Point(1, 2, 3), name="point", registry=old)])
        encoded = db.events.query().list()[0].encoded
    assert new.decode("point", *encoded) == Later(z=3, new=9, x=1)
