"""The audit log: an entry tells what was done, what failed, and what was cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.contract.own_collections import AUDIT
from goes_lite.operations.audit import BEGUN, DONE, AuditEntry, audited

ENTRY = AuditEntry(datetime.now(timezone.utc), "ada@host", "delete", "order/1", {"events": 3}, "a test")


def entries(path: Path) -> list[AuditEntry]:
    with goes.blocking.connect(path, read_only=True) as db:
        return db.models_of(AUDIT, AuditEntry).query().list()


def test_what_was_done_is_kept(tmp_path: Path) -> None:
    """With what it changed in the end, which may be more than what was planned; oldest first."""
    path = tmp_path / "app.db"

    async def change() -> Mapping[str, int]:
        assert [entry.outcome for entry in entries(path)] == [DONE] * done + [BEGUN]
        return {"events": 4}

    with goes.blocking.connect(path) as db:
        done = 0
        assert db._portal.run(audited(db.backend, ENTRY, change)) == replace(ENTRY, effect={"events": 4}, outcome=DONE)
        done = 1
        db._portal.run(audited(db.backend, ENTRY, change))
    assert [entry.outcome for entry in entries(path)] == [DONE, DONE]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_what_failed_says_why(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def change() -> Mapping[str, int]:
        raise error

    with goes.blocking.connect(path) as db, pytest.raises(type(error)):
        db._portal.run(audited(db.backend, ENTRY, change))
    (entry,) = entries(path)
    assert entry == replace(ENTRY, outcome=f"{type(error).__name__}: {error}")
