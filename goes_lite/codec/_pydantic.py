"""Models and dataclasses of pydantic: their fields, and their validation when they are read.

The types of fields are read as strictly as everywhere here; then pydantic validates them, for its constraints and validators.
Only classes that exist are looked at, so nothing here imports pydantic.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from goes_lite.codec._problem import Problem, key_step
from goes_lite.codec._shapes import Field, Shape, Unresolved
from goes_lite.codec.generics import annotations_of
from goes_lite.errors import RegistrationError

Describe = Callable[[Any, str], Shape]


def is_pydantic(cls: type[Any]) -> bool:
    """Whether it is a model, or a dataclass of pydantic."""
    return "__pydantic_fields__" in vars(cls)


def pydantic_fields(describe: Describe, shape: Shape, cls: type[Any]) -> None:
    """Enter the fields of the class, by their aliases, and how it is made of them."""
    if getattr(cls, "__pydantic_root_model__", False):
        raise RegistrationError(f"{cls.__name__}: a RootModel has no fields: make what is in it a field of a model")
    config: Any = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}
    if config.get("extra") == "allow":
        raise RegistrationError(
            f"{cls.__name__}: extra='allow' keeps values that no field describes, and only fields are stored: "
            "make them a field of type dict"
        )
    stored: list[Field] = []
    computed: list[Field] = []
    for name, info in _complete(cls).items():
        if getattr(info, "init_var", None):
            raise RegistrationError(init_var(cls, name))
        inner = describe(info.annotation, f"{cls.__name__}.{name}")
        if info.init is False:
            computed.append(Field(name, inner, required=False))
            continue
        alias = info.serialization_alias
        key = alias if isinstance(alias, str) else name
        stored.append(Field(name, inner, key=key, required=info.is_required()))
    for name in getattr(cls, "__private_attributes__", ()):
        computed.append(Field(name, describe(_private(cls, name), f"{cls.__name__}.{name}"), required=False))
    keys = [field.key for field in stored]
    for key in keys:
        if keys.count(key) > 1:
            raise RegistrationError(f"{cls.__name__}: two fields have the alias {key!r}: each needs its own")
    shape.fields, shape.computed = tuple(stored), tuple(computed)
    shape.frozen = bool(config.get("frozen")) or bool(
        getattr(getattr(cls, "__dataclass_params__", None), "frozen", False)
    )
    shape.build = "validate"
    shape.make = _maker(cls, {field.name: field.key for field in stored})
    # A value can have been changed past its constraints, and validators may change what they are given.
    shape.runs_code = True


def init_var(cls: type[Any], name: str) -> str:
    """Return what is wrong with an InitVar, which plain dataclasses have, too."""
    return (
        f"{cls.__name__}.{name}: an InitVar is not kept by the instance, so it cannot be stored: "
        "make it a field, or give the event another type"
    )


def _private(cls: type[Any], name: str) -> Any:
    """Return the type of a private attribute. Other annotations are the affair of pydantic, which knows more names."""
    owner = next((one for one in cls.__mro__ if name in annotations_of(one)), None)
    if owner is None:
        raise RegistrationError(
            f"{cls.__name__}.{name}: a private attribute is not stored but made again, and has to be equal then: "
            "annotate its type"
        )
    alone = types.SimpleNamespace(__annotations__={name: annotations_of(owner)[name]})
    module = sys.modules.get(owner.__module__)
    try:
        hints = typing.get_type_hints(alone, {} if module is None else vars(module), {cls.__name__: cls})
    except NameError as exc:
        raise Unresolved(
            f"{cls.__name__}.{name}: the annotation {exc.name!r} cannot be resolved: define it at module level, "
            "and import it where the class is, outside of TYPE_CHECKING"
        ) from exc
    return hints[name]


def _complete(cls: type[Any]) -> dict[str, Any]:
    if not getattr(cls, "__pydantic_complete__", True):
        rebuild: Any = getattr(cls, "model_rebuild", None)
        if rebuild is None:  # a dataclass, so pydantic.dataclasses is imported
            rebuild = functools.partial(sys.modules["pydantic.dataclasses"].rebuild_dataclass, cls)
        if not rebuild(raise_errors=False):
            raise Unresolved(
                f"{cls.__name__}: an annotation cannot be resolved: define its class at module level, and import it where the "
                "class is, outside of TYPE_CHECKING"
            )
    fields: dict[str, Any] = vars(cls)["__pydantic_fields__"]
    return fields


def _maker(cls: Any, keys: dict[str, str]) -> Callable[..., Any]:
    """Return the function that makes an instance of checked values; Problem, with the path, if pydantic refuses them."""
    validate: Callable[..., Any] = cls.__pydantic_validator__.validate_python

    def make(**values: Any) -> Any:
        try:
            # Types were checked. By name, as aliases are those of the JSON.
            return validate(values, strict=False, by_name=True, by_alias=False)
        except ValueError as exc:
            errors: Callable[..., list[Any]] | None = getattr(exc, "errors", None)
            if errors is None:
                raise
            first = errors(include_url=False, include_context=False, include_input=False)[0]
            problem = Problem(f"{cls.__name__} refused it: {first['msg']}")
            path = [*first["loc"]]
            path[:1] = [keys.get(name, name) for name in path[:1]]
            problem.path += [_step(step) for step in reversed(path)]
            raise problem from exc

    return make


def _step(step: object) -> str:
    return f"[{step}]" if isinstance(step, int) else key_step(step)
