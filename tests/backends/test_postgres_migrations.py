"""Tables of an older version: whoever may change them brings them up to date when opening, and nothing in them is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from goes_lite_conformance.harness.samples import note, registry, texts

import goes_lite as goes
from goes_lite.errors import StoreUnavailable
from tests.backends.postgres_kit import needs_postgres, server_url, store_url

needs_postgres()

import asyncpg  # noqa: E402 - not before it is known to be there
from goes_lite_postgres._schema import VERSION  # noqa: E402

FIRST = Path(__file__).with_name("postgres_schema_1.sql")
"""What `goes-lite schema store postgresql` printed when the tables were of version 1."""


async def first_version(url: str) -> asyncpg.Connection:
    """Create a store of version 1 and return a connection of the owner of its server."""
    connection = await asyncpg.connect(server_url())
    await connection.execute(FIRST.read_text().replace("the_schema", schema_of(url)))
    return connection


def schema_of(url: str) -> str:
    return url.partition("schema=")[2].partition("&")[0]


async def settings_of(connection: asyncpg.Connection, url: str) -> list[str]:
    """Return the settings of the function that appends."""
    found: list[str] = await connection.fetchval(
        "SELECT proconfig FROM pg_proc WHERE proname = 'append_events' AND pronamespace = to_regnamespace($1)",
        schema_of(url),
    )
    return found


def test_version_1_is_migrated() -> None:
    """With the same result as tables that are new, also by several programs at once."""
    old, new = store_url(), store_url()

    async def run() -> None:
        connection = await first_version(old)
        try:
            assert "jit=off" not in await settings_of(connection, old)
            opened = await asyncio.gather(*(_opened(old) for _ in range(4)), _opened(new))
            for db in opened:
                await db.events.append([note("x")])
            assert [await texts(db) for db in opened] == [["x"] * 4] * 4 + [["x"]]
            for db in opened:
                await db.close()
            assert await settings_of(connection, old) == await settings_of(connection, new)
            assert "jit=off" in await settings_of(connection, old)
            assert await connection.fetchval(f"SELECT version FROM {schema_of(old)}.store") == VERSION
        finally:
            await connection.close()

    asyncio.run(run())


async def _opened(url: str) -> goes.Database:
    return await goes.connect(url, registry=registry)


def test_a_role_that_may_not_change_them() -> None:
    """It is told which version it has found, and what to do; afterwards it can write."""
    url = store_url()
    role = f"r_{schema_of(url)}"
    limited = url.replace("postgres@", f"{role}:secret-word@")

    async def run() -> None:
        connection = await first_version(url)
        try:
            await connection.execute(f"CREATE ROLE {role} LOGIN")
            await connection.execute(f"GRANT USAGE ON SCHEMA {schema_of(url)} TO {role}")
            await connection.execute(
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema_of(url)} TO {role}"
            )
            with pytest.raises(StoreUnavailable, match="open the store once with a privileged role") as caught:
                await goes.connect(limited)
            assert f"of version 1, and this goes_lite needs version {VERSION}" in str(caught.value)
            await (await goes.connect(url)).close()
            async with goes.connect(limited, registry=registry) as db:
                await db.events.append([note("x")])
                assert await texts(db) == ["x"]
        finally:
            await connection.close()

    asyncio.run(run())
