"""The log, live: what is committed arrives once, over any number of lost connections, and a closed page costs nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from goes_lite import blocking
from goes_lite.explorer import Server, live
from tests.explorer.explorer_kit import REGISTRY, Visitor, orders

PATIENCE = 60.0


@contextmanager
def followed(visitor: Visitor, path: str, last: int | None = None) -> Generator[HTTPResponse]:
    """Open a stream of events, as a browser does that has seen those up to `last`."""
    connection = HTTPConnection(visitor.host, visitor.port, timeout=PATIENCE)
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    connection.request("GET", path, headers={"Cookie": cookie, **({"Last-Event-ID": str(last)} if last else {})})
    answer = connection.getresponse()
    try:
        assert answer.status == 200
        yield answer
    finally:
        answer.close()
        connection.close()


def messages(answer: HTTPResponse) -> Iterator[tuple[int, str]]:
    """Yield the position and the row of each event."""
    id, data, kind = 0, "", "message"
    for raw in answer:
        line = raw.decode().rstrip("\n")
        name, _, value = line.partition(": ")
        if name == "id":
            id = int(value)
        elif name == "data":
            data += value
        elif name == "event":
            kind = value
        elif not line:
            if data and kind == "message":
                yield id, data
            data, kind = "", "message"


def test_nothing_is_missed_or_doubled_over_a_hundred_lost_connections(visitor: Visitor, shop: Path) -> None:
    """Each connection is dropped after a few events, in the middle of whatever is sent."""
    count = 150

    def write() -> None:
        with blocking.connect(shop, registry=REGISTRY) as db:
            for n in range(4, 4 + count):
                db.events.append(orders(n, 1))

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    last, drops = 6, 0
    while len(seen) < 2 * count:
        with followed(visitor, "/live?after=6", last) as answer:
            for taken, (position, row) in enumerate(messages(answer), 1):
                assert f">{position}</a>" in row
                seen.append(position)
                last = position
                if taken == 1 + drops % 5 and drops < 100:
                    break
                if len(seen) == 2 * count:
                    break
        drops += 1
    writer.join()

    assert drops >= 100
    assert seen == [*range(7, 7 + 2 * count)]


def test_filters_hold_for_what_arrives(visitor: Visitor, shop: Path) -> None:
    with followed(visitor, "/live?after=0&not=order.paid&where=total%3D50") as answer:
        with blocking.connect(shop, registry=REGISTRY) as db:
            db.events.append(orders(4, 3))
        position, row = next(messages(answer))

    assert position == 9
    assert "order.placed" in row
    assert "customer 5" not in row


def followers() -> int:
    """Return how many threads of servers there are besides those that listen."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_a_closed_page_frees_its_thread_though_nothing_happens(visitor: Visitor) -> None:
    with followed(visitor, "/live") as one, followed(visitor, "/live"):
        assert one.readline()
        assert followers() >= 2
    begin = time.monotonic()
    while followers():
        assert time.monotonic() < begin + PATIENCE
        time.sleep(0.05)


def test_closing_the_server_ends_what_is_followed(server: Server) -> None:
    visitor = Visitor(server.url).admitted()
    with followed(visitor, "/live") as answer:
        assert answer.readline()
        server.close()
        assert answer.read() is not None
    server.close()


def test_a_page_that_is_not_followed_takes_no_place(visitor: Visitor) -> None:
    assert visitor.ask("/live?where=x").status == 400
    assert {visitor.ask("/live", "HEAD").status for _ in range(live.MOST + 2)} == {200}


def test_there_are_not_more_followers_than_allowed(visitor: Visitor, server: Server) -> None:
    taken = [server.explorer.live._free.acquire(blocking=False) for _ in range(live.MOST)]
    assert all(taken)

    assert visitor.ask("/live").status == 503
