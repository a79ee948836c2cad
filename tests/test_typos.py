"""Type checkers find misspelt names and options on both faces: nothing in the package looks like `Any` to them.

Nor do they find anything in the programs of the README and the tutorial: one run of each checker looks at all of it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.test_docs import CHAPTERS, program

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
from dataclasses import dataclass
from typing import Any, assert_type
import goes_lite as goes

@dataclass(frozen=True)
class Place(goes.Command[int]):
    order: str

@dataclass(frozen=True)
class Pay:
    order: str

class Order(goes.Aggregate, name="order"):
    @goes.handles(Place, id="order")
    def place(self, command: Place) -> int:
        return 1

    @goes.handles(Pay, id=lambda pay: pay.odrer)  # typo
    def paid(self, command: Pay) -> None: ...

    @goes.handles(Pay)  # typo
    def other(self, command: Place) -> None: ...

class Bills(goes.ModelProjection[dict[str, str]], name="bills"):
    @goes.projects(Pay, key=lambda event: event.data.order)
    def paid(self, bill: dict[str, str], event: goes.Event[Pay]) -> None: ...

    @goes.projects(Pay, key=lambda event: event.data.odrer)  # typo
    def misspelt(self, bill: dict[str, str], event: goes.Event[Pay]) -> None: ...

def handler(event: goes.Event[object]) -> None: ...

with goes.blocking.connect("app.db") as db:
    goes.blocking.conect  # typo
    goes.Repozitory  # typo
    db.event.head()  # typo
    db.events.apend([])  # typo
    db.events.query(lmit=3)  # typo
    db.repository(Order, snapshot=None)  # typo
    db.processor("name", handler, transactionl=True)  # typo
    db.projection(goes.Lookup("name", {}), on_new_version="bside")  # typo
    db.relay(btch=3)  # typo
    assert_type(db.commands.dispatch(Place("1")), int)
    assert_type(db.commands.dispatch(Pay("1")), Any)
    assert_type(db.repository(Order).use("1", lambda order: order.place(Place("1"))), int)
    assert_type(db.commands.dispatch(Place("1")), str)  # typo

async def main() -> None:
    async with goes.connect("app.db") as db:
        db.processor("name", handler, leese=3.0)  # typo
        assert_type(await db.commands.dispatch(Place("1"), id="a"), int)
        assert_type(await db.commands.dispatch(Pay("1")), Any)
        assert_type(await db.repository(Order).use("1", lambda order: order.place(Place("1"))), int)
"""

PAGES = {"readme.py": [ROOT / "README.md"], "tutorial.py": [*CHAPTERS]}
"""Pages whose programs pass both type checkers, in strict mode, as they stand."""


@pytest.fixture
def programs(tmp_path: Path) -> dict[Path, list[int]]:
    """Files in an empty folder, with the lines in which a type checker is to report an error."""
    texts = {"program.py": PROGRAM}
    for name, pages in PAGES.items():
        texts[name] = "\n".join(program(page, "sqlite")[0] for page in pages)
        assert texts[name].count("\n") > 20
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {
        tmp_path / name: [line for line, of in enumerate(text.splitlines(), start=1) if of.endswith("# typo")]
        for name, text in texts.items()
    }


def found(output: str, programs: Iterable[Path]) -> dict[Path, list[int]]:
    """Return the lines in which a type checker reports an error, by file."""
    return {
        path: sorted(
            {int(line) for line in re.findall(rf"{re.escape(path.name)}:(\d+)(?::\d+)?(?: -|:) error", output)}
        )
        for path in programs
    }


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout + done.stderr


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is not installed")
def test_mypy_finds_all_of_them(programs: dict[Path, list[int]]) -> None:
    output = run("mypy", "--strict", "--config-file", "pyproject.toml", *programs)
    assert found(output, programs) == programs, output


@pytest.mark.skipif(not importlib.util.find_spec("pyright"), reason="pyright is not installed")
def test_pyright_finds_all_of_them(programs: dict[Path, list[int]], tmp_path: Path) -> None:
    (tmp_path / "pyrightconfig.json").write_text(
        f'{{"extraPaths": ["{ROOT.as_posix()}"], "typeCheckingMode": "strict"}}', encoding="utf-8"
    )
    output = run("pyright", "--project", tmp_path, "--pythonpath", sys.executable)
    assert found(output, programs) == programs, output
