"""What the tests of the codecs share: one type of each kind, and marks for what may not be installed."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, Generic, NamedTuple, NewType, NotRequired, TypedDict, TypeVar

import pytest

from goes_lite.codec import Codec

needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")
needs_attrs = pytest.mark.skipif(find_spec("attrs") is None, reason="attrs is not installed")
HAS_PROTOBUF = find_spec("google") is not None and find_spec("google.protobuf") is not None
needs_protobuf = pytest.mark.skipif(not HAS_PROTOBUF, reason="protobuf is not installed")

T = TypeVar("T")
Cents = NewType("Cents", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Lenient(enum.Enum):
    KNOWN = "known"

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        return cls.KNOWN


@dataclass(frozen=True)
class Item:
    sku: str
    price: Decimal
    quantity: int = 1


@dataclass
class Order:
    items: list[Item]
    placed: datetime
    note: str | None = None
    tags: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Tree:
    value: int
    children: tuple[Tree, ...] = ()


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Address(TypedDict):
    street: str
    zip: NotRequired[int]


@dataclass
class Positive:
    amount: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("amount must be positive")
        self.doubled = self.amount * 2


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list[T])


def stripped(text: str) -> str:
    return text.strip()


def encode(codec: Codec, hint: Any, value: object) -> str | bytes:
    return codec.encoder(hint)(value)


def decode(codec: Codec, hint: Any, payload: str | bytes) -> Any:
    return codec.decoder(hint)(payload)


def case_id(value: object) -> str:
    return repr(value)[:40] if isinstance(value, str) else type(value).__name__
