"""What holds for every test of the suites."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _as_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytest that is started by a test prints what it prints at home: with these set, it cuts nothing short."""
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
