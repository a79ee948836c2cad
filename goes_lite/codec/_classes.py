"""The fields of a class: dataclass, attrs class, msgspec Struct, NamedTuple, TypedDict, or a model of pydantic."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from goes_lite.codec._pydantic import init_var, is_pydantic, pydantic_fields
from goes_lite.codec._shapes import MISSING, Field, Shape, Unresolved, class_of, is_typeddict, label_of, unsupported
from goes_lite.codec.generics import bound_hints
from goes_lite.errors import RegistrationError

Describe = Callable[[Any, str], Shape]


def describe_class(
    describe: Describe, known: dict[Any, Shape], hint: Any, cls: type[Any], args: tuple[Any, ...], where: str
) -> Shape:
    """Return the shape of a class with fields; it enters `known` before its fields, for recursive types."""
    members: Mapping[str, Any] = vars(cls)
    if is_pydantic(cls):
        kind, fields = "object", None
    elif "__dataclass_fields__" in members:
        kind, fields = "object", _dataclass
    elif "__attrs_attrs__" in members:
        kind, fields = "object", _attrs
    elif hasattr(cls, "__struct_config__"):
        kind, fields = "object", _struct
    elif tuple in cls.__mro__ and hasattr(cls, "_fields"):
        kind, fields = "namedtuple", _namedtuple
    elif is_typeddict(cls):
        kind, fields = "typeddict", _typeddict
    else:
        inherited = next((base.__name__ for base in cls.__mro__ if "__dataclass_fields__" in vars(base)), None)
        if inherited:
            raise RegistrationError(
                f"{where}: {cls.__name__} is a subclass of the dataclass {inherited} but not a dataclass itself: "
                "decorate it with @dataclass too"
            )
        raise unsupported(where, label_of(hint))
    shape = known[hint] = Shape(kind, cls, label_of(hint))
    try:
        if fields is None:
            pydantic_fields(describe, shape, cls)
        else:
            fields(describe, shape, cls, _hints(cls, args))
        _check_names(shape, cls)
    except BaseException:
        del known[hint]
        raise
    return shape


def _check_names(shape: Shape, cls: type[Any]) -> None:
    for field in shape.fields:
        for base in getattr(cls, "__mro__", (cls,)):
            if field.name.startswith(f"_{base.__name__.lstrip('_')}__"):
                raise RegistrationError(
                    f"{cls.__name__}.{field.name}: Python puts the name of the class into that of a field with two leading "
                    "underscores, so renaming the class would lose what is stored: use one underscore"
                )


def _hints(cls: type[Any], args: tuple[Any, ...]) -> dict[str, Any]:
    try:
        return bound_hints(cls, args)
    except NameError as exc:
        raise Unresolved(
            f"{cls.__name__}: the annotation {exc.name!r} cannot be resolved: define it at module level, "
            "and import it where the class is, outside of TYPE_CHECKING"
        ) from exc


def _dataclass(describe: Describe, shape: Shape, cls: type[Any], hints: dict[str, Any]) -> None:
    import dataclasses

    init_vars = [
        name for name, hint in hints.items() if isinstance(hint, dataclasses.InitVar) or hint is dataclasses.InitVar
    ]
    if init_vars:
        raise RegistrationError(init_var(cls, init_vars[0]))
    stored: list[Field] = []
    computed: list[Field] = []
    for field in dataclasses.fields(cls):
        default = MISSING if field.default is dataclasses.MISSING else field.default
        factory = None if field.default_factory is dataclasses.MISSING else field.default_factory
        if field.init:
            inner = describe(hints[field.name], f"{cls.__name__}.{field.name}")
            stored.append(Field(field.name, inner, default=default, factory=factory))
        else:
            compared = field.compare
            inner = _computed(describe, hints[field.name], f"{cls.__name__}.{field.name}", "compare", compared=compared)
            computed.append(Field(field.name, inner, default=default, factory=factory, compared=compared))
    shape.fields, shape.computed = tuple(stored), tuple(computed)
    shape.frozen = bool(cls.__dataclass_params__.frozen)
    shape.build = "set"
    try:
        object.__new__(cls)
    except TypeError as exc:  # an abstract class, or one that is also a dict, an exception, …
        raise _not_only_fields(cls, str(exc)) from None
    members: list[Any] = [inspect.getattr_static(cls, field.name, None) for field in stored]
    shape.runs_code = hasattr(cls, "__post_init__") or any(
        hasattr(class_of(member), "__set__") and not inspect.ismemberdescriptor(member) for member in members
    )


_CONTENT: frozenset[type[Any]] = frozenset((dict, list, set, frozenset, tuple, str, bytes, int, float))


def _not_only_fields(cls: type[Any], why: str) -> RegistrationError:
    return RegistrationError(
        f"{cls.__name__}: only its fields are stored, and it cannot be made from them ({why}): "
        "use a class that derives from nothing built-in"
    )


def _computed(describe: Describe, hint: Any, where: str, option: str, *, compared: bool) -> Shape:
    """Return the shape of a field that is not stored but made again, which is checked when the value is written."""
    if not compared:
        return Shape("any", object, "computed")
    try:
        return describe(hint, where)
    except RegistrationError as exc:
        raise RegistrationError(
            f"{exc} (a field with init=False is not stored but made again, and has to be equal then: "
            f"with {option}=False it does not count)"
        ) from exc


def _attrs(describe: Describe, shape: Shape, cls: type[Any], hints: dict[str, Any]) -> None:
    stored: list[Field] = []
    computed: list[Field] = []
    for attribute in cls.__attrs_attrs__:
        hint = hints.get(attribute.name, attribute.type)
        if hint is None:
            raise RegistrationError(f"{cls.__name__}.{attribute.name} has no type annotation")
        if attribute.init:
            inner = describe(hint, f"{cls.__name__}.{attribute.name}")
            # The constructor fills in defaults: only it can call a factory that takes the instance.
            required = type(attribute.default).__name__ == "_Nothing"
            stored.append(Field(attribute.name, inner, argument=attribute.alias, required=required))
        else:
            compared = bool(attribute.eq)
            inner = _computed(describe, hint, f"{cls.__name__}.{attribute.name}", "eq", compared=compared)
            computed.append(Field(attribute.name, inner, required=False, compared=compared))
        shape.runs_code |= bool(attribute.converter or attribute.validator)
    shape.fields, shape.computed = tuple(stored), tuple(computed)
    if any(base in _CONTENT for base in cls.__mro__):
        raise _not_only_fields(cls, "it also has what its base holds")
    generated = cls.__init__.__code__.co_filename.startswith("<attrs generated")
    hooks = hasattr(cls, "__attrs_pre_init__") or hasattr(cls, "__attrs_post_init__")
    shape.runs_code |= hooks or not generated
    properties = getattr(cls, "__attrs_props__", None)  # attrs 25.4 and later; with older ones all count as mutable
    shape.frozen = bool(getattr(properties, "is_frozen", False))


def _struct(describe: Describe, shape: Shape, cls: type[Any], hints: dict[str, Any]) -> None:
    config: Any = cls.__struct_config__
    for option in ("array_like", "omit_defaults", "tag"):
        if getattr(config, option):
            raise RegistrationError(
                f"{cls.__name__}: the Struct option {option}={getattr(config, option)!r} is not supported, "
                "because the JSON codec of the standard library could not read the result"
            )
    nothing = sys.modules["msgspec"].NODEFAULT
    defaults: tuple[Any, ...] = cls.__struct_defaults__
    names: tuple[str, ...] = cls.__struct_fields__
    keys: tuple[str, ...] = cls.__struct_encode_fields__
    padded = (nothing,) * (len(names) - len(defaults)) + defaults
    shape.fields = tuple(
        Field(name, describe(hints[name], f"{cls.__name__}.{name}"), key=key, required=default is nothing)
        for name, key, default in zip(names, keys, padded, strict=True)
    )
    shape.frozen = bool(config.frozen)
    shape.runs_code = hasattr(cls, "__post_init__")


def _namedtuple(describe: Describe, shape: Shape, cls: type[Any], hints: dict[str, Any]) -> None:
    defaults: dict[str, Any] = getattr(cls, "_field_defaults", {})
    names: tuple[str, ...] = getattr(cls, "_fields", ())
    shape.fields = tuple(
        Field(name, describe(hints.get(name, Any), f"{cls.__name__}.{name}"), default=defaults.get(name, MISSING))
        for name in names
    )
    shape.frozen = True
    owner = next(base for base in cls.__mro__ if "_fields" in vars(base))
    shape.runs_code = cls.__new__ is not owner.__new__


def _typeddict(describe: Describe, shape: Shape, cls: type[Any], hints: dict[str, Any]) -> None:
    required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
    fields: list[Field] = []
    for name, hint in hints.items():
        needed = name in required
        # Under `from __future__ import annotations`, __required_keys__ has not seen these markers.
        while True:
            origin = typing.get_origin(hint)
            if origin is typing.Required:
                needed = True
            elif origin is typing.NotRequired:
                needed = False
            elif getattr(origin, "__name__", None) != "ReadOnly" and getattr(origin, "_name", None) != "ReadOnly":
                break
            hint = typing.get_args(hint)[0]
        fields.append(Field(name, describe(hint, f"{cls.__name__}.{name}"), required=needed))
    shape.fields = tuple(fields)
