"""The command line as people run it: in processes of its own, with an empty environment, from any folder."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.__main__ import main

PACKAGES = str(Path(goes.__file__).parents[1])
# An empty environment, except for what Windows needs to start a process at all.
EMPTY = {key: os.environ[key] for key in ("SYSTEMROOT",) if key in os.environ}

registry = goes.Registry()


@registry.event("note.taken")
@dataclass(frozen=True)
class NoteTaken:
    text: str


def command(*arguments: object) -> list[str]:
    start = f"import sys; sys.path.insert(0, {PACKAGES!r}); from goes_lite.__main__ import main; sys.exit(main())"
    return [sys.executable, "-P", "-W", "error", "-c", start, *map(str, arguments)]


def run(*arguments: object, cwd: Path, code: int = 0, env: dict[str, str] | None = None) -> tuple[str, str]:
    """Run a command and return its stdout and stderr."""
    done = subprocess.run(
        command(*arguments), cwd=cwd, env=EMPTY | {"PYTHONUTF8": "1"} if env is None else EMPTY | env,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def fails(*arguments: object, cwd: Path) -> str:
    """Run a command that fails, and return its only output, one error line."""
    out, err = run(*arguments, cwd=cwd, code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip()


def store(path: Path, texts: Iterable[str] = ("one", "two", "three")) -> Path:
    """Create a store with a few events of an aggregate, and one of none."""
    with goes.blocking.connect(path, registry=registry) as db:
        batch = [
            goes.Event(
                NoteTaken(text), aggregate=("pad", "p/1"), version=version, tags=["kind:note"], registry=registry
            )
            for version, text in enumerate(texts, 1)
        ]
        db.events.append([*batch, goes.Event(NoteTaken("loose"), registry=registry)])
    return path


# --- the demo ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder and the output of two runs in it, of `python -m goes_lite` in a copy that is not installed."""
    folder = tmp_path_factory.mktemp("two tours")
    printed: list[str] = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "goes_lite", "demo"], cwd=folder,
            env=EMPTY | {"PYTHONPATH": PACKAGES, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout)
    return folder, printed[0], printed[1]


def test_the_demo_shows_everything(tours: tuple[Path, str, str]) -> None:
    out = tours[1]

    assert "goes_demo.db is new" in out
    assert "Refused: order 1001 is open: only paid orders are shipped; 0 events" in out
    assert re.search(r"^ +1  \S+  customer\.joined +customer ada +v1  Ada, ada@example.org$", out, re.MULTILINE)
    assert re.search(r"^  at version 1 +v1 +1 +9\.00  open$", out, re.MULTILINE)
    assert re.search(r"^  at \d\d:\d\d:\d\d\.\d{6} +v1 +1 +9\.00  open$", out, re.MULTILINE)
    assert re.search(r"^  now +v2 +2 +17\.00  open$", out, re.MULTILINE)
    assert "ConcurrencyError: expected version 2, actual version 3" in out
    assert "version 4 has tea, cup, honey, milk" in re.sub(r"\s+", " ", out)
    assert "AppendConditionFailed: event 1 matches" in out
    assert "all three were rolled back: order 1001 open, ada has paid 0.00, letters: 0" in re.sub(r"\s+", " ", out)
    assert "committed together: order 1001 paid, ada has paid 21.50, letters: 1" in re.sub(r"\s+", " ", out)
    assert "both calls return 'order(1001) is on its way as P-7'; 1 event written" in re.sub(r"\s+", " ", out)
    assert re.search(r"^  ✓ ada has been thanked, \d{3,} ms later, by a worker$", out, re.MULTILINE)
    assert "its newest snapshot at version 204: loading it applies 3 events instead of 207" in re.sub(r"\s+", " ", out)


def test_the_demo_continues_with_its_file(tours: tuple[Path, str, str]) -> None:
    folder, first, second = tours
    stored = int(re.findall(r"goes_demo\.db: (\d+) events", first)[0])

    assert f"exists from an earlier run, with {stored} events" in second
    assert "ada has paid 43.00, letters: 2" in re.sub(r"\s+", " ", second)
    with goes.blocking.connect(folder / "goes_demo.db", registry=goes.Registry(), unknown="raw") as db:
        assert db.events.count() == int(re.findall(r"goes_demo\.db: (\d+) events", second)[0]) > stored


