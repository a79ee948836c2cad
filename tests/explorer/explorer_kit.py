"""A store with something in it, and a visitor with a connection of the standard library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from goes_lite import Event, Registry

REGISTRY = Registry()
BEGIN = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)


@REGISTRY.event("order.placed")
@dataclass
class OrderPlaced:
    items: list[str]
    total: int
    customer: str = field(default="Ada", metadata={"personal": True})


@REGISTRY.event("order.paid")
@dataclass
class OrderPaid:
    amount: int


def orders(first: int = 1, count: int = 3) -> list[Event[Any]]:
    """Return two events of each of some orders, an hour apart."""
    found: list[Event[Any]] = []
    for n in range(first, first + count):
        ref, time = ("order", f"2026-{n:03}"), BEGIN + timedelta(hours=n)
        placed = OrderPlaced(["tea"], 10 * n, f"customer {n}")
        found += [
            Event(placed, aggregate=ref, version=1, time=time, tags=[f"customer:{n % 2}"], registry=REGISTRY),
            Event(OrderPaid(10 * n), aggregate=ref, version=2, time=time, registry=REGISTRY),
        ]
    return found


class Answer(NamedTuple):
    """What a server has sent."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def data(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.text)


class Visitor:
    """Asks a server, at the address that it has printed, with the cookies that it was given."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname
        self.host, self.port = address.hostname, address.port
        self.start = f"{address.path}?{address.query}"
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, method: str = "GET", *, body: str | None = None, **headers: str) -> Answer:
        """Send a request, and return the answer; redirects are not followed. `accept_language` is Accept-Language."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies and "Cookie" not in given:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, text)

    def admitted(self) -> Visitor:
        """Open the address that the server has printed."""
        assert self.ask(self.start).status == 303
        return self
