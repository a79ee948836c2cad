"""The types of which an event may consist, and how a type hint becomes a `Shape`.

That happens once, when the type is registered. Both JSON implementations are compiled from the same shapes, so only this
file decides what is supported, refused or ambiguous.
"""

from __future__ import annotations

import collections.abc
import enum
import sys
import types
import typing
from typing import Any

from goes_lite.codec._classes import describe_class
from goes_lite.codec._shapes import (
    LITERAL_KINDS,
    MISSING,
    Shape,
    Unresolved,
    forms,
    is_typeddict,
    label_of,
    unsupported,
)
from goes_lite.errors import RegistrationError

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


def describe(hint: Any) -> Shape:
    """Return the shape of a type; RegistrationError tells which part is not supported and what to use instead.

    Unresolved while a forward reference cannot be resolved, because its class may be defined later.
    """
    return _Describer().shape(hint, label_of(hint))


class _Describer:
    """Keeps the shapes under construction, for recursive types."""

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
            raise RegistrationError(
                f"{where}: the type variable {hint} has no type: use Name[int], or a subclass of it"
            )
        return self.container(hint, origin or hint, args, where)

    def alias(self, hint: Any, where: str) -> Shape:
        # The alias may refer to itself, so its shape has to exist before its value is described.
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
        label = label_of(hint)
        try:
            origin = _ABSTRACT.get(origin, origin)
        except TypeError:  # it cannot be hashed, so it is no type
            raise unsupported(where, label) from None
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
            if len(set(map(str, key.values))) < len(key.values):
                raise RegistrationError(
                    f"{where}: keys of JSON are strings, so two keys of {key.label} would be the same"
                )
            shape.parts = (key, self.shape(args[1] if args else Any, where))
            return shape
        if isinstance(origin, type):
            return describe_class(self.shape, self.known, hint, origin, args, where)
        raise unsupported(where, label)


def _literal(hint: Any, args: tuple[Any, ...], where: str) -> Shape:
    for value in args:
        if type(value) not in LITERAL_KINDS:
            raise RegistrationError(f"{where}: {value!r} cannot be in a Literal: use str, int, bool or None")
    shape = Shape("literal", hint, label_of(hint))
    shape.values = args
    return shape


#: Scalars by module: if the program has not imported the module, no hint can be one of them.
_LAZY = (("datetime", "datetime", "date", "time", "timedelta"), ("uuid", "UUID"), ("decimal", "Decimal"))

#: Annotations of pydantic that are no class of a value. Those that time makes wrong, such as FutureDate, are not among them.
_PYDANTIC = {
    "AwareDatetime": ("datetime", "datetime"),
    "EmailStr": ("builtins", "str"),
    "PastDate": ("datetime", "date"),
    "PastDatetime": ("datetime", "datetime"),
}

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
        if hint.__module__ in ("pydantic.types", "pydantic.networks") and hint.__name__ in _PYDANTIC:
            module, name = _PYDANTIC[hint.__name__]
            return Shape(name, getattr(sys.modules[module], name), name)
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
    """Return the class that values of a type have; None where there is no single one."""
    while isinstance(hint, typing.NewType) or typing.get_origin(hint) is typing.Annotated:
        hint = hint.__supertype__ if isinstance(hint, typing.NewType) else typing.get_args(hint)[0]
    origin = typing.get_origin(hint) or hint
    if origin is None:
        return type(None)
    if is_typeddict(origin):
        return dict
    origin = _ABSTRACT.get(origin, origin)
    return origin if isinstance(origin, type) else None


def field_names(hint: Any) -> list[str] | None:
    """Return the names of the fields of a class; None for anything else, or if it has no shape."""
    try:
        shape = describe(hint)
    except (RegistrationError, Unresolved):
        return None
    named = shape.kind in ("object", "namedtuple", "typeddict")
    return [field.name for field in (*shape.fields, *shape.computed)] if named else None


def is_immutable(hint: Any) -> bool:
    """Whether no value of a type can change, going by its annotations; False for a type that has no shape."""
    try:
        return describe(hint).immutable()
    except (RegistrationError, Unresolved):  # a custom codec may accept such types
        return False


def is_message(cls: Any) -> bool:
    """Whether a type is a protobuf Message class; protobuf is not imported to find out."""
    module = sys.modules.get("google.protobuf.message")
    return module is not None and isinstance(cls, type) and issubclass(cls, module.Message)
