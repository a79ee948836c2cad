"""JSON of a type, whatever codec the events have: for read models and records, whose fields can be queried."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar, cast

from goes_lite.codec import codec

T = TypeVar("T")


class JsonOf(NamedTuple, Generic[T]):
    """The two directions for one type."""

    encode: Callable[[T], str]
    """Raises EncodeError for anything that is not of the type."""
    decode: Callable[[str | bytes], T]
    """Raises DecodeError."""


def json_of(type: type[T]) -> JsonOf[T]:
    """Return how values of a type become JSON and back; RegistrationError for a type that cannot.

    They are kept, since to make them takes a millisecond or more: ask wherever they are needed.
    """
    try:
        return _kept(cast("Hashable", type))
    except TypeError:  # Annotated with metadata that cannot be hashed
        return _made(type)


def _made(type: Any) -> JsonOf[Any]:
    json = codec("json")
    json.check(type)
    return JsonOf(cast("Callable[[Any], str]", json.encoder(type)), json.decoder(type))


_kept = lru_cache(maxsize=256)(_made)
