"""A server as a child process: start it, wait until it is ready, stop it, kill it, start it again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

START = 30.0
"""Seconds that a server may take to become ready, and to stop when asked to."""


class ServerMissing(Exception):
    """The program of a server is missing. The message names the package that contains it."""


class ServerFailed(Exception):
    """A server ended, or was not ready in time. The message ends with its last log lines."""


class Child:
    """One server process at a time, with a log file; the same command runs again after `stop` or `kill`.

    `ready` is called until it returns True, which means that the server can be used. It may raise OSError. `user` is the
    user that the server runs as, for servers that refuse to run as root.
    """

    def __init__(
        self, command: Sequence[str], log: Path, ready: Callable[[], bool], *, user: str | None = None
    ) -> None:
        self._command = list(command)
        self._log = log
        self._ready = ready
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the running process; raises ServerFailed if there is none."""
        if self._process is None:
            raise ServerFailed(f"{self._command[0]} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the server without waiting."""
        with self._log.open("ab") as log:
            # Files of its own: a pipe of ours that outlives us would keep our parent waiting for its end.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                cwd="/" if self._user else None,  # ours may be inaccessible to that user
            )

    def wait_ready(self) -> None:
        """Wait until the server is ready; raise ServerFailed if it ends instead, or after 30 seconds."""
        end = time.monotonic() + START
        while True:
            if self._process is None or self._process.poll() is not None:
                raise ServerFailed(f"{self._command[0]} ended: {self._last_words()}")
            with contextlib.suppress(OSError):
                if self._ready():
                    return
            if time.monotonic() > end:
                self.kill()
                raise ServerFailed(f"{self._command[0]} was not ready in {START:g} s: {self._last_words()}")
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask the server to end and wait for it; kill it if it does not. Does nothing if it is not running."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            self._process.wait(START)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def freeze(self) -> None:
        """Stop the server and its children where they are, until `thaw`: connections stay open, and nothing answers."""
        for pid in (self.pid, *children_of(self.pid)):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for pid in (*children_of(self.pid), self.pid):
            os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server and its children with SIGKILL, as if the machine had lost power."""
        if self._process is None:
            return
        if os.name == "nt":
            self._process.kill()
        else:
            # Children may have started a session of their own, as those of PostgreSQL do, so look them up first.
            children = children_of(self._process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "it logged nothing"


def children_of(pid: int) -> list[int]:
    """Return the running processes that a process has started; none where the system has no /proc."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # proc(5): the name is in parentheses and may contain any character; state and parent follow
            if int(entry.read_text(errors="replace").rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.parent.name))
    return found


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
