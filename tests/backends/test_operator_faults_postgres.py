"""Faults of operators on a PostgreSQL server: each is a row of docs/faults.md."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.servers import ServerMissing, pgbouncer, postgres

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import (
    AppendInDoubtError,
    ConcurrencyError,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from goes_lite.events.fields import AggregateRef
from tests.backends.postgres_kit import needs_postgres
from tests.operator_faults import situation

needs_postgres()

import asyncpg  # noqa: E402 - not before it is known to be there

from tests.backends.postgres_operator import Operator, small_disk  # noqa: E402


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    with postgres.server(fsync=False) as server:
        yield Operator(server)


@pytest.fixture
def schema() -> str:
    return f"t{uuid4().hex[:16]}"


@contextmanager
def opened(url: str, schema: str, **options: Any) -> Generator[BlockingDatabase]:
    """Open a store with little patience."""
    options.setdefault("retry_timeout", 0.5)
    with goes.blocking.connect(f"{url}?schema={schema}", registry=registry, **options) as db:
        yield db


def refused(error: type[StoreError], url: str, schema: str, **options: Any) -> None:
    """Fail unless opening the store raises that error."""
    options.setdefault("connect_timeout", 1.0)
    with pytest.raises(error) as caught:
        goes.blocking.connect(f"{url}?schema={schema}", **options)
    assert "secret" not in str(caught.value)


def texts(db: BlockingDatabase) -> list[str]:
    return [event.data.text for event in db.events.query()]


def one(text: str, version: int = 1, aggregate: str = "a") -> goes.Event[Any]:
    return note(text, (aggregate, "1"), version)


# --- something of the store is dropped ------------------------------------------------------------------------------


@situation(
    sees=(
        'StoreDamaged: …: the store is damaged (relation "….events" does not exist (SQLSTATE 42P01)): restore a backup',
        "StoreDamaged: …: the store is damaged (the schema '…' lacks the tables 'events'): restore a backup",
    ),
    then="Every operation that needs the table is refused, and so is opening the store. The other tables are unchanged.",
)
def test_a_table_is_dropped(operator: Operator, schema: str) -> None:
    """A table of the store is dropped."""
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
        db.models.put("c", "1", "{}")
        operator.sql(f"DROP TABLE {schema}.events CASCADE", "SELECT 1")
        for call in (lambda: db.events.append([one("2", 2)]), lambda: texts(db), lambda: db.events.load(_A)):
            with pytest.raises(StoreDamaged):
                call()
        with pytest.raises(StoreDamaged), db.transaction() as tx:
            tx.models.put("c", "2", "{}")
            tx.events.append([one("2", 2)])
        assert [record.id for record in db.models.query("c")] == ["1"]
    refused(StoreDamaged, operator.url(), schema)


@situation(
    sees="nothing: the program goes on, slower",
    then="What the store promises does not depend on indexes. Their definitions are in the output of "
    "`goes-lite schema store postgresql`.",
)
def test_an_index_is_dropped(operator: Operator, schema: str) -> None:
    """Indexes of the store are dropped."""
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
        operator.sql(f"DROP INDEX {schema}.events_of_aggregate, {schema}.events_by_name", "SELECT 1")
        db.events.append([one("2", 2)])
        with pytest.raises(ConcurrencyError):
            db.events.append([one("x", 2)])
        assert [event.version for event in db.events.load(_A)] == [1, 2]
    with opened(operator.url(), schema) as db:
        assert texts(db) == ["1", "2"]
        assert len(list(db.events.query(goes.EventQuery(names=["sample.noted"])))) == 2


@situation(
    sees="StoreDamaged: …: the store is damaged (…append_events(…) does not exist…): restore a backup, or create the "
    "function: `goes-lite schema store postgresql --schema …` prints it",
    then="Nothing is stored until the function is there again; reading goes on. Then the same handle can write.",
)
def test_a_function_is_dropped(operator: Operator, schema: str) -> None:
    """A function of the store is dropped."""
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
        (row,) = operator.sql(f"SELECT pg_get_functiondef('{schema}.append_events'::regproc)")
        operator.sql(f"DROP FUNCTION {schema}.append_events", "SELECT 1")
        with pytest.raises(StoreDamaged):
            db.events.append([one("2", 2)])
        assert texts(db) == ["1"]
        operator.sql(row[0], "SELECT 1")
        db.events.append([one("3", 2)])
        assert texts(db) == ["1", "3"]


@situation(
    sees="StoreDamaged: …: the store is damaged (… does not exist (SQLSTATE …)): restore a backup",
    then="An open handle can do nothing. A program that opens the store then creates a new, empty one, with another "
    "identity: its positions begin at 1, and checkpoints of the old one are refused.",
)
def test_the_schema_is_dropped(operator: Operator, schema: str) -> None:
    """The whole schema is dropped."""
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
        identity = db.identity
        operator.sql(f"DROP SCHEMA {schema} CASCADE", "SELECT 1")
        for call in (lambda: db.events.append([one("2", 2)]), lambda: texts(db), lambda: db.models.put("c", "1", "{}")):
            with pytest.raises(StoreDamaged):
                call()
    with opened(operator.url(), schema) as db:
        assert (texts(db), db.identity == identity) == ([], False)


@situation(
    sees='StoreUnavailable: …: database "…" does not exist (SQLSTATE 3D000): create the database first',
    then="Operations fail at once. Restore a backup under the same name, and the same handle goes on with it.",
)
def test_the_database_is_dropped(operator: Operator, schema: str) -> None:
    """The database is dropped, with its connections."""
    name = f"d{schema}"
    operator.sql(f"CREATE DATABASE {name}")
    with opened(operator.url(name), schema) as db:
        db.events.append([one("1")])
        operator.sql(f"DROP DATABASE {name} WITH (FORCE)")
        with pytest.raises(StoreUnavailable):
            texts(db)
    refused(StoreUnavailable, operator.url(name), schema)


@situation(
    sees="StoreDamaged: …: the store is damaged (the aggregate 'a', id '1', is stored at version 2, but without its event "
    "of version 1)…",
    then="Other aggregates load, and queries return what is left.",
)
def test_rows_are_deleted(operator: Operator, schema: str) -> None:
    """Rows of events are deleted by hand."""
    with opened(operator.url(), schema) as db:
        db.events.append([one("1"), one("2", 2), one("3", 1, "b")])
        operator.sql(f"DELETE FROM {schema}.events WHERE position = 1")
        with pytest.raises(StoreDamaged):
            db.events.load(_A)
        assert len(db.events.load(AggregateRef("b", "1"))) == 1
        assert texts(db) == ["2", "3"]
        assert db.events.append([one("4", 3)]).position == 4


@situation(
    sees="StoreTooNew: …: written by a newer goes_lite (schema 99, this one knows up to …): upgrade goes-lite",
    then="Nothing is changed. Opening a store with a newer release migrates its tables once; handles of older releases "
    "that are open then go on.",
)
def test_a_release_is_rolled_back(operator: Operator, schema: str) -> None:
    """An older release is rolled back to after a newer one has migrated the tables."""
    with opened(operator.url(), schema) as db:
        operator.sql(f"UPDATE {schema}.store SET version = 99")
        refused(StoreTooNew, operator.url(), schema)
        db.events.append([one("1")])
        assert texts(db) == ["1"]


# --- the server -----------------------------------------------------------------------------------------------------


@situation(
    sees="StoreFull: …: no room left on the disk (or a quota is reached), nothing was written: make room and retry",
    then="Nothing is stored in part, and reading goes on. With room again, the same handle can write.",
)
def test_the_disk_is_full(operator: Operator, schema: str) -> None:
    """The disk of the server is full."""
    with small_disk(operator) as (tablespace, grow), opened(operator.url(), schema) as db:
        operator.sql(f"ALTER TABLE {schema}.events SET TABLESPACE {tablespace}", "SELECT 1")
        stored = 0
        with pytest.raises(StoreFull):
            while True:
                db.events.append([one(os.urandom(60_000).hex(), stored + n + 1) for n in range(3)])
                stored += 3
        assert db.events.count() == stored == len(db.events.load(_A))
        with pytest.raises(StoreFull), db.transaction() as tx:
            tx.models.put("c", "1", "{}")
            tx.events.append([one(os.urandom(60_000).hex(), stored + n + 1) for n in range(3)])
        assert list(db.models.query("c")) == []
        grow()
        db.events.append([one(os.urandom(60_000).hex(), stored + n + 1) for n in range(3)])
        assert db.events.count() == stored + 3 == len(db.events.load(_A))
        operator.sql(f"DROP SCHEMA {schema} CASCADE", "SELECT 1")


@situation(
    sees=(
        "StoreUnavailable: …: the server cannot be reached: it does not answer: check that it runs, and host and port in the URL",
        "AppendInDoubtError: the store became unreachable while appending 1 event(s), so the outcome is unknown…",
    ),
    then="Reads fail after `command_timeout` and `retry_timeout`, writes after `lock_timeout` in addition, opening after "
    "`connect_timeout`. Once the server answers, the same handle goes on, and appending the same events again settles an "
    "append in doubt.",
)
def test_the_server_is_frozen(operator: Operator, schema: str) -> None:
    """The server is frozen: its connections stay open, and nothing answers."""
    impatient: dict[str, Any] = {"command_timeout": 0.5, "lock_timeout": 0.5, "connect_timeout": 0.5}
    with opened(operator.url(), schema, **impatient) as db:
        for number in (1, 2):  # the second in one round trip, so that the function is known
            db.events.append([one(str(number), number)])
        with db.transaction() as tx:  # leaves more than one connection for what follows
            tx.models.put("c", "1", "{}")
            assert texts(db) == ["1", "2"]
        doubtful = [one("3", 3)]
        operator.server.child.freeze()
        try:
            with pytest.raises(AppendInDoubtError):
                db.events.append(doubtful)
            with pytest.raises(StoreUnavailable):
                texts(db)
            refused(StoreUnavailable, operator.url(), schema)
        finally:
            operator.server.child.thaw()
        db.events.append(doubtful)
        assert texts(db) == ["1", "2", "3"]


@situation(
    sees="StoreUnavailable: …: the server cannot be reached: it does not answer: check that it runs, and host and port in "
    "the URL",
    then="Opening ends after `connect_timeout`, whatever is behind the address.",
)
def test_something_else_listens(schema: str) -> None:
    """The address belongs to something that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"postgresql://someone:secret@127.0.0.1:{listener.getsockname()[1]}/postgres"
        refused(StoreUnavailable, url, schema)


