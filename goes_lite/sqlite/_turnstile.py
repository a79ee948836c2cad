"""Fair turns for the writers of several processes, by two byte-range locks on a side file.

SQLite's own busy handler lets one process starve the others: of four that write flat out, one made 8.7 k commits in
three seconds and another 1. Here a writer first queues (range 0), then takes the writer's place (range 1) and lets
the next one queue, so nobody can pass twice while another waits. SQLite's lock stays what keeps the data right; this
one only decides whose turn it is, and the kernel releases it when a process dies.

Linux has locks that belong to the open file (F_OFD_SETLK); elsewhere on POSIX `flock` on the whole file is one lock
for both places, less fair but far better than none; on Windows `msvcrt.locking` locks ranges. The database, its -wal
and its -shm are never opened here: closing them would drop SQLite's own locks.
"""

from __future__ import annotations

import errno
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias, cast

from goes_lite.errors import StoreError, StoreFull, StoreLocked, StoreReadOnly, StoreUnavailable

_QUEUE, _PLACE, _BOTH = 0, 1, 2
_RANGES = [(place, wanted) for place in (_QUEUE, _PLACE) for wanted in (True, False)]

Lock: TypeAlias = Callable[[], object]


def _locks(file: int) -> Mapping[tuple[int, bool], Lock]:
    """For a range, and whether it is wanted or given back: what raises OSError at once if somebody else has it.

    Both ranges may be wanted at once too.
    """
    if sys.platform == "win32":
        import msvcrt

        def lock_windows(place: int, wanted: bool) -> None:
            os.lseek(file, place, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK if wanted else msvcrt.LK_UNLCK, 1)

        def cannot() -> None:
            raise BlockingIOError("what was locked at once could not be given back one by one")

        return {one: partial(lock_windows, *one) for one in _RANGES} | {(_BOTH, True): cannot}

    import fcntl

    # the layout below is that of 64-bit Linux (macOS has a lock of that name too, with another layout)
    linux = sys.platform == "linux" and sys.maxsize > 2**32
    set_lock = cast("int | None", getattr(fcntl, "F_OFD_SETLK", None)) if linux else None
    if set_lock is None:

        def lock_whole(place: int, wanted: bool) -> None:
            if place == _PLACE:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if wanted else fcntl.LOCK_UN)

        return {one: partial(lock_whole, *one) for one in _RANGES} | {(_BOTH, True): partial(lock_whole, _PLACE, True)}

    import struct

    def packed(place: int, wanted: bool) -> bytes:
        # struct flock of Linux with 64-bit offsets: l_type, l_whence, l_start, l_len, l_pid (0 for these locks)
        start, length = (_QUEUE, 2) if place == _BOTH else (place, 1)
        return struct.pack("hhqqi4x", fcntl.F_WRLCK if wanted else fcntl.F_UNLCK, os.SEEK_SET, start, length, 0)

    return {one: partial(fcntl.fcntl, file, set_lock, packed(*one)) for one in [*_RANGES, (_BOTH, True)]}


class Turnstile:
    """One process's way through. `enter` and `leave` are called by one thread at a time."""

    def __init__(self, path: str, location: str) -> None:
        self._location = location
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags, 0o666)
        except OSError as exc:
            raise _refused(exc, path, location) from exc
        locks = _locks(self._file)
        self._take_queue, self._take_place = locks[_QUEUE, True], locks[_PLACE, True]
        self._give_queue, self._give_place = locks[_QUEUE, False], locks[_PLACE, False]
        self._take_both = locks[_BOTH, True]
        self.inside = self._queued = False

    def enter(self, timeout: float) -> None:
        """Wait for this process's turn; StoreLocked if it does not come within `timeout` seconds."""
        try:
            self._queued = True
            # Usually nobody else is there, and one call does. Nobody is passed by it: who waits has one of the two.
            try:
                self._take_both()
            except OSError:
                self._wait(timeout)
            self.inside = True
            self._give_queue()
            self._queued = False
        except BaseException:  # an interrupt too: a place in the queue that is kept would stop everybody for good
            self.inside = True
            self.leave()
            raise

    def _wait(self, timeout: float) -> None:
        """First for the queue, then for the place."""
        deadline = 0.0
        for take, pause in ((self._take_queue, 0.0004), (self._take_place, 0.0001)):
            while not self._try(take):
                # A lock that blocks in the kernel could not be given up at the deadline. Whoever waits for the
                # place is alone there and looks often; those in the queue look less often and at random, so that
                # none is always the last.
                deadline = deadline or time.monotonic() + timeout
                if time.monotonic() > deadline:
                    raise StoreLocked(self._location, timeout)
                time.sleep(pause * random.uniform(0.5, 1.5))

    def _try(self, take: Lock) -> bool:
        try:
            take()
        except (BlockingIOError, PermissionError):  # EAGAIN, EACCES: somebody else has it
            return False
        except OSError as exc:
            raise StoreUnavailable(self._location, f"its lock file cannot be locked: {exc}") from exc
        return True

    def leave(self) -> None:
        if self.inside:
            self.inside = False
            if self._queued:  # a way in that was broken off
                self._queued = False
                self._give_queue()
            self._give_place()

    def close(self) -> None:
        """Give the file back to the system, and with it whatever is held."""
        self.inside = False
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _refused(error: OSError, path: str, location: str) -> StoreError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(
            location,
            f"the lock file {path!r} of its writers cannot be opened",
            "allow writing to it, or open with read_only=True",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(location)
    return StoreUnavailable(location, f"the lock file of its writers cannot be opened: {error}")


class NoTurnstile:
    """For stores that only one handle can reach."""

    inside = False

    def enter(self, timeout: float) -> None: ...
    def leave(self) -> None: ...
    def close(self) -> None: ...


AnyTurnstile = Turnstile | NoTurnstile
