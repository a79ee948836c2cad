"""What the command line prints of a file that may come from anybody: text, never control sequences."""

from __future__ import annotations

import ast
import io
import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.cli import main as cli
from goes_lite.cli.terminal import Terminal
from goes_lite.operations.forms import printable

registry = goes.Registry()

EVIL = "e\x1b]0;owned\x07\x1b[2J\n     9  FORGED\r\x9b31m\u202egnp\u2066\u2028\x7f\x00"


@registry.event("cli.put")
@dataclass(frozen=True)
class Put:
    text: str


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A store in which every text is hostile."""
    path = str(tmp_path / "app.db")
    with goes.blocking.connect(path, registry=registry) as db:
        event = goes.Event(
            Put("x"), aggregate=("a", "1"), version=1, metadata={"k": "v"}, tags=["k:v"], registry=registry
        )
        db.events.append([event, goes.Event(Put("y"), registry=registry)])
        db.checkpoints.save("reader", 1)
        db.models.put("evil", "1", json.dumps(EVIL))
        db.models.put("goes:commands", "1", json.dumps({"state": "failed", "due": 0, "error": EVIL}))
        db.snapshots.save(
            goes.Snapshot(goes.AggregateRef("a", "1"), 1, datetime.now(timezone.utc), 1, "json", json.dumps(EVIL))
        )
        entry = {"time": "2026-01-01T00:00:00Z", "who": EVIL, "action": EVIL, "target": EVIL, "reason": EVIL}
        db.models.put("goes:audit", "1", json.dumps(entry))
    change(
        path,
        ("UPDATE event_names SET name = ?", EVIL),
        ("UPDATE aggregates SET name = ?", EVIL),
        ("UPDATE aggregates SET id = ?", EVIL),
        ("UPDATE events SET metadata = ? WHERE position = 1", json.dumps({EVIL: EVIL}, ensure_ascii=False)),
        ("UPDATE events SET tags = ? WHERE position = 1", json.dumps([EVIL], ensure_ascii=False)),
        ("UPDATE events SET data = ? WHERE position = 1", json.dumps(EVIL, ensure_ascii=False)),
        ("UPDATE events SET data = x'00', encoding = ? WHERE position = 2", EVIL),
        ("UPDATE checkpoints SET name = ?", EVIL),
        ("UPDATE store SET value = ? WHERE key = 'id'", EVIL),
    )
    return path


def change(path: str, *statements: tuple[str, str]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement, value in statements:
            connection.execute(statement, (value,))


class Tty(io.StringIO):
    """A terminal with colour."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


LOOKING = [
    ["log"], ["log", "--last", "1"], ["info"], ["show", "1"], ["aggregates"], ["trace", "1"], ["stats"], ["consumers"],
    ["parked", "list"], ["commands", "list"], ["models", "evil"], ["snapshots", "list"], ["leases", "list"], ["audit"],
    ["config"],
]  # fmt: skip


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_a_hostile_file_prints_text(
    file: str, words: list[str], form: str, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """All of it printable, whatever texts the store has; JSON is one document, and has the texts as they are."""
    place = 2 if words[0] in ("parked", "commands", "snapshots", "leases") else 1
    code = cli.main([*words[:place], file, *words[place:], *(["--json"] if form == "json" else [])])
    out, err = capsys.readouterr()
    assert code in (0, 1), err
    assert [line for line in (out + err).split("\n") if not line.isprintable()] == []
    assert not any(line.startswith("     9") for line in out.split("\n"))
    if form == "json":
        assert json.loads(out)["exit"] == code
    elif words == ["log"]:
        assert out.count("\n") == 2


@pytest.mark.parametrize("command", ["log", "info"])
def test_on_a_terminal_only_the_colours_are_sequences(file: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where lines are cut and coloured."""
    out = Tty()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.main([command, file]) == 0
    text = out.getvalue()
    assert "\x1b[2m" in text
    for style in ("0", "2", "36"):
        text = text.replace(f"\x1b[{style}m", "")
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "payload", ["{", "NaN", "[" * 100_000, "1" * 5000, '"\ud800"'.encode("utf-8", "replace").decode() + "x"]
)
def test_a_payload_that_is_no_json(file: str, payload: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`log --json` finds it, and shows it as it is stored; `log` shows it anyway."""
    change(file, ("UPDATE events SET encoding = 'json', data = ?", payload), ("UPDATE events SET schema = ?", "1"))
    assert cli.main(["log", file, "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [event["payload"] for event in told["data"]] == [payload, payload]
    assert [event["data"] for event in told["data"]] == [None, None]
    assert [one["code"] for one in told["findings"]] == ["payload-unreadable"] * 2
    assert err == ""
    assert cli.main(["log", file]) == 0


def test_errors_are_one_printable_line(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of damage with hostile text in it, of a path, of an argument."""
    change(file, ("UPDATE events SET metadata = ?", EVIL))
    missing = str(tmp_path / EVIL.replace("\0", ""))
    assert cli.main(["log", file, "--json"]) == 1
    assert cli.main(["info", missing]) == 2
    assert cli.main(["log", file, EVIL]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len([line for line in lines if line.startswith("error: ")]) == 3


def test_errors_and_reprs_of_the_library_are_printable(file: str) -> None:
    """What a program logs is text as well: errors, events, references."""
    with goes.blocking.connect(file, registry=registry, unknown="raw") as db:
        for event in db.events.query():
            assert repr(event).isprintable()
            assert str(event.aggregate).isprintable()
        with pytest.raises(goes.errors.ConcurrencyError) as conflict:
            db.events.append([goes.Event(Put("x"), aggregate=("a", EVIL[:-1]), version=2, registry=registry)])
        assert str(conflict.value).isprintable()
    with goes.blocking.connect(file, registry=registry) as db:
        with pytest.raises(goes.errors.UnknownEventError) as unknown:
            db.events.query().list()
        assert str(unknown.value).isprintable()


def test_everything_is_printed_through_the_terminal() -> None:
    """No print(), and nothing written to stdout or stderr, which would have to escape for itself; files may be written."""
    for file in Path(cli.__file__).parent.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], file
        written = [
            ast.unparse(call.value) for call in calls if isinstance(call, ast.Attribute) and call.attr == "write"
        ]
        assert not [place for place in written if "stdout" in place or "stderr" in place], file


def test_a_line_is_one_line() -> None:
    """Whatever is in a table or a paragraph."""
    out = io.StringIO()
    terminal = Terminal(out, color=False)
    terminal.table(["a", "b"], [[EVIL, 1]])
    terminal.line(EVIL)
    assert out.getvalue().count("\n") == 3
    assert all(line.isprintable() for line in out.getvalue().split("\n"))
    assert printable(printable(EVIL)) == printable(EVIL)
