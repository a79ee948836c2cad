"""The user's own SQL, inside transactions and outside them.

These rules use SQL that every database understands, and find out how parameters are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from goes_lite.contract.backend import PROCESSES, SQL, TRANSACTIONS, Backend
from goes_lite.errors import GoesError, StoreReadOnly, TransactionError
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import note, texts
from goes_lite_conformance.rule import needs


class Notes:
    """A table of the user's own, next to those of the store."""

    def __init__(self, db: Backend, name: str, mark: str) -> None:
        self.db = db
        self.name = name
        self.insert = f"INSERT INTO {name} (id, text) VALUES ({mark % 1}, {mark % 2})"
        self.find = f"SELECT text FROM {name} WHERE id = {mark % 1}"
        self.all = f"SELECT text FROM {name} ORDER BY id"

    async def texts(self) -> list[str]:
        """Return what is committed."""
        return [row[0] for row in await self.db.select(self.all)]


async def notes_of(place: Place, db: Backend) -> Notes:
    """Create the table in a transaction."""
    name = f"notes_{place.storage.name}"
    async with db.transaction() as tx:
        await tx.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)")
    for mark in ("?%.0s", "$%d", "%%s%.0s"):
        try:
            async with db.transaction() as tx:
                await tx.execute(f"SELECT text FROM {name} WHERE id = {mark % 1}", (1,))
        except GoesError:
            continue
        return Notes(db, name, mark)
    raise AssertionError("parameters are not written as ?, $1 or %s")


async def refuses(call: Any, sql: str, *errors: type[BaseException]) -> None:
    """Check that the statement is refused with one of the errors."""
    try:
        answer = await call(sql)
    except errors as error:
        assert len(str(error)) > 20, f"{error!r} explains nothing"
    else:
        raise AssertionError(f"{sql!r} was run and returned {answer!r}")


