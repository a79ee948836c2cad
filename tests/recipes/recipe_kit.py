"""What the tests of the recipes share: processes that are started as the recipe says, heard, and ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import TypeVar

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
PATIENCE = 200.0
"""Seconds after which a test gives up; where nothing is wrong, everything takes a second or two."""


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip tests if a package is missing, and say what to install. It is not imported: PySide6 changes how all others are."""
    missing = [module for module in modules if not is_there(module)]
    names = " ".join(dict.fromkeys(module.partition(".")[0] for module in missing))
    return pytest.mark.skipif(bool(missing), reason=f"pip install {names}; `.ci/test.py --legs recipes` has them all")


def is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def environment(**more: str) -> dict[str, str]:
    """What programs are started with: the configuration of whoever runs the tests has no say in them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GOES_LITE_")}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **more}


class Program:
    """A program that runs: what it prints, on both outputs, line by line."""

    def __init__(self, *command: object, cwd: Path, **env: str) -> None:
        self.printed: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self.process = subprocess.Popen(
            [str(word) for word in command], cwd=cwd, env=environment(**env), encoding="utf-8", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.rstrip())
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for a line, from where the last call was; AssertionError with all lines if the program ends before."""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no line like {pattern!r} in:\n" + "\n".join(self.printed))

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended()


P = TypeVar("P", bound=Program)


@contextmanager
def several(*start: Callable[[], P]) -> Generator[list[P]]:
    """Run programs for a block; what is left of them is killed, with their children."""
    programs: list[P] = []
    try:
        for one in start:
            programs.append(one())
        yield programs
    finally:
        for program in programs:
            if os.name == "posix":
                try:
                    os.killpg(program.process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            else:
                program.process.kill()
            program.ended()
            for pipe in (program.process.stdin, program.process.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def running(*command: object, cwd: Path, **env: str) -> Generator[Program]:
    """Run one program for a block."""
    with several(lambda: Program(*command, cwd=cwd, **env)) as (program,):
        yield program


def python(*arguments: object) -> list[object]:
    return [sys.executable, *arguments]


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make calls in threads of their own, and return their results; the first error is raised."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(call) for call in calls]]
