"""examples/graduate.py: an application that moves there and back while it works; nothing is lost or doubled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples import example_kit as kit
from tests.on_servers import a_server_is_there, backends_of, marks_of, new_stores


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = backends_of(metafunc.config)
    metafunc.parametrize("backend", [pytest.param(name, marks=marks_of(name)) for name in wanted])


def test_an_application_moves_there_and_back(backend: str, tmp_path: Path, rounds: int) -> None:
    """With a worker for commands, scheduled ones, projections and effects outside; movers are killed if there are rounds."""
    options: list[object] = (
        ["--writers", 8, "--kills"] if rounds > 1 else ["--writers", 1, "--seconds", 0.2, "--budget", 60]
    )
    if backend != "sqlite":
        with a_server_is_there():
            options += ["--to", f"{new_stores(backend)}graduate"]

    printed, _ = kit.run("graduate.py", "--rounds", rounds, *options, cwd=tmp_path)

    lines = printed.splitlines()
    assert lines[: 2 * rounds] == ["moved to the new place", "moved back to the file"] * rounds
    counts = {line[:28].strip(): line[28:].split() for line in lines[2 * rounds + 2 :]}
    assert all(len(found) == 1 for found in counts.values()), printed
    assert re.fullmatch(
        r"writers were kept out for \d+\.\d\d \(at most \d+\.\d\d\) s; \d+ movers were killed", lines[2 * rounds]
    )
    assert counts["orders acted on twice"] == ["0"]
    assert counts["orders in the log"] == counts["orders in the projection"] == counts["orders acted on outside"]
    assert int(counts["orders in the log"][0]) > 0
