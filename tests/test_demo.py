"""The command line as people run it: in processes of its own, with an empty environment, from any folder."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import goes_lite as goes
from tests.cli.cli_kit import goes_lite, notes

PACKAGES = str(Path(goes.__file__).parents[1])
# An empty environment, except for what Windows needs to start a process at all.
EMPTY = {key: os.environ[key] for key in ("SYSTEMROOT",) if key in os.environ}


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
    ran = goes_lite(*arguments, cwd=cwd, code=None)
    assert ran.code in (2, 3)
    return ran.error


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
    assert out.rstrip().endswith("See it in the browser: goes-lite ui goes_demo.db")
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
    path = notes(tmp_path / "app.db")
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
