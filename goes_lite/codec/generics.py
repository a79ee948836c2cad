"""The annotations of generic classes: what a type variable of a base stands for in a subclass."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from typing import Any


def annotations_of(cls: type[Any]) -> Mapping[str, Any]:
    """Return the annotations of the class body itself, resolved or not."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.STRING)
    own: Mapping[str, Any] = vars(cls).get("__annotations__", {})
    return own


def bound_hints(cls: type[Any], args: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the resolved annotations of a class and its bases: in `class Prices(Table[int])`, the T of Table is int.

    `args` are the arguments of the class itself. NameError for an annotation that cannot be resolved.
    """
    # The name of the class is not bound while its decorators run, and a local class is never a module global.
    hints = typing.get_type_hints(cls, localns={cls.__name__: cls}, include_extras=True)
    found = bindings(cls, args)
    if any(found.values()):
        for name, hint in hints.items():
            owner = next((one for one in cls.__mro__ if name in annotations_of(one)), cls)
            hints[name] = bind(hint, found.get(owner, {}))
    return hints


def bindings(cls: type[Any], args: tuple[Any, ...] = ()) -> dict[type[Any], dict[Any, Any]]:
    """Return what the type variables of a class and of its generic bases stand for, by class."""
    parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ())
    found: dict[type[Any], dict[Any, Any]] = {cls: dict(zip(parameters, args, strict=False))}
    for owner in cls.__mro__:  # a subclass before its bases
        for base in vars(owner).get("__orig_bases__", ()):
            origin: Any = typing.get_origin(base)
            if isinstance(origin, type) and (parameters := getattr(origin, "__parameters__", ())):
                given = (bind(one, found.get(owner, {})) for one in typing.get_args(base))
                found.setdefault(origin, dict(zip(parameters, given, strict=False)))
    return found


def bind(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """Return the hint with its type variables replaced."""
    if isinstance(hint, typing.TypeVar):
        return bound.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(bound.get(p, p) for p in parameters)] if parameters and not isinstance(hint, type) else hint
