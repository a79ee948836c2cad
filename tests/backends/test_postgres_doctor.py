"""What `doctor` finds on a PostgreSQL server: each condition, with what helps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("asyncpg", reason="asyncpg is not installed")

from goes_lite_postgres._examine import Facts, findings
from goes_lite_postgres._options import address_of

from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.testing import FakeClock
from tests.backends.postgres_kit import needs_postgres, pooler_url, store_url

needs_postgres()

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SETTINGS = {
    "fsync": "on", "full_page_writes": "on", "autovacuum": "on", "jit": "off", "max_connections": "100",
    "superuser_reserved_connections": "3",
}  # fmt: skip
SOUND = Facts(SETTINGS, NOW, superuser=False, role="app", connections=7, oldest=(4711, 2.5))


def codes(url: str, **options: Any) -> set[str]:
    with blocking.connect(url, **options) as db:
        return {one.code for one in operations.doctor(db)}


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"settings": {**SETTINGS, "fsync": "off"}}, "server-fsync", "fsync=off"),
        ({"settings": {**SETTINGS, "full_page_writes": "off"}}, "server-full-page-writes", "full_page_writes=off"),
        ({"settings": {**SETTINGS, "autovacuum": "off"}}, "server-autovacuum", "autovacuum is off"),
        ({"settings": {**SETTINGS, "jit": "on"}, "role": 'my "app"'}, "server-jit", "jit=on"),
        ({"time": NOW + timedelta(minutes=3)}, "clock-skew", "180 seconds ahead of"),
        ({"time": NOW - timedelta(hours=1)}, "clock-skew", "3600 seconds behind"),
        ({"superuser": True}, "server-superuser", "'app', a superuser"),
        ({"connections": 90}, "server-connections", "90 of 97"),
        ({"oldest": (4711, 7300.0)}, "server-transaction", "process 4711"),
    ],
)
def test_each_condition_is_found(changes: dict[str, Any], code: str, said: str) -> None:
    address = address_of("postgresql://localhost/app", {})
    assert [*findings(SOUND, address, NOW)] == []
    (found,) = findings(SOUND._replace(**changes), address, NOW)
    assert found.code == code
    assert said in found.message
    assert found.fix
    if code == "server-jit":
        assert found.fix == 'ALTER ROLE "my ""app""" SET jit = off'


def test_a_real_server_is_looked_at() -> None:
    """Servers of tests run without fsync, under a superuser."""
    found = codes(store_url())
    assert (
        {"server-fsync", "server-superuser"} <= found <= {"server-fsync", "server-superuser", "server-full-page-writes"}
    )
    assert "durability" in codes(store_url(durability="normal"))


def test_the_clock_of_the_server_is_compared() -> None:
    clock = FakeClock(datetime.now(timezone.utc) - timedelta(days=2))
    assert "clock-skew" in codes(store_url(), clock=clock)


def test_behind_a_pooler() -> None:
    """Settings are those of the server's session; nothing of it needs one of our own."""
    assert "server-fsync" in codes(store_url(pooler_url(), pooler="true"))
