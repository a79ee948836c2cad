"""Open the file: which files are accepted, how connections are set up, and the pool of read-only connections.

A foreign, newer or damaged file is refused before anything is written to it; `_place` refuses places before that.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Literal, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote

from goes_lite.errors import (
    ConfigError,
    StoreClosed,
    StoreForked,
    StoreUnavailable,
)
from goes_lite.kit.transaction import opened_read_only
from goes_lite.sqlite import _schema
from goes_lite.sqlite._driver import BUSY, CANTOPEN, READONLY, Connection, Driver, translate
from goes_lite.sqlite._files import Files, NoFiles
from goes_lite.sqlite._own import check_head
from goes_lite.sqlite._reads import LoopPolicy, ReadsOption

T = TypeVar("T")

UNUSED = 3
"""The number of references to a connection that nobody uses: of a list, of a loop over it, and of the call that counts."""

DurabilityOption = Literal["full", "normal", "memory"]
_SYNCHRONOUS: dict[str, str] = {"full": "FULL", "normal": "NORMAL", "memory": "OFF"}

WRITER_BUSY = 0.1
"""How many seconds at a time the writing connection lets SQLite wait; meanwhile Python does not react to Ctrl-C."""


class FileAddress(NamedTuple):
    """What to open and how."""

    path: str
    """Absolute, or ':memory:'."""
    driver: Driver
    durability: DurabilityOption = "full"
    read_only: bool = False
    lock_timeout: float = 30.0
    reads: ReadsOption = "auto"
    files: Files | NoFiles = NoFiles()
    """What a handle has opened, once it is open."""

    @property
    def memory(self) -> bool:
        return self.path == ":memory:"

    @property
    def location(self) -> str:
        return "sqlite:///:memory:" if self.memory else self.path


def set_busy_timeout(connection: Connection, seconds: float) -> None:
    """Set how long SQLite itself waits for a lock."""
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}").fetchall()


class First(NamedTuple):
    """The first connection of a handle."""

    connection: Connection
    identity: str
    head: int
    frozen: tuple[int, ...] | None
    """The state of a file that is read without locks."""


def open_first(address: FileAddress) -> First:
    """Open the first connection of a handle, creating and upgrading the file as needed.

    A file that is refused is not changed.
    """

    def read(connection: Connection, frozen: tuple[int, ...] | None) -> First:
        return First(connection, _schema.identity(connection), check_head(connection, address.location), frozen)

    return _open(address, read, first=True)


def open_reader(address: FileAddress) -> Connection:
    """Open a further connection, which only reads."""
    address.files.check()
    connection = _open(address, lambda connection, _: connection, first=False)
    try:
        address.files.check()  # these were opened
    except BaseException:
        connection.close()
        raise
    return connection


def _open(address: FileAddress, then: Callable[[Connection, tuple[int, ...] | None], T], *, first: bool) -> T:
    frozen: tuple[int, ...] | None = None
    if os.path.exists(address.path + "-journal"):
        _check_journaled(address)
    logged = os.path.exists(address.path + "-wal")
    if address.memory:
        connection = _connect(address, ":memory:")
    elif not address.read_only:
        # only a writer creates: a reader must not leave an empty file where a store was removed
        connection = _connect(address, f"file:{quote(address.path)}?mode={'rwc' if first else 'rw'}")
    else:
        connection, frozen = _connect_read_only(address, logged)
    try:
        _set_up(connection, address, first=first)
        return then(connection, frozen)
    except address.driver.error as exc:
        _leave(connection, address, logged)
        raise translate(exc, address.driver.code(exc), address.location, waited=address.lock_timeout) from exc
    except BaseException:
        _leave(connection, address, logged)
        raise


def _check_journaled(address: FileAddress) -> None:
    """Refuse the file of another program before SQLite rolls back what that program left unfinished, as any reader does."""
    with suppress(*address.driver.error):
        connection = address.driver.open(f"file:{quote(address.path)}?mode=ro&immutable=1", read_only=True)
        try:
            _schema.check(connection, address.location)
        finally:
            connection.close()


def _leave(connection: Connection, address: FileAddress, logged: bool) -> None:
    """Close a connection to a file that was refused, and leave everything as it was found."""
    other: Connection | None = None
    log = address.path + "-wal"
    with suppress(*address.driver.error, OSError):
        # The last writing connection moves the log, such as that of a killed writer, into the file; a reading one cannot,
        # and leaves its own log behind.
        if os.path.getsize(log) if logged else address.read_only and os.path.exists(log):
            mode = "ro" if logged else "rw"
            other = address.driver.open(f"file:{quote(address.path)}?mode={mode}", read_only=logged)
            other.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    connection.close()
    if other is not None:
        other.close()


def _connect(address: FileAddress, uri: str) -> Connection:
    try:
        return address.driver.open(uri, read_only=address.read_only)
    except address.driver.error as exc:
        raise translate(exc, address.driver.code(exc), address.location) from exc


def _connect_read_only(address: FileAddress, logged: bool) -> tuple[Connection, tuple[int, ...] | None]:
    """Open read-only, which needs the -wal and -shm files, or a file without a -wal, which is opened as immutable.

    Return the state of the file as well if it is taken for immutable.
    """
    state = state_of(address.path)
    uri = f"file:{quote(address.path)}?mode=ro"
    connection = _connect(address, uri)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    except address.driver.error as exc:
        _leave(connection, address, logged)
        code = address.driver.code(exc)
        if code & 0xFF not in (CANTOPEN, READONLY):
            raise translate(exc, code, address.location) from exc
        wal = address.path + "-wal"
        if os.path.exists(wal) and os.path.getsize(wal):
            raise StoreUnavailable(
                address.location,
                "its -wal holds events that are not in the file yet, and reading them needs a -shm file, which cannot be "
                "created here: copy the file with its -wal to a writable folder",
            ) from exc
        # This user cannot make a -shm, and there is no unfinished -wal, so the file is read without locks or shared memory
        # (https://www.sqlite.org/wal.html#readonly), as long as nobody changes it: see `FrozenReaders`.
        return _connect(address, uri + "&immutable=1"), state
    return connection, None


def state_of(path: str) -> tuple[int, ...]:
    """Return what changes when the file is written to or replaced; nothing if there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _set_up(connection: Connection, address: FileAddress, *, first: bool) -> None:
    execute = connection.execute
    set_busy_timeout(connection, address.lock_timeout)
    # The file may come from an untrusted source: its schema may not call unsafe functions, and pages are checked
    # (https://www.sqlite.org/security.html). With memory-mapping, a damaged or truncated file could crash the process.
    execute("PRAGMA trusted_schema = OFF")
    execute("PRAGMA cell_size_check = ON")
    execute("PRAGMA mmap_size = 0").fetchall()
    version = _schema.check(connection, address.location, address.driver if first else None)
    if not first or address.read_only:
        if version < _schema.VERSION:
            state = (
                f"was written by an older goes_lite (schema {version})" if version else "is empty and contains no store"
            )
            raise StoreUnavailable(address.location, f"{state}: open it for writing first")
        execute("PRAGMA query_only = ON")
        return
    if not address.memory:
        mode = _use_log(connection, address)
        if mode != "wal":
            raise StoreUnavailable(address.location, f"cannot use a write-ahead log here (journal mode {mode!r})")
        # `Checkpointer` runs checkpoints after a commit, never inside one.
        execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        execute("PRAGMA journal_size_limit = 16777216").fetchall()
    if sys.platform == "darwin" and address.durability == "full":
        execute("PRAGMA fullfsync = ON")  # a plain fsync does not reach the platter on macOS
        execute("PRAGMA checkpoint_fullfsync = ON")
    execute(f"PRAGMA synchronous = {_SYNCHRONOUS[address.durability]}")
    if version < _schema.VERSION:
        _schema.migrate(connection, address.location)


