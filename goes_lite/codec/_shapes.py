"""Shapes: type hints as trees, from which both JSON implementations are compiled."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from goes_lite.errors import RegistrationError

#: The members of a union are distinguished only by JSON form, so no two of them may share one.
FORMS = {
    "none": "null",
    "bool": "true or false",
    "int": "an integer",
    "float": "a float",
    "list": "an array",
    "variadic": "an array",
    "tuple": "an array",
    "set": "an array",
    "frozenset": "an array",
    "namedtuple": "an object",
    "dict": "an object",
    "object": "an object",
    "typeddict": "an object",
}  # every other kind is a string

#: Kinds whose values cannot change; containers of these are judged by their parts.
_IMMUTABLE_LEAVES = frozenset(
    "none bool int float str bytes enum literal datetime date time timedelta UUID Decimal".split()
)
_IMMUTABLE_NODES = frozenset(("variadic", "tuple", "frozenset", "namedtuple", "union"))

#: The default of a field that has none.
MISSING: Any = object()

#: For type checkers: with these names, the parts of a value of any type are Any instead of unknown.
DICT: type[Any] = dict
LIST: type[Any] = list
class_of: Callable[[Any], type[Any]] = type


class Field:
    """One field of an object: attribute `name`, JSON `key`, and the default for an absent key."""

    __slots__ = ("argument", "compared", "default", "factory", "key", "name", "required", "shape")

    def __init__(
        self,
        name: str,
        shape: Shape,
        *,
        key: str | None = None,
        argument: str | None = None,
        default: Any = MISSING,
        factory: Callable[[], Any] | None = None,
        required: bool | None = None,
        compared: bool = True,
    ) -> None:
        self.name = name
        self.shape = shape
        self.key = name if key is None else key
        self.argument = name if argument is None else argument  # its name in __init__ (attrs strips underscores)
        self.default = default
        self.factory = factory
        self.required = (default is MISSING and factory is None) if required is None else required
        self.compared = compared  # whether values that differ in this field are different values


class Shape:
    """A type hint as a tree.

    `kind` says what it is; `parts` are the shapes inside (item; key and value; members of a union); `fields` those of
    an object. A recursive type is a shape that contains itself.
    """

    __slots__ = (
        "build", "computed", "fields", "frozen", "kind", "label", "make", "parts", "runs_code", "type", "values",
    )  # fmt: skip

    def __init__(self, kind: str, type: Any, label: str) -> None:
        self.kind = kind
        self.type = type
        self.label = label
        self.parts: tuple[Shape, ...] = ()
        self.fields: tuple[Field, ...] = ()
        self.values: tuple[Any, ...] = ()  # of an enum or a Literal, as JSON
        self.frozen = False
        self.build = (
            "call"  # how an object is created: "call" its constructor, "set" its attributes, or "validate" them
        )
        self.make: Callable[..., Any] = type  # what is called, by the names of arguments
        self.computed: tuple[Field, ...] = ()  # fields with init=False: not stored, computed on reading
        self.runs_code = False  # whether reading runs code of the class: __post_init__, converters, …

    def __repr__(self) -> str:
        return f"<Shape {self.kind} {self.label}>"

    def walk(self) -> Iterator[Shape]:
        """Return every shape reachable from this one, itself included, each once."""
        seen: set[int] = set()
        waiting: list[Shape] = [self]
        while waiting:
            shape = waiting.pop()
            if id(shape) not in seen:
                seen.add(id(shape))
                yield shape
                waiting.extend(shape.parts)
                waiting.extend(field.shape for field in shape.fields)

    def immutable(self) -> bool:
        """Whether values of this type are immutable, going by its annotations."""
        return all(
            shape.kind in _IMMUTABLE_LEAVES or shape.kind in _IMMUTABLE_NODES or (shape.frozen and not shape.computed)
            for shape in self.walk()
        )


class Unresolved(Exception):
    """A forward reference names something that does not exist yet."""


def label_of(hint: Any) -> str:
    """Return a type as error messages show it: without the modules of its parts."""
    if hint is None or hint is type(None):
        return "None"
    if hint is Ellipsis:
        return "..."
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(map(label_of, args))
    if origin is typing.Annotated:
        return label_of(args[0])
    if isinstance(origin, type) and not any(isinstance(arg, list) for arg in args):
        return f"{origin.__name__}[{', '.join(map(label_of, args)) or '()'}]"
    return hint.__name__ if isinstance(hint, type) else f"{repr(hint).replace('typing.', ''):.200}"


def is_typeddict(cls: Any) -> bool:
    """Whether it is a TypedDict: of typing, or of typing_extensions, which pydantic asks for before Python 3.12."""
    if typing.is_typeddict(cls):
        return True
    extensions: Any = sys.modules.get("typing_extensions")
    return extensions is not None and bool(extensions.is_typeddict(cls))


_SUPPORTED = (
    "use a dataclass, attrs class, pydantic model, NamedTuple, TypedDict, Enum, Literal, list, tuple, set, frozenset, dict, str, "
    "int, float, bool, bytes, None, datetime, date, time, timedelta, UUID, Decimal, or Any for plain JSON"
)


def unsupported(where: str, label: str) -> RegistrationError:
    """Return the error for a type that has no shape."""
    return RegistrationError(f"{where}: {label} is not supported: {_SUPPORTED}")


def forms(shape: Shape) -> set[str]:
    """Return the JSON forms in which values of the shape are written."""
    if shape.kind in ("enum", "literal"):
        found: set[type[Any]] = {class_of(value) for value in shape.values}
        return {FORMS.get(LITERAL_KINDS[kind], "a string") for kind in found}
    if shape.kind == "union":
        return set[str]().union(*(forms(part) for part in shape.parts))
    return {FORMS.get(shape.kind, "a string")}


def type_of(shape: Shape) -> type[Any]:
    """Return the class of values of the shape."""
    return _CLASSES.get(shape.kind) or shape.type


_CLASSES: dict[str, type[Any]] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "variadic": tuple,
    "tuple": tuple,
    "dict": dict,
    "typeddict": dict,
}

LITERAL_KINDS: dict[type[Any], str] = {str: "str", int: "int", bool: "bool", type(None): "none"}
