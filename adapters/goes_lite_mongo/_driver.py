"""pymongo: types, and the translation of errors. The only module that knows the server's codes and labels."""

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
"""The exceptions that the driver raises."""

UNAUTHORIZED, LOGIN, EXISTS, NO_TRANSACTION, LOST_HISTORY = 13, 18, 48, 251, 286
_TRANSIENT, _UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"
_DUPLICATE, _FULL, _TOO_OLD = 11000, 14031, 50
_TOO_LARGE = frozenset((10334, 17280, 17419, 17420))


def code(error: BaseException) -> int:
    """Return the server's code of an error, or 0 if it did not come from the server."""
    return error.code or 0 if isinstance(error, OperationFailure) else 0


def unknown_result(error: BaseException) -> bool:
    """Return whether the outcome of a commit is unknown; it can be retried, and takes effect once."""
    return isinstance(error, PyMongoError) and error.has_error_label(_UNKNOWN)


def conflict(error: BaseException) -> bool:
    """Return whether the server rolled back a transaction that can simply be retried."""
    return isinstance(error, PyMongoError) and error.has_error_label(_TRANSIENT)


def lost(error: BaseException) -> bool:
    """Return whether the connection or the primary failed, so that a retry may work."""
    if isinstance(error, OperationFailure):
        return error.has_error_label("RetryableWriteError") or code(error) in _NO_PRIMARY
    return isinstance(error, ConnectionFailure) and not isinstance(error, ConfigurationError)


_NO_PRIMARY = frozenset((6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436))
"""The server shuts down, stepped down, is not a primary, recovers, or cannot reach another one."""


def duplicate(error: BaseException) -> bool:
    """Return whether a key exists already."""
    if isinstance(error, BulkWriteError):
        return any(one["code"] == _DUPLICATE for one in error.details["writeErrors"])
    return code(error) == _DUPLICATE


def again(error: BaseException) -> bool:
    """Return whether the whole transaction may work if retried; another one has just inserted a duplicate key."""
    return conflict(error) or lost(error) or duplicate(error)


def translate(error: Exception, location: str) -> GoesError:
    """Translate a driver's error to one of goes_lite. Its text may name hosts, but contains no password."""
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
            location, f"the user lacks a privilege ({text})", "grant the role readWrite, see docs/mongodb.md"
        )
    if number == _FULL:
        return StoreFull(location)
    if number == NO_TRANSACTION:
        return TransactionError("the transaction was rolled back by an earlier error inside it: begin another")
    if number in _TOO_LARGE or isinstance(error, (DocumentTooLarge, BSONError, OverflowError, UnicodeEncodeError)):
        return InvalidEventError(f"MongoDB cannot store a value: {text:.200}. A document has at most 16 MB")
    if lost(error):
        return StoreUnavailable(location, f"no primary is reachable: {detail}")
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
