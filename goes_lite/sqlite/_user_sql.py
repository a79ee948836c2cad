"""Run the user's SQL; SQLite's authorizer checks each statement once for what it does.

A statement's text is unreliable (comments, several statements, WITH … INSERT); SQLite's compiler itself calls the
authorizer. Setting it makes the connection recompile its cached statements, so a text that has run is remembered and not
checked again.
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
    """Runs statements whose actions `allows` accepts; others raise `refusal(sql)` without any effect."""

    def __init__(self, driver: Driver, allows: Callable[[int], bool], refusal: Callable[[str], GoesError]) -> None:
        self._driver = driver
        self._refusal = refusal
        self._checked: set[str] = set()

        def check(action: int, *about: str | None) -> int:
            return _ALLOW if allows(action) else _DENY

        self._check = check

    def run(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """Run a statement and return its rows."""
        if not isinstance(sql, str):
            raise TransactionError(f"an SQL statement must be a str, not {sql!r:.80}")
        if sql in self._checked:
            return connection.execute(sql, parameters).fetchall()
        self._driver.authorize(connection, self._check)
        try:
            rows = connection.execute(sql, parameters).fetchall()
        except self._driver.error as exc:
            # a cached statement that is recompiled under the authorizer fails with SCHEMA
            if self._driver.code(exc) & 0xFF in (AUTH, SCHEMA):
                raise self._refusal(sql) from exc
            raise
        finally:
            self._driver.authorize(connection, None)
        if len(self._checked) < _REMEMBERED:
            self._checked.add(sql)
        return rows


def sql_of_transactions(driver: Driver) -> UserSql:
    """Return the checker for `Transaction.execute`: anything except BEGIN, COMMIT and the like."""

    def refusal(sql: str) -> GoesError:
        return TransactionError(
            f"cannot run {sql!r:.80} inside a transaction, which commits when its block ends: raise to roll back"
        )

    return UserSql(driver, lambda action: action not in (_TRANSACTION, _SAVEPOINT), refusal)


def sql_of_readers(driver: Driver, location: str) -> UserSql:
    """Return the checker for `select`: statements that only read."""

    def refusal(sql: str) -> GoesError:
        return StoreReadOnly(location, f"select() only reads, so it cannot run {sql!r:.80}", "write in a transaction")

    return UserSql(driver, lambda action: action in (_READ, _SELECT, _FUNCTION, _RECURSIVE), refusal)
