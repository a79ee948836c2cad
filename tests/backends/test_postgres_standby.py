"""A standby beside the server: it can be read and followed, and what was acknowledged is there when it takes over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import note, registry, texts
from goes_lite_conformance.servers import postgres

import goes_lite as goes
from goes_lite.errors import StoreReadOnly
from tests.backends.postgres_kit import needs_postgres

needs_postgres()

import asyncpg  # noqa: E402 - not before it is known to be there


def test_a_standby_is_read_and_takes_over() -> None:
    """Followers read on the standby; writes there are StoreReadOnly; after a failover a handle with both hosts goes on.

    With a synchronous standby the handle says that it is replicated, and nothing that was acknowledged is lost.
    """

    async def run(primary: postgres.PostgresServer, other: postgres.PostgresServer) -> None:
        admin: Any = await asyncpg.connect(primary.url)
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await admin.execute("SELECT pg_reload_conf()")
        synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        while not await admin.fetchval(synchronous):  # noqa: ASYNC110 - the server says when
            await asyncio.sleep(0.01)
        await admin.close()
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{other.port}"
        both = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        async with goes.connect(both, registry=registry) as db:
            assert db.durability == "replicated"
            await db.events.append([note("1")])
            async with goes.connect(other.url, registry=registry) as standby:
                following = standby.events.follow(after=0)
                async with asyncio.timeout(30):
                    assert (await anext(following)).data.text == "1"
                for call in (lambda: standby.events.append([note("x")]), lambda: standby.models.put("c", "1", "1")):
                    with pytest.raises(StoreReadOnly):
                        await call()
                waiting = asyncio.ensure_future(anext(following))
                await db.events.append([note("2")])
                async with asyncio.timeout(30):
                    assert (await waiting).data.text == "2"
            appending = [asyncio.create_task(db.events.append([note(str(number))])) for number in range(3, 23)]
            await appending[0]
            await asyncio.to_thread(primary.kill)
            promoting: Any = await asyncpg.connect(other.url)
            assert await promoting.fetchval("SELECT pg_promote()")
            await promoting.close()
            appended = await asyncio.gather(*appending, db.events.append([note("behind")]))
            assert sorted(await texts(db)) == sorted([*map(str, range(1, 23)), "behind"])
            assert len({one.position for one in appended}) == 21

    with postgres.server() as primary, postgres.standby(primary) as other:
        asyncio.run(run(primary, other))
