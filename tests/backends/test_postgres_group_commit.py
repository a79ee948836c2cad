"""Group commit on PostgreSQL: who appends at the same time shares a transaction, and nobody waits for the slow."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from goes_lite_conformance.harness.samples import note, registry

import goes_lite as goes
from goes_lite import blocking
from tests.backends.postgres_kit import needs_postgres, store_url

needs_postgres()

TRANSACTIONS = "SELECT count(DISTINCT xmin::text)::int FROM events"


def test_tasks_share_transactions() -> None:
    """64 tasks of 10 appends each: about 10 transactions, not 640."""

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:

            async def one(name: str) -> None:
                for version in range(1, 11):
                    await db.events.append([note("x", (name, "1"), version)])

            await asyncio.gather(*(one(f"a{number}") for number in range(64)))
            assert await db.events.count() == 640
            assert (await db.select(TRANSACTIONS))[0][0] <= 30

    asyncio.run(run())


def test_threads_share_transactions() -> None:
    """So do threads of a blocking program."""
    with blocking.connect(store_url(), registry=registry) as db:

        def one(name: str) -> None:
            for version in range(1, 21):
                db.events.append([note("x", (name, "1"), version)])

        threads = [threading.Thread(target=one, args=(f"a{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.events.count() == 160
        assert db.select(TRANSACTIONS)[0][0] <= 80


def test_a_large_group_is_cut() -> None:
    """However many wait, a transaction stays small enough for the first of them."""

    async def run() -> None:
        async with goes.connect(store_url(), registry=registry) as db:
            appends: list[Any] = [
                db.events.append([note("x", (f"a{number}", "1"), version) for version in range(1, 501)])
                for number in range(30)
            ]
            await asyncio.gather(*appends)
            assert await db.events.count() == 15_000
            assert (await db.select(TRANSACTIONS))[0][0] >= 3

    asyncio.run(run())
