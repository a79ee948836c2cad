"""States as plain values, and what differs between two of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

_DEEPEST = 50
"""Levels that are told apart; what is nested deeper is shown as text."""


class Difference(NamedTuple):
    """One place where two states differ."""

    path: str
    """Where, such as `items[2].price`; "" if they differ as a whole."""
    before: Any
    after: Any
    kind: str
    """`added`, `removed` or `changed`."""


def plain(value: Any, levels: int = _DEEPEST) -> Any:
    """Return a value of a program as what JSON can express; what it cannot, as text. It calls no code of the value but repr."""
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)
    if isinstance(value, (datetime, date, time, timedelta, Decimal, UUID)):
        return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)
    if not levels:
        return f"{value!r:.200}"
    if isinstance(value, Enum):
        return plain(value.value, levels - 1)
    return _plain_parts(value, levels - 1)


def _plain_parts(value: Any, levels: int) -> Any:
    cls = _type(value)
    fields: tuple[str, ...] | None = None
    if dataclasses.is_dataclass(cls):
        fields = tuple(one.name for one in dataclasses.fields(cls))
    elif _is(cls, tuple):
        fields = getattr(cls, "_fields", None)  # of a NamedTuple
    else:
        fields = getattr(cls, "__struct_fields__", None)  # of msgspec
    if fields is not None:
        return {name: plain(getattr(value, name, None), levels) for name in fields}
    if _is(cls, Mapping):
        return {key if isinstance(key, str) else str(plain(key)): plain(item, levels) for key, item in value.items()}
    if _is(cls, list, tuple):
        return [plain(item, levels) for item in value]
    if _is(cls, set, frozenset):
        return sorted((plain(item, levels) for item in value), key=repr)
    return f"{value!r:.200}"


def _type(value: object) -> type[Any]:
    return type(value)


def _is(cls: type[Any], *kinds: type[Any]) -> bool:
    return issubclass(cls, kinds)


def differences(before: Any, after: Any, path: str = "") -> list[Difference]:
    """Return where two plain values differ, in the order of the first, then of the second."""
    old, new = _parts(before), _parts(after)
    if old is not None and new is not None and type(before) is type(after):
        return [one for key in old | new for one in _between(old, new, key, _place(path, key))]
    if type(before) is type(after) and before == after:
        return []
    return [Difference(path, before, after, "changed")]


def _parts(value: Any) -> dict[str | int, Any] | None:
    """Return what a value consists of, by key or by index; None if it has no parts."""
    parts: list[Any] | dict[str | int, Any] = value
    if isinstance(parts, list):
        return dict(enumerate(parts))
    return parts if isinstance(parts, dict) else None


def _place(path: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _between(
    old: Mapping[str | int, Any], new: Mapping[str | int, Any], key: str | int, place: str
) -> list[Difference]:
    if key not in new:
        return [Difference(place, old[key], None, "removed")]
    if key not in old:
        return [Difference(place, None, new[key], "added")]
    return differences(old[key], new[key], place)
