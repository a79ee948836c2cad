"""The two drivers, apsw and the standard library's sqlite3, behind one small seam; and their errors as ours.

Both give connections with the same `execute(...).fetchall()`, `executemany` and `close`, so everything else is written
once. What differs is here: opening, a few names, and which attribute of an exception holds SQLite's result code.
Codes decide, never message texts (https://www.sqlite.org/rescode.html).
"""

from __future__ import annotations

import sqlite3
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

OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE, OPEN_URI = 0x1, 0x2, 0x4, 0x40


class Cursor(Protocol):
    def fetchall(self) -> list[Row]: ...


class Connection(Protocol):
    """What both drivers' connections can do."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor: ...
    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any: ...
    def close(self) -> None: ...
    def interrupt(self) -> None: ...


Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]
"""https://www.sqlite.org/c3ref/set_authorizer.html"""


class Driver(Protocol):
    """One way to reach SQLite."""

    name: DriverName
    version: tuple[int, ...]
    """Of the SQLite library that it brings or links."""
    error: tuple[type[Exception], ...]
    """What it raises."""

    def open(self, uri: str, *, read_only: bool) -> Connection: ...

    changes: Callable[[Any], int]
    """Rows changed over the life of a connection: whether an operation wrote anything."""
    in_transaction: Callable[[Any], bool]

    def last_key(self, connection: Connection, cursor: Cursor) -> int:
        """The key of the row that the statement has inserted, the last one on the connection."""
        ...

    def on_commit(self, connection: Connection, tell: Callable[[object, str, int], int]) -> bool:
        """Call at each commit of the connection, with how many pages the -wal holds then; False if nothing can."""
        ...

    def authorize(self, connection: Connection, check: Authorizer | None) -> None:
        """Have SQLite ask before it compiles anything; None: no more. Makes it compile cached statements anew."""
        ...

    def code(self, error: Exception) -> int:
        """SQLite's extended result code."""
        ...


class StdlibDriver:
    """The sqlite3 module of the standard library, with whatever SQLite Python was built with."""

    name: DriverName = "sqlite3"
    version: tuple[int, ...] = sqlite3.sqlite_version_info
    error: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self) -> None:
        # Of C, so that asking is no call of Python: they are asked for each operation.
        self.changes: Callable[[Any], int] = attrgetter("total_changes")
        self.in_transaction: Callable[[Any], bool] = attrgetter("in_transaction")

    def open(self, uri: str, *, read_only: bool) -> Connection:
        # isolation_level=None: the module begins no transactions of its own. check_same_thread=False: the pool hands
        # a connection to one thread at a time.
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        return cast("Connection", connection)

    def last_key(self, connection: Any, cursor: Any) -> int:
        key: int = cursor.lastrowid
        return key

    def on_commit(self, connection: Connection, tell: Callable[[object, str, int], int]) -> bool:
        return False

    def authorize(self, connection: Connection, check: Authorizer | None) -> None:
        cast("sqlite3.Connection", connection).set_authorizer(check)

    def code(self, error: Exception) -> int:
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is None and type(error) is sqlite3.OperationalError:
            return CORRUPT  # the module's own error for text that is not UTF-8
        return code or 1


class ApswDriver:
    """apsw, which brings a current SQLite of its own."""

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
        return cast("Connection", connection)

    def last_key(self, connection: Any, cursor: Any) -> int:
        key: int = connection.last_insert_rowid()
        return key

    def on_commit(self, connection: Connection, tell: Callable[[object, str, int], int]) -> bool:
        cast("Any", connection).set_wal_hook(tell)
        return True

    def authorize(self, connection: Connection, check: Authorizer | None) -> None:
        cast("Any", connection).authorizer = check

    def code(self, error: Exception) -> int:
        if isinstance(error, UnicodeDecodeError):
            return CORRUPT  # stored text that is not UTF-8
        return getattr(error, "extendedresult", None) or 1


_DRIVERS: dict[str, Callable[[], Driver]] = {"apsw": ApswDriver, "sqlite3": StdlibDriver}
_loaded: dict[str, Driver] = {}


def driver(name: str | None) -> Driver:
    """The driver of that name; without a name apsw if it is installed, else sqlite3. DriverMissing, ConfigError."""
    if name is None:
        try:
            return driver("apsw")
        except DriverMissing:
            return driver("sqlite3")
    if name not in _loaded:
        make = _DRIVERS.get(name)
        if make is None:
            raise ConfigError(f"driver={name!r} is not known: use 'apsw' or 'sqlite3', or leave it out")
        _loaded[name] = make()
    return _loaded[name]


_WAL_RESET_BACKPORTS = ((3, 44, 6), (3, 50, 7))


def wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose or damage data when two connections checkpoint and write at once.

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
NOT_NULL = CONSTRAINT | 5 << 8


_TO_READ = "open it with read_only=True to read it, or move it to where it can be written"


def translate(error: Exception, code: int, location: str, *, waited: float = 0.0) -> GoesError:
    """What a driver's error means to a user of goes_lite."""
    primary = code & 0xFF
    detail = f"{error} (SQLite code {code})"
    if primary in (BUSY, LOCKED, PROTOCOL):  # the last: it could not begin to read for so long that it gave up
        return StoreLocked(location, waited)
    if primary == READONLY:
        return StoreReadOnly(location, "the file or its folder is read-only", _TO_READ)
    if primary == FULL or (primary == IOERR and _no_room(code)):
        return StoreFull(location)
    if primary == CORRUPT:
        return StoreDamaged(location, detail)
    if primary == NOTADB:
        return ForeignFile(location, "it is not an SQLite database, or its first page is damaged")
    if primary in (CANTOPEN, IOERR, AUTH):
        return StoreUnavailable(location, f"cannot be opened, read or written: {detail}")
    if primary == TOOBIG:
        return InvalidEventError(f"a value is larger than SQLite can store: {detail}")
    return StoreError(location, detail)


def _no_room(code: int) -> bool:
    # SQLITE_IOERR_WRITE, _TRUNCATE, _FSYNC, _SHMSIZE: with a file-size limit the kernel refuses the write with EFBIG,
    # which SQLite does not tell from other failed writes; on a healthy disk there is no other common cause.
    return code >> 8 in (3, 4, 6, 19)
