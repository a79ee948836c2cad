"""Which types an event may be made of, and how a type hint is taken apart.

A type hint becomes a `Shape` once, when the type is registered. Both JSON implementations are compiled from the same
shapes, so what is supported, refused or ambiguous is decided here and nowhere else.
"""

from __future__ import annotations

import collections.abc
import enum
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from goes_lite.errors import RegistrationError

#: A union is told apart by the JSON form alone, so no two of its members may share one.
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
    "namedtuple": "an array",
    "dict": "an object",
    "object": "an object",
    "typeddict": "an object",
}  # every other kind is a string

#: Kinds whose values cannot change; containers of these are judged by their parts.
_IMMUTABLE_LEAVES = frozenset(
    "none bool int float str bytes enum literal datetime date time timedelta UUID Decimal".split()
)
_IMMUTABLE_NODES = frozenset(("variadic", "tuple", "frozenset", "namedtuple", "union"))

_KEY_KINDS = frozenset(
    ("str", "int", "bytes", "enum", "literal", "datetime", "date", "time", "timedelta", "UUID", "Decimal")
)

_ABSTRACT: dict[Any, Any] = {
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}

#: The default of a field that has none.
MISSING: Any = object()

#: For type checkers: by these names, what is found in a value of any type is Any to them, instead of unknown.
DICT: type[Any] = dict
LIST: type[Any] = list
class_of: Callable[[Any], type[Any]] = type


class Field:
    """One field of an object: attribute `name`, JSON `key`, and what stands in when the key is absent."""

    __slots__ = ("argument", "default", "factory", "key", "name", "required", "shape")

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
    ) -> None:
        self.name = name
        self.shape = shape
        self.key = name if key is None else key
        self.argument = name if argument is None else argument  # what __init__ calls it (attrs strips underscores)
        self.default = default
        self.factory = factory
        self.required = (default is MISSING and factory is None) if required is None else required


class Shape:
    """A type hint, taken apart.

    `kind` says what it is; `parts` are the shapes inside (item; key and value; members of a union); `fields` those of
    an object. A recursive type is a shape that contains itself.
    """

    __slots__ = ("build", "computed", "fields", "frozen", "kind", "label", "parts", "type", "values")

    def __init__(self, kind: str, type: Any, label: str) -> None:
        self.kind = kind
        self.type = type
        self.label = label
        self.parts: tuple[Shape, ...] = ()
        self.fields: tuple[Field, ...] = ()
        self.values: tuple[Any, ...] = ()  # of an enum or a Literal, as JSON
        self.frozen = False
        self.build = "call"  # how an object is made: "call" its constructor, or "set" its attributes
        self.computed: tuple[Field, ...] = ()  # fields with init=False: not stored, made again on reading

    def __repr__(self) -> str:
        return f"<Shape {self.kind} {self.label}>"

    def walk(self) -> Iterator[Shape]:
        """Every shape reachable from this one, itself included, each once."""
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
        """Whether no value of this type can ever change, going by its annotations alone."""
        return all(
            shape.kind in _IMMUTABLE_LEAVES or shape.kind in _IMMUTABLE_NODES or (shape.frozen and not shape.computed)
            for shape in self.walk()
        )


class Unresolved(Exception):
    """A forward reference names something that does not exist yet."""


def describe(hint: Any) -> Shape:
    """The shape of a type; RegistrationError says which part of it is not supported and what to use instead.

    Unresolved is raised while a forward reference cannot be looked up, because its class may be defined later.
    """
    return _Describer().shape(hint, label_of(hint))


def label_of(hint: Any) -> str:
    """A type as an error message shows it: without the modules of its parts."""
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
    return hint.__name__ if isinstance(hint, type) else repr(hint).replace("typing.", "")


