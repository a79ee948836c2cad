"""What the tests of the registry share: event types of several kinds, and marks for what may not be installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypedDict


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
