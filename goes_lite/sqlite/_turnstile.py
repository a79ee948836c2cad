"""Fair turns for the writers of several processes, by two byte-range locks on a separate file.

With SQLite's own busy handler one process can starve the others: of four that wrote continuously, one made 8.7 k commits
in three seconds and another 1. Here a writer first queues (range 0), then takes the writer's place (range 1) and lets
the next one queue, so none can pass twice while another waits. SQLite's lock still protects the data; this one only
decides whose turn it is, and the kernel releases it when a process dies.

Linux has locks that belong to the open file (F_OFD_SETLK). On other POSIX systems `flock` on the whole file is one lock
for both ranges, less fair but far better than none; on Windows `msvcrt.locking` locks ranges. The database, its -wal
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

from goes_lite.errors import StoreClosed, StoreError, StoreFull, StoreLocked, StoreReadOnly, StoreUnavailable
from goes_lite.sqlite._files import Files, NoFiles
from goes_lite.sqlite._rights import NO_LINK, mode_of, share

_QUEUE, _PLACE, _BOTH = 0, 1, 2
_RANGES = [(place, wanted) for place in (_QUEUE, _PLACE) for wanted in (True, False)]

GRACE = 0.1
"""How many seconds a write still waits for other processes once its handle is being closed: some turns, where turns are taken."""

Lock: TypeAlias = Callable[[], object]


def _locks(file: int) -> Mapping[tuple[int, bool], Lock]:
    """Return the function that takes (True) or releases (False) each range, or takes both ranges at once.

    It raises OSError immediately if another process holds the range.
    """
    if sys.platform == "win32":
        import msvcrt

        def lock_windows(place: int, wanted: bool) -> None:
            os.lseek(file, place, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK if wanted else msvcrt.LK_UNLCK, 1)

        def cannot() -> None:
            raise BlockingIOError("ranges that are locked together cannot be released separately")

        return {one: partial(lock_windows, *one) for one in _RANGES} | {(_BOTH, True): cannot}

    import fcntl

    # the layout below is that of 64-bit Linux (macOS has a lock of that name, too, with another layout)
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
    """The turnstile of one handle. One thread at a time calls `enter` and `leave`."""

    def __init__(self, path: str, location: str, files: Files | NoFiles | None = None) -> None:
        self._path = path
        self._location = location
        self._files = files or NoFiles()
        self._looks = self._files.looks
        self.inside = self._queued = False
        self.ending = False
        """Whether the handle is being closed, so that nobody waits much longer."""
        self._use(_open(path, location))

    def _use(self, file: int) -> None:
        self._file = file
        locks = _locks(self._file)
        self._take_queue, self._take_place = locks[_QUEUE, True], locks[_PLACE, True]
        self._give_queue, self._give_place = locks[_QUEUE, False], locks[_PLACE, False]
        self._take_both = locks[_BOTH, True]

    def _renew(self) -> None:
        """Reopen the lock file if it is no longer the one that others find, since a clean-up removed it."""
        self._looks = self._files.looks
        if not self._is_current():
            self._files.check()
            before = self._file
            self._use(_open(self._path, self._location))
            os.close(before)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._file))
        except OSError:
            return False

    def enter(self, timeout: float) -> None:
        """Wait for the turn; raise StoreLocked if it does not come within `timeout` seconds, StoreClosed once it is ending."""
        if self._looks != self._files.looks:
            self._renew()
        try:
            self._queued = True
            # Usually nobody else waits, and one call suffices. It is fair, since a waiting process holds one of the two.
            try:
                self._take_both()
            except OSError:
                self._wait(timeout)
            self.inside = True
            self._give_queue()
            self._queued = False
        except BaseException:  # interrupts included: a range that stays locked would stop everyone permanently
            self.inside = True
            self.leave()
            raise

    def enter_now(self) -> bool:
        """Enter if nobody else waits or is inside; return whether it did. Never waits."""
        if self._looks != (looks := self._files.looks):
            if not self._is_current():
                return False
            self._looks = looks
        try:
            self._queued = True
            try:
                self._take_both()
            except OSError:
                self._queued = False
                return False
            self.inside = True
            self._give_queue()
            self._queued = False
        except BaseException:
            self.inside = True
            self.leave()
            raise
        return True

    def _wait(self, timeout: float) -> None:
        """Wait for the queue, then for the place."""
        began = 0.0
        for take, pause in ((self._take_queue, 0.0004), (self._take_place, 0.0001)):
            while not self._try(take):
                # Waiting in the kernel could not end at the deadline. The only process that waits for the place tries
                # often; those in the queue try less often and at random intervals, so that none is always last.
                now = time.monotonic()
                began = began or now
                if now - began > timeout:
                    raise StoreLocked(self._location, timeout)
                if self.ending and now - began > GRACE:
                    raise StoreClosed(self._location)
                time.sleep(pause * random.uniform(0.5, 1.5))

    def _try(self, take: Lock) -> bool:
        try:
            take()
        except (BlockingIOError, PermissionError):  # EAGAIN, EACCES: another process has it
            return False
        except OSError as exc:
            raise StoreUnavailable(self._location, f"its lock file cannot be locked: {exc}") from exc
        return True

    def leave(self) -> None:
        if self.inside:  # noted as left only then: giving back a second time after an interrupt is harmless
            if self._queued:  # `enter` was interrupted
                self._give_queue()
                self._queued = False
            self._give_place()
            self.inside = False

    def file(self) -> int:
        """Return the descriptor of the lock file."""
        return self._file

    def close(self) -> None:
        """Close the file, which releases its locks."""
        self.inside = False
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _open(path: str, location: str) -> int:
    """Open or create the lock file of a store, for all who may write to the store."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, mode_of(location))
    except OSError as exc:
        raise _refused(exc, path, location) from exc
    share(location, file)
    return file


def _refused(error: OSError, path: str, location: str) -> StoreError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(
            location,
            f"its lock file {path!r} cannot be opened for writing",
            "give it the group and mode of the store, or open with read_only=True",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(location)
    return StoreUnavailable(location, f"its lock file cannot be opened: {error}")


class NoTurnstile:
    """The turnstile of a store that only one handle can reach."""

    inside = False
    ending = False

    def enter(self, timeout: float) -> None: ...
    def enter_now(self) -> bool:
        return True

    def leave(self) -> None: ...
    def close(self) -> None: ...


AnyTurnstile = Turnstile | NoTurnstile
