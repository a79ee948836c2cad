"""From an old schema to today's: the steps between a plain value and today's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goes_lite.errors import DecodeError

Decoder = Callable[[str | bytes], object]
Upcaster = Callable[[Any], Any]


def gap(today: str, name: str, step: int, schema: int) -> Upcaster:
    """Stands in for an upcaster that nobody registered: an error when a value gets there.

    Not before, since an earlier upcaster may end the chain.
    """

    def missing(old: Any) -> Any:
        raise DecodeError(
            "$",
            f"no upcaster leads from schema {step} to {step + 1} of {today!r} (today's is {schema}): "
            f"register one with upcast({name!r}, {step})",
        )

    return missing


def chain(
    name: str,
    steps: list[tuple[int, Upcaster]],
    plain: Callable[[str | bytes], Any],
    finish: Callable[[Any], Any],
    today: type[Any] | None,
) -> Decoder:
    """The decoder that runs the steps of `name` between `plain` and `finish`.

    `today` is the class of finished values: a step that returns one is the last.
    """
    # A dict or a str may be plain as well as of today's type, so there the whole chain runs.
    ends = today if today not in (dict, list, str, int, float, bool, type(None)) else None

    def decode(payload: str | bytes) -> object:
        value = plain(payload)
        for step, function in steps:
            try:
                value = function(value)
            except DecodeError:
                raise
            except Exception as exc:
                problem = f"the upcaster from schema {step} of {name!r} raised {type(exc).__name__}: {exc}"
                raise DecodeError("$", problem) from exc
            if ends is not None and type(value) is ends:
                return value
        return finish(value)

    return decode


def failing(error: DecodeError) -> Decoder:
    """A decoder for what cannot be decoded: a scan gets the error at the event, not before the first one."""

    def decode(payload: str | bytes) -> object:
        raise DecodeError(error.path, error.problem)

    return decode