@pytest.mark.parametrize("number", [1, 2])
def test_another_process_saw_the_events_of_the_demo(tours: tuple[Path, str, str], number: int) -> None:
    """The table names another process than the demo's, and the events that the log has at those positions."""
    folder, first, second = tours
    out = first if number == 1 else second
    processes = re.findall(r"process (\d+) saw what process (\d+) wrote", re.sub(r"\s+", " ", out))
    seen = re.findall(r"^ +(\d+)  (order\.\w+) +order (\d+)  v(\d) +(-?\d+\.\d) ms$", out, re.MULTILINE)

    assert processes
    assert processes[0][0] != processes[0][1]
    assert [name for _, name, *_ in seen] == ["order.placed", "order.line_added", "order.paid", "order.shipped"]
    assert all(0 <= float(delay) < 20_000 for *_, delay in seen)
    with goes.blocking.connect(folder / "goes_demo.db", registry=goes.Registry(), unknown="raw") as db:
        for position, name, id, version, _ in seen:
            [event] = db.events.query(after=int(position) - 1, limit=1)
            assert (event.name, event.aggregate, event.version) == (name, ("order", id), int(version))


@pytest.mark.parametrize("number", [1, 2])
def test_a_read_model_of_the_demo_survives_a_killed_process(tours: tuple[Path, str, str], number: int) -> None:
    """The killed process did not finish it; this one did the rest, and nothing counts twice."""
    _, first, second = tours
    out = re.sub(r"\s+", " ", first if number == 1 else second)

    begun = re.search(r"process (\d+) starts after position (\d+) of (\d+)", out)
    ended = re.search(r"its last commit was at position (\d+)", out)
    rest = re.search(r"process (\d+) took over when the lease expired, and handled the other (\d+) events", out)
    assert begun
    assert ended
    assert rest
    assert begun[1] != rest[1]
    assert int(begun[2]) < int(ended[1]) < int(begun[3])
    assert 0 < int(rest[2]) <= int(begun[3]) - int(ended[1])
    delivered, sold, left = 230 * number, 200 * number, 30 * number
    assert f"tea: {delivered} delivered, {sold} sold, so {left} left; the aggregate says {left}." in out


def test_the_demo_leaves_a_file_that_other_tools_read(tours: tuple[Path, str, str]) -> None:
    connection = sqlite3.connect(tours[0] / "goes_demo.db")

    rows = connection.execute("SELECT event, data FROM event_log WHERE position = 1").fetchall()

    connection.close()
    assert rows == [("customer.joined", '{"name":"Ada","email":"ada@example.org"}')]


def test_the_demo_fits_into_80_columns_and_has_no_escapes_in_a_pipe(tours: tuple[Path, str, str]) -> None:
    for out in tours[1:]:
        assert max(map(len, out.splitlines())) <= 80
        assert "\x1b" not in out


def test_the_demo_is_plain_ascii_where_the_output_is(tmp_path: Path) -> None:
    out, err = run("demo", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})

    assert out.isascii()
    assert "\\u" not in out
    assert "+ goes_demo.db is new" in out
    assert err == ""


def test_the_demo_leaves_the_events_of_others_alone(tmp_path: Path) -> None:
    path = store(tmp_path / "app.db")
    before = path.read_bytes()

    message = fails("demo", "--db", path, cwd=tmp_path)

    assert (
        message
        == f"{path} holds 4 event(s) of another program, so the demo does not touch it: choose another file with --db"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["missing/demo.db", "."])
def test_a_path_where_the_demo_cannot_create_its_file_is_an_error(name: str, tmp_path: Path) -> None:
    message = fails("demo", "--db", name, cwd=tmp_path)

    assert "choose another one with --db FILE" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that not even root can write to")
def test_a_read_only_working_folder_is_an_error() -> None:
    assert "/proc/goes_demo.db" in fails("demo", cwd=Path("/proc"))


def test_the_demo_refuses_a_file_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ada,\n" * 100, encoding="utf-8")

    assert "not a goes_lite store" in fails("demo", "--db", "letter.txt", cwd=tmp_path)
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8").startswith("Dear Ada")


# --- log --------------------------------------------------------------------------------------------------------------


def test_log_shows_every_event_as_a_line(tmp_path: Path) -> None:
    """Including events whose type is not registered: the command registers none."""
    path = store(tmp_path / "app.db")

    lines = run("log", path, cwd=tmp_path)[0].splitlines()

    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert re.fullmatch(r" +1  \d{4}-\d\d-\d\dT\S+Z  note\.taken +pad/p/1 v1 +\{\"text\":\"one\"\}", lines[0])
    assert lines[3].endswith('-                         {"text":"loose"}')


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [
        (["--last", 2], [3, 4]),
        (["--last", 0], []),
        (["--after", 3], [4]),
        (["--after", 1, "--last", 1, "--name", "note.taken"], [4]),
        (["--aggregate", "pad"], [1, 2, 3]),
        (["--aggregate", "pad/p/1", "--last", 1], [3]),
        (["--aggregate", "pad/none", "--aggregate", "other"], []),
        (["--tag", "kind:note"], [1, 2, 3]),
        (["--name", "note.gone"], []),
    ],
)
def test_log_shows_the_selected_events(arguments: list[object], positions: list[int], tmp_path: Path) -> None:
    path = store(tmp_path / "app.db")

    out, _ = run("log", path, "--json", *arguments, cwd=tmp_path)

    assert [json.loads(line)["position"] for line in out.splitlines()] == positions


