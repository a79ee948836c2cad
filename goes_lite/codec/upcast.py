"""Upcasting: the steps from a plain value of an old schema to the current type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goes_lite.errors import DecodeError
from goes_lite.errors.functions import LAZY, check_result, failure

Decoder = Callable[[str | bytes], object]
Upcaster = Callable[[Any], Any]


def gap(today: str, name: str, step: int, schema: int) -> Upcaster:
    """Return the stand-in for a missing upcaster, which raises when a value reaches it.

    Not earlier, since a previous upcaster may end the chain.
    """

    def missing(old: Any) -> Any:
        raise DecodeError(
            "$",
            f"no upcaster leads from schema {step} to {step + 1} of {today!r} (currently at {schema}): "
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
    """Return the decoder that runs the steps of `name` between `plain` and `finish`.

    `today` is the class of finished values: a step that returns one ends the chain.
    """
    # A dict or a str may be plain or of the current type, so the whole chain runs.
    ends = today if today not in (dict, list, str, int, float, bool, type(None)) else None

    def decode(payload: str | bytes) -> object:
        value = plain(payload)
        for step, function in steps:
            try:
                value = function(value)
                if isinstance(value, LAZY):
                    check_result("it", value)
            except DecodeError:
                raise
            except BaseException as raised:
                exc = failure(raised)
                problem = f"the upcaster from schema {step} of {name!r} raised {type(exc).__name__}: {exc}"
                raise DecodeError("$", problem) from raised
            if ends is not None and type(value) is ends:
                return value
        return finish(value)

    return decode


def failing(error: DecodeError) -> Decoder:
    """Return a decoder that always fails: a scan gets the error at the event, not before the first one."""

    def decode(payload: str | bytes) -> object:
        raise DecodeError(error.path, error.problem)

    return decode
