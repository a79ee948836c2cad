"""What every backend with SQL checks of a program's own statements: `Transaction.execute` and `Backend.select`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import is_unicode


def check_sql(sql: object, parameters: object) -> None:
    """Raise InvalidQueryError unless it is text, and the parameters are a sequence of values."""
    if not isinstance(sql, str):
        raise InvalidQueryError(f"an SQL statement must be a str, not {sql!r:.80}")
    if "\0" in sql or not is_unicode(sql):
        raise InvalidQueryError(f"an SQL statement must be text without NUL and lone surrogates, not {sql!r:.80}")
    if isinstance(parameters, (str, bytes, bytearray)) or not isinstance(parameters, Sequence):
        raise InvalidQueryError(
            f"the parameters of a statement are a sequence such as (1, 'a'), not {parameters!r:.80}: "
            "a single one is written (value,), and named ones are not supported"
        )


def refused_parameter(number: int, value: Any, why: str) -> InvalidQueryError:
    """Return the error for a value that cannot be a parameter."""
    return InvalidQueryError(f"parameter {number} is {value!r:.80}: {why}")