class _Describer:
    """Carries what a recursive type needs: the shapes that are under construction."""

    def __init__(self) -> None:
        self.known: dict[Any, Shape] = {}

    def shape(self, hint: Any, where: str) -> Shape:
        try:
            known = self.known.get(hint)
        except TypeError:  # an Annotated with unhashable metadata
            known = None
        if known is not None:
            return known
        simple = _scalar(hint)
        if simple is not None:
            return simple
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Annotated, typing.Final):
            return self.shape(args[0], where)
        if isinstance(hint, typing.NewType):
            return self.shape(hint.__supertype__, where)
        if origin is typing.Union or origin is types.UnionType:
            return self.union(hint, args, where)
        if origin is typing.Literal:
            return _literal(hint, args, where)
        if type(hint).__name__ == "TypeAliasType":  # typing has it from Python 3.12 on
            return self.alias(hint, where)
        if isinstance(hint, typing.TypeVar):
            raise RegistrationError(f"{where}: the type variable {hint} has no type: register the class as Name[int]")
        return self.container(hint, origin or hint, args, where)

    def alias(self, hint: Any, where: str) -> Shape:
        # The alias may name itself, so its shape has to exist before its value is described.
        shape = self.known[hint] = Shape("alias", hint, label_of(hint))
        inner = self.shape(hint.__value__, where)
        if inner is shape:
            raise RegistrationError(f"{where}: {shape.label} is defined as itself")
        for slot in Shape.__slots__:
            setattr(shape, slot, getattr(inner, slot))
        return shape

    def union(self, hint: Any, args: tuple[Any, ...], where: str) -> Shape:
        members: list[Shape] = []
        for arg in args:
            member = self.shape(arg, where)
            members.extend(member.parts if member.kind == "union" else (member,))
        for member in members:
            if member.kind == "any":
                return member
        shape = Shape("union", hint, " | ".join(member.label for member in members))
        taken: dict[str, Shape] = {}
        for member in members:
            for form in forms(member):
                other = taken.setdefault(form, member)
                if other is not member:
                    raise RegistrationError(
                        f"{where}: {shape.label} is ambiguous, because {other.label} and {member.label} are both "
                        f"written as {form}: give each its own field, or its own event"
                    )
        shape.parts = tuple(members)
        return shape

    def container(self, hint: Any, origin: Any, args: tuple[Any, ...], where: str) -> Shape:
        origin = _ABSTRACT.get(origin, origin)
        label = label_of(hint)
        if origin is list or origin is set or origin is frozenset:
            shape = Shape(origin.__name__, hint, label)
            shape.parts = (self.shape(args[0] if args else Any, where),)
            return shape
        if origin is tuple:
            if not args or (len(args) == 2 and args[1] is Ellipsis):
                shape = Shape("variadic", hint, label)
                shape.parts = (self.shape(args[0] if args else Any, where),)
            else:
                shape = Shape("tuple", hint, label)
                shape.parts = tuple(self.shape(arg, where) for arg in args if arg != ())
            return shape
        if origin is dict:
            shape = Shape("dict", hint, label)
            key = self.shape(args[0] if args else str, where)
            if key.kind not in _KEY_KINDS or (key.kind == "literal" and not forms(key) <= {"a string", "an integer"}):
                raise RegistrationError(
                    f"{where}: {key.label} cannot be the key of a dict, because JSON keys are strings: "
                    "use str, int, bytes, UUID, Decimal, an Enum, or a date or time type"
                )
            shape.parts = (key, self.shape(args[1] if args else Any, where))
            return shape
        if isinstance(origin, type):
            # Imported here because that module is made of this one's shapes.
            from goes_lite.codec._classes import describe_class

            return describe_class(self.shape, self.known, hint, origin, args, where)
        raise unsupported(where, label)


_SUPPORTED = (
    "use a dataclass, attrs class, NamedTuple, TypedDict, Enum, Literal, list, tuple, set, frozenset, dict, str, int, "
    "float, bool, bytes, None, datetime, date, time, timedelta, UUID, Decimal, or Any for plain JSON"
)


def unsupported(where: str, label: str) -> RegistrationError:
    """The refusal of a type that has no shape."""
    return RegistrationError(f"{where}: {label} is not supported: {_SUPPORTED}")


def forms(shape: Shape) -> set[str]:
    """The JSON forms that values of the shape are written in."""
    if shape.kind in ("enum", "literal"):
        found: set[type[Any]] = {class_of(value) for value in shape.values}
        return {FORMS.get(_LITERAL_KINDS[kind], "a string") for kind in found}
    if shape.kind == "union":
        return set[str]().union(*(forms(part) for part in shape.parts))
    return {FORMS.get(shape.kind, "a string")}


def type_of(shape: Shape) -> type[Any]:
    """The class that values of the shape have."""
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

_LITERAL_KINDS: dict[type[Any], str] = {str: "str", int: "int", bool: "bool", type(None): "none"}


def _literal(hint: Any, args: tuple[Any, ...], where: str) -> Shape:
    for value in args:
        if type(value) not in _LITERAL_KINDS:
            raise RegistrationError(f"{where}: {value!r} cannot be in a Literal: use str, int, bool or None")
    shape = Shape("literal", hint, label_of(hint))
    shape.values = args
    return shape


#: Scalars by module: if the program has not imported the module, no hint of its can be one of them.
_LAZY = (("datetime", "datetime", "date", "time", "timedelta"), ("uuid", "UUID"), ("decimal", "Decimal"))

_SIMPLE: dict[Any, str] = {
    None: "none",
    type(None): "none",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
    Any: "any",
    object: "any",
}


def _scalar(hint: Any) -> Shape | None:
    try:
        kind = _SIMPLE.get(hint)
    except TypeError:
        return None
    if kind is not None:
        label = {"none": "None", "any": "a JSON value"}.get(kind, kind)
        return Shape(kind, type(None) if kind == "none" else hint, label)
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return _enum(hint)
        for module, *names in _LAZY:
            for name in names:
                if hint is getattr(sys.modules.get(module), name, MISSING):
                    return Shape(name, hint, name)
    return None


def _enum(cls: type[enum.Enum]) -> Shape:
    values = tuple(member.value for member in cls)
    if not values or not (all(type(v) is str for v in values) or all(type(v) is int for v in values)):
        raise RegistrationError(
            f"{cls.__name__}: an Enum is stored by value, so its values must be all str or all int, "
            f"not {', '.join(map(repr, values[:4])) or 'none at all'}"
        )
    shape = Shape("enum", cls, cls.__name__)
    shape.values = values
    return shape


def runtime_class(hint: Any) -> type[Any] | None:
    """The class that values of a type have, or None where there is no single one."""
    while isinstance(hint, typing.NewType) or typing.get_origin(hint) is typing.Annotated:
        hint = hint.__supertype__ if isinstance(hint, typing.NewType) else typing.get_args(hint)[0]
    origin = typing.get_origin(hint) or hint
    if origin is None:
        return type(None)
    if typing.is_typeddict(origin):
        return dict
    origin = _ABSTRACT.get(origin, origin)
    return origin if isinstance(origin, type) else None
