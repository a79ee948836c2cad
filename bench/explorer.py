"""What the explorer costs: how fast its pages are on a long log, how fast it opens, and what open pages cost programs that write.

    python bench/explorer.py [--events 1000000] [--repeat 30] [--seconds 15] [--pages 10] [--store FILE]

Prints a line for each measurement. Makes a store with this many events in a temporary folder, unless FILE has one that
an earlier run made; nothing else should be running on the machine. For Linux, whose /proc tells what a process has used.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, connect
from goes_lite.events.registry import Registry

ROOT = str(Path(__file__).resolve().parents[1])
registry = Registry()


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    customer: str
    items: list[str]
    total: int


@registry.event("order.paid")
@dataclass(frozen=True)
class Paid:
    amount: int
    currency: str


@registry.event("order.shipped")
@dataclass(frozen=True)
class Shipped:
    parcel: str


@registry.event("letter.sent")
@dataclass(frozen=True)
class Letter:
    to: str


@registry.commands.event("letter.send")
@dataclass(frozen=True)
class Send:
    to: str


class Orders(goes.ModelProjection[int], name="orders"):
    """How many orders each customer has placed."""

    @goes.projects(Placed, key=lambda event: event.data.customer)
    def placed(self, orders: int | None, event: goes.Event[Placed]) -> int:
        return (orders or 0) + 1


# --- the store --------------------------------------------------------------------------------------------------------

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
STEPS = 4
"""Events of an order, each caused by the one before."""


def fill(path: str, events: int) -> None:
    """Make a store: orders of four events, some of many more, tags, causes, read models, a parked event, commands."""
    dice = random.Random(1)
    with connect(path, registry=registry, durability="normal") as db:
        batch: list[goes.Event[Any]] = []
        for order in range(events // STEPS):
            batch += _order(order, dice, BEGIN + timedelta(seconds=20 * order))
            if len(batch) >= 4000:
                db.events.append(batch)
                batch = []
        db.events.append([*batch, *_long_lived(BEGIN)])
        db.projection(Orders()).catch_up()
        letters = goes.EventQuery(["letter.sent"])
        db.processor("letters", _park, retry=goes.Retry(1, then="park"), query=letters, start="now").catch_up()
        db.events.append(_order(events, dice, BEGIN + timedelta(seconds=20 * events)))
        db.processor("letters", _park, retry=goes.Retry(1, then="park"), query=letters).catch_up()
        for number in range(1000):
            db.commands.schedule(Send(f"customer {number}"), at=datetime(2099, 1, 1, tzinfo=timezone.utc))


def _park(event: goes.Event[Letter]) -> None:
    raise ConnectionError("no printer")


def _order(number: int, dice: random.Random, time: datetime) -> list[goes.Event[Any]]:
    customer = f"c{dice.randrange(20_000)}"
    made: list[goes.Event[Any]] = []
    for version, data in enumerate(
        (Placed(customer, ["tea", "cup"], 1250), Paid(1250, "EUR"), Letter(customer), Shipped(f"P-{number}")), 1
    ):
        metadata = {"actor": customer, "correlation": f"o{number}"}
        if made:
            metadata["causation"] = str(made[-1].id)
        at, tags = time + timedelta(seconds=version), [f"customer:{customer}"]
        order = ("order", f"o{number}")
        made.append(
            goes.Event(data, aggregate=order, version=version, registry=registry, tags=tags, metadata=metadata, time=at)
        )
    return made


def _long_lived(time: datetime) -> list[goes.Event[Any]]:
    return [
        goes.Event(Paid(number, "EUR"), aggregate=("till", "1"), version=number, registry=registry, time=time)
        for number in range(1, 5001)
    ]


# --- the server -------------------------------------------------------------------------------------------------------


class Server:
    """`goes-lite ui` in a process of its own, and what it has used."""

    def __init__(self, store: str) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "goes_lite", "ui", store, "--no-browser", "--port", "0"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert self.process.stdout is not None
        url = ""
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                url = found[0]
                break
        assert url, "goes-lite ui printed no address"
        self.printed = time.perf_counter() - began
        parts = urlsplit(url)
        self.host, self.port = "127.0.0.1", int(parts.port or 0)
        wire = http.client.HTTPConnection(self.host, self.port)
        wire.request("GET", f"{parts.path or '/'}?{parts.query}")
        answer = wire.getresponse()
        answer.read()
        self.cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
        wire.close()
        self.get("/")
        self.opened = time.perf_counter() - began
        """Seconds from starting the process to having the first page."""

    def get(self, path: str) -> bytes:
        """Return a page, over a new connection, as a reload does."""
        wire = http.client.HTTPConnection(self.host, self.port, timeout=120)
        wire.request("GET", path, headers={"Cookie": self.cookie, "Accept": "text/html"})
        answer = wire.getresponse()
        body = answer.read()
        wire.close()
        assert answer.status == 200, (path, answer.status, body[:300])
        return body

    def follow(self, path: str) -> socket.socket:
        """Open a live page's stream."""
        wire = socket.create_connection((self.host, self.port))
        wire.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nCookie: {self.cookie}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        return wire

    @property
    def used(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def serving(store: str) -> Generator[Server]:
    server = Server(store)
    try:
        yield server
    finally:
        server.close()


# --- measurements -----------------------------------------------------------------------------------------------------


def addresses(db: BlockingDatabase, dice: random.Random, events: int) -> dict[str, Callable[[], str]]:
    """Every kind of page, with other arguments each time."""
    head = db.events.head()
    ids = [str(event.id) for event in db.events.query(limit=50)]
    command = str(db.commands.accepted()[0].id)

    def order() -> str:
        return f"o{dice.randrange(events // STEPS)}"

    def customer() -> str:
        return f"c{dice.randrange(20_000)}"

    def position() -> int:
        return dice.randrange(1, head)

    return {
        "overview": lambda: "/",
        "log": lambda: "/log",
        "log from a position": lambda: f"/log?from={position()}",
        "log of a name": lambda: f"/log?name=order.paid&from={position()}",
        "log without a name": lambda: f"/log?not=order.paid&from={position()}",
        "log of a rare tag": lambda: f"/log?tag=customer:{customer()}",
        "log of an aggregate": lambda: f"/log?aggregate=order/{order()}",
        "log since a time": lambda: (
            f"/log?since={(BEGIN + timedelta(seconds=dice.randrange(5 * events))):%Y-%m-%dT%H:%M}"
        ),
        "log by a value in payloads": lambda: "/log?where=currency=EUR",
        "log by a value that none has": lambda: "/log?where=currency=USD",
        "event by position": lambda: f"/event/{position()}",
        "event by id": lambda: f"/event/{dice.choice(ids)}",
        "aggregate": lambda: f"/aggregate/order/{order()}",
        "aggregate of 5,000 events": lambda: "/aggregate/till/1",
        "aggregate of 5,000 events at": lambda: f"/aggregate/till/1?at={dice.randrange(1, 5000)}",
        "aggregates": lambda: "/aggregates",
        "models": lambda: "/models",
        "models of 20,000": lambda: "/models/orders",
        "consumers": lambda: "/consumers",
        "consumer with parked events": lambda: "/consumers/letters",
        "commands": lambda: "/commands",
        "command": lambda: f"/commands/{command}",
        "workflows": lambda: "/workflows",
        "search by an id": lambda: f"/search?q={order()}",
        "search in payloads": lambda: f"/search?q=P-{dice.randrange(events // STEPS)}",
        "search for nothing": lambda: "/search?q=nowhere-to-be-found",
    }


def pages(server: Server, store: str, events: int, repeat: int) -> None:
    """How long each page takes, connection and transfer included, and how much of it is computing in the server."""
    with connect(store, registry=registry, read_only=True) as db:
        paths = addresses(db, random.Random(2), events)
    for name, path in paths.items():
        server.get(path())  # modules are imported when they are first asked for
        took: list[float] = []
        size, used = 0, server.used
        for _ in range(repeat):
            began = time.perf_counter()
            size = len(server.get(path()))
            took.append(1000 * (time.perf_counter() - began))
        p95 = quantiles(took, n=20)[-1]
        mark = " " if p95 <= 50 else "!"
        cpu = 1000 * (server.used - used) / repeat
        print(
            f"{median(took):9.1f} ms  p95 {p95:7.1f} ms {mark} {cpu:5.0f} ms of CPU {size / 1024:6.0f} KiB  {name}",
            flush=True,
        )


def idle(server: Server, pages: int, seconds: float) -> None:
    """What open pages cost that show nothing new."""
    before = server.used
    time.sleep(seconds)
    alone = (server.used - before) / seconds
    wires = [server.follow("/live") for _ in range(pages)]
    time.sleep(2)  # they catch up
    before = server.used
    time.sleep(seconds)
    cost = ((server.used - before) / seconds - alone) / pages
    print(f"{100 * cost:9.3f} %    of a core for each of {pages} open pages; {100 * alone:.3f} % without any")
    threads = server.threads
    began = time.perf_counter()
    for wire in wires:
        wire.close()
    while server.threads > threads - pages and time.perf_counter() - began < 60:
        time.sleep(0.01)
    took = time.perf_counter() - began
    print(
        f"{took:9.2f} s    until the threads of {pages} closed pages have ended ({threads} before, {server.threads} now)"
    )


_READERS = """
import selectors, sys
sys.path.insert(0, sys.argv[1])
from bench.explorer import drain
drain(sys.argv[2:])
"""


def drain(arguments: list[str]) -> None:
    """Read what live pages are sent until standard input ends: a process in place of browsers. Prints how many events."""
    host, port, cookie, count = arguments
    wires = [socket.create_connection((host, int(port))) for _ in range(int(count))]
    chosen = selectors.DefaultSelector()
    chosen.register(sys.stdin, selectors.EVENT_READ)
    for wire in wires:
        wire.sendall(
            f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        chosen.register(wire, selectors.EVENT_READ)
    print("ready", flush=True)
    seen = 0
    while True:
        for key, _ in chosen.select():
            if key.fileobj is sys.stdin:
                print(seen, flush=True)
                return
            data = key.fileobj.recv(1 << 16) if isinstance(key.fileobj, socket.socket) else b""
            seen += data.count(b"\nid:") + data.startswith(b"id:")
            if not data:
                chosen.unregister(key.fileobj)


def writers(server: Server, store: str, pages: int, seconds: float) -> None:
    """How many events a second a program writes, one append each, with open pages and without, in turns."""
    rates: dict[int, list[float]] = {0: [], pages: []}
    shown: list[int] = []
    with connect(store, registry=registry) as db:
        for _ in range(4):
            for open_pages, found in rates.items():
                with _open(server, open_pages, shown):
                    found.append(_write(db, seconds / 4))
    alone, with_pages = median(rates[0]), median(rates[pages])
    print(
        f"{with_pages / alone:9.2f} times     the {alone:,.0f} appends/s of a writer, with {pages} live pages "
        f"({', '.join(f'{rate:,.0f}' for rate in rates[pages])} against {', '.join(f'{rate:,.0f}' for rate in rates[0])}; "
        f"{sum(shown):,} events were sent to pages)"
    )


@contextmanager
def _open(server: Server, pages: int, shown: list[int]) -> Generator[None]:
    if not pages:
        yield
        return
    readers = subprocess.Popen(
        [sys.executable, "-c", _READERS, ROOT, server.host, str(server.port), server.cookie, str(pages)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert readers.stdin
    assert readers.stdout
    assert readers.stdout.readline() == "ready\n"
    time.sleep(1)
    yield
    readers.stdin.close()
    shown.append(int(readers.stdout.readline()))
    readers.wait()
    readers.stdout.close()


def _write(db: BlockingDatabase, seconds: float) -> float:
    written, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        db.events.append([goes.Event(Letter("ada"), registry=registry)])
        written += 1
    return written / (time.perf_counter() - began)


def opening(store: str, times: int) -> None:
    """How long it takes from the command to its address, and to the first page."""
    printed: list[float] = []
    opened: list[float] = []
    for _ in range(times):
        with serving(store) as server:
            printed.append(1000 * server.printed)
            opened.append(1000 * server.opened)
    print(
        f"{median(printed):9.0f} ms  until `goes-lite ui` has printed its address, {median(opened):.0f} ms until the first page "
        f"is there (of {times}: at most {max(printed):.0f} and {max(opened):.0f})"
    )


@contextmanager
def made(store: str, events: int) -> Generator[str]:
    """The store: the one that is there already, or a new one that goes with the bench."""
    if store and os.path.exists(store):
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="goes-bench-") as folder:
        path = store or str(Path(folder) / "shop.db")
        began = time.perf_counter()
        fill(path, events)
        print(f"{time.perf_counter() - began:9.1f} s    to make a store of {os.path.getsize(path) / 2**20:,.0f} MiB")
        yield path


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=30, help="requests of each page")
    parser.add_argument("--seconds", type=float, default=15.0, help="for what takes a while to see")
    parser.add_argument("--pages", type=int, default=10, help="live pages at a time")
    parser.add_argument("--store", default="", help="keep the store in this file, or use the one that is there")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    with made(chosen.store, chosen.events) as store, suppress(KeyboardInterrupt):
        opening(store, 5)
        with serving(store) as server:
            pages(server, store, chosen.events, chosen.repeat)
            idle(server, chosen.pages, chosen.seconds)
            writers(server, store, chosen.pages, chosen.seconds)


if __name__ == "__main__":
    main()
