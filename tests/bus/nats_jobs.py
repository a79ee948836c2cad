"""Jobs of other processes in the tests of NATS: `python -m tests.bus.nats_jobs JOB {arguments}`. The parent kills them."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from goes_lite_conformance.harness.workers import say

import goes_lite as goes
from tests.bus.nats_kit import Add, Greet, registry


async def member(path: str, bus: str, hold: float = 0.0, **options: Any) -> None:
    """Be a member of a group, and report each event that was handled."""
    async with goes.connect(path, bus=bus, registry=registry) as db:

        async def handle(event: goes.Event[Any]) -> None:
            await asyncio.sleep(hold)
            say(event.data.number)

        db.bus.handle(["thing.*"], handle, group="g", **options)
        say("ready")
        await asyncio.Event().wait()


async def service(path: str, bus: str, hold: float = 0.0) -> None:
    """Add to counters in the store, in a transaction; and greet."""
    async with goes.connect(path, bus=bus, registry=registry) as db:

        async def add(command: Add, tx: Any) -> int:
            await asyncio.sleep(hold)
            record = await tx.models.get("counters", command.counter)
            count = json.loads(record.data)["count"] + command.amount if record else command.amount
            await tx.models.put("counters", command.counter, json.dumps({"count": count}))
            return count

        async def greet(command: Greet) -> str:
            say(f"greeting {command.whom}")
            await asyncio.sleep(hold)
            return f"hello {command.whom}"

        db.commands.handle(Add, add, transactional=True)
        db.commands.handle(Greet, greet)
        async with db.commands.service(concurrency=8):
            say("ready")
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run({"member": member, "service": service}[sys.argv[1]](**json.loads(sys.argv[2])))
