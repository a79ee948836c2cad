"""`goes-lite schema`: what a program stores, and whether its next version can read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cli_kit import goes_lite

PROGRAM = """
from dataclasses import dataclass
import goes_lite as goes

@goes.event("order.placed"{options})
@dataclass
class OrderPlaced:
    total: {total}

@goes.command("order.ship")
@dataclass
class ShipOrder:
    number: int
"""
UPCASTER = "\ngoes.default_registry.upcast('order.placed', 1)(lambda old: {'total': str(old['total'])})\n"


@pytest.fixture(name="programs", scope="module")
def two_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program, what it stores, and its next version, which changes that. Nobody changes these files."""
    tmp_path = tmp_path_factory.mktemp("programs")
    (tmp_path / "shop.py").write_text(PROGRAM.format(options="", total="int"), encoding="utf-8")
    (tmp_path / "next.py").write_text(PROGRAM.format(options="", total="str"), encoding="utf-8")
    (tmp_path / "fixed.py").write_text(PROGRAM.format(options=", schema=2", total="str") + UPCASTER, encoding="utf-8")
    written = goes_lite("schema", "events", "--app", "shop", cwd=tmp_path).out
    (tmp_path / "events.json").write_text(written, encoding="utf-8")
    return tmp_path


def test_what_a_program_stores_is_one_document(programs: Path) -> None:
    document = json.loads((programs / "events.json").read_text(encoding="utf-8"))
    assert document["events"]["order.placed"]["type"]["properties"] == {"total": {"type": "integer"}}
    assert [*document["commands"]] == ["order.ship"]
    assert goes_lite("schema", "events", "--app", "shop", "--json", cwd=programs).data == document


def test_an_upgrade_that_cannot_read_what_is_stored_ends_with_1_and_says_what_is_missing(programs: Path) -> None:
    ran = goes_lite("schema", "diff", "events.json", "--app", "next", cwd=programs, code=1)
    assert ran.out.splitlines() == [
        "BREAKING  order.placed  event, schema 1",
        '    $.total: int is stored, str is expected, such as {"total": 0}',
        '    old program: $.total: str is stored, int is expected, such as {"total": "?"}',
        "    → register it with schema=2, and upcast('order.placed', 1) from the old form to the new one",
        "1 is read by both programs",
    ]
    told = goes_lite("schema", "diff", "events.json", "--app", "next", "--json", cwd=programs, code=1).envelope
    assert [one["code"] for one in told["findings"]] == ["not-backward"]
    assert told["data"][0]["backward"][0]["example"] == {"total": 0}


def test_an_upcaster_makes_it_readable(programs: Path, tmp_path: Path) -> None:
    ran = goes_lite("schema", "diff", "events.json", "--app", "fixed", cwd=programs)
    assert ran.out.splitlines()[0] == "BACKWARD  order.placed  event, schema 1 → 2"
    new = tmp_path / "new.json"
    new.write_text(goes_lite("schema", "events", "--app", "fixed", cwd=programs).out, encoding="utf-8")
    told = goes_lite("schema", "diff", "events.json", new, "--json", cwd=programs)
    assert [one["verdict"] for one in told.data] == ["BACKWARD", "FULL"]
    ran = goes_lite("schema", "diff", "events.json", new, "--require", "full", "--json", cwd=programs, code=1)
    assert [one["code"] for one in ran.envelope["findings"]] == ["not-forward"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["events"], "name the module of the program"),
        (["diff", "events.json"], "name the new program once"),
        (["diff", "events.json", "events.json", "--app", "shop"], "name the new program once"),
        (["diff", "shop.py", "events.json"], "shop.py: not JSON"),
        (["diff", "events.json", "--app", "nowhere"], "No module named 'nowhere'"),
        (["postgresql"], "schema has no action 'postgresql'"),
    ],
)
def test_wrong_use_is_told(programs: Path, arguments: list[str], message: str) -> None:
    assert message in goes_lite("schema", *arguments, cwd=programs, code=2).error


def test_a_document_that_is_not_there_is_told(programs: Path) -> None:
    assert "gone.json" in goes_lite("schema", "diff", "gone.json", "events.json", cwd=programs, code=3).error
