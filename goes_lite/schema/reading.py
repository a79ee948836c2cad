"""Whether a type can read what was stored as another one: the rules by which codecs read, told of types instead of values.

What one cannot read is a `Gap`, with an example of what is stored: a payload that the old type reads, and which the new one
refuses or reads as something else. That is stricter than accepting every payload: an int of 17 digits is no error as a float, but
it is another number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.codec import StdlibJson
from goes_lite.errors import DecodeError
from goes_lite.schema.nodes import (
    ANY,
    ARRAY,
    DICT,
    FLAGS,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    TUPLE,
    UNION,
    VALUES,
    Node,
    atoms,
    forms,
)
from goes_lite.schema.samples import Endless, least, other_than

class_of: Callable[[Any], type[Any]] = type

BEYOND_FLOATS = 2**53 + 1
"""The first integer that no float equals."""


class Gap(NamedTuple):
    """Something that is stored and cannot be read."""

    path: str
    """Where in the value, such as `$.items[].price`."""
    problem: str
    """What was stored there, and what is expected now."""
    example: Any
    """The JSON of a whole value, for which it goes wrong."""


def gaps(old: Node, new: Node, *, earlier: bool = True) -> list[Gap]:
    """Return what was stored as `old` and cannot be read as `new`; nothing if all of it can.

    With `earlier` (default), what `old` reads and never writes counts as well, as it can be from the time before `old`: numbers
    as a Decimal, an array as a NamedTuple. So two upgrades that lose nothing lose nothing together.
    """
    return [Gap(f"${path}", problem, example) for path, problem, example in _gaps(old, new, _Seen(earlier=earlier))]


class _Seen(set[tuple[int, int]]):
    """The pairs that are compared already."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = (), *, earlier: bool) -> None:
        super().__init__(pairs)
        self.earlier = earlier