@situation(
    sees="nothing: operations wait for the server, up to `retry_timeout`",
    then="Everything that was acknowledged is stored, once.",
)
def test_the_server_is_restarted(operator: Operator, schema: str) -> None:
    """The server is restarted while programs write."""

    async def run() -> None:
        async with goes.connect(f"{operator.url()}?schema={schema}", registry=registry) as db:
            done: list[str] = []
            steps: asyncio.Queue[None] = asyncio.Queue()

            async def write(name: str) -> None:
                for number in range(10):
                    await db.events.append([note(f"{name}{number}", (name, "1"), number + 1)])
                    await db.models.put("c", name, f"{number}")
                    done.append(f"{name}{number}")
                    steps.put_nowait(None)

            writing = asyncio.gather(*(write(name) for name in "abcd"))
            for stop in (operator.server.stop, operator.server.kill):
                for _ in range(8):
                    await steps.get()
                await asyncio.to_thread(stop)
                await asyncio.to_thread(operator.server.start)
            await writing
            stored = [event.data.text async for event in db.events.query()]
            assert sorted(stored) == sorted(done)
            assert len(stored) == len(set(stored)) == 40
            assert {record.data async for record in db.models.query("c")} == {"9"}

    asyncio.run(run())


@situation(
    sees="StoreUnavailable: …: the connection broke inside a transaction, so nothing of it is stored: run it again",
    then="Nothing of the transaction is stored. Operations outside of transactions are retried, and nobody notices.",
)
def test_connections_are_ended(operator: Operator, schema: str) -> None:
    """An administrator ends the connections of a program."""
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'goes_lite'"
    with opened(operator.url(), schema, retry_timeout=30.0) as db:
        db.events.append([one("1")])
        operator.sql(end)
        db.events.append([one("2", 2)])
        with pytest.raises(StoreUnavailable), db.transaction() as tx:
            tx.events.append([one("x", 3)])
            operator.sql(end)
            tx.models.put("c", "1", "{}")
        assert (texts(db), list(db.models.query("c"))) == (["1", "2"], [])


