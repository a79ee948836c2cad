"""An application that moves from a file to a server and back, while it works, and counts whether anything is lost or doubled.

    python3 examples/graduate.py                              # to another file, and back
    python3 examples/graduate.py --to postgresql://db/shop --bus nats://localhost
    python3 examples/graduate.py --servers                    # PostgreSQL and NATS of its own, from the test packages
    python3 examples/graduate.py --servers --rounds 30 --writers 8 --kills

Processes place orders, each in an aggregate of its own, and ask for reminders: some at once, some later. Another process has
two projections, a processor that writes to a file outside of the store, a worker for the commands, and with a bus a relay. All
of them connected to the file, with on_moved="follow". Then `goes-lite cutover` moves the store, again and again, and with
--kills is killed (-9) on the way. Every writer keeps a list of what was acknowledged to it; in the end the lists, the log, the
read models, the file outside and the bus must agree.

Exit codes: 0 everything agrees, 1 something is lost or doubled, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import Any

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes

shop = goes.Registry()


@shop.event("order.placed")
@dataclass(frozen=True)
class OrderPlaced:
    total: int


@shop.event("customer.reminded")
@dataclass(frozen=True)
class Reminded:
    number: int


@shop.commands.event("remind")
@dataclass(frozen=True)
class Remind:
    customer: str
    number: int


class Orders(goes.Aggregate, name="orders", registry=shop):
    number: int = 0

    def place(self, total: int) -> int:
        self.record(OrderPlaced(total))
        return self.number

    @goes.applies(OrderPlaced)
    def _placed(self, event: goes.Event[OrderPlaced]) -> None:
        self.number += 1


class Customer(goes.Aggregate, name="customer", registry=shop):
    reminders: int = 0

    @goes.handles(Remind, id="customer", create=True)
    def remind(self, command: Remind) -> None:
        self.record(Reminded(command.number))

    @goes.applies(Reminded)
    def _reminded(self, event: goes.Event[Reminded]) -> None:
        self.reminders += 1


@dataclass(frozen=True)
class Number:
    number: int = 0


class Turnover(goes.ModelProjection[Number], name="turnover", collection="turnover"):
    @goes.projects(OrderPlaced)
    def placed(self, model: Number, event: goes.Event[OrderPlaced]) -> Number:
        return Number(model.number + event.data.total)


class Reminders(goes.ModelProjection[Number], name="reminders", collection="reminders"):
    @goes.projects(Reminded)
    def reminded(self, model: Number, event: goes.Event[Reminded]) -> Number:
        return Number(model.number + 1)


# --- the processes of the application -----------------------------------------------------------------------------------


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


async def told() -> None:
    """Wait for a line on stdin: the application is to end."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def write(url: str, name: str) -> None:
    """Place orders and ask for reminders, and note what was acknowledged; in the end say how long the longest took."""
    stopping = asyncio.create_task(told())
    acknowledged: list[int] = []
    asked = number = 0
    slowest: list[float] = []
    async with goes.connect(url, registry=shop, on_moved="follow") as db:
        orders = db.repository(Orders)
        say("ready")
        while not stopping.done():
            began = time.monotonic()
            await orders.use(name, lambda found: found.place(1), create=True)
            slowest.append(time.monotonic() - began)
            number += 1
            acknowledged.append(number)
            if number % 5 == 0:
                asked += 1
                await db.commands.dispatch_async(Remind(name, number))
            if number % 20 == 0:
                asked += 1
                due = datetime.now(timezone.utc) + timedelta(seconds=0.5)
                await db.commands.schedule(Remind(name, number), at=due)
            await asyncio.sleep(0.01)
    say({"orders": len(acknowledged), "reminders": asked, "slowest": sorted(slowest)[-20:]})


async def consume(url: str, outside: str, bus: str) -> None:
    """Keep the read models, act on each order outside of the store, handle the commands, publish to the bus."""
    logging.getLogger("goes_lite").setLevel(logging.CRITICAL)  # each batch that a move interrupts would be a line
    heard: Counter[Any] = Counter()
    async with AsyncExitStack() as stack:
        options: dict[str, Any] = {"bus": bus} if bus else {}
        db = await stack.enter_async_context(goes.connect(url, registry=shop, on_moved="follow", **options))

        def act(event: goes.Event[OrderPlaced]) -> None:
            with open(outside, "a", encoding="utf-8") as file:
                file.write(f"{event.id}\n")

        db.commands.serve(Customer)
        consumers: list[Any] = [db.projection(Turnover()), db.projection(Reminders())]
        consumers.append(db.processor("act", act, query=goes.EventQuery(names=["order.placed"])))
        for consumer in (*consumers, db.commands.worker()):
            await stack.enter_async_context(consumer)
        if bus:
            await stack.enter_async_context(db.relay())
            hear = db.bus.handle(
                ["order.placed"], lambda event: heard.update([event.id]), group="all", start="beginning"
            )
            stack.push_async_callback(hear.stop)
        say("ready")
        await told()
        orders = goes.EventQuery(names=["order.placed"])
        while await db.commands.accepted():  # noqa: ASYNC110 - some are due later
            await asyncio.sleep(0.05)
        head = await db.events.head()
        for consumer in consumers:
            await consumer.wait_for(head)
        wanted = await db.events.count(orders)
        while bus and len(heard) < wanted:  # noqa: ASYNC110 - the bus needs its time
            await asyncio.sleep(0.05)
        say({"heard": len(heard)})


