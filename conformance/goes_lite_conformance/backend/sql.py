"""The user's own SQL, inside transactions and outside them.

These rules use SQL that every database understands.
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

    def __init__(self, db: Backend, name: str) -> None:
        self.db = db
        self.name = name
        self.insert = f"INSERT INTO {name} (id, text) VALUES (?, ?)"
        self.find = f"SELECT text FROM {name} WHERE id = ?"
        self.all = f"SELECT text FROM {name} ORDER BY id"

    async def texts(self) -> list[str]:
        """Return what is committed."""
        return [row[0] for row in await self.db.select(self.all)]


async def notes_of(place: Place, db: Backend) -> Notes:
    """Create the table in a transaction."""
    name = f"notes_{place.storage.name}"
    async with db.transaction() as tx:
        await tx.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)")
    return Notes(db, name)


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

    @needs(SQL, TRANSACTIONS)
    async def test_a_question_mark_stands_for_each_parameter_in_turn(self, place: Place, db: Backend) -> None:
        """BE-SQL-010: `?` is a placeholder in `execute`, `enqueue` and `select`, next to whatever it is next to."""
        notes = await notes_of(place, db)
        async with db.transaction() as tx:
            await tx.execute(f"INSERT INTO {notes.name} (id,text) VALUES (?,?), ( ? ,?||'!')", (1, "one", 2, "two"))
            tx.enqueue(notes.insert, (3, "three"))
            tx.enqueue(notes.insert, (4, "four"))
            assert await tx.execute(f"SELECT id FROM {notes.name} WHERE text=? OR id=?", ("two!", 4)) == [(2,), (4,)]
        rows = await db.select(f"SELECT text FROM {notes.name} WHERE id>=? AND id<? ORDER BY id LIMIT ?", (2, 4, 5))
        assert rows == [("two!",), ("three",)]

    @needs(SQL, TRANSACTIONS)
    async def test_a_number_says_which_parameter_is_meant(self, place: Place, db: Backend) -> None:
        """BE-SQL-011: `$1`, `$2`, … are placeholders in `execute`, `enqueue` and `select`, in any order, repeatedly."""
        notes = await notes_of(place, db)
        insert = f"INSERT INTO {notes.name} (text, id) VALUES ($2, $1)"
        async with db.transaction() as tx:
            await tx.execute(insert, (1, "one"))
            tx.enqueue(insert, (2, "two"))
            tx.enqueue(insert, (3, "three"))
            twice = f"SELECT text FROM {notes.name} WHERE id = $1 OR (id > $1 AND text = $2) ORDER BY id"
            assert await tx.execute(twice, (1, "three")) == [("one",), ("three",)]
        assert await db.select(f"SELECT text FROM {notes.name} WHERE id > $1 AND id < $2", (1, 3)) == [("two",)]

    @needs(SQL, TRANSACTIONS)
    async def test_what_only_looks_like_a_placeholder(self, place: Place, db: Backend) -> None:
        """BE-SQL-012: A `?` or `$1` in a string, a quoted name or a comment is text, with parameters and without."""
        notes = await notes_of(place, db)
        odd = "it''s ? $1 /* -- "
        for mark in ("?", "$1"):
            number = 1 if mark == "?" else 2
            async with db.transaction() as tx:
                await tx.execute(
                    f"INSERT INTO {notes.name} (id, text) -- ? $1 '\n VALUES (/* ? $1 ' */ {mark}, '{odd}{number}')",
                    (number,),
                )
            found = await db.select(f'SELECT text AS "? $1 \'" FROM {notes.name} WHERE id = {mark} -- ?', (number,))
            assert found == [(odd.replace("''", "'") + str(number),)]
        assert await db.select("SELECT 'what?', '$1'") == [("what?", "$1")]

    @needs(SQL, TRANSACTIONS)
    async def test_parameters_that_do_not_fit_the_placeholders(self, place: Place, db: Backend) -> None:
        """BE-SQL-013: More or fewer parameters than placeholders, and both kinds in a statement, raise an error.

        It is one of goes_lite. Nothing is written, and the transaction continues.
        """
        notes = await notes_of(place, db)
        wrong: list[tuple[str, tuple[Any, ...]]] = [
            (notes.insert, (1,)),
            (notes.insert, ()),
            (notes.insert, (1, "one", "more")),
            (f"INSERT INTO {notes.name} (id, text) VALUES ($1, $2)", (1,)),
            (f"INSERT INTO {notes.name} (id, text) VALUES ($1, $2)", (1, "one", "more")),
            (f"INSERT INTO {notes.name} (id, text) VALUES ($1, ?)", (1, "one")),
        ]
        async with db.transaction() as tx:
            for statement, parameters in wrong:
                for _ in range(2):
                    with pytest.raises(GoesError):
                        await tx.execute(statement, parameters)
            await tx.execute(notes.insert, (2, "two"))
        assert await notes.texts() == ["two"]
