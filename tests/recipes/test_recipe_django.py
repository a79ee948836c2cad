"""examples/recipes/django_shop: Django's server, and a management command that keeps the models up to date."""

from __future__ import annotations

import subprocess
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

pytestmark = [pytest.mark.slow, pytest.mark.once, kit.needs("django", "httpx")]


def command(*arguments: object) -> list[object]:
    return kit.python(kit.RECIPES / "django_shop" / "manage.py", *arguments)


def manage(folder: Path, *arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [str(word) for word in command(*arguments)], env=kit.environment(SHOP_FOLDER=str(folder)), cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False, timeout=kit.PATIENCE,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


@contextmanager
def server(folder: Path) -> Generator[httpx.Client]:
    command_line = command("runserver", "--noreload", "127.0.0.1:0")
    with kit.running(*command_line, cwd=folder, SHOP_FOLDER=str(folder)) as program:
        url = program.expect(r"server at (http://127.0.0.1:\d+)/")[1]
        with httpx.Client(base_url=url, timeout=kit.PATIENCE, trust_env=False) as client:
            yield client


@contextmanager
def projecting(folder: Path) -> Generator[kit.Program]:
    with kit.running(*command("project"), cwd=folder, SHOP_FOLDER=str(folder)) as program:
        program.expect("following the events")
        yield program


def orders(client: httpx.Client, seen: int) -> Any:
    """The list, asked for again while the answer says that it has not come as far."""
    while (response := client.get("/orders", params={"seen": seen})).status_code == 503:
        continue
    return response.raise_for_status().json()["orders"]


def test_events_become_models_once_whoever_is_killed(tmp_path: Path) -> None:
    manage(tmp_path, "migrate")
    with server(tmp_path) as client:
        with projecting(tmp_path) as killed:
            placed = kit.at_once(
                *(lambda n=n: client.post(f"/orders/{n}", json={"item": "tea", "cents": 100 + n}) for n in range(8))
            )
            assert {answer.status_code for answer in placed if isinstance(answer, httpx.Response)} == {200}
            seen = max(answer.json()["position"] for answer in placed if isinstance(answer, httpx.Response))
            expected = [{"id": str(n), "item": "tea", "cents": 100 + n, "paid": False} for n in range(8)]
            assert orders(client, seen) == expected
            killed.process.kill()
            killed.ended()

        paid = client.post("/orders/3/pay")
        assert paid.status_code == 200
        assert client.post("/orders/3/pay").status_code == 409
        assert client.post("/orders/9/pay").status_code == 404
        assert client.post("/orders/3", json={"item": "tea"}).status_code == 400
        expected[3]["paid"] = True
        with projecting(tmp_path) as second:
            assert orders(client, paid.json()["position"]) == expected
            refused = manage(tmp_path, "project", "--rebuild", "--once", code=1)
            assert "stop the process that keeps the models up to date first" in refused
            assert second.terminate() == 0
        manage(tmp_path, "project", "--rebuild", "--once")
        assert orders(client, 9) == expected

    with goes.blocking.connect(tmp_path / "events.db", registry=goes.Registry(), unknown="raw") as db:
        assert db.events.head() == 9


def test_the_migrations_are_those_of_the_models(tmp_path: Path) -> None:
    assert "No changes detected" in manage(tmp_path, "makemigrations", "--check", "--dry-run")
