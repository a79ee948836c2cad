"""A matcher for event data of which only a part matters or is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

_MISSING = object()


class Like:
    """Equal to every value of a type whose given attributes (or keys) have these values.

        .then(like(OrderPlaced, total=450))
        .then(like(OrderPlaced, total=lambda cents: cents > 0))

    A value that is a function (not a class) is called with the attribute and returns whether it matches.
    """

    __hash__ = None  # type: ignore[assignment]  # it equals many things

    def __init__(self, kind: Any, /, **attributes: Any) -> None:
        self._kind = kind
        self._attributes = attributes

    def __eq__(self, other: object) -> bool:
        if isinstance(self._kind, type) and not isinstance(other, self._kind):
            return False
        return all(_fits(expected, _attribute(other, name)) for name, expected in self._attributes.items())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._attributes.items())
        return f"like({getattr(self._kind, '__name__', self._kind)}{', ' if shown else ''}{shown})"


def like(kind: Any, /, **attributes: Any) -> Any:
    """Return a matcher that equals every value of a type whose given attributes (or keys) have these values; see `Like`."""
    return Like(kind, **attributes)


def _attribute(value: object, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name, _MISSING)
    return getattr(value, name, _MISSING)


def _fits(expected: Any, found: Any) -> bool:
    if found is _MISSING:
        return False
    if callable(expected) and not isinstance(expected, type):
        return bool(cast("Callable[[Any], object]", expected)(found))
    return bool(expected == found)
