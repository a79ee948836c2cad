"""What the tests of the example programs share: they are run as a user runs them, from anywhere."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import goes_lite as goes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# The configuration of whoever runs the tests has no say in them.
GIT_ENV = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Example Author",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "Example Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.org",
}


def run(
    example: str, *arguments: object, cwd: Path, code: int = 0, env: dict[str, str] | None = None
) -> tuple[str, str]:
    """Run an example and answer what it printed on stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", str(EXAMPLES / example), *map(str, arguments)],
        cwd=cwd, env={**GIT_ENV, **(env or {})}, capture_output=True, encoding="utf-8", check=False, timeout=240,
    )  # fmt: skip

    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def module(example: str) -> ModuleType:
    """The example as a module, so that what it stored can be read with its own types."""
    name = f"example_{example}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{example}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def events_in(path: Path) -> list[tuple[Any, ...]]:
    """Everything that the log has, comparable between two files."""
    with goes.blocking.connect(path, unknown="raw") as db:
        return [
            (e.position, e.id, e.name, e.encoded.payload, e.time, e.aggregate, e.version, dict(e.metadata), e.tags)
            for e in db.events.query()
        ]


def until(condition: Callable[[], object], seconds: float = 60) -> Iterator[None]:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        yield


def kill_when_it_has_begun(example: str, *arguments: object, db: Path) -> None:
    """Start an example, and kill it as soon as something is in its log."""
    command = [sys.executable, str(EXAMPLES / example), *map(str, arguments), "--db", str(db)]
    with subprocess.Popen(command, cwd=db.parent, env=GIT_ENV, stdout=subprocess.DEVNULL) as killed:
        for _ in until(db.exists):
            time.sleep(0.005)
        with goes.blocking.connect(db, unknown="raw") as log:
            for _ in until(lambda: log.events.head() > 0):
                time.sleep(0.005)
        killed.kill()
