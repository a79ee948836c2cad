"""Read models as jsonb: the conditions of queries, and replacements for values that jsonb refuses."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

from goes_lite.contract.model_store import ModelQuery

DOCUMENT = "coalesce(m.plain, m.data)::jsonb"
_C = 'COLLATE "C"'
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|[eE][+-]?\d{3}")
_REFUSED = re.compile("[\0\ud800-\udfff]")


def queryable(data: str) -> str | None:
    """Return JSON that jsonb accepts instead of this one; None if it accepts this one, as it nearly always does.

    jsonb has no U+0000, no half of a surrogate pair and no unlimited numbers. Queries cannot find these values, but they can
    find the other fields of such a document.
    """
    return json.dumps(_clean(json.loads(data))) if _SUSPICIOUS.search(data) else None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _REFUSED.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(found) for key, found in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_clean(found) for found in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float) and math.isinf(value):
        return 10**400 if value > 0 else -(10**400)
    return value


def conditions(query: ModelQuery, parameters: list[Any]) -> list[str]:
    """Return the conditions of `where` on a row `m`, and append their values to the parameters."""
    wanted: list[str] = []
    for names, value in query.where:
        field = _field(names, parameters)
        if value is None:
            wanted.append(f"coalesce({field}, 'null') = 'null'")
        elif isinstance(value, (bool, str)):
            parameters.append(json.dumps(value))
            wanted.append(f"{field} = ${len(parameters)}::text::jsonb")
        else:
            wanted.append(_equals(field, value, parameters))
    return wanted


def _equals(field: str, value: float, parameters: list[Any]) -> str:
    """Compare numbers as Python does: one with a point or an exponent is a float, and so the nearest one."""
    parameters.append(format(Decimal(value), "f"))
    exact = f"${len(parameters)}::text::numeric"
    parameters.append(float(value) if abs(value) < 2**53 or isinstance(value, float) else None)
    nearest = f"${len(parameters)}::float8"
    number = f"({field})::numeric"
    # CASE fixes the order of evaluation: no cast of a non-number to numeric, or of a number that is too large to float8
    return (
        f"CASE WHEN jsonb_typeof({field}) <> 'number' THEN false WHEN {number} = {exact} THEN true "
        f"WHEN scale({number}) = 0 OR abs({number}) > 1e308 THEN false ELSE {number}::float8 = {nearest} END"
    )


def sort_keys(names: tuple[str, ...], parameters: list[Any]) -> tuple[str, str, str]:
    """Return the sort keys for a field: None first, then numbers, then text (and anything else as text)."""
    field = _field(names, parameters)
    kind = f"jsonb_typeof({field})"
    return (
        f"CASE WHEN coalesce({kind}, 'null') = 'null' THEN 0 WHEN {kind} IN ('number', 'boolean') THEN 1 ELSE 2 END",
        f"CASE {kind} WHEN 'number' THEN ({field})::numeric WHEN 'boolean' THEN ({field})::boolean::int::numeric ELSE 0 END",
        f"CASE WHEN coalesce({kind}, 'null') IN ('null', 'number', 'boolean') THEN '' ELSE {field} #>> '{{}}' END {_C}",
    )


def _field(names: tuple[str, ...], parameters: list[Any]) -> str:
    """Return the field as jsonb; each name is the key of an object, never the index of an element."""
    path = f"({DOCUMENT})"
    for name in names:
        parameters.append(name)
        path += f" -> ${len(parameters)}::text"
    return f"({path})"
