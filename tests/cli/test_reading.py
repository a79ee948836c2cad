"""Commands that only read change no byte of a file that nobody writes to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from goes_lite.cli import catalog
from goes_lite.cli.command import Command
from tests.cli.cli_kit import goes_lite
from tests.cli.shop_names import FAILED

READING: dict[str, list[str]] = {
    "log": ["log", "shop.db"],
    "info": ["info", "shop.db"],
    "audit": ["audit", "shop.db"],
    "config": ["config", "shop.db", "--check"],
    "show": ["show", "shop.db", "2", "--app", "shop_app"],
    "trace": ["trace", "shop.db", "2"],
    "stats": ["stats", "shop.db"],
    "aggregates": ["aggregates", "shop.db"],
    "aggregate": ["aggregate", "shop.db", "order/2026-001", "--diff", "1", "2", "--app", "shop_app"],
    "consumers": ["consumers", "shop.db"],
    "models": ["models", "shop.db", "sales"],
    "parked list": ["parked", "list", "shop.db"],
    "parked show": ["parked", "show", "shop.db", "letters", "2"],
    "commands list": ["commands", "list", "shop.db"],
    "commands show": ["commands", "show", "shop.db", FAILED],
    "snapshots list": ["snapshots", "list", "shop.db"],
    "leases list": ["leases", "list", "shop.db"],
    "workflows list": ["workflows", "list", "shop.db"],
    "workflows stuck": ["workflows", "stuck", "shop.db"],
    "digest": ["digest", "shop.db"],
    "verify": ["verify", "shop.db"],
    "doctor": ["doctor", "shop.db"],
}
"""How each command is called that only reads a store."""

NO_STORE = {"completion", "demo", "schema events", "schema diff", "schema store"}
"""Commands that open no store that exists."""


TESTED_ELSEWHERE = {"backup", "export", "workflows show", "ui"}
"""Those that write what they read to another place: see below. `workflows show` needs an instance, see `test_workflows`; `ui` has
no end, see `tests/explorer/test_server.py`."""


def test_a_copy_changes_no_byte_of_its_source(shop: Path, tmp_path: Path) -> None:
    before = hashlib.sha256((shop / "shop.db").read_bytes()).hexdigest()
    assert goes_lite("export", "shop.db", cwd=shop).out.count("\n") > 6
    goes_lite("backup", "shop.db", tmp_path / "copy.db", cwd=shop)
    assert hashlib.sha256((shop / "shop.db").read_bytes()).hexdigest() == before


@pytest.mark.parametrize("name", READING)
def test_a_reading_command_changes_no_byte(name: str, shop: Path) -> None:
    def state() -> tuple[str, list[str]]:
        digest = hashlib.sha256((shop / "shop.db").read_bytes()).hexdigest()
        return digest, sorted(
            path.name for path in shop.iterdir() if not path.name.endswith(("-shm", "-wal", "__pycache__"))
        )

    before = state()
    told = goes_lite(*READING[name], "--json", cwd=shop, code=None).envelope
    assert told["data"] is not None
    assert told["error"] is None
    goes_lite(*READING[name], cwd=shop, code=told["exit"])
    assert state() == before
    assert all(path.stat().st_size == 0 for path in shop.glob("*-wal"))


def test_every_command_is_known_to_read_or_to_change() -> None:
    for name, row in catalog.rows().items():
        for action in row.actions or [""]:
            full, command, _ = catalog.find([name, action] if action else [name])
            assert isinstance(command, Command)
            assert command.changes + (full in READING) + (full in NO_STORE | TESTED_ELSEWHERE) == 1, full
