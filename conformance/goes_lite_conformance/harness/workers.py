"""Other processes on the storage of a rule, which do a job and exchange lines with the rule over pipes.

A job is a function of a module of this package, `def job(place: Place, **arguments) -> None`: it opens the storage with
`place.blocking()` (or `place.open()`), says what it does with `say`, and waits for the rule with `listen`. What is said
and told is JSON.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

from goes_lite_conformance.harness.storage import Hook, Storage

PATIENCE = 120.0
"""Seconds after which a silent worker counts as stuck."""


class Process:
    """Another process of Python with the given arguments, connected by pipes."""

    def __init__(self, job: str, *arguments: str) -> None:
        self.job = job
        """The name of its job."""
        self.process = subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        self._readers = [threading.Thread(target=run, daemon=True) for run in (self._read_lines, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job}, process {self.process.pid}, exit code {self.process.returncode}>"

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.append(self.process.stderr.read())

    def hear(self, within: float = PATIENCE) -> Any:
        """Return the next thing that it says; None at its end."""
        try:
            line = self._lines.get(timeout=within)
        except queue.Empty:
            self.kill()
            raise AssertionError(f"{self!r} is stuck:\n{self.errors}") from None
        return json.loads(line) if line.endswith(b"\n") else None  # a line that a kill cut short does not count

    def expect(self, said: Any) -> None:
        """Wait for exactly this."""
        heard = self.hear()
        assert heard == said, f"{self!r} said {heard!r} instead of {said!r}\n{self.errors if heard is None else ''}"

    def tell(self, told: Any = "go on") -> None:
        """Send it a value."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")
        self.process.stdin.flush()

    def rest(self) -> list[Any]:
        """Return everything that it still says until its end."""
        return list(iter(self.hear, None))

    def kill(self) -> None:
        """Send SIGKILL, or end the process at once in the way of this system."""
        self.process.kill()

    @property
    def errors(self) -> str:
        """What it wrote to stderr, once it has ended."""
        self.process.wait(PATIENCE)
        self._readers[1].join(PATIENCE)
        return b"".join(self._errors).decode(errors="replace")

    def finish(self) -> None:
        """Wait for its end; AssertionError if it fails or writes to stderr."""
        assert (self.process.wait(PATIENCE), self.errors) == (0, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it and close its pipes."""
        if self.process.poll() is None:
            self.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class Processes:
    """Start processes on the jobs of a module, as `python -m module JOB {"argument": …}`; none outlives the block."""

    def __init__(self, module: str, *flags: str) -> None:
        self._command = [*flags, "-m", module]
        self._started: list[Process] = []

    def __call__(self, job: str, **arguments: Any) -> Process:
        """Start one."""
        self._started.append(Process(job, *self._command, job, json.dumps(arguments)))
        return self._started[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            process.kill()
        for process in self._started:
            process.close()


class Worker(Process):
    """A process that does one job on the storage of a rule."""

    def __init__(self, hook: Hook, storage: Storage, job: Callable[..., None], arguments: dict[str, Any]) -> None:
        cls = type(hook)
        if "<locals>" in cls.__qualname__:
            raise TypeError(f"{cls.__qualname__} is defined inside a function, where another process cannot find it")
        task = {
            "hook": [inspect.getfile(cls), cls.__module__, cls.__qualname__],
            "storage": [str(storage.folder), storage.name, storage.variant],
            "job": [job.__module__, job.__qualname__],
            "arguments": arguments,
        }
        program = "goes_lite_conformance.harness.job"
        super().__init__(job.__name__, "-W", "error::ResourceWarning", "-m", program, json.dumps(task))


# --- seen from inside -----------------------------------------------------------------------------------------------


def say(said: Any) -> None:
    """Send a value to the rule, in one write, so that a kill leaves a whole line or none."""
    os.write(1, json.dumps(said).encode() + b"\n")


def listen() -> Any:
    """Wait for a value from the rule; EOFError when it has ended."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError("the test is gone")
    return json.loads(line)
