"""The values that SQLite has, checked here because its drivers disagree about all others.

One takes a date and makes text of it, the other does not; both make NULL of NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from goes_lite.contract.sql import refused_parameter
from goes_lite.events.fields import is_unicode

_SAFE = frozenset((str, int, bytes, bool, type(None)))
#: By name, since comparing classes would import modules that the program may not use.
_INSTEAD = {
    "date": "pass value.isoformat()",
    "datetime": "pass value.isoformat(), or value.timestamp()",
    "time": "pass value.isoformat()",
    "timedelta": "pass value.total_seconds()",
    "Decimal": "pass str(value)",
    "UUID": "pass str(value), or value.bytes",
    "Enum": "pass value.value",
    "list": "pass json.dumps(value)",
    "tuple": "pass json.dumps(value)",
    "dict": "pass json.dumps(value)",
}


def bound(parameters: Sequence[Any]) -> Sequence[Any]:
    """Return the parameters as both drivers bind them alike; InvalidQueryError for other types and NaN.

    Too large integers and lone surrogates make both drivers fail, and `check_bound` then says why.
    """
    return (
        parameters
        if _SAFE.issuperset(map(type, parameters))
        else [_bound(n, value) for n, value in enumerate(parameters, 1)]
    )


def _bound(number: int, value: Any) -> Any:
    if value is None or isinstance(value, (int, str, bytes)):
        return value
    if isinstance(value, float):
        if isnan(value):
            raise refused_parameter(number, value, "SQLite has no NaN: pass None for NULL")
        return value
    if type(value) in (bytearray, memoryview):
        return bytes(value)
    names = [base.__name__ for base in type(value).__mro__]
    instead = next((_INSTEAD[name] for name in names if name in _INSTEAD), "pass one of these")
    raise refused_parameter(
        number, value, f"SQLite has None, bool, int of 64 bits, float, str and bytes, not {names[0]}: {instead}"
    )


def check_bound(parameters: Sequence[Any]) -> None:
    """InvalidQueryError for the value that made the driver fail, if one did."""
    for number, value in enumerate(parameters, 1):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise refused_parameter(number, value, "an int has 64 bits in SQLite: pass str(value)")
        if isinstance(value, str) and not is_unicode(value):
            raise refused_parameter(number, value, "a lone surrogate cannot be stored in UTF-8")
