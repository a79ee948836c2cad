"""Generated functions, one per type, that check whether a value is exactly of that type.

msgspec encodes any value of a field, whatever its annotation. So this check runs before it: generated code, because a call
per field would cost more than the encoding. It only returns yes or no; after a no, the writer of the standard library finds
out what is wrong, if anything (a subclass of datetime, or an int in place of a float, is fine).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from math import isfinite
from typing import Any

from goes_lite.codec._shapes import Shape, class_of, type_of

Check = Callable[[Any], bool]

#: What a decoder accepts but must not be stored: datetimes without an offset, infinite Decimals.
_LOOSE = frozenset(("datetime", "Decimal"))


def checker(shape: Shape, *, utc_only: bool = False) -> Check:
    """Return the function that accepts exactly the values of this shape that every encoding supports.

    With `utc_only`, it accepts no datetimes with another offset.
    """
    return _Source("is_utc" if utc_only else "has_offset", decoded=False).compile(shape)


def decoded_checker(shape: Shape) -> Check | None:
    """Return the function that checks what the decoder of msgspec does not; None if that checks everything."""
    return _Source("has_offset", decoded=True).compile(shape) if _loose(shape) else None


def _loose(shape: Shape) -> bool:
    return any(inner.kind in _LOOSE for inner in shape.walk())


class _Source:
    """The source code of the functions for one type; nested and recursive objects have a function each."""

    def __init__(self, aware: str, *, decoded: bool) -> None:
        self.decoded = decoded
        self.aware = aware
        self.names: dict[str, Any] = {
            "is_plain": is_plain,
            "has_offset": _has_offset,
            "is_utc": _is_utc,
            "UTC": UTC,
        }
        self.functions: dict[int, str] = {}
        self.open: set[int] = set()  # being written inline; a recursive type needs a function
        self.lines: list[str] = []

    def compile(self, shape: Shape) -> Check:
        if shape.kind in ("object", "typeddict"):
            self.lines.append(f"check = {self.function(shape)}")  # saves a call
        else:
            self.lines.append(f"def check(v): return {self.test(shape, 'v', 0)}")
        # The code consists of names from here and names of fields, which `_msgspec` has checked to be identifiers.
        exec("\n".join(self.lines), self.names)  # noqa: S102
        check: Check = self.names["check"]
        return check

    def constant(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def test(self, shape: Shape, v: str, depth: int) -> str:
        key = id(shape)
        if self.decoded and not _loose(shape):
            return "True"
        if shape.kind in ("object", "typeddict") or key in self.open:
            return f"{self.function(shape)}({v})"
        self.open.add(key)
        try:
            return self.inline(shape, v, depth)
        finally:
            self.open.discard(key)

    def inline(self, shape: Shape, v: str, depth: int) -> str:
        kind = shape.kind
        if kind == "any":
            return f"is_plain({v})"
        if kind == "none":
            return f"{v} is None"
        if kind == "union":
            # None first, since it is the cheapest test.
            parts = sorted(shape.parts, key=lambda part: part.kind != "none")
            return "(" + " or ".join(f"({self.of_part(part, v, depth)})" for part in parts) + ")"
        if kind == "literal":
            types = self.constant(frozenset(map(type, shape.values)))
            values = self.constant(frozenset((class_of(value), value) for value in shape.values))
            return f"type({v}) in {types} and (type({v}), {v}) in {values}"
        exact = f"type({v}) is {self.constant(type_of(shape))}"
        if kind == "float":
            return f"{exact} and {v} - {v} == 0.0"  # neither infinity nor NaN
        if kind == "datetime":
            return f"{exact} and ({v}.tzinfo is UTC or {self.aware}({v}))"
        if kind == "time":
            return f"{exact} and ({v}.tzinfo is None or has_offset({v}))"
        if kind == "Decimal":
            return f"{exact} and {v}.is_finite()"
        if kind in ("list", "variadic", "set", "frozenset"):
            return _all_of(exact, self.each(shape.parts[0], v, depth))
        if kind == "dict":
            keys = self.each(shape.parts[0], v, depth)
            return _all_of(exact, keys, self.each(shape.parts[1], f"{v}.values()", depth))
        if kind == "tuple":
            tests = [self.test(part, f"{v}[{index}]", depth) for index, part in enumerate(shape.parts)]
            return _all_of(exact, f"len({v}) == {len(tests)}", *tests)
        return exact

    def of_part(self, part: Shape, v: str, depth: int) -> str:
        if self.decoded and not _loose(part):
            # The member must be identified, or a loose one would be mistaken for it.
            if part.kind == "none":
                return f"{v} is None"
            if part.kind == "literal":
                return f"type({v}) in {self.constant(frozenset(map(type, part.values)))}"
            return f"type({v}) is {self.constant(type_of(part))}"
        return self.test(part, v, depth)

    def each(self, part: Shape, v: str, depth: int) -> str:
        # A list comprehension is inlined by Python 3.12 and cheaper than a generator in all.
        item = f"x{depth}"
        test = self.test(part, item, depth + 1)
        if test == "True":
            return test
        if part.kind in _BY_CLASS_ALONE:
            return f"{{*map(type, {v})}} <= {self.constant(frozenset((type_of(part),)))}"
        return f"False not in [{test} for {item} in {v}]"

    def function(self, shape: Shape) -> str:
        name = self.functions.get(id(shape))
        if name is None:
            name = self.functions[id(shape)] = f"f{len(self.functions)}"
            if shape.kind == "typeddict":
                tests = self.dict_tests(shape)
            elif shape.kind != "object":
                tests = [self.inline(shape, "v", 0)]
            else:
                tests = [f"type(v) is {self.constant(type_of(shape))}"]
                tests += [self.test(field.shape, f"v.{field.name}", 0) for field in shape.fields]
            self.lines.append(f"def {name}(v): return {_all_of(*tests)}")
        return name

    def dict_tests(self, shape: Shape) -> list[str]:
        tests = ["type(v) is dict"]
        if not self.decoded:
            tests.append(f"v.keys() <= {self.constant(frozenset(field.name for field in shape.fields))}")
        for field in shape.fields:
            key = self.constant(field.name)
            test = self.test(field.shape, f"v[{key}]", 0)
            if field.required:
                tests.append(_all_of(f"{key} in v", test))
            elif test != "True":
                tests.append(f"({key} not in v or ({test}))")
        return tests


_BY_CLASS_ALONE = frozenset(("str", "int", "bool", "bytes", "UUID", "date", "timedelta", "enum"))


def _all_of(*tests: str) -> str:
    return " and ".join(f"({test})" if " or " in test else test for test in tests if test != "True") or "True"


def is_plain(value: Any) -> bool:
    """Whether a value consists only of JSON types."""
    kind = class_of(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(is_plain, value))
    if kind is dict:
        return all(map(_is_str, value)) and all(map(is_plain, value.values()))
    return False


def _is_str(value: object) -> bool:
    return type(value) is str


def _has_offset(value: datetime | time) -> bool:
    offset = value.utcoffset()
    return offset is not None and not offset.microseconds and not offset.seconds % 60


def _is_utc(value: datetime) -> bool:
    return value.tzinfo is UTC