@situation(
    sees="StoreUnavailable: …: … (SQLSTATE 53300): no connection is left; raise max_connections of the server or the role, "
    "or lower pool_size",
    then="Operations wait up to `retry_timeout` for a connection, opening up to `connect_timeout`.",
)
def test_no_connection_is_left(operator: Operator, schema: str) -> None:
    """The server, or the role, has no connection left."""
    role = operator.role("CONNECTION LIMIT 1")
    operator.logins(f"host all {role} all trust")
    with opened(operator.url(role=role), schema, retry_timeout=30.0) as db:
        db.events.append([one("1")])
        refused(StoreUnavailable, operator.url(role=role), schema)
        assert texts(db) == ["1"]
    with opened(operator.url(role=role), schema, connect_timeout=30.0) as db:
        assert texts(db) == ["1"]


@situation(
    sees="StoreLocked: …: locked by another connection for more than … s: …",
    then="Nothing is stored of what was waiting. Once the other one lets go, the same handle goes on.",
)
def test_a_table_is_locked(operator: Operator, schema: str) -> None:
    """Another program, such as one that rewrites the table, keeps a lock on it."""
    with opened(operator.url(), schema, lock_timeout=0.3) as db:
        db.events.append([one("1")])

        async def lock() -> None:
            connection = await asyncpg.connect(operator.url())
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {schema}.events IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(StoreLocked):
                    await asyncio.to_thread(db.events.append, [one("x", 2)])
            await connection.close()

        asyncio.run(lock())
        db.events.append([one("2", 2)])
        assert texts(db) == ["1", "2"]


