"""`goes-lite log`: which events, in which order, for people and for programs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from tests.cli.cli_kit import EMPTY, NoteTaken, environment, goes_lite, notes, registry, start, words_of


def test_log_shows_every_event_as_a_line(tmp_path: Path) -> None:
    """Including events whose type is not registered: the command registers none."""
    path = notes(tmp_path / "app.db")

    lines = goes_lite("log", path, cwd=tmp_path).out.splitlines()

    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert re.fullmatch(r" +1  \d{4}-\d\d-\d\dT\S+Z  note\.taken +pad/p/1 v1 +\{\"text\":\"one\"\}", lines[0])
    assert lines[3].endswith('-                         {"text":"loose"}')


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [
        (["--last", 2], [3, 4]),
        (["--last", 0], []),
        (["--first", 2], [1, 2]),
        (["--after", 3], [4]),
        (["--after", 1, "--upto", 3], [2, 3]),
        (["--after", 1, "--last", 1, "--name", "note.taken"], [4]),
        (["--aggregate", "pad"], [1, 2, 3]),
        (["--aggregate", "pad/p/1", "--last", 1], [3]),
        (["--aggregate", "pad/none", "--aggregate", "other"], []),
        (["--min-version", 2, "--max-version", 2], [2]),
        (["--tag", "kind:note"], [1, 2, 3]),
        (["--name", "note.gone"], []),
        (["--since", "1h"], [1, 2, 3, 4]),
        (["--until", "2020-01-01"], []),
        (["--since", "9999-01-01T00:00+01:00"], []),
    ],
)  # fmt: skip
def test_log_shows_the_selected_events(arguments: list[object], positions: list[int], tmp_path: Path) -> None:
    path = notes(tmp_path / "app.db")

    shown = goes_lite("log", path, "--json", *arguments, cwd=tmp_path).data

    assert [event["position"] for event in shown] == positions


def test_log_as_json_has_everything(tmp_path: Path) -> None:
    path = notes(tmp_path / "app.db")

    ran = goes_lite("log", "--after", 2, "--json", path, "--aggregate", "pad", cwd=tmp_path)

    (shown,) = ran.data
    assert goes_lite("log", path, "--json", "--id", shown.pop("id"), cwd=tmp_path).data[0]["position"] == 3
    assert shown.pop("time").endswith("Z")
    assert shown == {
        "position": 3, "event": "note.taken", "aggregate": "pad", "aggregate_id": "p/1", "version": 3,
        "encoding": "json", "schema": 1, "data": {"text": "three"}, "metadata": {}, "tags": ["kind:note"],
    }  # fmt: skip
    assert (ran.envelope["command"], ran.envelope["store"]) == ("log", str(path.resolve()))


def line_of(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())["data"]


def test_log_follows_what_others_commit(tmp_path: Path) -> None:
    path = notes(tmp_path / "app.db")
    with start("log", path, "--follow", "--json", "--last", 1, "--end-with-stdin", cwd=tmp_path) as process:
        assert line_of(process)["position"] == 4
        with goes.blocking.connect(path, registry=registry) as db:
            for text in ("four", "five"):
                db.events.append([goes.Event(NoteTaken(text), registry=registry)])
                assert line_of(process)["data"] == {"text": text}
        assert process.stdin is not None
        process.stdin.close()

        assert process.wait(20) == 0


@pytest.mark.skipif(os.name == "nt", reason="needs a signal like that of Ctrl-C for one process")
def test_an_interrupt_ends_following_quietly(tmp_path: Path) -> None:
    path = notes(tmp_path / "app.db")
    with start("log", path, "--follow", "--json", "--last", 1, cwd=tmp_path) as process:
        line_of(process)
        time.sleep(0.1)  # by now it waits for the next event

        process.send_signal(signal.SIGINT)

        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe raises another error there")
def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    path = notes(tmp_path / "app.db", ["x" * 1000] * 500)
    with subprocess.Popen(
        words_of("log", path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()

        assert (process.wait(20), process.stderr.read()) == (0, b"")


def test_an_environment_without_anything(tmp_path: Path) -> None:
    """No home, no locale, no path."""
    path = notes(tmp_path / "app.db")

    done = subprocess.run(words_of("log", path, "--last", 1), env=EMPTY, capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stdout.count(b"\n"), done.stderr) == (0, 1, b"")
