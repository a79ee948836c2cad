"""A cluster of three brokers, of which one after the other is killed under load."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.servers import nats as servers
from goes_lite_nats import _api

import goes_lite as goes
from goes_lite import Backoff, Retry
from goes_lite.errors import GoesError
from tests.bus import nats_kit
from tests.bus.nats_kit import note, registry, until

pytestmark = [nats_kit.needs_nats, pytest.mark.slow]


async def connected(path: str, bus: str) -> Any:
    """Open a handle once the cluster has a leader."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await goes.connect(path, bus=bus, registry=registry)
            except GoesError:
                await asyncio.sleep(0.2)


def test_failover_under_load_parks_loses_and_doubles_nothing(tmp_path: Path, rounds: int) -> None:
    """Two rounds; 20 with `--rounds 10`. The relay would park an event that it cannot publish at the first try."""
    kills = 2 * rounds
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    print(f"seed {seed}")

    async def main(members: list[servers.NatsServer]) -> None:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in members)
        bus = f"nats://{hosts}?prefix=shop&replicas=3&lease=2&timeout=5"
        stored, over = 0, False
        heard: list[int] = []
        async with (
            await connected(str(tmp_path / "a.db"), bus) as db,
            await connected(str(tmp_path / "b.db"), bus) as other,
        ):

            async def handle(event: goes.Event[Any]) -> None:
                heard.append(event.data.number)

            other.bus.handle(["thing.*"], handle, group="g", start="beginning", ordered_by="aggregate")
            relay = db.relay(retry=Retry(1, backoff=Backoff(maximum=1.0), then="park"))
            async with relay:

                async def store() -> None:
                    nonlocal stored
                    while not over:
                        await db.events.append([note(stored, "a", stored + 1)])
                        stored += 1
                        await asyncio.sleep(0.02)

                storing = asyncio.create_task(store())
                for _ in range(kills):
                    before = len(set(heard))
                    await until(lambda before=before: len(set(heard)) > before + 10, 90)  # type: ignore[misc]
                    member = chance.choice(members)
                    await asyncio.to_thread(member.kill)
                    await asyncio.sleep(chance.random() * 2)
                    await asyncio.to_thread(member.start)
                over = True
                await storing
                await until(lambda: len(set(heard)) >= stored, 90)
                assert await relay.parked() == []
            assert list(dict.fromkeys(heard)) == list(range(stored))
            subscription = other.bus.subscribe(start="beginning")
            published: list[int] = []
            async with asyncio.timeout(60):
                while len(published) < stored:
                    delivery = await anext(subscription)
                    published.append(delivery.event.data.number)
                    await delivery.ack()
            assert published == list(range(stored))

    with servers.cluster() as members:
        asyncio.run(main(members))


def test_an_event_published_by_many_at_once(
    tmp_path: Path, rounds: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members refuse a second copy while they still agree on the first: that is neither an error nor worth a log entry."""
    codes: Counter[int] = Counter()

    class Noticed(_api.ApiError):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            codes[self.err_code] += 1

    monkeypatch.setattr(_api, "ApiError", Noticed)

    async def main(members: list[servers.NatsServer]) -> None:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in members)
        bus = f"nats://{hosts}?prefix=shop&replicas=3&timeout=20"
        async with (
            await connected(str(tmp_path / "a.db"), bus) as db,
            await connected(str(tmp_path / "b.db"), bus) as other,
        ):
            events = 0
            while not codes[_api.DUPLICATE_IN_PROGRESS] and events < 200 * rounds:
                appended = note(events, "a", events + 1)
                await db.events.append([appended])
                (event,) = await db.events.query(after=events).list()
                await asyncio.gather(*(handle.bus.publish([event]) for handle in (db, other) for _ in range(10)))
                events += 1
            assert codes[_api.DUPLICATE_IN_PROGRESS], f"{events} events were published twenty times each: {codes}"
            subscription = other.bus.subscribe(start="beginning")
            published: list[int] = []
            async with asyncio.timeout(60):
                while len(published) < events:
                    delivery = await anext(subscription)
                    published.append(delivery.event.data.number)
                    await delivery.ack()
            assert published == list(range(events))

    with servers.cluster() as members:
        asyncio.run(main(members))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
