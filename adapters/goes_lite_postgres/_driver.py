"""asyncpg: types, and the translation of errors. The only module that knows SQLSTATE codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from goes_lite.errors import (
    DriverMissing,
    GoesError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMoved,
    StoreReadOnly,
    StoreUnavailable,
    TransactionConflict,
    TransactionError,
)
from goes_lite.kit.fencing import fence_of
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

SERIALIZATION, DEADLOCK, UNIQUE, READ_ONLY, NO_RIGHT = "40001", "40P01", "23505", "25006", "42501"
MOVED = "GL001"
"""What the trigger of a fence raises, see `_fence`; the detail is the fence."""
MISSING = frozenset(("42P01", "42883", "3F000"))
"""A table, a function or a schema does not exist."""
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)
"""The exceptions that the driver raises; a TimeoutError is an OSError.

Some errors of goes_lite are OSErrors as well: where both can occur, catch GoesError first.
"""

_GONE = frozenset(("57P01", "57P02", "57P03", "57P05", "25P03"))
"""The server ended the connection (shutdown, crash, idle for too long), or is starting."""
_FULL = frozenset(("53100", "53400"))
_BUSY = "53300"
_LOGIN = ("28",)
_PREPARED = ("26000", "42P05")
"""A prepared statement is not there, or another one has its name: the session is not ours alone."""
_WRITABLE = (
    "connect to a writable server, or set default_transaction_read_only = off for the role and the database if that is "
    "the reason"
)
_RIGHTS = (
    "grant the role CONNECT on the database, USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on its tables, and "
    "EXECUTE on its functions, see docs/postgres.md"
)
_CANCELLED = (
    "an administrator did so, or the statement_timeout of the role or the database: make that longer than lock_timeout"
)
_WAYS_OUT: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (_PREPARED, "", "if a pooler such as PgBouncer is in between, in transaction mode, add pooler=true to the URL"),
    (("3D000",), "", "create the database first"),
    ((_BUSY,), "", "no connection is left; raise max_connections of the server or the role, or lower pool_size"),
    (("57014",), "", _CANCELLED),
    ((), "statement pooling mode", "use the pooler in mode session, or in mode transaction and with pooler=true"),
    (
        (),
        "rejected SSL upgrade",
        "the server has no TLS, which sslmode in the URL asks for; enable it there (ssl = on)",
    ),
)
"""What helps: after errors of these codes, or of any code, whose text contains a sign."""


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


def translate(error: Exception, location: str, *, waited: float = 0.0, reading: bool = False) -> GoesError:
    """Translate a driver's error to one of goes_lite. Its text contains no password, since the server's does not.

    `waited` is the lock timeout in seconds; `reading` tells that the role may lack the right to read.
    """
    if isinstance(error, GoesError):
        return error
    state, text, said = code(error), _text(error), detail(error)
    if state == MOVED and (found := fence_of(getattr(error, "detail", None))):
        return StoreMoved(location, found[0].to, found[0].move)
    if state == "55P03":
        return locked(location, waited)
    if state in (SERIALIZATION, DEADLOCK):
        return TransactionConflict(f"{location}: {said}")
    if state == READ_ONLY:
        return StoreReadOnly(location, f"this PostgreSQL server is read-only ({text})", _WRITABLE)
    if state == NO_RIGHT and reading:
        return StoreUnavailable(location, f"this role may not read it ({text}): {_RIGHTS}")
    if state == NO_RIGHT:
        return StoreReadOnly(location, f"the role lacks a privilege ({text})", _RIGHTS)
    if state in _FULL:
        return StoreFull(location)
    if state == "25P02":
        return TransactionError("the transaction was rolled back by an earlier error inside it: begin another")
    if state[:2] in _LOGIN:
        return StoreUnavailable(location, f"the server refuses the login: {said}. {_login(text)}")
    for states, sign, way_out in _WAYS_OUT:
        if (state in states or not states) and sign in text:
            return (StoreError if state in _PREPARED else StoreUnavailable)(location, f"{said}: {way_out}")
    if lost(error):
        return StoreUnavailable(
            location, f"the server cannot be reached: {said}: check that it runs, and host and port in the URL"
        )
    return StoreError(location, said)


def _login(text: str) -> str:
    if "no encryption" in text or "SSL off" in text:
        return "It wants TLS: add sslmode=require to the URL, or sslmode=verify-full with the server's CA"
    return "Check user, password and pg_hba.conf"


def detail(error: Exception) -> str:
    """Return what the server or the driver says about an error."""
    state = code(error)
    return f"{_text(error)} (SQLSTATE {state})" if state else _text(error)


def _text(error: Exception) -> str:
    if type(error) is TimeoutError and not error.args:
        return "it does not answer"
    message: Any = getattr(error, "message", None)
    hint: Any = getattr(error, "hint", None)
    text = str(message or error) or type(error).__name__
    return f"{text}. {hint}" if hint and code(error) not in _PREPARED else text  # the driver's, about its own options
