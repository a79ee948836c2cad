"""examples/recipes/flask_service.py, in two processes of Flask's server on one file."""

from __future__ import annotations

import json
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

pytestmark = [pytest.mark.slow, pytest.mark.once, kit.needs("flask", "httpx")]


@contextmanager
def servers(folder: Path, count: int) -> Generator[list[tuple[kit.Program, httpx.Client]]]:
    """Processes as the recipe starts them, each at a free port."""
    command = kit.python("-m", "flask", "--app", kit.RECIPES / "flask_service", "run", "--port", 0)
    with kit.several(*(lambda: kit.Program(*command, cwd=folder),) * count) as programs:
        clients = [
            httpx.Client(
                base_url=program.expect(r"Running on (http://127.0.0.1:\d+)")[1], timeout=kit.PATIENCE, trust_env=False
            )
            for program in programs
        ]
        try:
            yield list(zip(programs, clients, strict=True))
        finally:
            for client in clients:
                client.close()


def again(ask: Any) -> Any:
    """Ask again while the answer says so: what has a key counts once."""
    while (response := ask()).status_code == 503:
        continue
    return response


def make(client: httpx.Client, code: str, url: str, key: str) -> httpx.Response:
    body = {"code": code, "url": url}
    found: httpx.Response = again(lambda: client.post("/links", json=body, headers={"Idempotency-Key": key}))
    return found


def rows(client: httpx.Client, seen: int) -> Any:
    return again(lambda: client.get("/links", params={"seen": seen})).raise_for_status().json()


def test_two_processes_share_the_links_and_one_is_killed(tmp_path: Path) -> None:
    with servers(tmp_path, 2) as ((_, one), (second, other)):
        made = make(one, "py", "https://python.org", "a")
        assert (made.status_code, made.json()) == (201, {"code": "py", "position": 1})
        assert make(other, "py", "https://python.org", "a").status_code == 201  # the same request
        taken = make(other, "py", "https://example.org", "b")
        assert (taken.status_code, taken.json()["code"]) == (409, "taken")

        visits = kit.at_once(*(lambda client=client: again(lambda: client.get("/py")) for client in (one, other) * 5))

        assert {
            (visit.status_code, visit.headers["location"]) for visit in visits if isinstance(visit, httpx.Response)
        } == {(302, "https://python.org")}
        expected = [{"code": "py", "url": "https://python.org", "visits": 10}]
        assert rows(one, 11) == rows(other, 11) == expected

        second.process.kill()
        second.ended()
        assert again(lambda: one.get("/py")).status_code == 302
        assert rows(one, 12)[0]["visits"] == 11

    with goes.blocking.connect(tmp_path / "links.db", registry=goes.Registry(), unknown="raw") as db:
        assert [event.name for event in db.events.query()] == ["link.made"] + ["link.visited"] * 11


def test_a_stream_has_what_another_process_does_and_resumes(tmp_path: Path) -> None:
    with servers(tmp_path, 2) as ((_, one), (_, other)):
        heard: list[tuple[str, str, Any]] = []
        for number in range(3):  # each time another connection, from where the last one was
            headers = {"Last-Event-ID": heard[-1][0]} if heard else {"Last-Event-ID": "0"}
            with one.stream("GET", "/events", headers=headers) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                make(other, f"c{number}", f"https://example.org/{number}", f"k{number}").raise_for_status()
                lines = (line for line in response.iter_lines() if line and not line.startswith(":"))
                fields = dict(next(lines).split(": ", 1) for _ in range(3))
                heard.append((fields["id"], fields["event"], json.loads(fields["data"])))
        assert heard == [
            (str(number + 1), "link.made", {"code": f"c{number}", "url": f"https://example.org/{number}"})
            for number in range(3)
        ]


def test_what_is_refused(tmp_path: Path) -> None:
    with servers(tmp_path, 1) as ((_, client),):
        assert make(client, "x", "javascript:alert(1)", "a").json()["code"] == "no_url"
        assert client.get("/nowhere").status_code == 404
        assert client.post("/links", json={"code": "x"}, headers={"Idempotency-Key": "b"}).status_code == 400
        assert client.post("/links", json={"code": "x", "url": "https://x"}).status_code == 400  # without a key
        assert make(client, "x", "https://x", "k" * 256).status_code == 400
        assert rows(client, 0) == []