@situation(
    sees="StoreReadOnly: …: this PostgreSQL server is read-only (…), so nothing can be written: connect to a writable server…",
    then="Reading and following go on. After `pg_promote()` the same handle can write.",
)
def test_the_server_is_a_standby(operator: Operator, schema: str) -> None:
    """The URL names a standby."""
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
    with postgres.standby(operator.server) as standby, opened(standby.url, schema, connect_timeout=30.0) as db:
        with pytest.raises(StoreReadOnly):
            db.events.append([one("x", 2)])
        with pytest.raises(StoreReadOnly), db.transaction() as tx:
            tx.models.put("c", "1", "{}")
        assert texts(db) == ["1"]


@situation(
    sees="StoreError: …: prepared statement …: if a pooler such as PgBouncer is in between, in transaction mode, add pooler=true "
    "to the URL",
    then="Nothing is lost. With the option, goes_lite keeps nothing in a session.",
)
def test_a_pooler_is_put_in_between(operator: Operator, schema: str) -> None:
    """A pooler in transaction mode is put in front of the server, without telling the programs."""
    try:
        pgbouncer.program()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with pgbouncer.pooler(operator.server.url, "transaction") as pooler:
        with opened(f"{pooler.url}", schema, pooler=True) as db:
            db.events.append([one("1")])

        async def crowd() -> None:
            """Do different things at once, so that connections take each other's places at the server."""
            async with goes.connect(f"{pooler.url}?schema={schema}", registry=registry) as db:
                reads = (db.events.head, db.events.count, db.checkpoints.all, lambda: db.models.get("c", "1"))
                for number in range(100):
                    write = db.models.put("d", f"{number}", "{}")
                    await asyncio.gather(write, *(read() for read in reads[number % 3 :]))

        with pytest.raises(StoreError, match="pooler=true"):
            asyncio.run(crowd())
        with opened(pooler.url, schema, pooler=True) as db:
            assert texts(db) == ["1"]


# --- roles, logins and databases ------------------------------------------------------------------------------------


@situation(
    sees="StoreUnavailable: …: the server refuses the login: password authentication failed for user … (SQLSTATE 28P01). "
    "Check user, password and pg_hba.conf",
    then="Open connections go on; new ones are refused at once. Nothing is lost: connect with the new password.",
)
def test_the_password_is_rotated(operator: Operator, schema: str) -> None:
    """The password of the role is changed while programs run."""
    role = operator.role("PASSWORD 'secret-old'")
    operator.logins(f"host all {role} all scram-sha-256")
    old, new = (operator.url(role=role, password=f"secret-{word}") for word in ("old", "new"))
    with opened(old, schema) as db:
        db.events.append([one("1")])
        operator.sql(f"ALTER ROLE {role} PASSWORD 'secret-new'")
        db.events.append([one("2", 2)])
        operator.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{role}'")
        with pytest.raises(StoreUnavailable) as caught:
            texts(db)
        assert "secret" not in str(caught.value)
        with suppress(AppendInDoubtError), pytest.raises(StoreUnavailable):
            db.events.append([one("x", 3)])
    refused(StoreUnavailable, old, schema)
    with opened(new, schema) as db:
        assert texts(db) == ["1", "2"]


