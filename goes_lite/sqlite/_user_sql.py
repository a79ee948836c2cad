"""The user's own SQL on our connections: each statement is checked once, by SQLite's authorizer, for what it would do.

A statement text tells nothing reliably (comments, several statements, WITH … INSERT); the authorizer is asked by the
compiler itself. Setting it makes the connection compile its cached statements anew, so a text that has run is
remembered and not checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goes_lite.errors import GoesError, StoreReadOnly, TransactionError
from goes_lite.sqlite._driver import AUTH, SCHEMA, Connection, Driver, Row

_ALLOW, _DENY = 0, 1
_READ, _SELECT, _TRANSACTION, _FUNCTION, _SAVEPOINT, _RECURSIVE = 20, 21, 22, 31, 32, 33
_REMEMBERED = 1000


class UserSql:
    """Runs statements that do nothing but what `allows` says; others raise `refusal(sql)` and have done nothing."""

    def __init__(self, driver: Driver, allows: Callable[[int], bool], refusal: Callable[[str], GoesError]) -> None:
        self._driver = driver
        self._refusal = refusal
        self._checked: set[str] = set()

        def check(action: int, *about: str | None) -> int:
            return _ALLOW if allows(action) else _DENY

        self._check = check

    def run(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows of the statement."""
        if not isinstance(sql, str):
            raise TransactionError(f"an SQL statement is a str, not {sql!r:.80}")
        if sql in self._checked:
            return connection.execute(sql, parameters).fetchall()
        self._driver.authorize(connection, self._check)
        try:
            rows = connection.execute(sql, parameters).fetchall()
        except self._driver.error as exc:
            # a cached statement that is compiled anew under the authorizer fails with SCHEMA
            if self._driver.code(exc) & 0xFF in (AUTH, SCHEMA):
                raise self._refusal(sql) from exc
            raise
        finally:
            self._driver.authorize(connection, None)
        if len(self._checked) < _REMEMBERED:
            self._checked.add(sql)
        return rows


def sql_of_transactions(driver: Driver) -> UserSql:
    """What `Transaction.execute` runs: anything but BEGIN, COMMIT and their like."""

    def refusal(sql: str) -> GoesError:
        return TransactionError(f"{sql!r:.80} inside a transaction: it commits when its block ends, raise to roll back")

    return UserSql(driver, lambda action: action not in (_TRANSACTION, _SAVEPOINT), refusal)


def sql_of_readers(driver: Driver, location: str) -> UserSql:
    """What `select` runs: statements that only read."""

    def refusal(sql: str) -> GoesError:
        return StoreReadOnly(location, f"select() only reads, and {sql!r:.80} does more", "write in a transaction")

    return UserSql(driver, lambda action: action in (_READ, _SELECT, _FUNCTION, _RECURSIVE), refusal)
