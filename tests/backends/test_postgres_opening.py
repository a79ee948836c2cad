"""Opening a store on PostgreSQL: who makes the tables, with which rights, beside whom; what is refused, and how it is said."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from goes_lite_conformance.harness import Processes
from goes_lite_conformance.harness.samples import Noted, note, registry

import goes_lite as goes
from goes_lite import blocking
from goes_lite.cli import main as command_line
from goes_lite.codec import FunctionCodec
from goes_lite.database.address import parse
from goes_lite.errors import (
    ConfigError,
    ForeignFile,
    GoesError,
    InvalidEventError,
    StoreError,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from goes_lite.events.registry import Registry
from tests.backends.postgres_kit import needs_postgres, server_url, store_url

needs_postgres()

import asyncpg  # noqa: E402 - not before it is known to be there
from goes_lite_postgres import PostgresBackend  # noqa: E402
from goes_lite_postgres._options import address_of  # noqa: E402


async def admin(*statements: str) -> list[Any]:
    """Run statements as the owner of the server; the rows of the last one."""
    connection = await asyncpg.connect(server_url())
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return list(await connection.fetch(statements[-1]))
    finally:
        await connection.close()


def schema_of(url: str) -> str:
    return dict(pair.split("=") for pair in urlsplit(url).query.split("&"))["schema"]


def as_role(url: str, role: str) -> str:
    return url.replace("postgres@", f"{role}:secret-word@")


async def role_of(url: str, *grants: str) -> str:
    """The URL of the store for a role that has nothing but these rights."""
    role = f"r_{schema_of(url)}"
    await admin(
        f"CREATE ROLE {role} LOGIN", *(grant.format(schema=schema_of(url), role=role) for grant in grants), "SELECT 1"
    )
    return as_role(url, role)


async def raised(opening: Coroutine[Any, Any, Any] | Any) -> Exception:
    """What opening a handle is refused with; no password is in it."""
    with pytest.raises(GoesError) as caught:
        await opening
    assert "secret-word" not in str(caught.value)
    return caught.value


def test_twenty_processes_at_once() -> None:
    """Of 20 who open a store that is not there yet, each succeeds, and it is one store."""
    url = store_url(pool_size=4)
    with Processes("tests.backends.server_jobs") as start:
        running = [start("open_store", url=url) for _ in range(20)]
        for worker in running:
            worker.expect("ready")
        for worker in running:
            worker.tell()
        identities = {worker.hear() for worker in running}
        for worker in running:
            worker.finish()
    assert len(identities) == 1

    async def count() -> int:
        async with goes.connect(url) as db:
            return await db.events.head()

    assert asyncio.run(count()) == 20


def test_stores_of_one_database_do_not_collide() -> None:
    """Schemas are stores of their own: positions, aggregates, leases, locks; also where a name needs quoting."""
    plain = store_url()
    odd = plain + quote(' "odd" {0} %41 é $$')

    async def run() -> None:
        async with goes.connect(plain, registry=registry) as one, goes.connect(odd, registry=registry) as two:
            assert one.identity != two.identity
            assert (await two.select("SELECT current_schema()"))[0][0].endswith(' "odd" {0} %41 é $$')
            async with one.transaction() as tx:
                await tx.events.append([note("1", ("a", "1"), 1)])
                async with two.transaction() as other:  # of another store: neither waits for the other
                    await other.events.append([note("1", ("a", "1"), 1)])
            await two.snapshots.prune()
            assert [len(await store.events.aggregates().list()) for store in (one, two)] == [1, 1]
            await two.events.delete(goes.AggregateRef("a", "1"))
            assert (await one.events.count(), await two.events.count(), await two.events.head()) == (1, 0, 1)
        await PostgresBackend.erase(odd)
        assert not await admin("SELECT 1 FROM pg_namespace WHERE nspname LIKE '%odd%'")

    asyncio.run(run())


def test_tables_are_made_whatever_limits_the_database_sets() -> None:
    """Which are meant for the statements of programs; several programs may make the tables at once."""
    url = store_url()
    waited = url + ("&" if "?" in url else "?") + "lock_timeout=20"

    async def run() -> None:
        (row,) = await admin("SELECT current_database()")
        await admin(f"ALTER DATABASE \"{row[0]}\" SET lock_timeout = '1ms'")
        try:
            opened = [goes.connect(waited, registry=registry) for _ in range(4)]
            for db in await asyncio.gather(*(_opened(one) for one in opened)):
                await db.close()
        finally:
            await admin(f'ALTER DATABASE "{row[0]}" RESET lock_timeout')

    async def _opened(connecting: Any) -> Any:
        return await connecting

    asyncio.run(run())


def test_a_role_without_rights_to_make_tables() -> None:
    """It is told what to do; when the tables are there and it may use them, it can do everything."""
    url = store_url()

    async def run() -> None:
        limited = await role_of(url)
        error = await raised(goes.connect(limited))
        assert isinstance(error, StoreUnavailable)
        assert f"goes-lite schema store postgresql --schema {schema_of(url)}" in str(error)
        async with goes.connect(url):
            pass
        await admin(
            f"GRANT USAGE ON SCHEMA {schema_of(url)} TO r_{schema_of(url)}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema_of(url)} TO r_{schema_of(url)}",
            "SELECT 1",
        )
        async with goes.connect(limited, registry=registry) as db:
            await db.events.append([note("1", ("a", "1"), 1, tags=["t:1"])])
            async with db.transaction() as tx:
                await tx.models.put("c", "1", "{}")
                await tx.checkpoints.save("reader", 1)
            await db.leases.acquire("job", "me", 60)
            assert await db.events.delete(goes.AggregateRef("a", "1")) == 1

    asyncio.run(run())


def test_the_printed_tables_are_the_ones_that_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    """What `goes-lite schema store postgresql` prints makes a store that can be used, and no server is asked for it."""
    url = store_url()
    assert command_line.main(["schema", "store", "postgresql", "--schema", schema_of(url)]) == 0
    printed = capsys.readouterr().out

    async def run() -> None:
        await admin(printed, "SELECT 1")
        limited = await role_of(
            url,
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        )
        async with goes.connect(limited, registry=registry) as db:
            assert (await db.events.append([note("1")])).position == 1

    asyncio.run(run())


def test_sqlite_has_no_tables_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["schema", "store", "sqlite"]) == 2
    assert "'sqlite' has no schema to create by hand" in capsys.readouterr().err


def test_a_role_that_only_reads() -> None:
    """It reads and follows; what it writes is StoreReadOnly."""
    url = store_url()

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([note("1")])
        limited = await role_of(
            url, "GRANT USAGE ON SCHEMA {schema} TO {role}", "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
        )
        async with goes.connect(limited, registry=registry) as db:
            assert [event.data.text async for event in db.events.query()] == ["1"]
            for call in (lambda: db.events.append([note("2")]), lambda: db.models.put("c", "1", "{}")):
                with pytest.raises(StoreReadOnly, match="the role lacks a privilege"):
                    await call()

    asyncio.run(run())


def test_a_newer_store_an_empty_one_and_another_programs() -> None:
    """Nothing is changed in a schema that is not understood."""
    url = store_url()

    async def run() -> None:
        async with goes.connect(url):
            pass
        schema = schema_of(url)
        await admin(f"UPDATE {schema}.store SET version = 99", "SELECT 1")
        error = await raised(goes.connect(url))
        assert isinstance(error, StoreTooNew)
        assert (error.found, error.location) == (99, url)
        other = store_url()
        await admin(
            f"CREATE SCHEMA {schema_of(other)}", f"CREATE TABLE {schema_of(other)}.events (x integer)", "SELECT 1"
        )
        assert isinstance(await raised(goes.connect(other)), ForeignFile)
        assert isinstance(await raised(PostgresBackend.erase(other)), ForeignFile)
        assert await admin(f"SELECT count(*) FROM {schema_of(other)}.events")

    asyncio.run(run())


def test_a_column_of_jsonb_beside_the_exact_text() -> None:
    """With jsonb=true events can be asked for by what is in them, and come back as they were written; it may come later."""
    url = store_url()

    async def run() -> None:
        before, odd, behind = note("before", tags=["t:1"]), note("\0"), note("behind")
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([before])
        async with (
            goes.connect(f"{url}&jsonb=true", registry=registry) as db,
            goes.connect(url, jsonb=True, registry=registry) as other,
        ):
            await db.events.append([odd])
            await other.events.append([behind])
            assert await db.select("""SELECT position FROM events WHERE document @> '{"text": "behind"}'""") == [(3,)]
            assert await db.select("SELECT position FROM events WHERE document IS NULL") == [(2,)]
            stored = await db.events.query().list()
            assert [event.encoded[2] for event in stored] == [event.encoded[2] for event in (before, odd, behind)]

    asyncio.run(run())


def test_what_jsonb_does_not_take_is_refused_alone() -> None:
    """JSON that PostgreSQL cannot read, beside events that it can: InvalidEventError for that one, and the others are stored."""
    liar = Registry(codec=FunctionCodec("json", lambda value: value.text, lambda payload, _: Noted(payload), text=True))
    liar.register("sample.noted", Noted)

    def claimed(payload: str) -> goes.Event[Noted]:
        return goes.Event(Noted(payload), registry=liar)

    async def run() -> None:
        async with goes.connect(store_url(jsonb="true"), registry=liar) as db:
            payloads = '"1"', "1e999999999", "no json", '"\\ud800"', '"2"'
            outcomes = await asyncio.gather(
                *(db.events.append([claimed(payload)]) for payload in payloads), return_exceptions=True
            )
            assert [isinstance(one, InvalidEventError) for one in outcomes] == [False, True, True, True, False]
            assert [event.data.text async for event in db.events.query()] == ['"1"', '"2"']

    asyncio.run(run())


def test_wrong_places_and_passwords() -> None:
    """Nobody there, no such database, a login that is refused: StoreUnavailable at once, without the password."""
    parts = urlsplit(server_url())
    nobody = f"postgresql://postgres:secret-word@{parts.hostname}:1/postgres"
    nowhere = server_url().replace("postgres@", "postgres:secret-word@").rpartition("/")[0] + "/no_such_database"
    stranger = server_url().replace("postgres@", "no_such_role:secret-word@")

    async def run() -> None:
        for url, said in (
            (nobody, "cannot be reached"),
            (nowhere, "create the database"),
            (stranger, "refuses the login"),
        ):
            error = await raised(goes.connect(url, connect_timeout=0.3))
            assert isinstance(error, StoreUnavailable)
            assert said in str(error)

    asyncio.run(run())


def test_options() -> None:
    """In the URL or as keywords; what is not known or makes no sense is ConfigError."""
    url = store_url()

    async def run() -> None:
        wrong: tuple[dict[str, Any], ...] = (
            {"pool_size": 3}, {"pool_size": "10"}, {"lock_timeout": 0}, {"durability": "memory"}, {"schema": ""},
            {"schema": "pg_mine"}, {"schema": "x" * 64}, {"listen": "false"}, {"nonsense": 1}, {"application_name": "a\nb"},
        )  # fmt: skip
        for options in wrong:
            assert isinstance(await raised(goes.connect(url, **options)), ConfigError), options
        for query in ("pool_size=x", "listen=perhaps", "lock_timeout=-1"):
            assert isinstance(await raised(goes.connect(f"{url}&{query}")), ConfigError), query
        async with goes.connect(f"{url}&application_name=my-app&durability=normal&pool_size=4&listen=no") as db:
            assert db.durability == "process-crash"
            assert await db.select("SELECT current_setting('application_name')") == [("my-app",)]
            assert db.location == url

    asyncio.run(run())


def test_the_location_can_be_opened() -> None:
    """Of a server at a socket as well, whose URL names no host: a fence tells it to the programs that follow a move."""
    location = "postgresql:///app?host=%2Fnowhere&schema=goes_lite"
    for url in ("postgresql:///app?host=/nowhere", location):
        assert address_of(url, {}).location == location
    assert parse(location) == ("postgresql", location, {})


def test_the_password_is_never_shown() -> None:
    """Neither in the location nor in any repr, whatever way it was given."""
    for login in ("postgres:secret-word@", "postgres@"):
        url = store_url().replace("postgres@", login)
        with blocking.connect(url if ":secret" in login else f"{url}&password=secret-word") as db:
            backend: Any = db.backend
            shown = [
                db.location,
                repr(db),
                repr(backend._address),
                repr(backend._pool),
                repr(backend.executor._committer),
            ]
            assert not [text for text in shown if "secret" in text]


def test_a_handle_belongs_to_its_loop() -> None:
    """Used on another event loop it says so; closed in its own it is fine."""

    async def opened() -> goes.Backend:
        return await goes.connect(store_url())

    loop = asyncio.new_event_loop()
    db = loop.run_until_complete(opened())
    calls: tuple[Callable[[], Coroutine[Any, Any, Any]], ...] = (
        db.events.head, lambda: db.events.append([note("x")]), lambda: db.models.put("c", "1", "{}"),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(StoreError, match="belongs to the event loop"):
            asyncio.run(call())
    loop.run_until_complete(db.close())
    loop.close()


def test_who_forgets_to_close_is_told() -> None:
    async def forget() -> None:
        db = await goes.connect(store_url())
        backend: Any = db.backend
        with pytest.warns(ResourceWarning, match="was not closed"):
            backend.__del__()
        await db.close()

    with warnings.catch_warnings():
        asyncio.run(forget())
