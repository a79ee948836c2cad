"""What tests of schemas share: two types as documents, and whether a payload of one can be read as the other."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from goes_lite.codec import StdlibJson
from goes_lite.codec._shapes import Shape, forms
from goes_lite.codec.json_schema import json_schema
from goes_lite.codec.types import describe
from goes_lite.errors import DecodeError, EncodeError
from goes_lite.schema import Gap, gaps
from goes_lite.schema.nodes import Node, node_of
from tests.codec.codec_strategies import DICT, LISTS

DECIMAL: type[Any] = Decimal


def node(hint: Any) -> Node:
    """The type as it comes out of a document that was written to a file."""
    return node_of(json.loads(json.dumps(json_schema(hint))))


def between(old: Any, new: Any) -> list[Gap]:
    """What was stored as one type and cannot be read as the other."""
    return gaps(node(old), node(new))


def read(hint: Any, payload: str) -> Any:
    """The value; DecodeError."""
    return StdlibJson().decoder(hint)(payload)


def goes_wrong(old: Any, new: Any, example: Any) -> bool:
    """Whether a payload, which the old type reads, is refused by the new one, or becomes something else."""
    payload = json.dumps(example)
    before = json.loads(StdlibJson().encoder(old)(read(old, payload)))
    try:
        again = StdlibJson().encoder(new)(read(new, payload))
    except (DecodeError, EncodeError):
        return True
    after = json.loads(again)
    if "[" in payload and not kept(before, after):  # an array of a NamedTuple means what its fields say
        return True
    return not kept(example, after) or loses_keys(describe(old), example, after)


def loses_keys(shape: Shape, before: Any, after: Any) -> bool:
    """Whether what is stored as a dict is there afterwards without some of its keys, at any depth."""
    if isinstance(before, LISTS) and isinstance(after, LISTS):
        parts = shape.parts * len(before) if len(shape.parts) == 1 else shape.parts
        return shape.kind not in ("union", "any") and any(map(loses_keys, parts, before, after))
    if not isinstance(before, DICT) or not isinstance(after, DICT):
        return False
    if shape.kind in ("dict", "any"):
        value = shape.parts[1] if shape.parts else shape
        return not before.keys() <= after.keys() or any(loses_keys(value, before[key], after[key]) for key in before)
    if shape.kind == "union":
        return any(loses_keys(part, before, after) for part in shape.parts if "an object" in forms(part))
    inner = {field.key: field.shape for field in shape.fields}
    return any(loses_keys(inner[key], before[key], after[key]) for key in inner.keys() & before.keys() & after.keys())


def kept(before: Any, after: Any) -> bool:
    """Whether what is there afterwards was there before, unchanged; fields may be gone, and others have their defaults."""
    if isinstance(before, DICT) and isinstance(after, DICT):
        return all(kept(before[key], after[key]) for key in after if key in before)
    if isinstance(before, LISTS) and isinstance(after, LISTS):
        return len(before) == len(after) and all(map(kept, before, after))
    if isinstance(before, LISTS) and isinstance(after, DICT):  # a tuple that is a NamedTuple now
        return kept(before, list(after.values())[: len(before)])
    if isinstance(after, str) and isinstance(before, int | float):
        return bool(DECIMAL(after) == DECIMAL(repr(before)))
    return bool(before == after)
