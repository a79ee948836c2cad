"""`goes-lite copy`: what its options mean, and that a dry run leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import connect
from goes_lite.cli.output import Output
from goes_lite.cli.pace import Pace, duration
from goes_lite.operations import Receipt, Step
from tests.cli.cli_kit import NoteTaken, goes_lite, registry
from tests.conftest_kit import url

__all__ = ["url"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with connect(path, registry=registry) as db:
        for number in range(5):
            event: Any = goes.Event(
                NoteTaken(f"secret {number}"), aggregate=("note", "1"), version=number + 1, registry=registry
            )
            db.events.append([event])
        db.models.put("totals", "1", "5")
    return path


def texts(path: object) -> list[str]:
    with connect(str(path), registry=registry) as db:
        return [event.data.text for event in db.events.query()]


def test_a_copy_and_its_receipt(source: Path, tmp_path: Path, url: str) -> None:
    ran = goes_lite("copy", source, url, "--yes", "--json", "--receipt", "r.json", cwd=tmp_path)
    assert ran.data["effect"] == {"events": 5, "head": 5, "deleted": 0, "records": 1}
    receipt = Receipt.from_json((tmp_path / "r.json").read_bytes())
    digest = goes_lite("digest", url, "--json", cwd=tmp_path)
    assert digest.data["hash"] == receipt.hash.hex()
    refused = goes_lite("copy", source, url, "--yes", cwd=tmp_path, code=2)
    assert "complete copy of this store already" in refused.error


def test_a_dry_run_leaves_nothing(source: Path, tmp_path: Path, url: str) -> None:
    """On a store that is not there yet, and on one that is."""
    plan = goes_lite("copy", source, url, "--dry-run", "--json", cwd=tmp_path).data
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("a.db")] == []
    assert (plan["events"], plan["head"], plan["models"], plan["done"], plan["refused"]) == (
        5,
        5,
        {"totals": 1},
        False,
        "",
    )
    assert plan["missing"] == {"s": [], "p": ["backup"], "m": ["backup", "sql"]}[url[0] if url[0] in "pm" else "s"]
    goes_lite("copy", source, url, "--yes", cwd=tmp_path)
    again = goes_lite("copy", source, url, "--dry-run", cwd=tmp_path, code=1)
    assert "would be refused: it is a complete copy" in again.err
    goes_lite("copy", source, url, "--dry-run", "--update", cwd=tmp_path)


def test_a_fork_and_a_subset(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import json\nfrom goes_lite.operations import rewritten\n"
        "def anonymous(event):\n"
        "    return None if event.position == 2 else rewritten(event, payload=json.dumps({'text': '*'}))\n",
        encoding="utf-8",
    )
    ran = goes_lite("copy", source, "b.db", "--upto", "3", "--yes", "--json", cwd=tmp_path)
    assert ran.data["effect"]["events left out"] == 2
    assert ran.data["effect"]["models left out"] == 1
    assert texts(tmp_path / "b.db") == ["secret 0", "secret 1", "secret 2"]
    goes_lite("copy", source, "c.db", "--only", "note", "--transform", "mine:anonymous", "--yes", cwd=tmp_path)
    assert texts(tmp_path / "c.db") == ["*"] * 4
    assert (
        goes_lite("copy", source, "d.db", "--until", "2020-01-01", "--yes", "--json", cwd=tmp_path).data["effect"][
            "events"
        ]
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--upto", "3", "--follow"), "copied once"),
        (("--transform", "nowhere:x"), "No module named"),
        (("--transform", "json:nothing"), "has no function"),
        (("--interval", "0"), "a number of seconds"),
    ],
)
def test_wrong_use(source: Path, tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    ran = goes_lite("copy", source, "b.db", "--yes", *arguments, cwd=tmp_path, code=2)
    assert problem in ran.error
    assert not (tmp_path / "b.db").exists()


def test_the_pace_of_a_copy() -> None:
    pace = Pace(Output("copy"))
    assert pace.text(Step("events", 500, 2_000), 0.0) == "events: 500 of 2,000 (25 %)"
    assert pace.text(Step("events", 1_000, 3_000), 2.0) == "events: 1,000 of 3,000 (33 %), 500/s, 0:04 left"
    assert pace.text(Step("models", 70, 0), 1.0) == "models: 70, 70/s"
    assert [duration(seconds) for seconds in (0, 59.6, 3_725)] == ["0:00", "1:00", "1:02:05"]
    assert json.dumps(pace.text(Step("verifying", 1, 1), 1.0)) == '"verifying: 1 of 1 (100 %), 1/s, 0:00 left"'