def _use_log(connection: Connection, address: FileAddress) -> str:
    """Switch to a write-ahead log and return the resulting journal mode."""
    deadline = time.monotonic() + address.lock_timeout
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchall()[0][0])
        except address.driver.error as exc:
            # If several processes do this to a new file at once, SQLite refuses all but one without waiting: each holds
            # the read lock that the others would wait for.
            if address.driver.code(exc) & 0xFF != BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(0.01 * random.random())


class Missed(Enum):
    """The answer of a read that did not run."""

    MISSED = 0


class Readers:
    """A pool of read-only connections; each serves one operation at a time."""

    def __init__(self, address: FileAddress) -> None:
        self.address = address
        self.policy = LoopPolicy(address.reads)
        self._idle: deque[Connection] = deque()
        self._prompt: deque[Connection] = deque()
        """Idle connections that do not wait for locks, and have a limit: those of event loops."""
        self.all: list[Connection] = []
        self.closed = False
        self.forked = False

    def check_usable(self) -> None:
        if self.closed or self.forked:
            raise (StoreForked if self.forked else StoreClosed)(self.address.location)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run a read operation and translate driver errors."""
        if self.closed or self.forked:  # inlined, to save a call
            self.check_usable()
        if time.monotonic() >= self.address.files.due:
            self._look(self.address.files.glance)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._patient() or self._open()
        reusable = True  # every statement is read to its end before work returns or raises
        try:
            return work(connection)
        except self.address.driver.error as exc:
            self._look(self.address.files.check)  # if they are lost, that is the reason
            driver = self.address.driver
            raise translate(exc, driver.code(exc), self.address.location, waited=self.address.lock_timeout) from exc
        except Exception:
            raise
        except BaseException:
            reusable = False  # an interrupt may have left a statement half read, which would keep an old view
            raise
        finally:
            if reusable:
                self._idle.append(connection)
            if self.closed or not reusable:
                self._discard(connection, reusable)

    def attempt(self, work: Callable[[Connection], T]) -> T | Missed:
        """Run a read operation on the thread of an event loop; return MISSED, to repeat it elsewhere, where it would wait.

        That is for a lock, for a connection, for a look at the files, or for a disk; errors are left to a thread as well.
        """
        policy, driver = self.policy, self.address.driver
        if self.closed or self.forked or time.monotonic() >= self.address.files.due:
            return Missed.MISSED
        try:
            connection = self._prompt.pop()
        except IndexError:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Missed.MISSED
            set_busy_timeout(connection, 0)
        reusable = True
        began = policy.clock()
        try:
            driver.set_limit(connection, policy.limit())
            found = work(connection)
        except driver.error:
            policy.gave_up()
            return Missed.MISSED
        except Exception:
            raise
        except BaseException:
            reusable = False
            raise
        finally:
            if reusable:
                self._prompt.append(connection)
            if self.closed or not reusable:
                self._discard(connection, reusable)
        policy.ran(policy.clock() - began)
        return found

    def _patient(self) -> Connection | None:
        """Return an idle connection of an event loop, if there is one, set up for a thread."""
        try:
            connection = self._prompt.pop()
        except IndexError:
            return None
        self.address.driver.set_limit(connection, None)
        set_busy_timeout(connection, self.address.lock_timeout)
        return connection

    def _discard(self, connection: Connection, reusable: bool) -> None:
        if reusable:
            self.close()
        else:
            connection.close()
            self.all.remove(connection)

    def _look(self, at_files: Callable[[], T]) -> T:
        """Call what needs the files in place; raise StoreClosed if they are gone because the handle was closed meanwhile."""
        try:
            return at_files()
        except StoreUnavailable:
            self.check_usable()  # the log is removed with its last connection
            raise

    def _open(self) -> Connection:
        connection = self._look(lambda: open_reader(self.address))
        self.all.append(connection)
        return connection

    def lend(self, connection: Connection) -> None:
        """Add an open connection to the pool."""
        self.all.append(connection)
        self._idle.append(connection)

    def refuse_write(self) -> NoReturn:
        """Refuse a write to a store without a writer."""
        self.check_usable()
        raise opened_read_only(self.address.location)

    def close(self) -> None:
        self.closed = True
        for idle in (self._idle, self._prompt):
            while idle:
                idle.pop().close()
        for connection in self.all:
            if sys.getrefcount(connection) == UNUSED:  # an interrupt came right after it was taken
                connection.close()


def parse_durability(value: str) -> DurabilityOption:
    if value not in _SYNCHRONOUS:
        raise ConfigError(f"unknown durability={value!r}: use 'full' (the default), 'normal' or 'memory'")
    return value  # type: ignore[return-value]
