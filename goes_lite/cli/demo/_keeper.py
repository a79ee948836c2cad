"""The third process of the demo: it keeps a read model up to date, and is killed in the middle of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Self

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.cli.demo._follower import PATIENCE
from goes_lite.cli.demo._shop import Movements, shop
from goes_lite.errors import GoesError

LEASE = 0.5
"""Seconds after which another process may take the place of one that was killed."""

# Found where this process found it: it may be a plain copy that is not on the path of a new interpreter.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from goes_lite.cli.demo._keeper import keep; keep(sys.argv[2])"


class Unhurried(Movements):
    """So slow that it can be killed half-way, before anybody has looked away."""

    def key(self, event: goes.Event[object]) -> str | Iterable[str] | None:
        time.sleep(0.004)
        return super().key(event)


def keep(path: str) -> None:
    """Keep it, in small batches, until whoever started this process closes its standard input, or is no more."""
    with connect(path, registry=shop) as db, db.projection(Unhurried(), batch=20, lease=LEASE):
        sys.stdin.read()


class Keeper:
    """The process. Use it in a `with` block: it is killed at the end, if not before."""

    def __init__(self, python: str, path: str) -> None:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(goes.__file__)))
        self._process = subprocess.Popen(
            [python, "-c", _START, folder, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def kill_behind(self, db: BlockingDatabase, position: int) -> None:
        """Kill it as soon as it has come so far; GoesError if it does not."""
        end = time.monotonic() + PATIENCE
        while True:
            seen = db.commits.count
            checkpoint = db.checkpoints.get(Movements.name)
            if checkpoint is not None and checkpoint.position >= position:
                self._process.kill()
                self._process.wait()
                return
            if time.monotonic() > end or self._process.poll() is not None:
                raise GoesError(f"the third process does not come to position {position}: {self._reason()}")
            db.commits.wait(seen, 0.5)

    def _reason(self) -> str:
        self._process.kill()
        _, error = self._process.communicate()
        return (error or b"").decode("utf-8", "replace").strip() or "it does not say why"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
