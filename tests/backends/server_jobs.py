"""What worker processes do in the tests of servers: run as a program, with the name of a job and its arguments as JSON."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from typing import Any

from goes_lite_conformance.harness.samples import note, registry

import goes_lite as goes
from goes_lite.contract.event_store import Appended
from goes_lite.errors import GoesError
from goes_lite.events.query import EventQuery
from tests.commands import commands_kit


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class ChangedMind(Exception):
    """Rolls a transaction back."""


async def write(url: str, writer: str, count: int, tasks: int = 4, mutants: str = "", mutant: str = "") -> None:
    """Append, alone and in transactions that take their time, of which some are rolled back and done again.

    Says the position of each event that is acknowledged. `mutant` is one of the module `mutants`.
    """
    if mutant:
        import_module(mutants).mutate(mutant)
    chance = random.Random(writer)
    async with goes.connect(url, registry=registry) as db:
        say("ready")

        async def slowly(event: goes.Event[Any], *, back: bool) -> Appended:
            async with db.transaction() as tx:
                appended = await tx.events.append([event])
                await asyncio.sleep(chance.random() * 0.02)
                if back:
                    raise ChangedMind
                return appended

        async def one(name: str, each: int) -> None:
            for version in range(1, each + 1):
                event = note(f"{name}-{version}", (name, "1"), version)
                how = chance.random()
                try:
                    if how < 0.05:
                        with suppress(ChangedMind):
                            await slowly(event, back=True)
                    appended = await (slowly(event, back=False) if how < 0.15 else db.events.append([event]))
                except GoesError as error:
                    say([type(error).__name__, str(error)[:200]])
                    return
                say(appended.position)

        await asyncio.gather(*(one(f"{writer}.{task}", count // tasks) for task in range(tasks)))
    say("done")


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


async def pay(url: str, count: int) -> None:
    """Dispatch commands with ids, at an aggregate that others change as well; says the error of each, or ""."""
    async with goes.connect(url, registry=commands_kit.registry) as db:
        db.commands.serve(commands_kit.Order)
        say("ready")
        sys.stdin.readline()
        for _ in range(count):
            try:
                await db.commands.dispatch(commands_kit.Pay("1", 1), id=goes.new_id())
                say("")
            except GoesError as error:
                say(f"{type(error).__name__}: {error!s:.200}")


if __name__ == "__main__":
    jobs: dict[str, Callable[..., Coroutine[Any, Any, None]]]
    jobs = {"write": write, "read": read, "open_store": open_store, "pay": pay}
    asyncio.run(jobs[sys.argv[1]](**json.loads(sys.argv[2])))
