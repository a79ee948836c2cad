"""Examples of what is stored of a type: the least that it allows, and what another type cannot read."""

from __future__ import annotations

from typing import Any

from goes_lite.schema.nodes import ARRAY, DICT, FLAGS, INTEGER, NUMBER, OBJECT, STRING, TUPLE, UNION, VALUES, Node

_TEXTS = {
    "base64": ("AA==", "AQ=="),
    "date-time": ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
    "date": ("2026-01-01", "2026-01-02"),
    "local-time": ("12:00:00", "13:00:00"),
    "timedelta": ("P1D", "P2D"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001"),
    "decimal": ("0.5", "1.5"),
    "integer": ("0", "1"),
    "": ("?", "??", "???"),
}


class Endless(Exception):
    """A type has no finite value."""


def least(node: Node, above: frozenset[int] = frozenset()) -> Any:
    """Return the JSON of a value with as little in it as the type allows; Endless if there is none."""
    if id(node) in above:
        raise Endless
    above |= {id(node)}
    if node.kind == VALUES:
        return node.values[0]
    if node.kind == STRING:
        return _TEXTS[node.format][0]
    if node.kind in (INTEGER, FLAGS):
        return 0
    if node.kind == NUMBER:
        return 0.5
    if node.kind == ARRAY:
        return []
    if node.kind == DICT:
        return {}
    if node.kind == TUPLE:
        return [least(part, above) for part in node.parts]
    if node.kind == OBJECT:
        return {name: least(part, above) for name, part in node.fields.items() if name in node.required}
    if node.kind == UNION:
        for part in node.parts:
            try:
                return least(part, above)
            except Endless:
                continue
        raise Endless
    return None  # of any JSON


def other_than(node: Node, values: tuple[Any, ...]) -> Any:
    """Return the JSON of a value that is none of these; of a type with no other one, any."""
    candidates: list[Any]
    if node.kind == STRING:
        candidates = [*_TEXTS[node.format]]
        if not node.format:
            candidates.append("?" * (1 + max((len(value) for value in values if type(value) is str), default=0)))
    elif node.kind == INTEGER:
        candidates = [0, *range(1, 2 + len(values))]
    elif node.kind == FLAGS:
        bits = sum(node.values)
        candidates = [0, *node.values, bits]
    else:
        candidates = [least(node)]
    return next((one for one in candidates if one not in values), candidates[-1])
