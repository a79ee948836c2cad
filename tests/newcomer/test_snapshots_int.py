"""snapshots=100 instead of Every(100) is refused at once: it would have failed at every save, and only in the log."""

from __future__ import annotations

from typing import Any, cast

import pytest

import goes_lite as goes


class Counter(goes.Aggregate, name="newcomer.counter"):
    pass


def test_a_schedule_is_asked_for() -> None:
    with (
        goes.blocking.connect(":memory:") as db,
        pytest.raises(goes.errors.ConfigError, match=r"^snapshots must be a schedule such as Every\(100\), not 100$"),
    ):
        db.repository(Counter, snapshots=cast(Any, 100))
