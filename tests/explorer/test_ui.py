"""`goes-lite ui`, as people start it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import goes_lite
from goes_lite.explorer.routes import ROUTES
from tests.explorer.explorer_kit import Visitor


@contextmanager
def started(*words: str | Path, cwd: Path) -> Generator[dict[str, Any]]:
    """Run the command, and yield the envelope that it prints once it serves."""
    command = [sys.executable, "-m", "goes_lite", "ui", *map(str, words), "--no-browser", "--json"]
    root = Path(goes_lite.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield json.loads(line)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_looking_at_a_store_changes_no_byte_of_it(shop: Path) -> None:
    before = hashlib.sha256(shop.read_bytes()).hexdigest()

    with started("shop.db", cwd=shop.parent) as told:
        visitor = Visitor(told["data"]["url"]).admitted()
        for route in ROUTES:
            assert route.argument or visitor.ask(route.path).status == 200

    assert hashlib.sha256(shop.read_bytes()).hexdigest() == before
    assert [path.name for path in shop.parent.iterdir() if path.name.endswith("-wal") and path.stat().st_size] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [(["none.db"], "none.db"), (["shop.db", "--port", "99999"], "port"), (["shop.db", "--app", "nothing"], "nothing")],
)
def test_what_cannot_be_served_is_told(words: list[str], told: str, shop: Path) -> None:
    command = [sys.executable, "-m", "goes_lite", "ui", *words, "--no-browser"]

    ended = subprocess.run(command, cwd=shop.parent, capture_output=True, text=True, check=False, timeout=120)

    assert ended.returncode not in (0, 1)
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_its_files_come_out_of_a_zip_file_as_well(tmp_path: Path) -> None:
    """Such as a program that is one file."""
    root = Path(goes_lite.__file__).parent
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        for path in root.rglob("*"):
            if path.suffix in (".py", ".css", ".js", ".svg"):
                archive.write(path, path.relative_to(root.parent))
    code = (
        "from goes_lite.explorer import assets; print(assets.__file__, *(len(assets.content(n)) for n in assets.TYPES))"
    )
    command = [sys.executable, "-P", "-S", "-c", f"import sys; sys.path[:0] = ['program.zip']; {code}"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120
    )

    place, *sizes = done.stdout.split()
    assert "program.zip" in place
    assert all(0 < int(size) <= 15 * 1024 for size in sizes)
