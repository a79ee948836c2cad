"""What processes do until they are killed: the jobs of the rules."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.repository.schedule import Every
from goes_lite_conformance.crash.writing import (
    COUNTED,
    SIZES,
    WRITTEN,
    Doomed,
    Grown,
    count_next,
    counting,
    plain,
    registry,
    write_on,
)
from goes_lite_conformance.harness.faces import run
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import snapshot
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import Face


def write(place: Place, writer: str, face: Face, writers: int = 1, sizes: Sequence[int] = SIZES) -> None:
    """Write until killed; on an event loop as several concurrent writers, whose appends are committed together."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db:
            say("ready")
            if face == "async":
                await asyncio.gather(*(write_on(db, f"{writer}.{number}", sizes) for number in range(writers)))
            else:
                await write_on(db, writer, sizes)

    run(face, work())


def count(place: Place, writer: str, face: Face) -> None:
    """Append one event at a time and count all events in a read model; say how far the count has come."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db:
            say("ready")
            for number in itertools.count(1):
                await db.events.append([plain(writer, number)])
                async with db.transaction() as transaction:
                    position = await count_next(transaction)
                say(position)

    run(face, work())


def append(place: Place, writer: str) -> None:
    """Append as many events as told to, one by one, repeatedly."""
    with place.blocking(registry=registry) as db:
        say("ready")
        for number in itertools.count(1):
            for index in range(listen()):
                db.events.append([plain(f"{writer}.{index}", number)])


def process(place: Place, face: Face, batch: int, lease: float, table: str | None) -> None:
    """Run the processor that counts all events; say the position of each event once it is counted."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db:
            options: dict[str, Any] = {"transactional": True, "batch": batch, "lease": lease}
            processor = db.processor(COUNTED, counting(table), query=WRITTEN, **options)
            say("ready")
            await processor.run()

    run(face, work())


def doom(place: Place, id: str, face: Face) -> None:
    """Let an aggregate with snapshots grow, delete it, and begin again; say each step when it is done."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db:
            repository = db.repository(Doomed, snapshots=Every(3))
            say("ready")
            for life in itertools.count(1):
                for size in (3, 6, 9):
                    await repository.use(id, partial(Doomed.grow, life=life), create=True)
                    say(["grown", life, size])
                say(["erasing", life, 9])
                await repository.delete(id)
                say(["erased", life, 0])

    run(face, work())


def hold(place: Place, face: Face) -> None:
    """Write to every store in a transaction that never ends."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db, db.transaction() as transaction:
            ref = AggregateRef("doomed", "held")
            await transaction.events.append([Event(Grown(1), aggregate=ref, version=1, registry=registry)])
            await transaction.snapshots.save(snapshot(ref, 1))
            await transaction.models.put(COUNTED, "held", "{}")
            await transaction.checkpoints.save("held", 1)
            say("inside")
            listen()

    run(face, work())


def follow(place: Place, face: Face) -> None:
    """Say the position and the id of each event, from the first one on."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db:
            say("ready")
            async for event in db.events.follow(after=0):
                say([event.position, str(event.id)])

    run(face, work())


def lease(place: Place, owner: str, ttl: float, face: Face) -> None:
    """Hold a lease."""

    async def work() -> None:
        async with place.open(face=face, registry=registry) as db:
            held = await db.leases.acquire("job", owner, ttl)
            say(held.token)
            listen()

    run(face, work())
