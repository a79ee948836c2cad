"""The file: lines that are there wholly or not at all."""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import IO
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from goes_lite.errors import ForeignFile, StoreClosed, StoreDamaged, StoreFull, StoreUnavailable
from goes_lite.runtime import Signal

from .records import Record, State

POLL = 0.01
SEVERAL_PROCESSES = fcntl is not None
"""Whether there is a lock between processes. Without it, one handle at a time may be open: nothing would notice two."""


def line_of(records: Sequence[Record]) -> bytes:
    body = json.dumps(records, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def records_of(line: bytes) -> list[Record] | None:
    """The records of a line, None if it is not a whole one."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    whole = line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(body)
    return json.loads(body) if whole else None


class Journal:
    """The file. One thread at a time uses it (`mutex`), and one handle at a time, of all processes, writes to it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.state = State()
        self.changed = Signal()
        self.mutex = threading.RLock()
        self.closed = False
        self._locked = False
        try:
            # Nobody ever replaces this file, so everybody agrees on it; the journal itself is replaced by a delete.
            self._lock = open(path + ".lock", "ab")  # noqa: SIM115
        except OSError as exc:
            raise StoreUnavailable(path, f"cannot be opened ({exc}): is the folder there, and writable?") from exc
        self._file: IO[bytes] = self._lock  # until there is one
        try:
            while not os.path.exists(path):
                if self.try_lock():
                    with self.locked():
                        if not os.path.exists(path):
                            self.state.identity = uuid4().hex
                            self._rewrite()
                else:
                    time.sleep(POLL)
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self.state, self._offset = State(), 0
        if self._file is not self._lock:
            self._file.close()
        self._file = open(self.path, "r+b", buffering=0)  # noqa: SIM115
        self._inode = os.fstat(self._file.fileno()).st_ino
        self.catch_up()
        if not self._offset:
            raise ForeignFile(self.path, "it does not begin as a journal does")

    def check_open(self) -> None:
        if self.closed:
            raise StoreClosed(self.path)

    def try_lock(self) -> bool:
        """Become the one writer, if nobody is. Nothing ever blocks here: whoever wants to write tries again."""
        with self.mutex:
            self.check_open()
            if self._locked:
                return False
            if fcntl is not None:
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
            self._locked = True
            return True

    def unlock(self) -> None:
        with self.mutex:
            if self._locked and fcntl is not None and not self._lock.closed:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._locked = False

    @contextmanager
    def locked(self) -> Generator[None]:
        """Unlock behind the block."""
        try:
            yield
        finally:
            self.unlock()

    def catch_up(self) -> None:
        """Read what was added since. No lock is needed for that: a line that is whole stays."""
        with self.mutex:
            self.check_open()
            try:
                status = os.stat(self.path)
                if status.st_ino != self._inode:
                    self._open()
                    return
            except OSError as exc:
                raise StoreUnavailable(self.path, f"is no longer there ({exc}): who removed it?") from exc
            if status.st_size <= self._offset:
                return
            self._file.seek(self._offset)
            lines = self._file.read(status.st_size - self._offset).splitlines(keepends=True)
            for number, line in enumerate(lines, 1):
                records = records_of(line)
                if records is None:
                    if number < len(lines) and self._offset:
                        raise StoreDamaged(self.path, f"the line at byte {self._offset} is not what was written")
                    return  # the last one: somebody is just writing it, or a crash has torn it
                for record in records:
                    self.state.apply(record)
                self._offset += len(line)

    def commit(self, records: Sequence[Record]) -> None:
        """Write the records as one line and wait until the disk has it. The lock is held, and nothing is left to read."""
        with self.mutex:
            self.check_open()
            line = line_of(records)
            try:
                self._file.truncate(self._offset)  # what a crash has torn; a line that is whole is never cut off
                self._file.seek(self._offset)
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
            except OSError as exc:
                with suppress(OSError):
                    self._file.truncate(self._offset)
                raise StoreFull(self.path) from exc
            try:
                os.fsync(self._file.fileno())
            except OSError as exc:  # it is there for all to read, so it must not be taken back
                raise StoreUnavailable(self.path, f"the disk may have lost the last commit ({exc}): repeat it") from exc
            for record in records:
                self.state.apply(record)
            self._offset += len(line)
            if any(record[0] == "delete" for record in records):
                with suppress(OSError):  # it is deleted all the same; the bytes go with the next delete
                    self._rewrite()
        self.changed.notify()

    def _rewrite(self) -> None:
        """Write a new file of the state and put it in the place of the old one."""
        with open(self.path + ".new", "wb") as file:
            file.writelines(line_of([record]) for record in self.state.records())
            file.flush()
            os.fsync(file.fileno())
        if os.name == "nt" and self._file is not self._lock:
            self._file.close()  # Windows replaces no file that is open
        os.replace(self.path + ".new", self.path)
        if os.name != "nt":
            folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
            try:
                os.fsync(folder)  # or a power cut brings the old name back
            finally:
                os.close(folder)
        self._open()

    def close(self) -> None:
        with self.mutex:
            self.closed = True
            self._file.close()
            self._lock.close()  # which unlocks it
        self.changed.notify()
