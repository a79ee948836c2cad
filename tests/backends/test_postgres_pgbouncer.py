"""A real PgBouncer in between, in each of its modes; and what crashes and contention do behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.servers import ServerMissing, pgbouncer

import goes_lite as goes
from goes_lite.errors import GoesError
from goes_lite.events.event import Event
from tests.backends.postgres_kit import needs_postgres, server_url
from tests.backends.server_kit import tail

needs_postgres()
try:
    pgbouncer.program()
except ServerMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

MODES = {"transaction": "&pooler=true", "session": "", "session, as if it were transaction": "&pooler=true"}


@pytest.fixture(params=[pytest.param(mode, marks=[pytest.mark.slow] if "," in mode else []) for mode in MODES])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A store that nobody has used, behind a pooler with few connections."""
    mode = str(request.param)
    with pgbouncer.pooler(server_url(), mode.partition(",")[0], size=40) as pooler:
        yield f"{pooler.url}?schema=t{uuid4().hex[:16]}{MODES[mode]}"


def test_everything_works(url: str) -> None:
    """Appends in one round trip and with a closer look, conditions, transactions, read models, leases, followers."""

    async def run() -> None:
        async with goes.connect(url, registry=registry) as db, goes.connect(url, registry=registry) as other:

            async def follow() -> list[str]:
                return [event.data.text async for event in _first(other, 6)]

            following = asyncio.create_task(follow())
            for number in range(3):
                await db.events.append([note(str(number), ("a", "1"), number + 1, tags=["t:1"])])
            condition = goes.AppendCondition(goes.EventQuery(tags=["t:2"]))
            await db.events.append([note("3")], condition=condition)
            async with db.transaction() as tx:
                await tx.events.append([note("4")])
                await tx.models.put("c", "1", "{}")
                assert await tx.execute("SELECT count(*) FROM models") == [(1,)]
            await other.events.append([note("5")])
            async with asyncio.timeout(60):
                assert await following == list("012345")
            await db.leases.acquire("l", "me", 60)
            assert await other.leases.get("l") is not None
            assert await asyncio.gather(*(db.events.count() for _ in range(20))) == [6] * 20

    asyncio.run(run())


async def _first(db: goes.Database, count: int) -> AsyncIterator[Event[Any]]:
    async for event in db.events.follow(after=0):
        yield event
        count -= 1
        if not count:
            return


@pytest.mark.parametrize("url", ["transaction", pytest.param("session", marks=pytest.mark.slow)], indirect=True)
def test_readers_beside_writers_that_are_killed(url: str) -> None:
    """What is acknowledged is stored once; no reader misses, repeats or reorders anything."""
    each = 12

    async def make() -> None:
        async with goes.connect(url):
            pass

    asyncio.run(make())
    seen = tail(url, each)
    assert (seen.missed, seen.repeated, seen.out_of_order, seen.refused) == (0, 0, 0, [])
    assert seen.acknowledged <= {position for position, _, _ in seen.stored}


def test_the_pooler_is_restarted() -> None:
    """Appends and transactions wait for it and go on: what is acknowledged is stored, once."""

    async def run() -> None:
        with pgbouncer.pooler(server_url(), "transaction") as pooler:
            url = f"{pooler.url}?schema=t{uuid4().hex[:16]}&pooler=true"
            async with goes.connect(url, registry=registry) as db:
                done: list[str] = []
                steps: asyncio.Queue[None] = asyncio.Queue()

                async def write(name: str) -> None:
                    for number in range(10):
                        await db.events.append([note(f"{name}{number}", (name, "1"), number + 1)])
                        await db.models.put("c", name, f"{number}")
                        done.append(f"{name}{number}")
                        steps.put_nowait(None)

                writing = asyncio.gather(*(write(name) for name in "abcdefgh"))
                for count in (10, 30):
                    for _ in range(count):
                        await steps.get()
                    pooler.kill()
                    await asyncio.to_thread(pooler.start)
                await writing
                assert sorted([event.data.text async for event in db.events.query()]) == sorted(done)
                assert len(done) == 80

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_mode_that_needs_more(mode: str) -> None:
    """The message names the option that helps."""

    async def run() -> str:
        with pgbouncer.pooler(server_url(), mode) as pooler:
            where = f"{pooler.url}?schema=t{uuid4().hex[:16]}&retry_timeout=0.5&connect_timeout=5"
            with pytest.raises(GoesError) as caught:
                async with goes.connect(where, registry=registry) as db:
                    await asyncio.gather(*(db.events.append([note(str(number))]) for number in range(50)))
                    await asyncio.gather(*(db.events.count(goes.EventQuery(tags=[f"t:{n}"])) for n in range(50)))
            return str(caught.value)

    message = asyncio.run(run())
    assert "pooler=true" in message
    assert "asyncpg" not in message.replace("__asyncpg_stmt", "")
