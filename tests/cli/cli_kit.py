"""What tests of commands share: running `goes-lite` as people do, in a process of its own, and a store to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import goes_lite as goes

PACKAGES = str(Path(goes.__file__).parents[1])
# An empty environment, except for what Windows needs to start a process at all, and where the adapters are.
EMPTY = {key: os.environ[key] for key in ("SYSTEMROOT", "PYTHONPATH") if key in os.environ}

PATIENCE = 120
"""Seconds for a command on a slow machine."""

registry = goes.Registry()


@registry.event("note.taken")
@dataclass(frozen=True)
class NoteTaken:
    text: str


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one document on stdout of a command with --json."""
        found: dict[str, Any] = json.loads(self.out)
        assert set(found) == {"envelope", "version", "command", "store", "data", "findings", "error", "exit"}
        assert found["exit"] == self.code
        return found

    @property
    def data(self) -> Any:
        """The data of that document, of a command that succeeded."""
        assert self.envelope["error"] is None, self.envelope
        return self.envelope["data"]

    @property
    def error(self) -> str:
        """The message of a command that failed, which printed nothing else on stdout."""
        assert self.code, self
        assert self.out == ""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")


def words_of(*arguments: object) -> list[str]:
    """Return the words that start `goes-lite` with these arguments."""
    start = f"import sys; sys.path.insert(0, {PACKAGES!r}); from goes_lite.__main__ import main; sys.exit(main())"
    return [sys.executable, "-P", "-W", "error", "-c", start, *map(str, arguments)]


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment that is empty but for what is needed, and for `more`."""
    return {**EMPTY, "PYTHONUTF8": "1", **(more or {})}


def goes_lite(
    *arguments: object, cwd: Path, env: dict[str, str] | None = None, stdin: str = "", code: int | None = 0
) -> Ran:
    """Run `goes-lite` with these arguments; it must end with the code, unless that is None."""
    done = subprocess.run(
        words_of(*arguments), cwd=cwd, env=environment(env), input=stdin, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def start(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `goes-lite` with these arguments, with pipes. Use it in a `with` block."""
    return subprocess.Popen(
        words_of(*arguments), env=environment(env), cwd=cwd, text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def notes(path: Path, texts: Iterable[str] = ("one", "two", "three")) -> Path:
    """Create a store with a few events of one aggregate, and one of none."""
    with goes.blocking.connect(path, registry=registry) as db:
        batch = [
            goes.Event(
                NoteTaken(text), aggregate=("pad", "p/1"), version=version, tags=["kind:note"], registry=registry
            )
            for version, text in enumerate(texts, 1)
        ]
        db.events.append([*batch, goes.Event(NoteTaken("loose"), registry=registry)])
    return path
