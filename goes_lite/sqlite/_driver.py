"""One interface for both drivers, apsw and the standard library's sqlite3, and the translation of their errors.

Connections of both have the same `execute(...).fetchall()`, `executemany` and `close`. This module covers the differences:
opening, a few names, and which attribute of an exception holds SQLite's result code. Result codes determine the translated
error, never message texts (https://www.sqlite.org/rescode.html).
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, methodcaller
from typing import Any, Literal, Protocol, cast

from goes_lite.errors import (
    ConfigError,
    DriverMissing,
    ForeignFile,
    GoesError,
    InvalidEventError,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
)

DriverName = Literal["apsw", "sqlite3"]
Row = tuple[Any, ...]

STEPS = 100
"""How many instructions, those of a few rows, SQLite executes between two looks at a limit."""
OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE, OPEN_URI = 0x1, 0x2, 0x4, 0x40


class Cursor(Protocol):
    def fetchall(self) -> list[Row]: ...


class Connection(Protocol):
    """The common part of both drivers' connections."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor: ...
    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any: ...
    def close(self) -> None: ...
    def interrupt(self) -> None: ...


Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]
"""https://www.sqlite.org/c3ref/set_authorizer.html"""


class Driver(Protocol):
    """A driver for SQLite."""

    name: DriverName
    version: tuple[int, ...]
    """The version of its SQLite library."""
    error: tuple[type[Exception], ...]
    """The exceptions that it raises."""

    def open(self, uri: str, *, read_only: bool) -> Connection:
        """Open a connection, on which SQL cannot damage the file on purpose (where the driver can see to that)."""
        ...

    changes: Callable[[Any], int]
    """Returns the number of rows changed over the life of a connection, which tells whether an operation wrote."""
    in_transaction: Callable[[Any], bool]

    def last_key(self, connection: Connection, cursor: Cursor) -> int:
        """Return the key of the row that the last statement of the connection inserted."""
        ...

    def on_commit(self, connection: Connection, tell: Callable[[object, str, int], int]) -> bool:
        """Call `tell` at each commit with the number of pages in the -wal; return False if the driver cannot do that."""
        ...

    def authorize(self, connection: Connection, check: Authorizer | None) -> None:
        """Set or, with None, remove the authorizer. SQLite then recompiles cached statements."""
        ...

    def set_limit(self, connection: Connection, stop: Callable[[], bool] | None) -> None:
        """Interrupt statements when the function, which is called every `STEPS` instructions, returns True."""
        ...

    def copy(self, source: Connection, target: Connection) -> None:
        """Make the target, a database in memory, equal to the source."""
        ...

    def code(self, error: Exception) -> int:
        """Return SQLite's extended result code."""
        ...


class StdlibDriver:
    """The sqlite3 module of the standard library, with the SQLite that Python was built with."""

    name: DriverName = "sqlite3"
    version: tuple[int, ...] = sqlite3.sqlite_version_info
    error: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeDecodeError)

    def __init__(self) -> None:
        # Implemented in C: they are called for each operation.
        self.changes: Callable[[Any], int] = attrgetter("total_changes")
        self.in_transaction: Callable[[Any], bool] = attrgetter("in_transaction")

    def open(self, uri: str, *, read_only: bool) -> Connection:
        # isolation_level=None: the module begins no transactions itself. check_same_thread=False: the pool gives a
        # connection to one thread at a time.
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        if sys.version_info >= (3, 12):
            connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE)
        return cast("Connection", connection)

    def last_key(self, connection: Any, cursor: Any) -> int:
        key: int = cursor.lastrowid
        return key

    def on_commit(self, connection: Connection, tell: Callable[[object, str, int], int]) -> bool:
        return False

    def authorize(self, connection: Connection, check: Authorizer | None) -> None:
        cast("sqlite3.Connection", connection).set_authorizer(check)

    def set_limit(self, connection: Any, stop: Callable[[], bool] | None) -> None:
        connection.set_progress_handler(stop, STEPS)

    def copy(self, source: Connection, target: Connection) -> None:
        cast("sqlite3.Connection", source).backup(cast("sqlite3.Connection", target))

    def code(self, error: Exception) -> int:
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is None and type(error) in (sqlite3.OperationalError, UnicodeDecodeError):
            return CORRUPT  # the module's own errors for text that is not UTF-8: of a value, and of the schema
        return code or 1


