"""examples/services: three processes over NATS, one of which is killed; every order is still closed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from goes_lite_conformance.servers import nats as servers

from tests.examples import example_kit as kit
from tests.on_servers import a_server_is_there, backends_of, marks_of, new_stores


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = backends_of(metafunc.config)
    metafunc.parametrize("backend", [pytest.param(name, marks=marks_of(name)) for name in wanted])


def test_three_services_of_which_one_is_killed(backend: str, tmp_path: Path) -> None:
    """With a file for each service, and with a store on a server for each."""
    pytest.importorskip("nats", reason="nats-py is not installed")
    with a_server_is_there():
        servers.program()
    stores = [] if backend == "sqlite" else ["--store", new_stores(backend) + "{name}"]

    printed, _ = kit.run("services/main.py", *stores, cwd=tmp_path)

    timeline, _, end = printed.partition("\n\n")
    assert end.splitlines() == [
        f"order {number}: {'cancelled' if number == 1003 else 'shipped'}" for number in range(1001, 1007)
    ]
    lines = [re.fullmatch(r" *\d+\.\d\d s  (\w+) +(.+)", line) for line in timeline.splitlines()]
    said = [(line[1], line[2]) for line in lines if line is not None]
    assert len(said) == len(lines)
    killed = said.index(("payments", "IS KILLED"))
    assert said.count(("payments", "is ready")) == 2
    assert killed < said.index(("payments", "is restarted"))
    for number in range(1001, 1007):
        assert sum(who == "orders" and what.startswith(f"order {number} is placed") for who, what in said) == 1
    assert sum(who == "shipping" and what.startswith("a parcel for order 1003") for who, what in said) == 0