class SqlRules(Contract):
    """Rules BE-SQL."""

    @needs(SQL, TRANSACTIONS)
    async def test_execute_takes_parameters_and_returns_rows(self, place: Place, db: Backend) -> None:
        """BE-SQL-001: `execute` runs a statement with its parameters and returns a list of tuples, empty without rows.

        A parameter is a value and never part of the statement.
        """
        notes = await notes_of(place, db)
        awkward = "'); DROP TABLE x; -- é \N{SNOWMAN} ?"
        async with db.transaction() as tx:
            assert await tx.execute(notes.insert, (1, awkward)) == []
            assert await tx.execute(notes.insert, [2, "two"]) == []
            assert await tx.execute(notes.all) == [(awkward,), ("two",)]
            rows: Sequence[Any] = await tx.execute(notes.find, (2,))
            assert rows == [("two",)]
            assert type(rows[0]) is tuple
            assert await tx.execute(notes.find, (3,)) == []

    @needs(SQL, TRANSACTIONS)
    async def test_sql_commits_with_the_rest(self, place: Place, db: Backend) -> None:
        """BE-SQL-002: Executed statements commit with the transaction's events, and are rolled back with them."""
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            await tx.execute(notes.insert, (1, "kept"))
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.execute(notes.insert, (2, "rolled back"))
                await tx.events.append([note("rolled back")])
                raise ZeroDivisionError
        assert await notes.texts() == ["kept"]
        assert await texts(db) == ["x"]

    @needs(SQL, TRANSACTIONS)
    async def test_an_error_in_sql_is_undone_alone(self, place: Place, db: Backend) -> None:
        """BE-SQL-003: A failing statement raises an error of goes_lite and writes nothing, and the block continues."""
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.events.append([note("x")])
            await tx.execute(notes.insert, (1, "one"))
            await refuses(tx.execute, f"INSERT INTO {notes.name} (id, text) VALUES (2, 'two'), (3, 'one')", GoesError)
            await refuses(tx.execute, "SELECT nothing FROM nowhere", GoesError)
            await refuses(tx.execute, "SELEKT 1", GoesError)
            await tx.execute(notes.insert, (4, "four"))
            await tx.events.append([note("y")])
        assert await notes.texts() == ["one", "four"]
        assert await texts(db) == ["x", "y"]

    @needs(SQL, TRANSACTIONS)
    async def test_sql_cannot_end_the_transaction(self, place: Place, db: Backend) -> None:
        """BE-SQL-004: Statements that would end the transaction are refused, however disguised and however often tried.

        What was written stays undecided until the block ends.
        """
        notes = await notes_of(place, db)
        statements = (
            "COMMIT", "commit;", "  END", "ROLLBACK", "BEGIN", "/* a comment */ COMMIT", "-- a comment\nROLLBACK",
            f"INSERT INTO {notes.name} (id, text) VALUES (2, 'y'); COMMIT",
        )  # fmt: skip
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("x")])
                await tx.execute(notes.insert, (1, "x"))
                for statement in statements:
                    for _ in range(2):
                        await refuses(tx.execute, statement, GoesError)
                assert await tx.execute(notes.all) == [("x",)]
                await tx.execute(notes.insert, (3, "COMMIT"))
                await tx.events.append([note("z")])
                raise ZeroDivisionError
        assert await notes.texts() == []
        assert await texts(db) == []

    @needs(SQL)
    async def test_select_reads_what_is_committed(self, place: Place, db: Backend) -> None:
        """BE-SQL-005: `select` returns rows outside any transaction, with parameters."""
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.execute(notes.insert, (1, "one"))
            await tx.execute(notes.insert, (2, "two"))
        assert await db.select(notes.all) == [("one",), ("two",)]
        assert await db.select(notes.find, (2,)) == [("two",)]
        assert await db.select(notes.find, (3,)) == []

    @needs(SQL)
    async def test_select_writes_nothing(self, place: Place, db: Backend) -> None:
        """BE-SQL-006: Selecting with a statement that would write raises StoreReadOnly and does nothing.

        The handle works as before, and so do statements executed in transactions.
        """
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.execute(notes.insert, (1, "one"))
        statements = (
            f"DELETE FROM {notes.name}",
            f"UPDATE {notes.name} SET text = 'two'",
            f"/* SELECT */ INSERT INTO {notes.name} (id, text) VALUES (2, 'two')",
            f"WITH x AS (SELECT 1) INSERT INTO {notes.name} (id, text) SELECT 2, 'two' FROM x",
            f"CREATE TABLE mine_{place.storage.name} (a INTEGER)",
            f"DROP TABLE {notes.name}",
        )
        for statement in statements:
            for _ in range(2):
                with refused(StoreReadOnly, location=db.location):
                    await db.select(statement)
        assert await notes.texts() == ["one"]
        async with db.transaction() as tx:
            await tx.execute(statements[4])
            await tx.execute(notes.insert, (2, "two"))
        assert await notes.texts() == ["one", "two"]

    @needs(SQL)
    async def test_an_error_in_select_harms_nobody(self, db: Backend) -> None:
        """BE-SQL-007: A statement that cannot be run raises an error of goes_lite, and the next one runs."""
        for _ in range(2):
            await refuses(db.select, "SELECT nothing FROM nowhere", GoesError)
            await refuses(db.select, "SELEKT 1", GoesError)
        assert await db.select("SELECT 1") == [(1,)]

    @needs(SQL, TRANSACTIONS)
    async def test_sql_in_a_transaction_that_ended(self, place: Place, db: Backend) -> None:
        """BE-SQL-008: Executing in a transaction that has ended raises TransactionError, and nothing is written."""
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.execute(notes.insert, (1, "one"))
        with refused(TransactionError):
            await tx.execute(notes.insert, (2, "two"))
        assert await notes.texts() == ["one"]

    @needs(SQL, PROCESSES)
    async def test_select_sees_nothing_uncommitted(self, place: Place, db: Backend) -> None:
        """BE-SQL-009: `select` does not see what a transaction has not committed yet, even within its block."""
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.execute(notes.insert, (1, "one"))
            assert await notes.texts() == []
        assert await notes.texts() == ["one"]
