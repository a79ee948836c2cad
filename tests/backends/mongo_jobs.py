"""What worker processes do in the tests of MongoDB: run as a program, with the name of a job and its arguments as JSON."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from goes_lite_conformance._samples import note, registry
from goes_lite_mongo import _append

import goes_lite as goes
from goes_lite.errors import GoesError
from goes_lite.query import EventQuery


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def write(url: str, writer: str, count: int, tasks: int = 4, mutant: bool = False) -> None:
    """Append, alone and in transactions that take their time; say the position of each event that is acknowledged."""
    if mutant:
        mutate()
    chance = random.Random(writer)
    async with goes.connect(url, registry=registry) as db:
        say("ready")

        async def one(name: str, each: int) -> None:
            for version in range(1, each + 1):
                event = note(f"{name}-{version}", (name, "1"), version)
                try:
                    if chance.random() < 0.1:
                        async with db.transaction() as tx:
                            appended = await tx.events.append([event])
                            await asyncio.sleep(chance.random() * 0.02)
                    else:
                        appended = await db.events.append([event])
                except GoesError as error:
                    say([type(error).__name__, str(error)[:200]])
                    return
                say(appended.position)

        await asyncio.gather(*(one(f"{writer}.{task}", count // tasks) for task in range(tasks)))
    say("done")


def mutate() -> None:
    """Move the counter outside of the transaction: positions are drawn before it, by an operation of its own."""

    async def drawn(found: Any, session: Any, events: int = 0) -> int:
        row = await found.store.find_one_and_update({"_id": "store"}, {"$inc": {"head": 1}})
        return int(row["head"]) - 1

    write = _append.Group.write

    async def written(self: _append.Group, session: Any) -> bool:
        if len(self.events) != 1:
            raise OSError("one event for each position that was drawn")
        self._found = self._found._replace(store=_Untouched())  # type: ignore[arg-type]
        return await write(self, session)

    for module in ("_writer", "_session", "_executor"):
        sys.modules[f"goes_lite_mongo.{module}"].take_turn = drawn  # type: ignore[attr-defined]
    _append.Group.write = written  # type: ignore[method-assign]


class _Untouched:
    """The document of the store, which the counter is in, left alone."""

    async def update_one(self, *_: Any, **__: Any) -> None:
        return


async def read(url: str, how: str) -> None:
    """Follow the log, or ask it again and again, until its last event; say all positions as they were seen, and versions."""
    seen: list[list[Any]] = []
    async with goes.connect(url, registry=registry) as db:
        say("ready")
        if how == "follow":
            async for event in db.events.follow(after=0):
                seen.append([event.position, event.aggregate and event.aggregate.name, event.version])
                if event.aggregate is None:
                    break
        else:
            while not seen or seen[-1][1] is not None:
                after = seen[-1][0] if seen else 0
                async for event in db.events.query(EventQuery(), after=after):
                    seen.append([event.position, event.aggregate and event.aggregate.name, event.version])
    say(seen)


if __name__ == "__main__":
    jobs: dict[str, Callable[..., Coroutine[Any, Any, None]]]
    jobs = {"write": write, "read": read}
    asyncio.run(jobs[sys.argv[1]](**json.loads(sys.argv[2])))
