"""examples/recipes/fastapi_service.py, in two worker processes of uvicorn on one file."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import goes_lite as goes
from tests.recipes import recipe_kit as kit

if TYPE_CHECKING or find_spec("httpx"):
    import httpx

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    kit.needs("fastapi.sse", "uvicorn", "httpx"),
    pytest.mark.skipif(os.name != "posix", reason="servers are stopped by SIGTERM"),
]


@contextmanager
def server(folder: Path) -> Generator[tuple[kit.Program, httpx.Client]]:
    """The service as the recipe starts it, at a free port. A slow machine is no reason to restart a worker."""
    command = kit.python("-m", "uvicorn", "fastapi_service:app", "--app-dir", kit.RECIPES, "--port", 0, "--workers", 2)
    with kit.running(*command, "--timeout-worker-healthcheck", 100, cwd=folder) as program:
        url = program.expect(r"running on (http://127.0.0.1:\d+)")[1]
        for _ in range(2):
            program.expect("Application startup complete")
        with httpx.Client(base_url=url, timeout=kit.PATIENCE, trust_env=False) as client:
            yield program, client


def post(client: httpx.Client, path: str, item: str, count: int, key: str) -> httpx.Response:
    """Post a command, again if the answer says so: what has a key counts once."""
    while True:
        response = client.post(path, json={"item": item, "count": count}, headers={"Idempotency-Key": key})
        if response.status_code != 503:
            return response


def levels(client: httpx.Client, seen: int) -> Any:
    while (response := client.get("/stock", params={"seen": seen})).status_code == 503:
        continue
    return response.raise_for_status().json()


def stream(client: httpx.Client, heard: list[dict[str, Any]], got: threading.Event, **headers: str) -> None:
    """Read a stream until the server ends it, as a browser does, or it has brought something about the item "last"."""
    with client.stream("GET", "/events", params={"after": 0}, headers=headers) as response:
        got.set()
        one: dict[str, Any] = {}
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if field == "data":
                one |= json.loads(value)
            elif field in ("id", "event"):
                one[field] = value
            elif not line and one:
                heard.append(one)
                if one["item"] == "last":
                    return
                one = {}


def log(folder: Path) -> list[tuple[str, str, int]]:
    registry = goes.Registry()
    with goes.blocking.connect(folder / "stock.db", registry=registry, unknown="raw", read_only=True) as db:
        return [
            (str(event.position), event.name, json.loads(event.encoded.payload)["count"]) for event in db.events.query()
        ]


def test_commands_a_read_model_and_what_is_refused(tmp_path: Path) -> None:
    """Each request counts once, whichever worker gets it, and what was written is read, whichever worker is asked."""
    with server(tmp_path) as (program, client):
        arrived = post(client, "/arrivals", "tea", 30, "a")
        assert (arrived.status_code, arrived.json()) == (200, {"left": 30, "position": 1})

        sales = kit.at_once(
            *(lambda key=f"s{n % 20}": post(client, "/sales", "tea", 1, key) for n in range(40))  # each is sent twice
        )

        assert {sale.status_code for sale in sales if isinstance(sale, httpx.Response)} == {200}
        seen = max(sale.json()["position"] for sale in sales if isinstance(sale, httpx.Response))
        assert seen == 21
        for _ in range(4):  # of both workers
            assert levels(client, seen) == [{"item": "tea", "left": 10, "sold": 20}]

        too_many = post(client, "/sales", "tea", 11, "more")
        assert (too_many.status_code, too_many.json()["code"]) == (409, "not_in_stock")
        assert post(client, "/sales", "gold", 1, "gold").json() == {
            "code": "not_found",
            "detail": "there is no item(gold)",
        }
        used = post(client, "/sales", "tea", 2, "s1")
        assert (used.status_code, used.json()["code"]) == (422, "key_used")
        assert {post(client, "/sales", "tea", 1, key).status_code for key in ("", "k" * 256)} == {422}
        assert client.get("/stock?seen=-1").status_code == client.get("/events?after=-1").status_code == 422
        assert client.post("/sales", json={"item": "tea"}).status_code == 422
        client.close()
        program.terminate()

    assert len(log(tmp_path)) == 21
    assert not [line for line in program.printed if "Traceback" in line]


def test_a_server_that_is_stopped_with_open_streams_loses_nothing(tmp_path: Path) -> None:
    """Streams end, requests under way are answered, and a client that comes back misses and repeats no event."""
    heard: list[dict[str, Any]] = []
    acknowledged: list[str] = []
    many = threading.Event()

    def sell_on(client: httpx.Client, name: str) -> None:
        try:
            for number in range(10_000):
                post(client, "/arrivals", name, 1, f"{name}-{number}").raise_for_status()
                acknowledged.append(name)
                if len(acknowledged) >= 25:
                    many.set()
        except httpx.TransportError:
            return  # it accepts no more connections

    with server(tmp_path) as (program, client):
        followers = [threading.Event(), threading.Event()]
        more: list[dict[str, Any]] = []
        threads = [
            threading.Thread(target=stream, args=(client, heard, followers[0])),
            threading.Thread(target=stream, args=(client, more, followers[1])),
            threading.Thread(target=sell_on, args=(client, "tea")),
            threading.Thread(target=sell_on, args=(client, "cup")),
        ]
        for thread in threads:
            thread.start()
        assert all(one.wait(kit.PATIENCE) for one in (*followers, many))
        program.process.send_signal(signal.SIGTERM)
        program.ended()
        for thread in threads:
            thread.join(kit.PATIENCE)
            assert not thread.is_alive()
    assert not [line for line in program.printed if "Traceback" in line or "Cancel" in line]

    stored = log(tmp_path)
    assert len(acknowledged) <= len(stored) <= len(acknowledged) + 2  # those whose answer did not arrive
    of = [(one["id"], one["event"], one["count"]) for one in heard]
    assert of == stored[: len(of)]

    with server(tmp_path) as (program, client):
        reconnected = threading.Event()
        last_id = heard[-1]["id"] if heard else "0"
        again = threading.Thread(target=stream, args=(client, heard, reconnected), kwargs={"Last-Event-ID": last_id})
        again.start()
        assert reconnected.wait(kit.PATIENCE)
        last = post(client, "/arrivals", "last", 1, "last").json()["position"]
        again.join(kit.PATIENCE)
        assert levels(client, last)[1] == {"item": "last", "left": 1, "sold": 0}
        client.close()
        program.terminate()

    assert [(one["id"], one["event"], one["count"]) for one in heard] == log(tmp_path)
