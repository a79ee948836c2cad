"""What the tests of the registry share: event types of several kinds, and marks for what may not be installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import Any, NamedTuple, TypedDict

import pytest

needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")
HAS_PROTOBUF = find_spec("google") is not None and find_spec("google.protobuf") is not None
needs_protobuf = pytest.mark.skipif(not HAS_PROTOBUF, reason="protobuf is not installed")


@dataclass(frozen=True)
class Note:
    text: str
    amount: int


@dataclass
class Placed:
    items: list[str]
    total: int = 0


class Size(NamedTuple):
    width: int
    height: int


class Status(Enum):
    OPEN = "open"


class Letter(TypedDict):
    body: str


def upcaster(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A lambda, for type checkers: they do not look into one that is handed to a generic decorator."""
    return function
