"""Convert JSON to BSON and back exactly; JSON that BSON cannot reproduce is stored as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from goes_lite.errors import DecodeError, GoesError

T = TypeVar("T")
Document = dict[str, Any]

WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading a document raises that is not as this backend wrote it."""
_MAX, _DEPTH = 2**63, 90


def _encoder() -> Callable[[Any], str]:
    """Return the JSON encoder of the standard library, made once: it makes the part in C again for each text."""
    whole = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return whole.encode
    try:
        # without a check for cycles, which JSON and BSON cannot have
        chunks = make(None, whole.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
        if "".join(chunks({"a": [1.5, "ä"]}, 0)) != '{"a":[1.5,"ä"]}':
            return whole.encode
    except TypeError:  # another version of Python
        return whole.encode
    join = "".join

    def encode(value: Any) -> str:
        return join(chunks(value, 0)) if type(value) is dict else whole.encode(value)

    return encode


_dumps = _encoder()


def wrong(collection: str, row: Document, error: Exception) -> DecodeError:
    """Return the error for a document that is not as this backend wrote it."""
    return DecodeError(
        collection,
        f"the document {row.get('_id')!r:.120} was changed ({type(error).__name__}: {error}): restore a backup",
    )


def of_collection(name: str) -> Callable[[Callable[[Document], T]], Callable[[Document], T]]:
    """Make a function of a document raise DecodeError, which names the document, if it is not as it was written."""

    def decorate(read: Callable[[Document], T]) -> Callable[[Document], T]:
        @wraps(read)
        def checked(row: Document) -> T:
            try:
                return read(row)
            except GoesError:
                raise
            except WRONG as exc:
                raise wrong(name, row, exc) from exc

        return checked

    return decorate


def native(text: str) -> tuple[bool, Any]:
    """Return whether BSON reproduces the same JSON text, and the value to store if so."""
    try:
        value = json.loads(text)
        return (True, value) if _plain(value, _DEPTH) and _dumps(value) == text else (False, None)
    except (ValueError, RecursionError):
        return False, None


def text_of(value: Any) -> str:
    """Return the JSON text of a `native` value."""
    return _dumps(value)


def _plain(value: Any, depth: int) -> bool:
    """Return whether BSON reproduces the value."""
    kind: type[object] = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is str:
        return bool(value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value))
    if kind is int:
        return bool(-_MAX <= value < _MAX)
    if kind is dict:
        return depth > 0 and all(_safe(key) and _plain(found, depth - 1) for key, found in value.items())
    if kind is list:
        return depth > 0 and all(_plain(found, depth - 1) for found in value)
    return True


def _safe(key: str) -> bool:
    """Return whether a key has no special meaning to the server or the driver: no operator, path or reference."""
    return not key.startswith("$") and "." not in key and "\0" not in key and _plain(key, 0)


def queryable(value: Any, depth: int = _DEPTH) -> Any:
    """Return a similar document that BSON can store, for queries of its fields."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        if depth == 0:
            return None
        found: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {
            key.encode("utf-8", "replace").decode(): queryable(one, depth - 1)
            for key, one in found.items()
            if "\0" not in key and key != "$ref"  # a reference to the driver
        }
    if isinstance(value, list):
        return [queryable(one, depth - 1) for one in value] if depth else None  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, int) and not -_MAX <= value < _MAX:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value
