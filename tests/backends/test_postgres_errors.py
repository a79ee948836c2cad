"""What PostgreSQL refuses, and what of it is done again: each SQLSTATE that means something becomes a type of ours."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from goes_lite_conformance.harness.samples import note, registry, snapshot, texts

import goes_lite as goes
from goes_lite.errors import (
    GoesError,
    InvalidQueryError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
    TransactionConflict,
    TransactionError,
)
from tests import wrong_arguments_kit
from tests.backends.postgres_kit import needs_postgres, store_url

needs_postgres()

from goes_lite_postgres._user_sql import first_word  # noqa: E402 - not before the driver is known to be there

CODES = {
    "40001": TransactionConflict,
    "40P01": TransactionConflict,
    "55P03": StoreLocked,
    "53100": StoreFull,
    "53400": StoreFull,
    "53300": StoreUnavailable,
    "57014": StoreUnavailable,
    "57P01": StoreUnavailable,
    "08006": StoreUnavailable,
    "42501": StoreReadOnly,
    "25006": StoreReadOnly,
    "25P02": TransactionError,
    "28P01": StoreUnavailable,
    "3D000": StoreUnavailable,
    "23505": StoreError,
    "42P01": StoreError,
    "P0001": StoreError,
}


def raising(code: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{code}'; END $$"


def test_parameters_that_cannot_be_taken() -> None:
    """What the driver cannot convert, and what is no sequence, is refused as on other backends; its own types are taken."""
    wrong: list[tuple[str, Any]] = [
        ("SELECT $1::int", ("x",)), ("SELECT $1::int", (2**31,)), ("SELECT $1::date", ("2026-01-01",)),
        ("SELECT $1::text", (date(2026, 1, 1),)), ("SELECT $1::text", ("\ud800",)), ("SELECT $1::text", (object(),)),
        ("SELECT $1::text", "x"), ("SELECT $1::text", None), ("SELECT $1::text", {"a": "b"}), ("SELECT 1\0", ()),
        ("SELECT '\ud800'", ()), (cast("str", None), ()),
    ]  # fmt: skip
    with goes.blocking.connect(store_url(retry_timeout=0.1)) as db:
        for sql, parameters in wrong:
            with pytest.raises(InvalidQueryError):
                db.select(sql, parameters)
            with db.transaction() as tx:
                with pytest.raises(InvalidQueryError):
                    tx.execute(sql, parameters)
                assert tx.execute("SELECT $1::date", (date(2026, 1, 1),)) == [(date(2026, 1, 1),)]
        for parameters in ((), (1, 2), ("a\0b",)):
            with pytest.raises(StoreError):
                db.select("SELECT $1::text", parameters)


def test_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a public call is given, no error of the driver gets out."""
    monkeypatch.chdir(tmp_path)
    wrong_arguments_kit.check_server(store_url(retry_timeout=0.1))


@pytest.mark.parametrize(("code", "expected"), CODES.items())
def test_each_code_is_a_type_of_ours(code: str, expected: type[GoesError]) -> None:
    """The server raises it; it comes out as what it means, with what the server said behind it."""

    async def run() -> None:
        async with goes.connect(store_url(retry_timeout=0.1)) as db:
            with pytest.raises(expected) as caught:
                async with db.transaction() as tx:
                    await tx.execute(raising(code))
            assert type(caught.value) is expected
            await db.models.put("c", "1", "{}")

    asyncio.run(run())


def test_an_error_of_the_users_sql_is_undone_alone() -> None:
    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            async with db.transaction() as tx:
                await tx.events.append([note("1")])
                for sql in (raising("23505"), raising("40001"), "SELECT 1 / 0", "SELECT 'x'::integer"):
                    with pytest.raises(GoesError):
                        await tx.execute(sql)
                await tx.events.append([note("2")])
            assert await texts(db) == ["1", "2"]

    asyncio.run(run())


def test_a_lock_that_somebody_holds() -> None:
    """Who waits longer than the lock timeout for the log, or for a row, is told so; those beside it go on."""

    async def run() -> None:
        url = store_url()
        async with (
            goes.connect(url, registry=registry) as holder,
            goes.connect(url, registry=registry, lock_timeout=0.2, retry_timeout=0.1) as db,
        ):
            await db.models.put("c", "1", "{}")
            async with holder.transaction() as tx:
                await tx.events.append([note("held")])
                await tx.models.put("c", "1", "{}")
                for call in (
                    lambda: db.events.append([note("x")]),
                    lambda: db.models.put("c", "1", "{}"),
                    lambda: db.transaction().__aenter__(),
                    lambda: db.models.rename("c", "d"),
                ):
                    with pytest.raises(StoreLocked):
                        await call()
                assert await db.models.put("c", "2", "{}") == 1
                assert await db.events.head() == 0
            await db.events.append([note("behind it")])
            assert await texts(db) == ["held", "behind it"]

    asyncio.run(run())


