"""The third process of the demo: it keeps a read model up to date and is killed half-way."""

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
"""Seconds after which another process may take over from one that was killed."""

# Import goes_lite from where this process found it: a plain copy is not on the path of a new interpreter.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from goes_lite.cli.demo._projection import run; run(sys.argv[2])"


class SlowMovements(Movements):
    """A projection that is slow enough to be killed half-way."""

    def key(self, event: goes.Event[object]) -> str | Iterable[str] | None:
        time.sleep(0.004)
        return super().key(event)


def run(path: str) -> None:
    """Run the projection, in small batches, until the parent process closes our standard input, or ends."""
    with connect(path, registry=shop) as db, db.projection(SlowMovements(), batch=20, lease=LEASE):
        sys.stdin.read()


class ProjectionProcess:
    """The process. Use it in a `with` block, which kills it at the end."""

    def __init__(self, python: str, path: str) -> None:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(goes.__file__)))
        self._process = subprocess.Popen(
            [python, "-c", _START, folder, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def kill_at(self, db: BlockingDatabase, position: int) -> None:
        """Kill it as soon as it reaches the position; GoesError if it does not."""
        end = time.monotonic() + PATIENCE
        while True:
            seen = db.commits.count
            checkpoint = db.checkpoints.get(Movements.name)
            if checkpoint is not None and checkpoint.position >= position:
                self._process.kill()
                self._process.wait()
                return
            if time.monotonic() > end or self._process.poll() is not None:
                raise GoesError(f"the third process did not reach position {position}: {self._reason()}")
            db.commits.wait(seen, 0.5)

    def _reason(self) -> str:
        self._process.kill()
        _, error = self._process.communicate()
        return (error or b"").decode("utf-8", "replace").strip() or "without a reason"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
