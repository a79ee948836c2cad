"""`python -m goes_lite_conformance URL`: the verdict, its exit codes, and that nothing of the user's is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from goes_lite_conformance.__main__ import main

from goes_lite import blocking

# Somebody's backend as an installed package. What it answers depends on the host in its URL.
ACME = """
import os
from goes_lite.sqlite import SQLiteBackend

class Acme:
    async def open(self, location, runtime, registry, unknown, **options):
        host, name = location.partition("@")[2].split("/")
        if host == "down":
            raise ConnectionRefusedError(f"nobody listens at {location}")
        if host == "odd":
            raise KeyError("what")
        db = await SQLiteBackend.open(f"{os.environ['ACME']}/{name}.db", runtime, registry, unknown, driver="sqlite3")
        if host == "broken":
            async def find(event_id):
                raise RuntimeError(f"cannot find anything in {location}")
            db.events.find = find
        return db

class WithScratch(Acme):
    def scratch(self, location, name):
        return f"{location}-{name}"
"""

EVENTS = ("--suite", "EventStoreTests")
"""Of one suite the rules are found sooner than of all."""


class Command:
    """The command, run in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "ACME": str(folder), "COLUMNS": "100"}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-W", "error", "-m", "goes_lite_conformance", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    def install(self, folder: Path) -> None:
        """Have the packages in this folder installed."""
        self.environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def command(tmp_path: Path) -> Command:
    folder = tmp_path / "here"
    folder.mkdir()
    return Command(folder)


