"""PostgreSQL behind a pooler that gives each transaction to another server process: nothing may be left in a session."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from goes_lite_conformance.harness.samples import note, registry

import goes_lite as goes
from goes_lite.errors import GoesError, LeaseHeld
from tests.backends.postgres_kit import needs_postgres, pooler_url, store_url

needs_postgres()


def test_everything_works_behind_a_pooler() -> None:
    """Appends of one statement and of several, queries of several pages, transactions, leases, and followers."""

    async def run() -> None:
        url = store_url(pooler_url(), pooler="true")
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:

            async def follow() -> list[str]:
                texts: list[str] = []
                async for event in other.events.follow(after=0):
                    texts.append(event.data.text)
                    if len(texts) == 1203:
                        return texts
                return texts

            following = asyncio.create_task(follow())
            for number in range(3):
                await db.events.append([note(str(number))])
            await db.events.append([note(str(number)) for number in range(3, 1202)])
            async with db.transaction() as tx:
                await tx.events.append([note("1202")])
                await tx.models.put("c", "1", "{}")
                assert await tx.execute("SELECT count(*) FROM models") == [(1,)]
            assert await following == [str(number) for number in range(1203)]
            await db.leases.acquire("l", "me", 60)
            with pytest.raises(LeaseHeld):
                await other.leases.acquire("l", "you", 60)
            assert [event.position async for event in db.events.query()] == list(range(1, 1204))

    asyncio.run(run())


def test_without_the_option_it_does_not() -> None:
    """What is prepared in one server process is not there in the next: the pooler is one."""

    async def run() -> None:
        url = f"{pooler_url()}?schema=t{uuid4().hex[:16]}&retry_timeout=0.5"
        with pytest.raises(GoesError, match="prepared statement"):
            async with goes.connect(url, registry=registry) as db:
                for number in range(5):
                    await db.events.append([note(str(number))])

    asyncio.run(run())
