"""The second process of the demo: `python -m goes_lite log FILE --follow --json`, and the events that it reports."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from datetime import datetime
from typing import IO, NamedTuple, Self

import goes_lite
from goes_lite.errors import GoesError

PATIENCE = 20.0
"""Seconds to wait for a line of the other process before giving up."""

# Import goes_lite from where this process found it: a plain copy is not on the path of a new interpreter.
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from goes_lite.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


def interpreter() -> str:
    """Return the path of the running Python, to start another one; '' if it is unknown."""
    # In an empty environment there is no PATH in which Python could find itself.
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = (sys.executable, "/proc/self/exe", os.path.join(sys.base_exec_prefix, "bin", version))
    return next(
        (
            os.path.realpath(path) if path.startswith("/proc") else path
            for path in candidates
            if path and os.path.exists(path)
        ),
        "",
    )


class SeenEvent(NamedTuple):
    """An event as the other process saw it."""

    position: int
    event: str
    aggregate: str
    version: int
    delay: float
    """The seconds from recording it here to seeing it there."""


class Follower:
    """Another process that follows the file. Use it in a `with` block, which ends the process."""

    def __init__(self, python: str, path: str, after: int) -> None:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(goes_lite.__file__)))
        arguments = ["log", path, "--follow", "--json", "--after", str(after), "--end-with-stdin"]
        # However this process ends, the other one's standard input is closed, and then it ends as well.
        self._process = subprocess.Popen(
            [python, "-c", _START, folder, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def next(self) -> SeenEvent:
        """Wait for the next event that it saw; GoesError if it has ended or reports nothing."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise GoesError(f"the second process saw nothing within {PATIENCE:g} s") from None
        if not line:
            reason = (self._process.stderr.read() if self._process.stderr else "").strip()
            raise GoesError(f"the second process ended: {reason or 'without a reason'}")
        seen = json.loads(line)["data"]
        delay = datetime.fromisoformat(seen["seen"]) - datetime.fromisoformat(seen["time"])
        aggregate = f"{seen['aggregate']} {seen['aggregate_id']}"
        return SeenEvent(seen["position"], seen["event"], aggregate, seen["version"], delay.total_seconds())

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
