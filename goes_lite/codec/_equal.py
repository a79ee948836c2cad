"""Whether a value that is written will be read as an equal one; where that is not certain, it is tried.

It is certain for most types. Reading may run code of a class (`__post_init__`, converters), fields with init=False are not
stored but made again, and two datetimes that differ for Python may be the same instant when they are read, so that a set or
dict of them has fewer items. Nesting has one limit for both JSON implementations, because the stack has: what is written
from the start of a program must be readable deep inside another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from goes_lite.codec._problem import Problem, key_step, shown
from goes_lite.codec._shapes import DICT, LIST, Field, Shape

MAX_DEPTH = 100
"""How many arrays and objects may be nested."""

TOO_DEEP = f"the value is nested too deeply (more than {MAX_DEPTH} levels), or contains itself"

_NO_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[^"\[\]{}]+')
_ONE_KIND = str.maketrans("{}", "[]")


def too_deep(text: str) -> bool:
    """Whether JSON text has more levels than `MAX_DEPTH`."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    brackets = _NO_BRACKETS.sub("", text).translate(_ONE_KIND)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace("[]", "")  # the innermost ones
        if not brackets:
            return False
    return True


def unbounded(shape: Shape) -> bool:
    """Whether values of the shape may be nested to any depth."""
    return _reaches_itself(shape, set(), set())


def _reaches_itself(shape: Shape, above: set[int], finite: set[int]) -> bool:
    key = id(shape)
    if shape.kind == "any" or key in above:
        return True
    if key not in finite:
        above.add(key)
        if any(_reaches_itself(inner, above, finite) for inner in (*shape.parts, *(f.shape for f in shape.fields))):
            return True
        above.discard(key)
        finite.add(key)
    return False


def doubts(shape: Shape) -> str:
    """Return why a value of the shape may be read as one that is not equal; "" if none may."""
    shapes = list(shape.walk())
    found: list[str] = []
    if any(field.compared for inner in shapes for field in inner.computed):
        found.append(
            "a field with init=False, or a private attribute, is not stored but made again (make it an argument, or do not "
            "compare it)"
        )
    if any(inner.runs_code for inner in shapes):
        found.append("__post_init__, converters and the like run again when it is read")
    if any(inner.kind in _KEYED and any(part.kind == "datetime" for part in inner.parts[0].walk()) for inner in shapes):
        found.append("datetimes of the same instant in two zones become one")
    return "; ".join(found)


_KEYED = frozenset(("set", "frozenset", "dict"))


def with_computed(shape: Shape, known: dict[int, Shape]) -> Shape:
    """Return the shape with the fields that are made again among the stored ones."""
    found = known.get(id(shape))
    if found is None:
        found = known[id(shape)] = Shape(shape.kind, shape.type, shape.label)
        found.values = shape.values
        found.parts = tuple(with_computed(part, known) for part in shape.parts)
        made_again = [field for field in shape.computed if field.compared]
        found.fields = tuple(
            Field(field.name, with_computed(field.shape, known), key=field.key, required=field.required)
            for field in (*shape.fields, *made_again)
        )
    return found


def check_equal(before: str, after: str, loads: Callable[[str], Any], why: str) -> None:
    """Problem, with the path of the difference, unless two texts stand for equal values."""
    if before != after:
        _compare(loads(before), loads(after), why)


def _compare(given: Any, again: Any, why: str) -> None:
    step = ""
    try:
        if isinstance(given, DICT) and isinstance(again, DICT) and given.keys() == again.keys():
            for key in given:
                step = key_step(key)
                _compare(given[key], again[key], why)
            return
        if isinstance(given, LIST) and isinstance(again, LIST) and len(given) == len(again):
            for index, items in enumerate(zip(given, again, strict=True)):
                step = f"[{index}]"
                _compare(*items, why)
            return
    except Problem as problem:
        problem.path.append(step)
        raise
    if given != again:  # an int may stand where a float is expected
        raise Problem(f"{shown(given)} would be read as {shown(again)}: {why}")
