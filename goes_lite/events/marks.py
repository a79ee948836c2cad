"""Methods that are marked for events or commands: one mechanism for @applies, @projects and @handles.

A decorator marks a function; the marks are collected from the class. Functions stay as they are, and importing has no
side effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

from goes_lite.errors import RegistrationError
from goes_lite.events.fields import check_name

EventKind: TypeAlias = type[Any] | str
"""A registered type, or a registered name."""

_VARARGS = 0x04  # inspect.CO_VARARGS
_TYPING = ("typing", "types", "typing_extensions")
"""Where types come from that are no classes, such as `list[int]`, `int | None` or a NewType."""


def check_kinds(decorator: str, events: Sequence[Any]) -> tuple[EventKind, ...]:
    """Return the arguments of a decorator as kinds of events; RegistrationError for anything else."""
    for event in events:
        if isinstance(event, FunctionType):
            raise RegistrationError(
                f"{decorator}() needs the events: write @{decorator}(SomeEvent) above {event.__qualname__}()"
            )
        if not isinstance(event, str | type) and type(event).__module__ not in _TYPING:
            raise RegistrationError(
                f"{decorator}() takes events as registered types or names, not {event!r:.80}: write {decorator}(SomeEvent)"
            )
    if not events:
        raise RegistrationError(f"{decorator}() needs at least one event: a registered type, or a registered name")
    return tuple(check_name(event, "an event name") if isinstance(event, str) else event for event in events)


def check_takes(decorator: str, function: FunctionType, *arguments: str) -> None:
    """RegistrationError unless the method can be called with these arguments."""
    code, defaults = function.__code__, function.__defaults__ or ()
    most = len(arguments) if code.co_flags & _VARARGS else code.co_argcount
    keywords = code.co_kwonlyargcount > len(function.__kwdefaults__ or ())
    if not code.co_argcount - len(defaults) <= len(arguments) <= most or keywords:
        raise RegistrationError(
            f"{function.__qualname__}() is called with {', '.join(arguments[1:])}: write @{decorator}(…) above "
            f"def {function.__name__}({', '.join(arguments)})"
        )


class Marked(NamedTuple):
    """A method of a class, and what its decorator says about one event or command."""

    attribute: str
    value: Any


def mark(function: FunctionType, name: str, kinds: Iterable[Any], value: object = None) -> None:
    """Note on the function, under the name of the mark, what it is for; adds to what was noted before."""
    setattr(function, name, (*getattr(function, name, ()), *((kind, value) for kind in kinds)))


def marked_methods(cls: type[Any], name: str) -> dict[Any, Marked]:
    """Return the methods that are marked under this name, by event or command; a subclass overrides its bases.

    RegistrationError if one class marks two methods for the same event or command.
    """
    methods: dict[Any, Marked] = {}
    for owner in reversed(cls.__mro__):
        mine: dict[Any, Marked] = {}
        for attribute, value in vars(owner).items():
            marks: tuple[tuple[Any, Any], ...] | None = getattr(value, name, None)
            if marks is None:
                continue  # an override without the decorator keeps the marks of the base
            methods = {kind: other for kind, other in methods.items() if other.attribute != attribute}
            for kind, said in marks:
                if (other := mine.get(kind)) is not None and other.attribute != attribute:
                    raise RegistrationError(
                        f"{owner.__qualname__} handles {kind!r} twice, in {other.attribute}() and in {attribute}(): "
                        "keep one of them"
                    )
                mine[kind] = Marked(attribute, said)
        methods = {kind: other for kind, other in methods.items() if kind not in mine} | mine
    return methods