class ApswDriver:
    """apsw, which includes a current SQLite."""

    name: DriverName = "apsw"

    def __init__(self) -> None:
        try:
            import apsw
        except ModuleNotFoundError as missing:
            raise DriverMissing("driver='apsw'", "apsw", "fast") from missing
        self._apsw = apsw
        self.version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        self.error: tuple[type[Exception], ...] = (apsw.Error, UnicodeDecodeError)
        self.changes: Callable[[Any], int] = methodcaller("total_changes")
        self.in_transaction: Callable[[Any], bool] = attrgetter("in_transaction")

    def open(self, uri: str, *, read_only: bool) -> Connection:
        flags = OPEN_URI | (OPEN_READONLY if read_only else OPEN_READWRITE | OPEN_CREATE)
        connection = self._apsw.Connection(uri, flags=flags, statementcachesize=256)
        connection.config(self._apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        # Else SQLite compiles statements with joins at each execution, to look at statistics that no store has, which takes
        # longer than they do.
        connection.config(self._apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        return cast("Connection", connection)

    def last_key(self, connection: Any, cursor: Any) -> int:
        key: int = connection.last_insert_rowid()
        return key

    def on_commit(self, connection: Connection, tell: Callable[[object, str, int], int]) -> bool:
        cast("Any", connection).set_wal_hook(tell)
        return True

    def authorize(self, connection: Connection, check: Authorizer | None) -> None:
        cast("Any", connection).authorizer = check

    def set_limit(self, connection: Any, stop: Callable[[], bool] | None) -> None:
        connection.set_progress_handler(stop, STEPS)

    def copy(self, source: Connection, target: Connection) -> None:
        with cast("Any", target).backup("main", source, "main") as copying:
            copying.step()

    def code(self, error: Exception) -> int:
        if isinstance(error, UnicodeDecodeError):
            return CORRUPT  # stored text that is not UTF-8
        return getattr(error, "extendedresult", None) or 1


def path_of(connection: Connection) -> str:
    """Return the path of the open file, for errors where nothing else knows it."""
    return connection.execute("PRAGMA database_list").fetchall()[0][2] or "sqlite:///:memory:"


_DRIVERS: dict[str, Callable[[], Driver]] = {"apsw": ApswDriver, "sqlite3": StdlibDriver}
_loaded: dict[str, Driver] = {}


def driver(name: str | None) -> Driver:
    """Return the driver of that name; without a name, apsw if it is installed, otherwise sqlite3."""
    if name is None:
        try:
            return driver("apsw")
        except DriverMissing:
            return driver("sqlite3")
    if name not in _loaded:
        make = _DRIVERS.get(name)
        if make is None:
            raise ConfigError(f"unknown driver={name!r}: use 'apsw' or 'sqlite3', or leave it out")
        _loaded[name] = make()
    return _loaded[name]


_WAL_RESET_BACKPORTS = ((3, 44, 6), (3, 50, 7))


def wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Return whether this SQLite can lose or damage data when two connections checkpoint and write at once.

    The WAL-reset bug of 3.7.0 to 3.51.2, fixed in 3.51.3 and in the branches 3.44.6 and 3.50.7
    (https://www.sqlite.org/wal.html#walresetbug).
    """
    return (3, 7, 0) <= version < (3, 51, 3) and not any(
        fix <= version < (3, fix[1] + 1) for fix in _WAL_RESET_BACKPORTS
    )


BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, TOOBIG, AUTH, NOTADB = (
    5, 6, 7, 8, 9, 10, 11, 13, 14, 18, 23, 26,
)  # fmt: skip
PROTOCOL, SCHEMA, CONSTRAINT = 15, 17, 19
NOT_NULL, PRIMARY_KEY = CONSTRAINT | 5 << 8, CONSTRAINT | 6 << 8


_TO_RESCUE = (
    "restore a backup after moving the -wal and -shm of the file away, or save what is readable with `sqlite3 FILE .dump`: "
    "see 'Restore' and 'A damaged file' in docs/sqlite.md"
)
_TO_READ = "open it with read_only=True to read it, or move it to a writable folder"


def translate(error: Exception, code: int, location: str, *, waited: float = 0.0) -> GoesError:
    """Translate a driver's error to one of goes_lite."""
    primary = code & 0xFF
    detail = f"{error} (SQLite code {code})"
    if primary in (BUSY, LOCKED, PROTOCOL):  # PROTOCOL: SQLite gave up trying to begin a read
        return StoreLocked(location, waited)
    if primary == READONLY:
        return StoreReadOnly(location, "the file or its folder is read-only", _TO_READ)
    if primary == FULL or (primary == IOERR and _no_room(code)):
        return StoreFull(location)
    if primary == CORRUPT:
        return StoreDamaged(location, detail, _TO_RESCUE)
    if primary == NOTADB:
        return ForeignFile(location, "it is not an SQLite database, or its first page is damaged")
    if primary in (CANTOPEN, IOERR, AUTH):
        return StoreUnavailable(location, f"cannot be opened, read or written: {detail}")
    if primary == TOOBIG:
        return InvalidEventError(f"a value is larger than SQLite can store: {detail}")
    return StoreError(location, detail)


def _no_room(code: int) -> bool:
    # SQLITE_IOERR_WRITE, _TRUNCATE, _FSYNC, _SHMSIZE: with a file-size limit the kernel refuses the write with EFBIG,
    # which SQLite does not distinguish from other failed writes; on a healthy disk there is no other common cause.
    return code >> 8 in (3, 4, 6, 19)
