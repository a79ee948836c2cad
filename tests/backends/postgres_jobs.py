"""What worker processes do in the tests of PostgreSQL: run as a program, with the name of a job and its arguments as JSON."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from goes_lite_conformance._samples import note, registry
from goes_lite_postgres import _append, _statements

import goes_lite as goes
from goes_lite.errors import GoesError
from goes_lite.query import EventQuery

if TYPE_CHECKING:
    from goes_lite_postgres._statements import Statements


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def write(url: str, writer: str, count: int, tasks: int = 4, mutant: str = "") -> None:
    """Append, alone and in transactions that take their time; say the position of each event that is acknowledged."""
    if mutant:
        mutate(mutant)
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


def mutate(mutant: str) -> None:
    """Take the lock away, and draw positions from a sequence instead, if that is asked for (see `mutated`)."""
    real = _statements.statements

    def unlocked(*args: Any, **kwargs: Any) -> Statements:
        made = real(*args, **kwargs)
        begin = made.begin_append.partition("; SELECT pg_advisory")[0]
        session = made.begin_session.partition("; SELECT pg_advisory")[0]
        return made._replace(begin_append=begin, begin_session=session, lock_log="SELECT 1")

    sys.modules["goes_lite_postgres"].statements = unlocked  # type: ignore[attr-defined]
    if mutant == "sequence":
        write = _append.Group.write

        async def drawn(self: _append.Group, connection: Any, sql: str) -> int | None:
            before = await write(self, connection, sql)
            self.before = self.before if before is None else before  # no longer what was looked up
            return before

        _append.Group.write = drawn  # type: ignore[method-assign]


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


async def open_store(url: str) -> None:
    """Be one of many who open a store that is not there yet."""
    say("ready")
    sys.stdin.readline()
    async with goes.connect(url, registry=registry) as db:
        await db.events.append([note("x")])
        say(db.identity)


if __name__ == "__main__":
    jobs: dict[str, Callable[..., Coroutine[Any, Any, None]]]
    jobs = {"write": write, "read": read, "open_store": open_store}
    asyncio.run(jobs[sys.argv[1]](**json.loads(sys.argv[2])))