def test_log_as_json_has_everything(tmp_path: Path) -> None:
    path = store(tmp_path / "app.db")

    shown = json.loads(run("log", path, "--json", "--after", 2, "--aggregate", "pad", cwd=tmp_path)[0])

    assert shown.pop("id")
    assert shown.pop("time").endswith("Z")
    assert shown == {
        "position": 3, "event": "note.taken", "aggregate": "pad", "aggregate_id": "p/1", "version": 3,
        "encoding": "json", "schema": 1, "data": {"text": "three"}, "metadata": {}, "tags": ["kind:note"],
    }  # fmt: skip


def test_log_cannot_be_made_to_move_the_cursor(tmp_path: Path) -> None:
    """Ids and payloads are untrusted."""
    with goes.blocking.connect(tmp_path / "app.db", registry=registry) as db:
        db.events.append([goes.Event(NoteTaken("\x9bx"), aggregate=("pad", "\x1b[2J\n"), version=1, registry=registry)])

    out, _ = run("log", "app.db", cwd=tmp_path)

    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert "\x9b" not in out


def follower(path: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("log", path, "--follow", *arguments), env=EMPTY, cwd=path.parent, text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def line_of(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_log_follows_what_others_commit(tmp_path: Path) -> None:
    path = store(tmp_path / "app.db")
    with follower(path, "--json", "--last", 1, "--end-with-stdin") as process:
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
    path = store(tmp_path / "app.db")
    with follower(path, "--json", "--last", 1) as process:
        line_of(process)
        time.sleep(0.1)  # by now it waits for the next event

        process.send_signal(signal.SIGINT)

        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe raises another error there")
def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    path = store(tmp_path / "app.db", ["x" * 1000] * 500)
    with subprocess.Popen(command("log", path), env=EMPTY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()

        assert (process.wait(20), process.stderr.read()) == (0, b"")


# --- info -------------------------------------------------------------------------------------------------------------


def test_info_shows_what_is_in_a_store_and_what_it_runs_on(tmp_path: Path) -> None:
    path = store(tmp_path / "app.db")
    with goes.blocking.connect(path, registry=registry) as db:
        db.checkpoints.save("letters", 3)

    shown = dict(line.split(maxsplit=1) for line in run("info", path, cwd=tmp_path)[0].splitlines())

    assert shown["file"] == str(path)
    assert re.match(r"(apsw|sqlite3) \(SQLite 3\.[\d.]+\), with(out)? the WAL-reset bug", shown["driver"])
    assert shown["durability"].startswith("os-crash: ")
    assert shown["events"] == "4, head at position 4"
    assert shown["aggregates"] == "pad 1"
    assert shown["checkpoints"] == "letters at 3"


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log", "info"])
def test_a_missing_store_is_not_created(name: str, tmp_path: Path) -> None:
    assert fails(name, "app.db", cwd=tmp_path) == (
        f"{tmp_path.resolve() / 'app.db'}: does not exist, and opening it read-only does not create it: check the path"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["log", "letter.txt"], "not a goes_lite store"),
        (["info", "empty.db"], "is empty"),
        (["info", "."], "is a folder"),
        (["log", "postgresql://localhost/app"], "is not a file"),
        (["log", "app.db", "--name", "two words"], "must not contain ' '"),
        (["log", "app.db", "--tag", "nothing"], "a tag must have the form 'key:value'"),
        (["log", "app.db", "--aggregate", "pad/"], "an aggregate id must be a non-empty str"),
    ],
)
def test_errors_are_one_line(arguments: list[str], part: str, tmp_path: Path) -> None:
    store(tmp_path / "app.db")
    (tmp_path / "letter.txt").write_text("Dear Ada,\n" * 100, encoding="utf-8")
    (tmp_path / "empty.db").touch()

    assert part in fails(*arguments, cwd=tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["log"],
        ["log", "app.db", "--last", "-1"],
        ["log", "app.db", "--after", "x"],
        ["demo", "now"],
        ["--ver"],
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], tmp_path: Path) -> None:
    out, err = run(*arguments, cwd=tmp_path, code=2)

    assert out == ""
    assert err.startswith("usage: goes-lite")
    assert "error: " in err


def test_without_a_command_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert {"demo", "log", "info"} <= set(capsys.readouterr().out.split())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"goes-lite {goes.__version__}\n"


def test_main_can_be_called_by_a_program(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = store(tmp_path / "app.db")

    assert main(["log", str(path), "--last", "1"]) == 0
    assert '{"text":"loose"}' in capsys.readouterr().out
    assert main(["log", str(tmp_path / "none.db")]) == 2
    assert "error: " in capsys.readouterr().err
