"""Type checkers find misspelt names and options on both faces: nothing in the package looks like `Any` to them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import goes_lite as goes

class Order(goes.Aggregate, name="order"): ...

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

async def main() -> None:
    async with goes.connect("app.db") as db:
        db.processor("name", handler, leese=3.0)  # typo
"""

TYPOS = [number for number, line in enumerate(PROGRAM.splitlines(), start=1) if line.endswith("# typo")]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def found(output: str, program: Path) -> list[int]:
    """Return the lines in which a type checker reports an error."""
    pattern = rf"{re.escape(program.name)}:(\d+)(?::\d+)?(?: -|:) error"
    return sorted({int(line) for line in re.findall(pattern, output)})


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout + done.stderr


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is not installed")
def test_mypy_finds_all_of_them(program: Path) -> None:
    output = run("mypy", "--strict", "--config-file", "pyproject.toml", program)
    assert found(output, program) == TYPOS, output


@pytest.mark.skipif(not importlib.util.find_spec("pyright"), reason="pyright is not installed")
def test_pyright_finds_all_of_them(program: Path) -> None:
    (program.parent / "pyrightconfig.json").write_text(
        f'{{"extraPaths": ["{ROOT.as_posix()}"], "typeCheckingMode": "strict"}}', encoding="utf-8"
    )
    output = run("pyright", "--project", program.parent, "--pythonpath", sys.executable)
    assert found(output, program) == TYPOS, output
