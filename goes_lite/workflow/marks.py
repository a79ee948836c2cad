"""The decorators that say what the methods of a workflow are for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, TypeAlias, TypeVar, cast
from uuid import UUID

from goes_lite.errors import RegistrationError
from goes_lite.errors.functions import check_function
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name
from goes_lite.events.marks import EventKind, check_kinds, mark

F = TypeVar("F", bound=Callable[..., object])

Keys: TypeAlias = "str | UUID | Iterable[str | UUID] | None"
"""Which instances an event concerns: one, several, or none."""
Key: TypeAlias = Callable[[Event[Any]], Keys]

STARTS = "__goes_starts__"
REACTS = "__goes_reacts__"
EVOLVES = "__goes_evolves__"
TIMERS = "__goes_on_timer__"
DONE = "__goes_on_done__"
REJECTED = "__goes_on_rejected__"


def starts(*events: EventKind, key: Key | None = None) -> Callable[[F], F]:
    """Mark the reaction to events that start an instance: registered types, or registered names.

    `key` returns the key of the new instance; by default the method `key` does. An event that is marked with `reacts`, too,
    starts an instance if there is none, and otherwise is an input of it.
    """
    return _marking("starts", STARTS, check_kinds("starts", events), _checked("starts", key))


def reacts(*events: EventKind, key: Key | None = None) -> Callable[[F], F]:
    """Mark the reaction to events that concern running instances. `key` returns which: their keys, or associated ones."""
    return _marking("reacts", REACTS, check_kinds("reacts", events), _checked("reacts", key))


def evolves(*events: EventKind) -> Callable[[F], F]:
    """Mark a method `(self, state, event)` that returns the state after these events, in place of `evolve`."""
    return _marking("evolves", EVOLVES, check_kinds("evolves", events), None)


def on_timer(*names: str) -> Callable[[F], F]:
    """Mark the reaction to timers of these names, which `SetTimer` sets."""
    for name in names:
        if isinstance(name, FunctionType):
            raise RegistrationError(f'on_timer() needs names: write @on_timer("payment") above {name.__qualname__}()')
        check_name(name, "the name of a timer")
    if not names:
        raise RegistrationError('on_timer() needs at least one name: write @on_timer("payment")')
    return _marking("on_timer", TIMERS, names, None)


def on_done(*commands: EventKind) -> Callable[[F], F]:
    """Mark the reaction to commands of the instance that are done; it is called with the event of the `CommandOutcome`."""
    return _marking("on_done", DONE, check_kinds("on_done", commands), None)


def on_rejected(*commands: EventKind) -> Callable[[F], F]:
    """Mark the reaction to commands of the instance that were rejected, or failed for good: see `CommandOutcome`."""
    return _marking("on_rejected", REJECTED, check_kinds("on_rejected", commands), None)


def _marking(decorator: str, name: str, kinds: Iterable[Any], value: object) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        if not isinstance(function, FunctionType):
            raise RegistrationError(f"{decorator}() decorates a method, not {function!r:.80}")
        check_function("a method of a workflow", function, iterated=name != EVOLVES, error=RegistrationError)
        mark(function, name, kinds, value)
        return cast("F", function)

    return decorate


def _checked(decorator: str, key: Key | None) -> Key | None:
    if key is not None:
        check_function(f"{decorator}(key=…)", key, iterated=True, error=RegistrationError)
    return key
