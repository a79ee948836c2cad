"""The fields inside a type, by dotted path: whether they exist, and how values of them are found and ordered.

Stores compare JSON, which has the order of some types and not of others: `"10.00"` is less than `"9.00"`, and of one instant
in two time zones neither text equals the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from decimal import Decimal
from functools import lru_cache
from typing import Any

from goes_lite.codec._problem import Problem, shown
from goes_lite.codec._read import reader
from goes_lite.codec._shapes import Field, Shape
from goes_lite.codec._write import writer
from goes_lite.codec.types import describe
from goes_lite.errors import InvalidQueryError

#: Kinds whose JSON is ordered as their values are, and equal if they are.
_AS_JSON = frozenset(("none", "bool", "int", "float", "str", "date", "UUID", "enum", "literal", "any"))
#: Kinds whose values are ordered, unlike their JSON.
_BY_VALUE = frozenset(("datetime", "time", "timedelta", "Decimal", "bytes"))
#: Kinds with several JSON texts for equal values.
_SEVERAL_TEXTS = frozenset(("datetime", "time", "Decimal"))


class TypeField:
    """What stands at a path into a type; `path` has the names as in the JSON."""

    __slots__ = ("_label", "_readers", "_shapes", "_writers", "path")

    def __init__(self, label: str, path: tuple[str, ...], shapes: list[Shape]) -> None:
        self.path = path
        self._label = label
        self._shapes = shapes
        self._readers = [reader(shape) for shape in shapes]
        self._writers = [writer(shape) for shape in shapes]

    @property
    def ordered_by_value(self) -> bool:
        """Whether values have an order that their JSON has not; InvalidQueryError if they have none at all."""
        for shape in self._shapes:
            if shape.kind not in _AS_JSON and shape.kind not in _BY_VALUE:
                raise InvalidQueryError(
                    f"cannot order by {self._label}, because {shape.label} has no order: name a field with one value"
                )
        return any(shape.kind in _BY_VALUE for shape in self._shapes)

    @property
    def found_by_value(self) -> bool:
        """Whether equal values may have several JSON texts."""
        return any(shape.kind in _SEVERAL_TEXTS for shape in self._shapes)

    def stored(self, value: Any) -> Any:
        """Return the value as JSON has it, given as its type or as JSON; InvalidQueryError if the field cannot have it."""
        if value is None or any(shape.kind == "any" for shape in self._shapes):
            return value
        problem = None
        for shape, read, write in zip(self._shapes, self._readers, self._writers, strict=True):
            if shape.kind in _AS_JSON or shape.kind in _BY_VALUE:
                try:
                    return _plain(write, read, value)
                except Problem as found:
                    problem = problem or found
        if problem is None:
            raise InvalidQueryError(
                f"cannot compare {self._label} with {shown(value)}: it is {self._types()}: name a field with one value"
            )
        raise InvalidQueryError(f"where {self._label} = {shown(value)}: {problem.text}, the field is {self._types()}")

    def value(self, plain: Any) -> Any:
        """Return the value that stands for the JSON."""
        if plain is not None:
            for read in self._readers:
                try:
                    return read(plain)
                except Problem:
                    continue
        return plain

    def sort_key(self, plain: Any) -> tuple[Any, ...]:
        """Return the key of the JSON, in the order of values: None, then numbers, then anything else."""
        value = self.value(plain)
        if value is None:
            return (0,)
        if isinstance(value, int | float | Decimal):
            return 1, value
        if isinstance(value, time):
            return 2, "time", value.tzinfo is not None, value
        kind = type(value).__name__
        return (2, kind, value) if kind in _BY_VALUE else (2, "", str(plain))

    def _types(self) -> str:
        return " | ".join(shape.label for shape in self._shapes)


def _plain(write: Any, read: Any, value: Any) -> Any:
    try:
        text: str = write(value)
    except Problem as problem:
        if type(value) not in (str, int, float, bool):
            raise
        try:
            return _plain_of(write(read(value)))
        except Problem:
            raise problem from None
    return _plain_of(text)


def _plain_of(text: str) -> Any:
    import json

    return json.loads(text)


def field_of(type: Any, path: tuple[str, ...]) -> TypeField:
    """Return what stands at the path; InvalidQueryError, which says what there is, if the type has no such field."""
    try:
        return _field_of(type, path)
    except TypeError:  # Annotated with metadata that cannot be hashed
        return _field_of.__wrapped__(type, path)


@lru_cache(maxsize=1024)
def _field_of(type: Any, path: tuple[str, ...]) -> TypeField:
    shapes = list(_members(describe(type)))
    keys: list[str] = []
    label = shapes[0].label
    for name in path:
        found = [entry for shape in shapes for entry in _lookup(shape, name)]
        if not found:
            raise InvalidQueryError(_missing(label, shapes, name))
        keys.append(found[0][0])
        shapes = [member for _, shape in found for member in _members(shape)]
        label = f"{label}.{name}"
    return TypeField(label, tuple(keys), shapes)


def _members(shape: Shape) -> Iterator[Shape]:
    if shape.kind == "union":
        yield from shape.parts
    else:
        yield shape


def _lookup(shape: Shape, name: str) -> Iterator[tuple[str, Shape]]:
    """Yield the JSON key and the shape of what has this name in values of the shape."""
    if shape.kind == "any":
        yield name, shape
    elif shape.kind == "dict":
        yield name, shape.parts[1]
    else:
        fields: dict[str, Field] = {field.name: field for field in shape.fields}
        fields |= {field.key: field for field in shape.fields}
        if name in fields:
            yield fields[name].key, fields[name].shape


def _missing(label: str, shapes: list[Shape], name: str) -> str:
    if any(field.name == name for shape in shapes for field in shape.computed):
        return f"{label} does not store its field {name!r}, which has init=False"
    names = [field.key for shape in shapes for field in shape.fields]
    if not names:
        return f"{label} has no field {name!r}: it is {' | '.join(shape.label for shape in shapes)}"
    return f"{label} has no field {name!r}: it has {', '.join(names)}"
