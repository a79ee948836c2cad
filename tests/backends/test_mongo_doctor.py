"""What `doctor` finds on MongoDB: each condition, with what helps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("pymongo", reason="pymongo is not installed")

from goes_lite_mongo._examine import Facts, findings

from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.testing import FakeClock
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
UP = [{"name": "a:1", "state": 1, "stateStr": "PRIMARY"}, {"name": "b:2", "state": 2, "stateStr": "SECONDARY"}]
STATUS = {
    "storageEngine": {"name": "wiredTiger", "persistent": True}, "connections": {"current": 7, "available": 93},
}  # fmt: skip
SOUND = Facts(NOW, 2, STATUS, {"members": UP})


def codes(url: str, **options: Any) -> set[str]:
    with blocking.connect(url, **options) as db:
        return {one.code for one in operations.doctor(db)}


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"time": NOW + timedelta(minutes=3)}, "clock-skew", "180 seconds ahead of"),
        ({"members": 1}, "server-alone", "one member"),
        (
            {"status": {**STATUS, "storageEngine": {"name": "inMemory", "persistent": False}}},
            "server-volatile",
            "'inMemory'",
        ),
        (
            {"set": {"members": [*UP, {"name": "c:3", "state": 8, "stateStr": "(not reachable/healthy)"}]}},
            "server-member",
            "'c:3' is '(not reachable/healthy)'",
        ),
        ({"status": {**STATUS, "connections": {"current": 95, "available": 5}}}, "server-connections", "95 of 100"),
    ],
)
def test_each_condition_is_found(changes: dict[str, Any], code: str, said: str) -> None:
    assert [*findings(SOUND, NOW)] == []
    (found,) = findings(SOUND._replace(**changes), NOW)
    assert found.code == code
    assert said in found.message
    assert found.fix


def test_without_the_right_to_ask_nothing_is_said() -> None:
    assert [*findings(Facts(None, 3, {}, {}), NOW)] == []


def test_a_real_server_is_looked_at() -> None:
    """Servers of tests have one member."""
    assert codes(store_url()) == {"server-alone"}


def test_the_clock_of_the_server_is_compared() -> None:
    clock = FakeClock(datetime.now(timezone.utc) - timedelta(days=2))
    assert "clock-skew" in codes(store_url(), clock=clock)
