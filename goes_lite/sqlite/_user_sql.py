"""Run the user's SQL; SQLite's authorizer checks each statement once for what it does.

A statement's text is unreliable (comments, several statements, WITH … INSERT); SQLite's compiler itself calls the
authorizer. Setting it makes the connection recompile its cached statements, so a text that has run is remembered and not
checked again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from sqlite3 import complete_statement
from typing import Any, NamedTuple

from goes_lite.contract.sql import check_sql
from goes_lite.errors import GoesError, InvalidQueryError, StoreReadOnly, TransactionError
from goes_lite.kit.placeholders import with_question_marks
from goes_lite.sqlite._driver import AUTH, SCHEMA, Authorizer, Connection, Driver, Row
from goes_lite.sqlite._fence import TRIGGERS
from goes_lite.sqlite._parameters import bound, check_bound
from goes_lite.sqlite._schema import own_names

_ALLOW, _DENY = 0, 1
_PRAGMA, _READ, _SELECT, _TRANSACTION, _FUNCTION, _SAVEPOINT, _RECURSIVE = 19, 20, 21, 22, 31, 32, 33
_ATTACH, _DETACH, _ALTER = 24, 25, 26
_DEFINES = frozenset({*range(1, 9), *range(10, 18), _ALTER, 29, 30})
"""The actions that create, drop or alter something: its name and its table are the arguments."""
_REMEMBERED = 1000
_NOTHING = re.compile(r"(?:[\s;]|--[^\n]*|/\*(?>.*?\*/|.*))*", re.DOTALL).fullmatch

_LOOKS_AT = frozenset(
    "table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list foreign_key_check "
    "integrity_check quick_check defer_foreign_keys".split()
)
"""The PRAGMAs that may have an argument, since it names what to look at, or lasts as long as the transaction."""
_ACTS_ALONE = frozenset("incremental_vacuum optimize shrink_memory wal_checkpoint".split())


class Action(NamedTuple):
    """What a statement is about to do; see https://www.sqlite.org/c3ref/c_alter_table.html."""

    code: int
    one: str | None
    two: str | None
    database: str | None
    source: str | None
    """The trigger or view that does it."""


class UserSql:
    """Runs statements unless `objection` has something against an action; then raises `refusal` of both, without effect."""

    def __init__(
        self, driver: Driver, objection: Callable[[Action], str], refusal: Callable[[str, str], GoesError]
    ) -> None:
        self._driver = driver
        self._refusal = refusal
        self._checked: dict[str, str] = {}
        self._running = False
        self._watching: Authorizer | None = None
        self._objection = ""

        def check(*action: Any) -> int:
            self._objection = self._objection or objection(Action._make(action))
            return _DENY if self._objection else _ALLOW

        self._check = check

    def watch(self, connection: Connection) -> None:
        """Let no trigger take part in our own statements: another program may add one while the file is open."""

        def own(code: int, one: str | None, two: str | None, database: str | None, source: str | None) -> int:
            # SQLite runs a RETURNING clause as a trigger of its own
            ours = source is None or source.startswith("sqlite_returning") or source in TRIGGERS
            return _ALLOW if ours or self._running else _DENY

        self._watching = own
        self._driver.authorize(connection, own)

    def run(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """Run a statement and return its rows."""
        check_sql(sql, parameters)
        values = bound(parameters)
        self._running = True
        try:
            checked = self._checked.get(sql)
            if checked is not None:
                return connection.execute(checked, values).fetchall()
            return self._run_checked(connection, sql, values)
        except (OverflowError, UnicodeEncodeError):
            check_bound(values)
            raise
        finally:
            self._running = False

    def _run_checked(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        statement = _single(with_question_marks(sql))
        if "json_" in sql.lower():  # older versions of SQLite make a table for them, once, which the check would refuse
            connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()
        self._objection = ""
        self._driver.authorize(connection, self._check)
        try:
            rows = connection.execute(statement, parameters).fetchall()
        except self._driver.error as exc:
            # a cached statement that is recompiled under the authorizer fails with SCHEMA
            if self._driver.code(exc) & 0xFF in (AUTH, SCHEMA):
                raise self._refusal(sql, self._objection) from exc
            raise
        finally:
            self._driver.authorize(connection, self._watching)
        if len(self._checked) < _REMEMBERED:
            self._checked[sql] = statement
        return rows


def _single(sql: str) -> str:
    """Return the statement without what follows; InvalidQueryError if there are several, which only one driver runs."""
    for found in re.finditer(";", sql):
        if complete_statement(sql[: found.end()]):
            if not _NOTHING(sql, found.end()):
                raise InvalidQueryError(f"{sql!r:.80} has several statements: run them one by one")
            return sql[: found.end()]
    return sql


_ENDS = "which commits when its block ends: raise to roll back"
_CHANGES_CONNECTION = (
    "since all later operations would run on the connection that it changes: "
    "pass options to connect(), or use another SQLite tool while the store is closed"
)
_CHANGES_OURS = (
    "since it would change what belongs to goes_lite, which then refuses the file: make tables of your own, "
    "with a prefix of their own"
)


def sql_of_transactions(driver: Driver) -> UserSql:
    """Return the checker for `Transaction.execute`: anything that neither ends the transaction nor outlives it unseen."""

    def objection(action: Action) -> str:
        code, one, two, _, _ = action
        if code in (_TRANSACTION, _SAVEPOINT):
            return _ENDS
        if code in (_ATTACH, _DETACH) or (code == _ALTER and one == "temp"):
            return _CHANGES_CONNECTION
        if code == _PRAGMA:
            name = (one or "").lower()
            allowed = name in _LOOKS_AT or (two is None and name not in _ACTS_ALONE)
            return "" if allowed else _CHANGES_CONNECTION
        if code in _DEFINES and {(one or "").lower(), (two or "").lower()} & own_names(driver):
            return _CHANGES_OURS
        return ""

    def refusal(sql: str, objection: str) -> GoesError:
        return TransactionError(f"cannot run {sql!r:.80} inside a transaction, {objection or _ENDS}")

    return UserSql(driver, objection, refusal)


def sql_of_readers(driver: Driver, location: str) -> UserSql:
    """Return the checker for `select`: statements that only read."""

    def objection(action: Action) -> str:
        return "" if action.code in (_READ, _SELECT, _FUNCTION, _RECURSIVE) else "writes"

    def refusal(sql: str, objection: str) -> GoesError:
        return StoreReadOnly(location, f"select() only reads, so it cannot run {sql!r:.80}", "write in a transaction")

    return UserSql(driver, objection, refusal)
