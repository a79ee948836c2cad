"""where= and order_by= with a field that the model type does not have are refused, with the fields that there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import goes_lite as goes


@dataclass
class Bill:
    due: Decimal = Decimal(0)
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("options", [{"where": {"deu": 5}}, {"order_by": "deu"}])
def test_unknown_fields(options: dict[str, Any]) -> None:
    with goes.blocking.connect(":memory:") as db:
        bills = db.models_of("bills", Bill)
        bills.put("1", Bill())
        with pytest.raises(goes.errors.InvalidQueryError, match=r"^Bill has no field 'deu': it has due, at$"):
            bills.query(**options).list()


def test_values_are_ordered_as_values() -> None:
    """Not as their JSON text: "10.00" comes before "9.00" there."""
    with goes.blocking.connect(":memory:") as db:
        bills = db.models_of("bills", Bill)
        late = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=500)
        bills.put("a", Bill(Decimal("10.00"), late))
        bills.put("b", Bill(Decimal("9.00")))
        for field in ("due", "at"):
            assert [bill.due for bill in bills.query(order_by=field)] == [Decimal("9.00"), Decimal("10.00")]
