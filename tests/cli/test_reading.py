"""Commands that only read change no byte of a file that nobody writes to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.cli import catalog
from goes_lite.cli.command import Command
from tests.cli.cli_kit import goes_lite, notes, registry

READING: dict[str, list[str]] = {
    "log": ["log", "app.db"],
    "info": ["info", "app.db"],
    "audit": ["audit", "app.db"],
}
"""How each command is called that only reads a store."""

NO_STORE = {"demo", "schema"}
"""Commands that open no store that exists."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has something of everything."""
    folder = tmp_path_factory.mktemp("reading")
    path = notes(folder / "app.db")
    with goes.blocking.connect(path, registry=registry) as db:
        db.checkpoints.save("letters", 3)
        db.models.put("things", "1", '{"a": 1}')
    return folder


@pytest.mark.parametrize("name", READING)
def test_a_reading_command_changes_no_byte(name: str, folder: Path) -> None:
    def state() -> tuple[str, list[str]]:
        digest = hashlib.sha256((folder / "app.db").read_bytes()).hexdigest()
        return digest, sorted(path.name for path in folder.iterdir() if not path.name.endswith(("-shm", "-wal")))

    before = state()
    assert goes_lite(*READING[name], "--json", cwd=folder).data is not None
    goes_lite(*READING[name], cwd=folder)
    assert state() == before
    assert all(path.stat().st_size == 0 for path in folder.glob("*-wal"))


def test_every_command_is_known_to_read_or_to_change() -> None:
    for name, row in catalog.rows().items():
        for action in row.actions or [""]:
            full, command, _ = catalog.find([name, action] if action else [name])
            assert isinstance(command, Command)
            assert command.changes + (full in READING) + (full in NO_STORE) == 1, full