@pytest.fixture
def acme(command: Command, tmp_path: Path) -> Command:
    """The command where the backends acme and scratch are installed."""
    information = tmp_path / "site" / "acme-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[goes_lite.backends]\nacme = acme:Acme.backend\nscratch = acme:WithScratch.backend\n"
    )
    (tmp_path / "site" / "acme.py").write_text(f"{ACME}\nAcme.backend = Acme()\nWithScratch.backend = WithScratch()\n")
    command.install(tmp_path / "site")
    return command


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command said, which could not do what it was asked for."""
    assert done.returncode == 2, done
    [line] = done.stderr.splitlines()
    return line


# --- a verdict --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite:///:memory:?driver=sqlite3", "sqlite:///app.db?driver=sqlite3"])
def test_a_backend_that_keeps_the_rules(url: str, command: Command) -> None:
    done = command(url, *EVENTS, "-k", "ES-FIND")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert lines[0] == f"goes_lite conformance: {url}"
    said = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert "dense-positions" in said["abilities"]
    assert said["durability"].split()[1] == ("memory" if "memory" in url else "os-crash")
    assert said["faces"].split() == ["faces", "async,", "blocking"]
    assert "driver sqlite3 (SQLite " in said["versions"]
    assert said["ES-FIND"].split()[1] == said["ES-FIND"].split()[2]
    assert " passed, in " in lines[-2]
    assert lines[-1] == "The contract is kept."
    assert "\x1b" not in done.stdout
    assert list(command.folder.iterdir()) == []


def test_what_the_url_names_is_not_touched(command: Command) -> None:
    file = command.folder / "app.db"
    with blocking.connect(file, driver="sqlite3"):
        pass
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in command.folder.iterdir()}

    done = command(f"sqlite:///{file}?driver=sqlite3", *EVENTS, "-k", "ES-FIND")

    assert done.returncode == 0
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in command.folder.iterdir()} == before


def test_every_rule_can_be_shown(command: Command) -> None:
    done = command("sqlite:///:memory:", *EVENTS, "-k", "ES-FIND-001", "-v")

    assert "    ES-FIND-001 async: passed: " in done.stdout
    assert "    ES-FIND-001 blocking: passed: " in done.stdout


def test_faces_are_chosen(command: Command) -> None:
    done = command("sqlite:///:memory:", *EVENTS, "-k", "ES-FIND-001", "--faces", "loop,blocking", "-v")

    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines() if "ES-FIND-001 " in line] == ["loop:", "blocking:"]


def test_suites_are_chosen(command: Command) -> None:
    done = command("sqlite:///:memory:", "--suite", "SnapshotStoreTests", "-k", "SN or ES-FIND or 001")

    assert done.returncode == 0
    assert "\nSnapshotStoreTests\n" in done.stdout
    assert "EventStoreTests" not in done.stdout


def test_reports_are_written_and_say_the_same_each_time(command: Command) -> None:
    arguments = (
        "sqlite:///app.db?driver=sqlite3",
        *EVENTS,
        "-k",
        "ES-FIND",
        "--report",
        "one.json",
        "--report",
        "one.md",
    )

    assert command(*arguments).returncode == 0
    first = (command.folder / "one.json").read_text(encoding="utf-8")
    assert command(*arguments).returncode == 0

    assert (command.folder / "one.json").read_text(encoding="utf-8") == first
    assert json.loads(first)["url"] == "sqlite:///app.db?driver=sqlite3"
    assert (command.folder / "one.md").read_text(encoding="utf-8").startswith("# sqlite:///app.db")


def test_configuration_for_pytest_that_lies_around_is_not_used(command: Command) -> None:
    (command.folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (command.folder / "conftest.py").write_text("raise RuntimeError")
    command.environment |= {"PYTEST_ADDOPTS": "--no-such-option", "PYTEST_PLUGINS": "no_such_plugin"}

    assert command("sqlite:///:memory:", *EVENTS, "-k", "ES-FIND").returncode == 0


# --- other backends ---------------------------------------------------------------------------------------------------


def test_a_storage_for_each_test_where_the_url_says_so(acme: Command) -> None:
    done = acme("acme://me:s3cret@up/{storage}", *EVENTS, "-k", "ES-FIND-001")

    assert done.returncode == 0, done
    assert done.stdout.startswith("goes_lite conformance: acme://me:***@up/{storage}\n")
    assert (
        "The backend cannot erase storages: those of the tests, called t and 16 digits, were left behind."
        in done.stdout
    )
    left = [path.name for path in acme.folder.iterdir() if path.suffix == ".db"]
    assert len(left) == 4  # looked at twice, and a test on each face


def test_a_storage_for_each_test_where_the_backend_says_so(acme: Command) -> None:
    done = acme("scratch://me@up/mine", *EVENTS, "-k", "ES-FIND-001")

    assert done.returncode == 0, done
    left = [path.name for path in acme.folder.iterdir() if path.suffix == ".db"]
    assert len(left) == 4
    assert all(name.startswith("mine-t") for name in left)


def test_a_backend_that_breaks_a_rule(acme: Command) -> None:
    done = acme(
        "acme://me:s3cret@broken/{storage}",
        *EVENTS,
        "-k",
        "ES-FIND or ES-HEAD",
        "--report",
        "a.json",
        "--report",
        "a.md",
    )

    assert done.returncode == 1, done
    lines = done.stdout.splitlines()
    [begin] = [number for number, line in enumerate(lines) if line.startswith("FAILED ES-FIND-001: ")]
    assert lines[begin + 1].startswith("  async: RuntimeError: cannot find anything in acme://me:***@broken/t")
    assert any(line.startswith("  blocking: RuntimeError: cannot find anything") for line in lines)
    assert lines[-1] == "The contract is NOT kept." or lines[-2] == "The contract is NOT kept."
    written = "".join((acme.folder / name).read_text(encoding="utf-8") for name in ("a.json", "a.md"))
    assert "ES-FIND-001" in json.loads((acme.folder / "a.json").read_text(encoding="utf-8"))["failures"]
    assert "s3cret" not in done.stdout + done.stderr + written


def test_whole_tracebacks_do_not_show_the_password_either(acme: Command) -> None:
    done = acme("acme://me:s3cret@broken/{storage}", *EVENTS, "-k", "ES-FIND-001", "-v")

    assert 'raise RuntimeError(f"cannot find anything in {location}")' in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_a_backend_without_fresh_storages_needs_a_place_for_their_names(acme: Command) -> None:
    error = error_of(acme("acme://me:s3cret@up/mine"))

    assert error.startswith(
        "error: acme://me:***@up/mine: the backend 'acme' does not say how to make storages for tests"
    )
    assert error.endswith("write {storage} in the URL where the name of a fresh storage belongs")


@pytest.mark.parametrize(
    ("host", "message"),
    [("down", "error: nobody listens at acme://me:***@down/t"), ("odd", "error: cannot connect: KeyError: 'what'")],
)
def test_a_backend_that_cannot_be_reached(host: str, message: str, acme: Command) -> None:
    assert error_of(acme(f"acme://me:s3cret@{host}/{{storage}}")).startswith(message)


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody://x"], "no backend for 'nobody' URLs is installed"),
        (["sqlite:///no/such/folder/app.db"], "does not exist: create it first"),
        (["sqlite:///app.db?read_only=true"], "opening it read-only does not create it"),
        (["sqlite:///app.db?speed=high"], "unknown option 'speed'"),
        (["sqlite:///:memory:", "--suite", "NoSuchTests"], "--suite NoSuchTests: the suites are EventStoreTests, "),
        (["sqlite:///:memory:", "-k", "no_such_rule"], "no rule matches -k 'no_such_rule'"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], message: str, command: Command) -> None:
    assert message in error_of(command(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: URL"),
        (["x", "--faces", "async,sync"], "any of async, blocking, loop"),
        (["x", "--rounds", "0"], "'0' is not a number ≥ 1"),
        (["x", "--report", "report.xml"], "ends neither in .json nor in .md"),
        (["x", "--report", "no/such/folder/report.md"], "the folder of 'no/such/folder/report.md' does not exist"),
        (["sqlite:///:memory:", "-k", "one or"], "Wrong expression passed to '-k'"),
    ],
)
def test_a_wrong_argument_is_explained(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    try:
        code: object = main(arguments)
    except SystemExit as ended:
        code = ended.code

    assert code == 2
    assert message in capsys.readouterr().err


def without(package: str, command: Command, tmp_path: Path) -> None:
    """Have the command run where a package is not installed."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    command.install(tmp_path / "site")


def test_without_pytest_it_says_what_to_install(command: Command, tmp_path: Path) -> None:
    without("pytest", command, tmp_path)

    error = error_of(command("sqlite:///:memory:"))

    assert error == "error: goes_lite_conformance needs pytest: pip install 'goes-lite[conformance]'"


def test_without_hypothesis_one_suite_is_not_run_and_the_exit_code_says_so(command: Command, tmp_path: Path) -> None:
    without("hypothesis", command, tmp_path)

    done = command("sqlite:///:memory:", "-k", "ES-FIND", "--report", "a.json")

    assert done.returncode == 1
    assert "not run: StatefulTests: Hypothesis is not installed: pip install 'goes-lite[conformance]'" in done.stdout
    assert "StatefulTests" in json.loads((command.folder / "a.json").read_text())["not run"]
    assert "Hypothesis is not installed" in error_of(command("sqlite:///:memory:", "--suite", "StatefulTests"))