def test_a_deadlock_undoes_one_transaction_and_is_retried_for_single_writes() -> None:
    """Two who wait for each other: the server undoes one. Of two transactions it is a conflict to run again."""

    async def run() -> None:
        one_url, two_url = store_url(), store_url()  # transactions of one store never meet, so these are of two
        async with goes.connect(one_url) as one, goes.connect(two_url) as two:
            async with one.transaction() as tx:
                await tx.execute("CREATE TABLE public.fought AS SELECT 1 AS id, 0 AS n UNION SELECT 2, 0")
            both = asyncio.Barrier(2)

            async def fight(db: goes.Backend, first: int, second: int) -> None:
                async with db.transaction() as tx:
                    await tx.execute("UPDATE public.fought SET n = n + 1 WHERE id = $1", (first,))
                    await both.wait()
                    await tx.execute("UPDATE public.fought SET n = n + 1 WHERE id = $1", (second,))

            outcomes = await asyncio.gather(fight(one, 1, 2), fight(two, 2, 1), return_exceptions=True)
            async with one.transaction() as tx:
                assert await tx.execute("SELECT n FROM public.fought ORDER BY id") == [(1,), (1,)]
                await tx.execute("DROP TABLE public.fought")
            assert [type(outcome) for outcome in outcomes if outcome] == [TransactionConflict]

    asyncio.run(run())


def connection_of(tx: Any) -> Any:
    return tx.connection


def test_the_connection_is_handed_out() -> None:
    """asyncpg's own connection, in the transaction, until it is over."""

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            async with db.transaction() as tx:
                connection = connection_of(tx)
                await tx.execute("CREATE TABLE mine (id integer, text text)")
                await connection.copy_records_to_table("mine", records=[(1, "one"), (2, "two")])
                await tx.events.append([note("x")])
            assert await db.select("SELECT text FROM mine ORDER BY id") == [("one",), ("two",)]
            with pytest.raises(ZeroDivisionError):
                async with db.transaction() as tx:
                    connection = connection_of(tx)
                    await connection.execute("DELETE FROM mine")
                    raise ZeroDivisionError
            assert await db.select("SELECT count(*) FROM mine") == [(2,)]
            with pytest.raises(TransactionError, match="has ended"):
                connection_of(tx)

    asyncio.run(run())


def test_sql_that_would_change_the_connection() -> None:
    """Refused where its first word tells; otherwise the connection is not used again."""
    refused = (
        "SET search_path = public", "set /* a */ session statement_timeout = 1", "RESET ALL", "DISCARD ALL", "LISTEN x",
        "UNLISTEN *", "DEALLOCATE ALL", "LOAD 'x'", "SET ROLE postgres", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    )  # fmt: skip

    async def run() -> None:
        async with goes.connect(store_url(pool_size=4), registry=registry) as db:
            async with db.transaction() as tx:
                for statement in refused:
                    with pytest.raises(TransactionError, match="use SET LOCAL"):
                        await tx.execute(statement)
                await tx.execute("SET LOCAL work_mem = '1MB'")
                await tx.execute("SET CONSTRAINTS ALL DEFERRED")
                await tx.events.append([note("a")])
            for leaves in (
                "SELECT set_config('work_mem', '123kB', false)",
                "SELECT pg_advisory_lock(5)",
                "CREATE TEMP TABLE scratch AS SELECT 1",
                "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            ):
                async with db.transaction() as tx:
                    await tx.execute(leaves)
                    await tx.events.append([note("b")])
            for _ in range(6):
                async with db.transaction() as tx:
                    assert await tx.execute("SHOW work_mem") != [("123kB",)]
                    assert await tx.execute("SELECT count(*) FROM pg_cursors WHERE name = 'c'") == [(0,)]
                    assert await tx.execute(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 5"
                    ) == [(0,)]
                    assert await tx.execute("SELECT count(*) FROM pg_class WHERE relname = 'scratch'") == [(0,)]
            assert await texts(db) == ["a", "b", "b", "b", "b"]

    asyncio.run(run())


def test_many_transactions_leave_room_for_reads() -> None:
    """However many transactions wait for their turn, code inside one can always read outside of it."""

    async def run() -> None:
        async with goes.connect(store_url(pool_size=4), registry=registry) as db:

            async def work(number: int) -> None:
                async with db.transaction() as tx:
                    await tx.events.append([note(str(number))])
                    await asyncio.gather(*(db.events.head() for _ in range(5)))
                    with pytest.raises(TransactionError):
                        await db.snapshots.save(snapshot(goes.AggregateRef("a", "1"), 1))

            async with asyncio.timeout(60):
                await asyncio.gather(*(work(number) for number in range(30)))
            assert await db.events.count() == 30

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("COMMIT", "COMMIT"),
        ("\n ;; -- x\n/* a /* nested */ COMMIT */ rollback to x", "ROLLBACK"),
        ("/* open", ""),
        ("-- only this", ""),
        ("", ""),
        ("(SELECT 1)", ""),
        ("select 'COMMIT'", "SELECT"),
        ("end_of(1)", "END_OF"),
    ],
)
def test_the_first_word_of_a_statement(sql: str, word: str) -> None:
    assert first_word(sql) == word