# --- the move -----------------------------------------------------------------------------------------------------------


class Part:
    """A process of the application."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--part", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a part of the application has ended: exit code {self.process.wait()}")
        return json.loads(line)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def move(source: str, target: str, budget: float, *, kills: bool) -> tuple[float, int]:
    """Move the store; return the seconds for which it kept writers out, and the number of kills."""
    words = [sys.executable, "-m", "goes_lite", "cutover", source, target, "--budget", str(budget), "--yes", "--json"]
    killed = 0
    while True:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as mover:
            if kills and killed < 2:
                try:
                    mover.wait(random.uniform(0.2, 1.6))
                except subprocess.TimeoutExpired:
                    os.kill(mover.pid, signal.SIGKILL)
                    killed += 1
            said, _ = mover.communicate()
        if mover.returncode == 0:
            return json.loads(said)["data"]["paused"], killed
        if mover.returncode > 0:
            raise SystemExit(f"goes-lite cutover {source} {target}: {said}")


def places(arguments: argparse.Namespace, stack: ExitStack) -> tuple[str, str, str]:
    """Return the file, where it moves to, and the bus."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="graduate-"))
    source, target, bus = f"{folder}/shop.db", arguments.to or f"{folder}/grown.db", arguments.bus
    if arguments.servers:
        from goes_lite_conformance.servers import nats, postgres

        target = stack.enter_context(postgres.server(postgres.versions()[0])).url
        bus = stack.enter_context(nats.server()).url
    return source, target, bus


def run(arguments: argparse.Namespace) -> int:
    """Start the application, move its store, stop it, and count."""
    with ExitStack() as stack:
        source, target, bus = places(arguments, stack)
        outside = f"{source}.acted"
        with goes.blocking.connect(source, registry=shop):
            pass  # it exists before several processes open it
        consumer = Part("consume", source, outside, bus)
        stack.callback(consumer.end)
        writers = [Part("write", source, f"writer-{number}") for number in range(arguments.writers)]
        for part in (consumer, *writers):
            stack.callback(part.end)
            assert part.hear() == "ready"
        paused: list[float] = []
        kills = 0
        for number in range(arguments.rounds):
            for one, other in ((source, target), (target, source)):
                time.sleep(arguments.seconds)
                seconds, killed = move(one, other, arguments.budget, kills=arguments.kills and number % 2 == 0)
                kills += killed
                paused += [seconds] if seconds else []
                print(f"moved {'to the new place' if one == source else 'back to the file'}", flush=True)
        time.sleep(arguments.seconds)
        for part in writers:
            part.stop()
        wrote = [part.hear() for part in writers]
        consumer.stop()
        heard = consumer.hear()["heard"]
        for part in (consumer, *writers):
            part.process.wait()
        print(f"writers were kept out for {_spread(paused)} s; {kills} movers were killed")
        print(f"the slowest orders took {_spread([one for found in wrote for one in found['slowest']][-50:])} s")
        return _count(source, wrote, outside, heard if bus else None)


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} (at most {max(seconds):.2f})" if seconds else "-"


def _count(source: str, wrote: list[dict[str, int]], outside: str, heard: int | None) -> int:
    """Compare what was acknowledged with what is there, and print both."""
    with goes.blocking.connect(source, registry=shop) as db:
        ids: dict[str, list[Any]] = {"order.placed": [], "customer.reminded": []}
        for event in db.events.query():
            ids[event.name].append(event.id)
        models = {
            name: sum(record.number for record in db.models_of(name, Number).query())
            for name in ("turnover", "reminders")
        }
    acted = Counter(Path(outside).read_text(encoding="utf-8").split())
    orders, reminders = sum(found["orders"] for found in wrote), sum(found["reminders"] for found in wrote)
    lines: list[tuple[str, int, int]] = [
        ("orders in the log", len(set(ids["order.placed"])), orders),
        ("orders in the projection", models["turnover"], orders),
        ("orders acted on outside", len(acted), orders),
        ("orders acted on twice", sum(acted.values()) - len(acted), 0),
        ("reminders in the log", len(set(ids["customer.reminded"])), reminders),
        ("reminders in the projection", models["reminders"], reminders),
        *([("orders heard on the bus", heard, orders)] if heard is not None else []),
    ]
    for what, found, wanted in lines:
        print(f"{what:<28} {found:>8}{'' if found == wanted else f'   but {wanted} were acknowledged'}")
    return 0 if all(found == wanted for _, found, wanted in lines) else 1


def main(words: Sequence[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", default="", metavar="URL", help="where the store moves to; by default another file")
    parser.add_argument("--bus", default="", metavar="URL", help="a bus for the relay, such as nats://localhost")
    parser.add_argument("--servers", action="store_true", help="start PostgreSQL and NATS from the test packages")
    parser.add_argument("--writers", type=int, default=3, help="processes that write (default: 3)")
    parser.add_argument("--rounds", type=int, default=1, help="how often it moves there and back (default: 1)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of work between two moves (default: 0.5)")
    parser.add_argument(
        "--budget", type=float, default=5.0, help="seconds for which writers may be kept out (default: 5)"
    )
    parser.add_argument("--kills", action="store_true", help="kill the mover at random in every other round")
    parser.add_argument("--part", nargs="+", default=[], help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.part:
        kind, *rest = arguments.part
        asyncio.run(write(*rest) if kind == "write" else consume(*rest))
        return 0
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
