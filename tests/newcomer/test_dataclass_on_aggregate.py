"""@dataclass on an aggregate, as other libraries want it, is refused with the way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

import goes_lite as goes


class Order(goes.Aggregate, name="newcomer.order"):
    pass


@dataclass
class Cart(goes.Aggregate, name="newcomer.cart"):
    items: list[int] = field(default_factory=list[int])


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        (Cart, r"Cart: @dataclass .* remove the decorator"),
        (Order("1"), r"not <Order newcomer.order\(1\) v0: >: pass the class, Order$"),
    ],
)
def test_a_class_that_is_none_for_a_repository(wrong: Any, way_out: str) -> None:
    db = goes.blocking.connect(":memory:")
    with db, pytest.raises(goes.errors.RegistrationError, match=way_out):
        db.repository(wrong)
