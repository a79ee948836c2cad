"""pymongo: what its errors mean. The only file that knows codes and labels of the server's."""

from __future__ import annotations

from typing import Any, TypeAlias

from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from goes_lite.errors import (
    GoesError,
    InvalidEventError,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    TransactionConflict,
    TransactionError,
)

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncCollection[Document]
ClientSession: TypeAlias = AsyncClientSession

DRIVER_ERRORS = (PyMongoError, BSONError, OverflowError, UnicodeEncodeError)
"""Whatever the driver raises on its own account."""

UNAUTHORIZED, LOGIN, EXISTS, NO_TRANSACTION, LOST_HISTORY = 13, 18, 48, 251, 286
_TRANSIENT, _UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"
_DUPLICATE, _FULL, _TOO_OLD = 11000, 14031, 50
_TOO_LARGE = frozenset((10334, 17280, 17419, 17420))


def code(error: BaseException) -> int:
    """The server's number for it; 0 if the server had nothing to do with it."""
    return error.code or 0 if isinstance(error, OperationFailure) else 0


def unknown_result(error: BaseException) -> bool:
    """Whether nobody knows whether a commit has happened: it may be asked for again, and happens once."""
    return isinstance(error, PyMongoError) and error.has_error_label(_UNKNOWN)


def conflict(error: BaseException) -> bool:
    """Whether the server undid a transaction that may simply be run again."""
    return isinstance(error, PyMongoError) and error.has_error_label(_TRANSIENT)


def lost(error: BaseException) -> bool:
    """Whether the connection, or the primary, is what failed, so that the same may work in a moment."""
    if isinstance(error, OperationFailure):
        return error.has_error_label("RetryableWriteError") or code(error) in _NO_PRIMARY
    return isinstance(error, ConnectionFailure) and not isinstance(error, ConfigurationError)


_NO_PRIMARY = frozenset((91, 189, 10107, 11600, 11602, 13435, 13436))
"""It shuts down, it stepped down, it is none, it recovers."""


def duplicate(error: BaseException) -> bool:
    """Whether a key is there already."""
    if isinstance(error, BulkWriteError):
        return any(one["code"] == _DUPLICATE for one in error.details["writeErrors"])
    return code(error) == _DUPLICATE


def again(error: BaseException) -> bool:
    """Whether the whole transaction may work if it is run once more; a duplicate key is one that another has just made."""
    return conflict(error) or lost(error) or duplicate(error)


def translate(error: Exception, location: str) -> GoesError:
    """What an error of the driver means to a user of goes_lite. It names hosts, never a password."""
    if isinstance(error, GoesError):
        return error
    number, text = code(error), str(error).partition(", full error:")[0].partition(", Timeout:")[0]
    detail = f"{text} (code {number})" if number else text or type(error).__name__
    if number == LOGIN:
        return StoreUnavailable(
            location, f"the server refuses the login: {detail}. Check user, password and authSource"
        )
    if number == UNAUTHORIZED:
        return StoreReadOnly(
            location, f"the user may not do that ({text})", "grant the role readWrite, see docs/mongodb.md"
        )
    if number == _FULL:
        return StoreFull(location)
    if number == NO_TRANSACTION:
        return TransactionError("the transaction was rolled back by an earlier error inside it: begin another")
    if number in _TOO_LARGE or isinstance(error, (DocumentTooLarge, BSONError, OverflowError, UnicodeEncodeError)):
        return InvalidEventError(f"a value that MongoDB cannot store: {text:.200}. One document has at most 16 MB")
    if lost(error):
        return StoreUnavailable(location, f"no primary can be reached: {detail}")
    if conflict(error):
        return TransactionConflict(f"{location}: {detail}")
    if number == _TOO_OLD:
        return StoreUnavailable(location, f"the server took too long: {detail}")
    return StoreError(location, detail)


__all__ = [
    "DRIVER_ERRORS",
    "AutoReconnect",
    "ClientSession",
    "Collection",
    "Document",
    "InvalidOperation",
    "OperationFailure",
    "ServerSelectionTimeoutError",
    "again",
    "code",
    "conflict",
    "duplicate",
    "lost",
    "translate",
    "unknown_result",
]
