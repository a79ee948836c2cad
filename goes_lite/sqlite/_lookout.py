"""The one thread of a process that looks out for commits of other processes, in all files that somebody follows.

It sleeps until a file is due to be looked at, or until the system tells that a `-wal` was written (`_inotify`), where it
can. So a process at rest rests, however many files it has open.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from goes_lite.sqlite._inotify import Inotify

if TYPE_CHECKING:
    import socket

MOMENT = 0.0005
"""Seconds between a notification and the look at the file: a commit causes several of them."""


class Looker(Protocol):
    """Looks at one file."""

    path: str
    told: bool
    """Whether the system tells of writes to it."""

    def look(self, *, hinted: bool) -> float | None:
        """Look at the file; return the seconds until the next look, None for none."""
        ...


class Lookout:
    """The thread, which runs while anybody looks out."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._due: dict[Looker, float] = {}
        self._names: dict[tuple[int, str], set[Looker]] = {}
        self._folders: dict[int, int] = {}  # how many names each watched folder has
        self._inotify: Inotify | None = None
        self._wake: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def inherited(self) -> bool:
        """Whether this is the lookout of a parent process."""
        return self._pid != os.getpid()

    def add(self, looker: Looker) -> None:
        """Look at its file from now on."""
        import socket  # what nobody who only opens a store pays for

        with self._lock:
            self._due[looker] = 0.0
            if self._wake is None:
                with suppress(OSError):  # else every file is looked at now and then
                    self._inotify = Inotify()
                wake, self._wake = socket.socketpair()
                wake.setblocking(False)
                self._wake.setblocking(False)
                self._thread = threading.Thread(target=self._run, args=(wake,), name="goes_lite-watcher", daemon=True)
                self._thread.start()
            self._listen(looker)
            self._rouse()

    def soon(self, looker: Looker) -> None:
        """Look at its file next, if at all. It takes no lock, since the garbage collector may call it while one is held."""
        if looker in self._due:
            self._due[looker] = 0.0
            self._rouse()

    def remove(self, looker: Looker) -> None:
        """Look at its file no more; the thread ends with the last one."""
        with self._lock:
            self._remove(looker)
            thread = self._thread
            if thread is None or thread is threading.current_thread():
                return
            self._rouse()
        while not self._due and thread.is_alive():  # unless somebody else begins to look out
            thread.join(0.05)

    def _rouse(self) -> None:
        if self._wake is not None:
            with suppress(BlockingIOError):  # it was roused so often that it will notice
                self._wake.send(b"!")

    def _listen(self, looker: Looker) -> None:
        looker.told = False
        if self._inotify is None:
            return
        folder, name = os.path.split(looker.path)
        with suppress(OSError):
            number = self._inotify.watch(folder)
            for reported in (f"{name}-wal", name, f"{name}-shm", ""):
                self._folders[number] = self._folders.get(number, 0) + 1
                self._names.setdefault((number, reported), set()).add(looker)
            looker.told = True

    def _remove(self, looker: Looker) -> None:
        self._due.pop(looker, None)
        for (number, name), lookers in list(self._names.items()):
            if looker not in lookers:
                continue
            lookers.discard(looker)
            if not lookers:
                del self._names[number, name]
            self._folders[number] -= 1
            if not self._folders[number]:
                del self._folders[number]
                if self._inotify is not None:
                    self._inotify.forget(number)

    def _run(self, wake: socket.socket) -> None:
        import selectors

        with wake, selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            if self._inotify is not None:
                selector.register(self._inotify.fd, selectors.EVENT_READ)
            while True:
                with self._lock:
                    if not self._due:
                        self._end()
                        return
                    due = min(self._due.values())
                hinted: set[Looker] = set()
                if ready := selector.select(max(0.0, due - time.monotonic())):
                    hinted = self._hinted(wake, {key.fd for key, _ in ready})
                now = time.monotonic()
                for looker, due in [*self._due.items()]:
                    if due <= now or looker in hinted:
                        pause = looker.look(hinted=looker in hinted)
                        with self._lock:
                            if pause is None:
                                self._remove(looker)
                            elif self._due.get(looker) == due:
                                self._due[looker] = now + pause

    def _hinted(self, wake: socket.socket, ready: set[int]) -> set[Looker]:
        """Return whose files were written."""
        if wake.fileno() in ready:
            with suppress(BlockingIOError):
                wake.recv(4096)
        if self._inotify is None or self._inotify.fd not in ready:
            return set()
        time.sleep(MOMENT)
        with self._lock:
            written = self._inotify.read()
            if (-1, "") in written:
                return set(self._due)
            return set[Looker]().union(*(self._names.get(key, ()) for key in written))

    def _end(self) -> None:
        """Release everything; the next to look out starts again. The lock is held."""
        if self._wake is not None:
            self._wake.close()
        if self._inotify is not None:
            self._inotify.close()
        self._wake = self._inotify = None


_lookout = Lookout()


def lookout() -> Lookout:
    """Return the lookout of this process."""
    global _lookout  # noqa: PLW0603
    if _lookout.inherited:
        _lookout = Lookout()
    return _lookout
