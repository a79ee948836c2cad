"""Run the user's SQL: inside a transaction anything that does not end it, outside only reads.

A read runs in a READ ONLY transaction, so the server refuses anything else. The first word tells whether a statement ends
a transaction: a call has only one statement (the server cannot prepare several), comments are skipped, and a procedure
that is called inside a transaction cannot end it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

import asyncpg

from goes_lite.contract.sql import check_sql
from goes_lite.errors import InvalidQueryError, StoreReadOnly, TransactionError
from goes_lite.kit.placeholders import end_of_comment, with_numbers
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, READ_ONLY, Connection, code
from goes_lite_postgres._ends import rollback

_ENDS = frozenset("ABORT BEGIN COMMIT END PREPARE RELEASE ROLLBACK SAVEPOINT START".split())
_WORD = re.compile(r"[A-Za-z_]+")
_BLANK = re.compile(r"(?:\s|;|--[^\n\r]*)+")


_CHANGES_SESSION = frozenset("DEALLOCATE DISCARD LISTEN LOAD RESET SET UNLISTEN".split())
_UNTIL_THE_END = frozenset("CONSTRAINTS LOCAL TRANSACTION".split())
_LEAVES = re.compile(
    r"set_config|pg_(?:try_)?advisory_lock|\bwith\s+hold\b|\btemp(?:orary)?\b|\bpg_temp\b", re.IGNORECASE
)


def first_word(sql: str) -> str:
    """Return the first word in capitals, after blanks, semicolons and comments, which may be nested."""
    return _word(sql, 0)[0]


def _word(sql: str, at: int) -> tuple[str, int]:
    """Return the first word from there on in capitals, and where it ends."""
    while True:
        if blank := _BLANK.match(sql, at):
            at = blank.end()
        elif sql.startswith("/*", at):
            at = end_of_comment(sql, at)
            if at < 0:
                return "", len(sql)
        else:
            word = _WORD.match(sql, at)
            return (word[0].upper(), word.end()) if word else ("", at)


def check_statement(sql: str, parameters: Sequence[Any]) -> str:
    """Return the statement for the server; TransactionError if it would end the transaction, or outlive it in the connection."""
    check_sql(sql, parameters)
    word, end = _word(sql, 0)
    if word in _ENDS:
        raise TransactionError(
            f"cannot run {sql!r:.80} inside a transaction, which commits when its block ends: raise to roll back"
        )
    if word in _CHANGES_SESSION and not (word == "SET" and _word(sql, end)[0] in _UNTIL_THE_END):
        raise TransactionError(
            f"cannot run {sql!r:.80} inside a transaction, since all later operations would run on the connection that it "
            "changes: use SET LOCAL, settings of the role or the database, or a connection of your own"
        )
    return with_numbers(sql, len(parameters))


def leaves_behind(statement: str) -> bool:
    """Return whether the statement may leave something in the session: a setting, a lock, a cursor, a temporary table."""
    return _LEAVES.search(statement) is not None


async def execute(connection: Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with _refused(sql):
        return [tuple(row) for row in await connection.fetch(sql, *parameters)]


async def execute_all(connection: Connection, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Run statements in order; equal ones that follow each other are sent together."""
    for sql, same in groupby(statements, key=itemgetter(0)):
        rows = [parameters for _, parameters in same]
        with _refused(sql):
            if len(rows) == 1:
                await connection.fetch(sql, *rows[0])
            else:
                await connection.executemany(sql, rows)


@contextmanager
def _refused(sql: str) -> Generator[None]:
    try:
        yield
    except asyncpg.DataError as exc:
        if getattr(exc, "severity", None) is not None:  # from the server
            raise
        raise InvalidQueryError(f"cannot run {sql!r:.80}: {exc}") from exc


async def select(
    connection: Connection, pool: Pool, path: str, sql: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows; raise StoreReadOnly if it does not only read."""
    check_sql(sql, parameters)
    if first_word(sql) in _ENDS:
        raise StoreReadOnly(
            pool.address.location, f"select() only reads, so it cannot run {sql!r:.80}", "use a transaction"
        )
    statement = with_numbers(sql, len(parameters))
    await connection.execute(f"BEGIN READ ONLY; {path}")
    try:
        return await execute(connection, statement, parameters)
    except DRIVER_ERRORS as exc:
        if code(exc) == READ_ONLY:
            raise StoreReadOnly(
                pool.address.location, f"select() only reads, so it cannot run {sql!r:.80}", "use a transaction"
            ) from exc
        raise
    finally:
        await rollback(connection)
