"""examples/recipes/desktop.py: windows of several processes on one file, drawn where there is no screen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

import goes_lite as goes
from tests.recipes import recipe_kit as kit

ROOT = kit.RECIPES.parents[1]
OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT), "QT_LOGGING_RULES": "qt.qpa.*=false"}

pytestmark = [pytest.mark.slow, pytest.mark.once, kit.needs("PySide6")]


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    """Qt needs libraries that come with the operating system, not with its package."""
    tried = subprocess.run(
        [sys.executable, "-c", "from PySide6 import QtTest, QtWidgets; QtWidgets.QApplication([])"],
        env=kit.environment(**OFFSCREEN), capture_output=True, encoding="utf-8", check=False, timeout=kit.PATIENCE,
    )  # fmt: skip
    if tried.returncode:
        library = re.search(r"lib[\w.+-]+\.so[.\d]*", tried.stderr)
        pytest.skip(
            f"Qt cannot be loaded without {library[0] if library else 'a library of the operating system'}: "
            "apt-get install libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1"
        )


class Window(kit.Program):
    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def shows(self, *columns: list[str]) -> None:
        """Wait until it shows these cards."""
        self.expect("^" + re.escape(f"shows {json.dumps(list(columns))} |"))


@contextmanager
def windows(folder: Path, count: int) -> Generator[list[Window]]:
    driver = Path(__file__).with_name("desktop_driver.py")
    url = f"sqlite:///{folder / 'board.db'}?lock_timeout={kit.PATIENCE}"  # a slow machine is no reason to give up
    with kit.several(*(lambda: Window(*kit.python(driver, url), cwd=folder, **OFFSCREEN),) * count) as made:
        for window in made:
            window.shows([], [], [])
        yield made


def test_each_window_shows_what_all_do(tmp_path: Path) -> None:
    with windows(tmp_path, 2) as (one, other):
        one.tell("write buy tea")
        other.shows(["buy tea"], [], [])
        one.shows(["buy tea"], [], [])

        other.tell("forward buy tea")
        one.shows([], ["buy tea"], [])
        with goes.blocking.connect(tmp_path / "board.db", unknown="raw") as db:
            names = [event.name for event in db.events.query()]
        assert names == ["card.written", "card.moved"]

        one.tell("write  ")
        one.expect(r"a card needs a text$")
        one.tell(f"grab {tmp_path / 'window.png'}")
        one.expect("^grabbed True$")
        for window in (one, other):
            window.tell("close")
            window.expect("^closed$")
            assert window.ended() == 0


def test_a_window_that_is_killed_holds_up_no_other(tmp_path: Path) -> None:
    """Also not if it is the one that keeps the board up to date."""
    with windows(tmp_path, 2) as (first, second):
        first.tell("write one")
        second.shows(["one"], [], [])
        first.process.kill()
        first.ended()
        second.tell("write two")
        second.shows(["one", "two"], [], [])
        second.tell("close")
        assert second.ended() == 0


def test_a_window_answers_while_the_file_is_busy(tmp_path: Path) -> None:
    """Somebody else writes for a long time: what the person wants is done after it, and until then the window does not freeze."""
    with windows(tmp_path, 1) as (window,):
        with goes.blocking.connect(tmp_path / "board.db", unknown="raw") as db, db.transaction() as tx:
            tx.models.put("other", "one", "1")
            window.tell("write later")
            window.tell("ping")
            window.expect("^pong$")
            assert not [line for line in window.printed if "later" in line]
        window.shows(["later"], [], [])
        window.tell("close")
        assert window.ended() == 0
