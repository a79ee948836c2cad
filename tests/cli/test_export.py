"""`goes-lite export` and `import`, in processes of their own: pipes, interruptions, kills, and what they refuse."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.blocking import operations
from tests.cli.cli_kit import PATIENCE, NoteTaken, environment, goes_lite, notes, registry, start, words_of


def many(path: Path, number: int = 3000) -> Path:
    with goes.blocking.connect(path, registry=registry, durability="memory") as db:
        db.events.append([goes.Event(NoteTaken(f"é{n}"), registry=registry) for n in range(number)])
    return path


def digest(path: Path) -> str:
    with goes.blocking.connect(path, registry=registry, read_only=True) as db:
        return operations.digest(db).hash.hex()


def test_a_file_and_back(tmp_path: Path) -> None:
    store = notes(tmp_path / "notes.db")
    before = hashlib.sha256(store.read_bytes()).hexdigest()
    told = goes_lite("export", store, "--out", "notes.jsonl", "--json", cwd=tmp_path)
    assert told.data == {"file": "notes.jsonl", "events": 4, "upto": 4, "hash": digest(store)}
    assert hashlib.sha256(store.read_bytes()).hexdigest() == before
    would = goes_lite("import", "notes.jsonl", "copy.db", "--dry-run", cwd=tmp_path)
    assert would.out == "would import notes.jsonl (events: 4)\n"
    assert not (tmp_path / "copy.db").exists()
    asked = goes_lite("import", "notes.jsonl", "copy.db", cwd=tmp_path, code=2)
    assert "add --yes" in asked.error
    assert not (tmp_path / "copy.db").exists()
    done = goes_lite("import", "notes.jsonl", "copy.db", "--yes", "--reason", "moving", cwd=tmp_path)
    assert done.out == "done: import notes.jsonl (events: 4)\n"
    assert digest(tmp_path / "copy.db") == digest(store)
    (entry,) = goes_lite("audit", "copy.db", "--json", cwd=tmp_path).data
    assert (entry["action"], entry["effect"], entry["reason"]) == ("import", {"events": 4}, "moving")
    again = goes_lite("import", "notes.jsonl", "copy.db", "--yes", cwd=tmp_path, code=2)
    assert "an import needs an empty store" in again.error


def test_through_a_pipe(tmp_path: Path) -> None:
    """From one process into the next, without a file in between."""
    store = many(tmp_path / "many.db")
    env = environment()
    with (
        subprocess.Popen(words_of("export", store), cwd=tmp_path, env=env, stdout=subprocess.PIPE) as source,
        subprocess.Popen(
            words_of("import", "-", "copy.db", "--yes", "--json"), cwd=tmp_path, env=env, stdin=source.stdout,
            stdout=subprocess.PIPE,
        ) as target,
    ):  # fmt: skip
        assert source.stdout is not None
        source.stdout.close()
        out, _ = target.communicate(timeout=PATIENCE)
        assert (source.wait(PATIENCE), target.returncode) == (0, 0)
    assert json.loads(out)["data"]["effect"] == {"events": 3000}
    assert digest(tmp_path / "copy.db") == digest(store)


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """Such as `head`: the export ends quietly."""
    store = many(tmp_path / "many.db")
    with start("export", store, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""
    assert first["format"] == "goes_lite export"


def test_on_stdout_nothing_else_is_printed(tmp_path: Path) -> None:
    store = notes(tmp_path / "notes.db")
    ran = goes_lite("export", store, "--name", "note.taken", "--aggregate", "pad", cwd=tmp_path)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line.get("position") for line in lines] == [None, 1, 2, 3, None, None]
    assert lines[0]["partial"] is True
    assert ran.err.startswith("3 events up to position 4, with the hash ")
    for option in ("--json", "--resume"):
        wrong = goes_lite("export", store, option, cwd=tmp_path, code=2)
        assert f"{option} needs --out FILE" in (wrong.out + wrong.err)


def test_parts_of_a_log(tmp_path: Path) -> None:
    store = notes(tmp_path / "notes.db")
    goes_lite("export", store, "--aggregate", "pad", "--out", "pads.jsonl", cwd=tmp_path)
    wrong = goes_lite("import", "pads.jsonl", "copy.db", "--yes", cwd=tmp_path, code=2)
    assert "only part of a log" in wrong.error
    goes_lite("import", "pads.jsonl", "copy.db", "--yes", "--partial", cwd=tmp_path)
    goes_lite("export", store, "--after", 1, "--out", "rest.jsonl", cwd=tmp_path)
    wrong = goes_lite("import", "rest.jsonl", "other.db", "--yes", "--partial", cwd=tmp_path, code=2)
    assert "line 2 of the export: version 2 of pad(p/1) follows version 0" in wrong.error
    assert not (tmp_path / "other.db").exists()


def test_tables(tmp_path: Path) -> None:
    store = notes(tmp_path / "notes.db")
    (told,) = goes_lite("export", store, "--csv", "tables", "--json", "--aggregate", "pad", cwd=tmp_path).data
    assert (told["event"], told["rows"], told["columns"][-1]) == ("note.taken", 3, "data.text")
    assert len((tmp_path / told["file"]).read_text(encoding="utf-8").splitlines()) == 4
    again = goes_lite("export", store, "--csv", "tables", cwd=tmp_path, code=2)
    assert "exists already" in again.error
    for wrong in (["--out", "x"], ["--resume"], ["--parquet", "y"]):
        assert goes_lite("export", store, "--csv", "other", *wrong, cwd=tmp_path, code=2).out == ""
    shown = goes_lite("export", store, "--csv", "other", cwd=tmp_path)
    assert shown.out.splitlines()[1].split() == ["note.taken", "4", "9", "other/note.taken.csv"]


def test_a_wrong_file_creates_no_store(tmp_path: Path) -> None:
    store = notes(tmp_path / "notes.db")
    goes_lite("export", store, "--out", "notes.jsonl", cwd=tmp_path)
    text = (tmp_path / "notes.jsonl").read_text(encoding="utf-8")
    (tmp_path / "wrong.jsonl").write_text(text.replace('"two"', '"\x1b[2J"'), encoding="utf-8")
    wrong = goes_lite("import", "wrong.jsonl", "copy.db", "--yes", cwd=tmp_path, code=2)
    assert "line 3 of the export" in wrong.error
    assert "\x1b" not in wrong.err
    missing = goes_lite("import", "missing.jsonl", "copy.db", "--yes", cwd=tmp_path, code=3)
    assert "missing.jsonl" in missing.error
    foreign = goes_lite("import", store, "copy.db", "--dry-run", cwd=tmp_path, code=2)
    assert "line 1 of the export" in foreign.error
    assert not (tmp_path / "copy.db").exists()
    piped = goes_lite("import", "-", "copy.db", "--dry-run", cwd=tmp_path, stdin=text[:-9], code=2)
    assert "breaks off" in piped.error
    asked = goes_lite("import", "-", "copy.db", cwd=tmp_path, stdin=text, code=2)
    assert "add --yes" in asked.error
    assert not (tmp_path / "copy.db").exists()


def test_an_unfinished_import_is_told_and_resumed(tmp_path: Path) -> None:
    store = many(tmp_path / "many.db")
    goes_lite("export", store, "--out", "many.jsonl", cwd=tmp_path)
    text = (tmp_path / "many.jsonl").read_text(encoding="utf-8")
    broken = goes_lite("import", "-", "copy.db", "--yes", cwd=tmp_path, stdin=text[: len(text) // 2], code=2)
    assert "breaks off" in broken.error
    refused = goes_lite("log", "copy.db", cwd=tmp_path, code=3)
    assert "was not finished" in refused.error
    assert "try: goes-lite import" in refused.err
    done = goes_lite("import", "many.jsonl", "copy.db", "--yes", "--json", cwd=tmp_path).data
    assert done["effect"]["events"] == 3000
    assert 0 < done["effect"]["resumed"] < 3000
    assert digest(tmp_path / "copy.db") == digest(store)
    outcomes = [entry["outcome"][:13] for entry in goes_lite("audit", "copy.db", "--json", cwd=tmp_path).data]
    assert outcomes == ["InvalidExport", "done"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_exports_and_imports(tmp_path: Path, rounds: int) -> None:
    """Killed at any moment, an export leaves no file that looks finished, and an import no store that can be used."""
    store = many(tmp_path / "many.db", 12_000)
    goes_lite("export", store, "--out", "whole.jsonl", cwd=tmp_path)
    expected = (tmp_path / "whole.jsonl").read_bytes().split(b"\n")[1:]
    for turn in range(2 * rounds):
        target, part = tmp_path / f"{turn}.jsonl", tmp_path / f"{turn}.jsonl.part"
        kill_when(part, (turn % 4) * 700_000, "export", store, "--out", target)
        if not target.exists():
            resume = ["--resume"] if part.exists() else []
            goes_lite("export", store, "--out", target, *resume, cwd=tmp_path)
        assert target.read_bytes().split(b"\n")[1:] == expected
        copy = tmp_path / f"{turn}.db"
        kill_when(Path(f"{copy}-wal"), (turn % 4) * 700_000, "import", target, copy, "--yes")
        ran = goes_lite("log", copy, "--last", 1, cwd=tmp_path, code=None)
        if ran.code or not ran.out:  # else it was finished
            assert ran.code in (0, 3), ran
            goes_lite("import", target, copy, "--yes", cwd=tmp_path)
        assert digest(copy) == digest(store)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_export(tmp_path: Path) -> None:
    """Ctrl-C leaves the part, says nothing on stdout, and the same command with --resume continues."""
    store = many(tmp_path / "many.db", 40_000)
    target, part = tmp_path / "many.jsonl", tmp_path / "many.jsonl.part"
    with start("export", store, "--out", target, cwd=tmp_path) as process:
        deadline = time.monotonic() + PATIENCE
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline, "the export does not begin"
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    if process.returncode == 0:
        pytest.skip("the export was finished before it was interrupted")
    assert (process.returncode, out) == (130, "")
    assert part.exists()
    assert not target.exists()
    asked = goes_lite("export", store, "--out", target, cwd=tmp_path, code=2)
    assert "resume it, or remove the file" in asked.error
    goes_lite("export", store, "--out", target, "--resume", cwd=tmp_path)
    assert json.loads(target.read_bytes().splitlines()[-1])["events"] == 40_000


def kill_when(file: Path, size: int, *arguments: object) -> None:
    """Run a command, and kill it when a file that it writes is there and larger than this."""
    with subprocess.Popen(words_of(*arguments), env=environment(), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            if file.exists() and os.path.getsize(file) > size:
                process.send_signal(signal.SIGKILL)
            assert time.monotonic() < deadline, "the command does not end"
            time.sleep(0.002)
