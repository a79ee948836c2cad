"""asyncpg: types, and the translation of errors. The only module that knows SQLSTATE codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from goes_lite.errors import (
    DriverMissing,
    GoesError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
    TransactionConflict,
    TransactionError,
)
from goes_lite.kit.select import Reading

try:
    import asyncpg
except ModuleNotFoundError as _exc:
    raise DriverMissing("postgresql", "asyncpg", "postgres") from _exc

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Row: TypeAlias = asyncpg.Record
else:
    Connection, Row = asyncpg.Connection, asyncpg.Record

R = TypeVar("R")

SERIALIZATION, DEADLOCK, UNIQUE, READ_ONLY = "40001", "40P01", "23505", "25006"
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)
"""The exceptions that the driver raises; a TimeoutError is an OSError.

Some errors of goes_lite are OSErrors as well: where both can occur, catch GoesError first.
"""

_GONE = frozenset(("57P01", "57P02", "57P03", "57P05", "25P03"))
"""The server ended the connection (shutdown, crash, idle for too long), or is starting."""
_FULL = frozenset(("53100", "53400"))
_BUSY = "53300"
_LOGIN = ("28",)


async def answer(reading: Reading[R], connection: Connection) -> R:
    """Execute the statements of a reading and return its result."""
    try:
        sql = next(reading)
        while True:
            sql = reading.send(await connection.fetch(sql.text, *sql.parameters))
    except StopIteration as done:
        result: R = done.value
        return result


def code(error: BaseException) -> str:
    """Return the SQLSTATE of an error, or '' if it did not come from the server."""
    state: Any = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def lost(error: BaseException, connection: Connection | None = None) -> bool:
    """Return whether the connection failed, so that another one may work."""
    state = code(error)
    if state:
        return state in _GONE or state.startswith("08")
    if isinstance(error, (OSError, EOFError)):  # refused, reset, timed out; errors of TLS are OSErrors, too
        return True
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return True  # during a failover no server is writable
    return connection is not None and connection.is_closed()


def worth_waiting(error: BaseException) -> bool:
    """Return whether connecting may soon work: the server is not up yet, or has no connection left."""
    return lost(error) or code(error) == _BUSY


def conflict(error: BaseException) -> bool:
    """Return whether PostgreSQL rolled back a transaction that can simply be retried."""
    return code(error) in (SERIALIZATION, DEADLOCK)


def unstorable(error: BaseException) -> bool:
    """Return whether the driver or the server refused a value, for example jsonb."""
    return code(error)[:2] == "22"


def locked(location: str, waited: float) -> StoreLocked:
    """Return the error for a lock that others keep."""
    return StoreLocked(
        location, waited, "a transaction that is open for long: see pg_stat_activity; or a server that is overloaded"
    )


def translate(error: Exception, location: str, *, waited: float = 0.0) -> GoesError:
    """Translate a driver's error to one of goes_lite. Its text contains no password, since the server's does not."""
    if isinstance(error, GoesError):
        return error
    state, text = code(error), _text(error)
    detail = f"{text} (SQLSTATE {state})" if state else text
    if state == "55P03":
        return locked(location, waited)
    if state in (SERIALIZATION, DEADLOCK):
        return TransactionConflict(f"{location}: {detail}")
    if state == READ_ONLY:
        return StoreReadOnly(location, f"this PostgreSQL server is read-only ({text})", "connect to a writable server")
    if state == "42501":
        return StoreReadOnly(location, f"the role lacks a privilege ({text})", "grant it, see docs/postgres.md")
    if state in _FULL:
        return StoreFull(location)
    if state == "25P02":
        return TransactionError("the transaction was rolled back by an earlier error inside it: begin another")
    if state[:2] in _LOGIN:
        return StoreUnavailable(
            location, f"the server refuses the login: {detail}. Check user, password and pg_hba.conf"
        )
    if state == "3D000":
        return StoreUnavailable(location, f"{detail}: create the database first")
    if state == _BUSY:
        return StoreUnavailable(
            location, f"the server has no connection left: {detail}. Raise max_connections, or lower pool_size"
        )
    if state == "57014":
        return StoreUnavailable(location, f"a statement was cancelled: {detail}")
    if lost(error):
        return StoreUnavailable(location, f"the server cannot be reached: {detail}")
    return StoreError(location, detail)


def _text(error: Exception) -> str:
    message: Any = getattr(error, "message", None)
    hint: Any = getattr(error, "hint", None)
    text = str(message or error) or type(error).__name__
    return f"{text}. {hint}" if hint else text
