"""Methods that are marked with the events that they are for: appliers of aggregates, handlers of projections.

A decorator marks a function; the class statement collects them. Nothing is rewritten, and nothing happens on import.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any, TypeAlias

from goes_lite.errors import RegistrationError
from goes_lite.events.fields import check_name

EventKind: TypeAlias = type[Any] | str
"""A registered type, or a registered name."""


def check_kinds(decorator: str, events: Sequence[Any]) -> tuple[EventKind, ...]:
    """What a decorator was given as events: types and names; RegistrationError for anything else."""
    for event in events:
        if isinstance(event, FunctionType):
            raise RegistrationError(
                f"{decorator}() needs the events: write @{decorator}(SomeEvent) above {event.__qualname__}()"
            )
    if not events:
        raise RegistrationError(f"{decorator}() needs at least one event: a registered type, or a registered name")
    return tuple(check_name(event, "an event name") if isinstance(event, str) else event for event in events)


def mark(function: FunctionType, name: str, kinds: tuple[EventKind, ...]) -> None:
    """Note on the function, under the name of the mark, which events it is for; in addition to those noted before."""
    setattr(function, name, (*getattr(function, name, ()), *kinds))


def marked_methods(cls: type[Any], name: str) -> dict[EventKind, str]:
    """Which attribute is for which event, bases first: a subclass has the last word.

    RegistrationError if one class marks two methods for one event.
    """
    methods: dict[EventKind, str] = {}
    for owner in reversed(cls.__mro__):
        mine: dict[EventKind, str] = {}
        for attribute, value in vars(owner).items():
            kinds: tuple[EventKind, ...] | None = getattr(value, name, None)
            if kinds is None:
                continue  # an override without the decorator goes on being for what its base's method is for
            methods = {kind: other for kind, other in methods.items() if other != attribute}
            for kind in kinds:
                if mine.setdefault(kind, attribute) != attribute:
                    raise RegistrationError(
                        f"{owner.__qualname__} is to handle {kind!r} twice, in {mine[kind]}() and in {attribute}(): "
                        "keep one of them"
                    )
        methods = {kind: other for kind, other in methods.items() if kind not in mine} | mine
    return methods
