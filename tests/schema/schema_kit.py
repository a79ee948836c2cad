"""What tests of schemas share: two types as documents, and whether a payload of one can be read as the other."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from goes_lite.codec import StdlibJson
from goes_lite.codec.json_schema import json_schema
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
    read(old, payload)
    try:
        again = StdlibJson().encoder(new)(read(new, payload))
    except (DecodeError, EncodeError):
        return True
    return not kept(example, json.loads(again))


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
