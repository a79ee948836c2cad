"""The user's own SQL on our connections: in a transaction anything but what would end it, outside of one only reads.

That a statement only reads is for the server to say: it runs in a transaction that may do nothing else. A statement that
ends a transaction is known by its first word: there is one statement in a call (the server prepares no two), a word
that is hidden in a comment is no first one, and procedures cannot end a transaction that they were not called outside of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from goes_lite.errors import StoreReadOnly, TransactionError
from goes_lite_postgres._connection import Pool
from goes_lite_postgres._driver import DRIVER_ERRORS, READ_ONLY, Connection, code
from goes_lite_postgres._ends import rollback

_ENDS = frozenset("ABORT BEGIN COMMIT END PREPARE RELEASE ROLLBACK SAVEPOINT START".split())
_WORD = re.compile(r"[A-Za-z_]+")
_BLANK = re.compile(r"(?:\s|;|--[^\n\r]*)+")


def first_word(sql: str) -> str:
    """The first word of a statement, in capitals, behind blanks, semicolons and comments, which may be nested."""
    at = 0
    while True:
        if blank := _BLANK.match(sql, at):
            at = blank.end()
        elif sql.startswith("/*", at):
            depth, at = 1, at + 2
            while depth:
                found = re.compile(r"/\*|\*/").search(sql, at)
                if found is None:
                    return ""
                depth += 1 if found[0] == "/*" else -1
                at = found.end()
        else:
            word = _WORD.match(sql, at)
            return word[0].upper() if word else ""


def check_statement(sql: object) -> str:
    """TransactionError if it is no statement, or one that would end the transaction."""
    if not isinstance(sql, str):
        raise TransactionError(f"an SQL statement is a str, not {sql!r:.80}")
    if first_word(sql) in _ENDS:
        raise TransactionError(f"{sql!r:.80} inside a transaction: it commits when its block ends, raise to roll back")
    return sql


async def execute(connection: Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    return [tuple(row) for row in await connection.fetch(sql, *parameters)]


async def select(
    connection: Connection, pool: Pool, path: str, sql: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """The rows of a statement that only reads; StoreReadOnly if it would do more."""
    if first_word(sql) in _ENDS:
        raise StoreReadOnly(
            pool.address.location, f"select() only reads, and {sql!r:.80} does more", "use a transaction"
        )
    await connection.execute(f"BEGIN READ ONLY; {path}")
    try:
        return await execute(connection, sql, parameters)
    except DRIVER_ERRORS as exc:
        if code(exc) == READ_ONLY:
            raise StoreReadOnly(
                pool.address.location, f"select() only reads, and {sql!r:.80} does more", "write in a transaction"
            ) from exc
        raise
    finally:
        await rollback(connection)