def _gaps(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    # A pair that is met again is being compared already, or its gaps are known.
    pair = id(old), id(new)
    if new.kind == ANY or pair in seen:
        return
    seen.add(pair)
    for atom in atoms(old):
        fits = True
        for gap in _atom(atom, new, seen):
            fits = False
            yield gap
        if fits and seen.earlier and _is_decimal(atom) and not atom.key:
            yield from _numbers(atom, new, seen)


def _atom(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    return _in_union(old, new, seen) if new.kind == UNION else _RULES[old.kind](old, new, seen)


def _numbers(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    """Yield a gap if numbers, which a Decimal reads as well, cannot be read."""
    for kind in (NUMBER, INTEGER):
        for gap in _atom(Node(kind), new, seen):
            yield gap._replace(problem=f"{old.label()} reads numbers, too, which may be from before: {gap.problem}")
            return


def _in_union(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    """Compare with the member that reads this JSON form; a form that no member is written in is read by any that can."""
    (form,) = forms(old)
    known = [*_members(new)]
    members = [member for member in known if form in forms(member)]
    if not members and form == INTEGER:
        members = [member for member in known if NUMBER in forms(member)]
    if members:
        yield from _RULES[old.kind](old, members[0], seen)
        return
    for member in known:
        tried = _Seen(seen, earlier=seen.earlier)
        if not any(True for _ in _RULES[old.kind](old, member, tried)):
            seen |= tried
            return
    yield from _other(old, new)


def _members(union: Node) -> Iterator[Node]:
    for part in union.parts:
        if part.kind == UNION:
            yield from _members(part)
        else:
            yield part


def _other(old: Node, new: Node, values: tuple[Any, ...] = ()) -> Iterator[Gap]:
    try:
        example = other_than(old, values or new.values)
    except Endless:
        return  # nothing can have been stored
    stored = repr(old.values[0]) if old.kind == VALUES else old.label()
    yield Gap("", f"{stored} is stored, {new.label()} is expected", example)


def _values(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    """One value."""
    (value,) = old.values
    kind = class_of(value)
    if new.kind == VALUES:
        fits = (kind, value) in {(type(one), one) for one in new.values}
        if not fits and new.open and kind is type(new.values[0]):
            name = new.title or new.label()
            yield Gap("", f"{value!r} is stored, no member of {name}, unless its _missing_ makes one of it", value)
            return
    elif kind is str:
        fits = new.kind == STRING and _reads(new.format, value)
    elif kind is int:
        fits = (
            new.kind == INTEGER
            or (new.kind == FLAGS and value >= 0 and not value & ~sum(new.values))
            or (new.kind == NUMBER and _is_exact(value))
            or (new.kind == STRING and new.format == "decimal")
        )
    else:
        fits = False
    if not fits:
        yield from _other(old, new)


def _is_exact(value: int) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False


_TYPES: dict[str, Any] = {
    "base64": bytes, "date-time": datetime, "date": date, "local-time": time, "timedelta": timedelta, "uuid": UUID,
    "decimal": Decimal, "": str,
}  # fmt: skip


def _reads(form: str, text: str) -> bool:
    if form == "integer":
        digits = text.removeprefix("-")
        return digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0")
    try:
        StdlibJson().from_plain(_TYPES[form])(text)
    except DecodeError:
        return False
    return True


def _string(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    text = not old.native  # else only the same type reads it
    fits = new.kind == STRING and (
        new.format == old.format or (text and new.format == "") or (old.format == "integer" and new.format == "decimal")
    )
    if not fits and not (text and new.kind == VALUES and new.open and type(new.values[0]) is str):
        yield from _other(old, new)


def _integer(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    if new.kind == NUMBER:
        yield Gap("", f"{old.label()} is stored, and from 2**53 on a float has not all of its digits", BEYOND_FLOATS)
    elif new.kind == FLAGS:
        yield from _unknown_bit(old, new, 1 << max(new.values, default=0).bit_length())
    elif new.kind != INTEGER and not _is_decimal(new) and not _is_open_integer(new):
        yield from _other(old, new)


def _is_decimal(new: Node) -> bool:
    return new.kind == STRING and new.format == "decimal"


def _is_open_integer(new: Node) -> bool:
    return new.kind == VALUES and new.open and type(new.values[0]) is int


def _unknown_bit(old: Node, new: Node, bit: int) -> Iterator[Gap]:
    yield Gap("", f"{old.label()} is stored, {new.label()} has no bit {bit}", bit)


def _flags(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    if new.kind == FLAGS:
        for bit in old.values:
            if bit not in new.values:
                yield from _unknown_bit(old, new, bit)
    elif new.kind not in (INTEGER, NUMBER) and not _is_decimal(new) and not _is_open_integer(new):
        yield from _other(old, new)


def _number(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    if new.kind != NUMBER and not _is_decimal(new):
        yield from _other(old, new)


def _array(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    (item,) = old.parts
    if new.kind == ARRAY:
        if new.unique and not old.unique:
            yield from _twice(old, new, item)
        yield from _inside("[]", _gaps(item, new.parts[0], seen), lambda example: [example])
    elif new.kind == TUPLE:
        try:
            yield Gap(
                "",
                f"{old.label()} of any length is stored, {new.label()} is expected",
                [] if new.parts else [least(item)],
            )
        except Endless:
            return
    elif new.kind == OBJECT and new.positional:
        try:
            example = [] if new.required else [least(item)] * (len(new.fields) + 1)
            yield Gap("", f"{old.label()} of any length is stored, {new.label()} is expected", example)
        except Endless:
            return
    else:
        yield from _other(old, new)


def _twice(old: Node, new: Node, item: Node) -> Iterator[Gap]:
    try:
        yield Gap("", f"{old.label()} is stored, and a set has no order and nothing twice", [least(item)] * 2)
    except Endless:
        return


def _tuple(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    length = len(old.parts)
    if new.kind == ARRAY:
        if new.unique and length > 1:
            yield from _other(old, new)
        targets = list(new.parts) * length
    elif new.kind == TUPLE and len(new.parts) == length:
        targets = list(new.parts)
    elif new.kind == OBJECT and new.positional and len(new.required) <= length <= len(new.fields):
        targets = list(new.fields.values())
    else:
        yield from _other(old, new)
        return
    for index, (part, target) in enumerate(zip(old.parts, targets, strict=False)):

        def whole(example: Any, index: int = index) -> Any:
            return [example if at == index else least(other) for at, other in enumerate(old.parts)]

        yield from _inside(f"[{index}]", _gaps(part, target, seen), whole)


def _dict(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    key, value = old.parts
    if new.kind == DICT:
        yield from _inside("[key]", _gaps(key, new.parts[0], seen), lambda example: {_text(example): least(value)})
        yield from _inside("[…]", _gaps(value, new.parts[1], seen), lambda example: {_text(least(key)): example})
    elif new.kind != OBJECT:
        yield from _other(old, new)
    elif new.required:
        name = min(new.required)
        yield Gap(f".{name}", f"{old.label()} is stored, which may be without it, and {new.label()} has no default", {})
    else:
        yield from _other_keys(old, new)
        for name, field in new.fields.items():
            if _fits_key(name, key):  # else no such key is stored
                yield from _inside(f".{name}", _gaps(value, field, seen), _with_field(None, name))


def _other_keys(old: Node, new: Node) -> Iterator[Gap]:
    """Yield the gap that keys get lost which are no names of fields."""
    key, value = old.parts
    names = tuple(new.fields)
    try:
        other = next((one for one in key.values if one not in names), None) if key.kind == VALUES else None
        if other is None and key.kind != VALUES:
            other = _text(other_than(key, names))
        if other is not None:
            problem = f"{old.label()} is stored, and {new.label()} has no field for keys such as {other!r}"
            yield Gap("", problem, {other: least(value)})
    except Endless:
        return


def _text(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _fits_key(name: str, key: Node) -> bool:
    node = Node(VALUES)
    node.values = (name,)
    return not any(True for _ in _gaps(node, key, _Seen(earlier=False)))


def _named(name: str, field: Node, key: Node) -> Iterator[Gap]:
    try:
        yield Gap(f".{name}", f"the name {name!r} is stored, {key.label()} is expected", least(field))
    except Endless:
        return


def _with_field(old: Node | None, name: str) -> Callable[[Any], Any]:
    """Return the function that puts the value of a field into an object: a least one of this type, or an empty one."""

    def whole(example: Any) -> Any:
        around: dict[str, Any] = {} if old is None else least(old)
        return {**around, name: example}

    return whole


def _as_array(old: Node, new: Node) -> Iterator[Gap]:
    """Yield a gap if an array, which a NamedTuple reads as well, is not read the same way."""
    names = [*old.fields]
    positional = new.kind == OBJECT and new.positional
    if positional and [*new.fields][: len(names)] == names:
        return
    expected = f"{new.label()} has another order of fields" if positional else f"{new.label()} is expected"
    example: list[Any] = []
    try:
        for field in old.fields.values():  # each another one, where its type allows that
            example.append(other_than(field, tuple(example)))
    except Endless:
        return
    yield Gap("", f"{old.label()} reads arrays, too, which may be from before: {expected}", example)


def _object(old: Node, new: Node, seen: _Seen) -> Iterator[Gap]:
    if old.positional and seen.earlier and new.kind in (DICT, OBJECT):
        yield from _as_array(old, new)
    if new.kind == DICT:
        key, value = new.parts
        for name, field in old.fields.items():
            if not _fits_key(name, key):
                yield from _inside("", _named(name, field, key), _with_field(old, name))
            yield from _inside(f".{name}", _gaps(field, value, seen), _with_field(old, name))
    elif new.kind != OBJECT:
        yield from _other(old, new)
    else:
        for name, field in new.fields.items():
            before = old.fields.get(name)
            if before is not None:
                yield from _inside(f".{name}", _gaps(before, field, seen), _with_field(old, name))
            if name in new.required and name not in old.required:
                why = "may be missing in what is stored" if before is not None else "is new"
                yield from _inside(
                    "", iter([Gap(f".{name}", f"the field {why}, and has no default", None)]), lambda _: least(old)
                )


def _inside(step: str, found: Iterator[Gap], whole: Callable[[Any], Any]) -> Iterator[Gap]:
    """Yield the gaps of a part as those of the whole."""
    for path, problem, example in found:
        try:
            yield Gap(f"{step}{path}", problem, whole(example))
        except Endless:
            continue  # nothing can have been stored around it


_RULES: dict[str, Callable[[Node, Node, _Seen], Iterator[Gap]]] = {
    VALUES: _values,
    STRING: _string,
    INTEGER: _integer,
    FLAGS: _flags,
    NUMBER: _number,
    ARRAY: _array,
    TUPLE: _tuple,
    DICT: _dict,
    OBJECT: _object,
}
"""How what was stored as each kind is read as another type."""
