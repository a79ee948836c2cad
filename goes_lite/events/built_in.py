"""Events of goes_lite itself, such as the outcomes of commands: known in every registry, so that every program can read them.

Rule of this file: their names begin with `goes.`, which no program may register, and their data are JSON in every store,
whatever the codec of the registry, so that other tools can read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from goes_lite.codec import codec
from goes_lite.errors import RegistrationError
from goes_lite.events._entry import Entry

C = TypeVar("C", bound=type[Any])

RESERVED = "goes."
"""Begins all of their names."""

_types: dict[str, tuple[type[Any], int]] = {}
_names: dict[type[Any], str] = {}
_entries: dict[str, Entry] = {}


def built_in(name: str, *, schema: int = 1) -> Callable[[C], C]:
    """Make the decorated class the data of a built-in event. It has to be named in `registry.BUILT_IN`."""

    def decorate(cls: C) -> C:
        _types[name] = cls, schema
        _names[cls] = name
        return cls

    return decorate


def built_in_entry(name: str) -> Entry | None:
    """Return the registration of a built-in event; None for any other name. The codec is looked up at first use."""
    found = _types.get(name)
    if found is None:
        return None
    entry = _entries.get(name)
    if entry is None:
        entry = _entries[name] = Entry(name, found[0], found[1], (), codec("json"))
    return entry


def built_in_names(cls: Any) -> tuple[str, ...]:
    """Return the name of the built-in event with data of this class, as a tuple; empty if it has none."""
    try:
        return (_names[cls],)
    except (KeyError, TypeError):  # a type that cannot be hashed is none of them
        return ()


def check_not_reserved(name: str, what: str) -> None:
    """RegistrationError for a name that is kept for built-in events."""
    if name.startswith(RESERVED):
        raise RegistrationError(
            f"{what} must not begin with {RESERVED!r}, which is kept for the events of goes_lite itself: {name!r:.80}"
        )