@situation(
    sees=(
        (
            "StoreUnavailable: …: the server refuses the login: no pg_hba.conf entry for …, no encryption (SQLSTATE 28000). It "
            "wants TLS: add sslmode=require to the URL, or sslmode=verify-full with the server's CA"
        ),
        (
            "StoreUnavailable: …: … rejected SSL upgrade: the server has no TLS, which sslmode in the URL asks for; enable it "
            "there (ssl = on)"
        ),
    ),
    then="Nothing was sent but the names of the user and the database.",
)
def test_tls_is_wanted_by_one_side(operator: Operator, schema: str) -> None:
    """The server wants TLS and the URL forbids it, or the other way round."""
    role = operator.role()
    operator.logins(f"hostssl all {role} all trust")
    for mode in ("disable", "require"):
        with pytest.raises(StoreUnavailable):
            goes.blocking.connect(f"{operator.url(role=role)}?schema={schema}&sslmode={mode}", connect_timeout=1.0)


@situation(
    sees=(
        (
            "StoreReadOnly: …: the role lacks a privilege (permission denied for …), so nothing can be written: grant the role "
            "CONNECT on the database, USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on its tables, and EXECUTE on its "
            "functions, see docs/postgres.md"
        ),
        "StoreUnavailable: …: this role may not read it (permission denied for …): grant the role …",
    ),
    then="Nothing is changed. With the rights granted, the same handle goes on.",
)
def test_rights_are_revoked(operator: Operator, schema: str) -> None:
    """Rights of the role are revoked."""
    role = operator.role()
    operator.logins(f"host all {role} all trust")
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
    operator.sql(f"REVOKE postgres FROM {role}")
    refused(StoreUnavailable, operator.url(role=role), schema)
    tables = f"ALL TABLES IN SCHEMA {schema}"
    operator.sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}", f"GRANT SELECT ON {tables} TO {role}")
    with opened(operator.url(role=role), schema) as db:
        for call in (lambda: db.events.append([one("x", 2)]), lambda: db.models.put("c", "1", "{}")):
            with pytest.raises(StoreReadOnly):
                call()
        assert texts(db) == ["1"]
        operator.sql(f"GRANT INSERT, UPDATE, DELETE ON {tables} TO {role}")
        db.events.append([one("2", 2)])
        assert texts(db) == ["1", "2"]
        operator.sql(f"REVOKE SELECT ON {tables} FROM {role}")
        with pytest.raises(StoreUnavailable):
            texts(db)


@situation(
    sees="StoreReadOnly: …: this PostgreSQL server is read-only (…), so nothing can be written: connect to a writable "
    "server, or set default_transaction_read_only = off for the role and the database if that is the reason",
    then="Reading goes on, as on a standby.",
)
def test_transactions_are_read_only_by_default(operator: Operator, schema: str) -> None:
    """The role or the database has `default_transaction_read_only = on`."""
    role = operator.role()
    operator.logins(f"host all {role} all trust")
    with opened(operator.url(), schema) as db:
        db.events.append([one("1")])
    operator.sql(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    with opened(operator.url(role=role), schema) as db:
        with pytest.raises(StoreReadOnly):
            db.events.append([one("x", 2)])
        assert texts(db) == ["1"]


@situation(
    sees="StoreUnavailable: …: canceling statement due to statement timeout (SQLSTATE 57014): an administrator did so, or the "
    "statement_timeout of the role or the database: make that longer than lock_timeout",
    then="Nothing of the statement is stored. A `lock_timeout` of the role does not matter, since goes_lite sets its own.",
)
def test_the_role_has_little_time(operator: Operator, schema: str) -> None:
    """The role has a `statement_timeout` or a `lock_timeout` that is shorter than waiting for other writers takes."""
    role = operator.role()
    operator.logins(f"host all {role} all trust")
    operator.sql(f"ALTER ROLE {role} SET statement_timeout = '300ms'", f"ALTER ROLE {role} SET lock_timeout = '1ms'")
    with opened(operator.url(), schema) as other, opened(operator.url(role=role), schema) as db:
        db.events.append([one("1")])
        with other.transaction() as tx:
            tx.events.append([one("2", 2)])
            with pytest.raises(StoreUnavailable):
                db.events.append([one("x", 2)])
        db.events.append([one("3", 3)])
        assert texts(db) == ["1", "2", "3"]


@situation(
    sees="StoreUnavailable: …: its database has the encoding 'LATIN1', which cannot hold all text: use another database, made "
    "with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
    then="No table is created.",
)
def test_the_database_cannot_hold_all_text(operator: Operator, schema: str) -> None:
    """The database for a new store has an encoding such as LATIN1."""
    name = f"d{schema}"
    operator.sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    refused(StoreUnavailable, operator.url(name), schema)
    assert operator.sql(f"SELECT to_regnamespace('{schema}')", database=name)[0][0] is None


_A = AggregateRef("a", "1")
