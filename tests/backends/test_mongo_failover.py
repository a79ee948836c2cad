"""A replica set of three members under load, whose primary is killed, frozen or steps down, round after round.

With `Retry(1, then="park")` nothing is parked, nothing that was acknowledged is lost, and nothing is doubled. `--rounds 10`
makes 20 rounds of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from goes_lite_conformance.servers import mongo

import goes_lite as goes
from goes_lite.errors import AppendInDoubtError, StoreUnavailable
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

PATIENCE = 120
registry = goes.Registry()


@registry.event("failover.moved")
@dataclass(frozen=True)
class Moved:
    token: str


@registry.commands.event("failover.move")
@dataclass(frozen=True)
class Move:
    account: str
    token: str


class Account(goes.Aggregate, name="account", registry=registry):
    count: int = 0

    @goes.handles(Move, id="account", create=True)
    def move(self, command: Move) -> int:
        self.record(Moved(command.token))
        return self.count

    @goes.applies(Moved)
    def moved(self, event: goes.Event[Moved]) -> None:
        self.count += 1


class Counts(goes.ModelProjection[dict[str, int]], name="counts"):
    @goes.projects(Moved)
    def moved(self, found: dict[str, int] | None, event: goes.Event[Moved]) -> dict[str, int]:
        return {"count": (found or {}).get("count", 0) + 1}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@asynccontextmanager
async def disturbed(members: mongo.Members, fault: str) -> AsyncGenerator[None]:
    """Take the primary away, and let the old one come back at the end."""
    primary = await asyncio.to_thread(members.primary)
    if fault == "kill":
        await asyncio.to_thread(primary.kill)
    elif fault == "freeze":
        os.kill(primary.child.pid, signal.SIGSTOP)
    else:
        await asyncio.to_thread(primary.step_down, 5)
    try:
        yield
    finally:
        if fault == "kill":
            primary.child.launch()
            await asyncio.to_thread(primary.child.wait_ready)
        elif fault == "freeze":
            os.kill(primary.child.pid, signal.SIGCONT)


@pytest.mark.slow
def test_failover_under_load(rounds: int) -> None:
    faults = [("kill", "step down", "freeze")[number % 3] for number in range(2 * rounds)]

    async def run(members: mongo.Members) -> None:
        url = store_url(members.url, retry_timeout=60)
        over = asyncio.Event()
        acknowledged: set[str] = set()

        async def handler(event: goes.Event[Moved], tx: Any) -> None:
            """A read model whose entries would be doubled, or missing, if an event was."""
            entry = await tx.models.get("entries", str(event.position))
            await tx.models.put("entries", str(event.position), f"[{1 if entry is None else 2}]")
            await tx.models.put("last", "one", str(event.position))

        async def append(db: goes.Backend, writer: int) -> None:
            number = 0
            while not over.is_set():
                token = f"a{writer}-{number}"
                event = goes.Event(Moved(token), aggregate=("w", token), version=1, registry=registry)
                while True:  # an append in doubt is settled by the same append
                    try:
                        await db.events.append([event])
                        break
                    except AppendInDoubtError:
                        continue
                acknowledged.add(token)
                number += 1

        async def command(db: goes.Database) -> None:
            number = 0
            while not over.is_set():
                token, id = f"c-{number}", goes.new_id()
                while True:  # with an id, a command counts once
                    try:
                        await db.commands.dispatch(Move(str(number % 3), token), id=id)
                        break
                    except StoreUnavailable:
                        continue
                acknowledged.add(token)
                number += 1

        async with AsyncExitStack() as stack:
            handles = [await stack.enter_async_context(goes.connect(url, registry=registry)) for _ in range(4)]
            handles[2].commands.serve(Account)
            retry = goes.Retry(1, then="park")
            entries = handles[3].processor("entries", handler, transactional=True, retry=retry, lease=5)
            counts = handles[3].projection(Counts(), retry=retry, lease=5)
            async with entries, counts, asyncio.TaskGroup() as tasks:
                tasks.create_task(append(handles[0], 0))
                tasks.create_task(append(handles[1], 1))
                tasks.create_task(command(handles[2]))
                for fault in faults:
                    before = len(acknowledged)
                    async with disturbed(members, fault), asyncio.timeout(PATIENCE):
                        while len(acknowledged) < before + 20:  # noqa: ASYNC110 - with another primary they go on
                            await asyncio.sleep(0.05)
                    await asyncio.to_thread(members.primary)
                over.set()
            head = await handles[0].events.head()
            async with entries, counts:
                await entries.wait_for(head, timeout=PATIENCE)
                await counts.wait_for(head, timeout=PATIENCE)
            assert await entries.parked() == []
            assert await counts.parked() == []

        async with goes.connect(url, registry=registry) as db:
            stored = [event async for event in db.events.query(goes.EventQuery(names=["failover.moved"]))]
            tokens = Counter(event.data.token for event in stored)
            assert acknowledged - tokens.keys() == set()  # nothing is lost
            assert [token for token, times in tokens.items() if times > 1] == []  # and nothing doubled
            entered = {int(one.id): one.data async for one in db.models.query("entries")}
            assert entered == {event.position: "[1]" for event in stored}
            counts_of = [json.loads(one.data)["count"] async for one in db.models.query("counts")]
            assert sum(counts_of) == len(stored)

    with mongo.members(3) as members:
        asyncio.run(run(members))
