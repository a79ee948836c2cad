"""What all commands have in common: finding one, its help, where the store is, the envelope, and how it ends."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.cli import catalog
from goes_lite.cli.command import Command, parser_of
from goes_lite.cli.main import main
from goes_lite.cli.terminal import Terminal, counted
from tests.cli.cli_kit import PACKAGES, goes_lite, notes


def commands() -> dict[str, Command]:
    """All commands, by name; actions of groups as `GROUP ACTION`."""
    found: dict[str, Command] = {}
    for name, row in catalog.rows().items():
        for action in row.actions or [""]:
            words = [name, action] if action else [name]
            full, command, _ = catalog.find(words)
            assert isinstance(command, Command)
            found[full] = command
    return found


# --- finding a command --------------------------------------------------------------------------------------------------


def test_without_a_command_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert listed == catalog.rows().keys()
    assert main(["--help"]) == 0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"goes-lite {goes.__version__}\n"


def test_main_can_be_called_by_a_program(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = notes(tmp_path / "app.db")

    assert main(["log", str(path), "--last", "1"]) == 0
    assert '{"text":"loose"}' in capsys.readouterr().out
    assert main(["log", str(tmp_path / "none.db")]) == 3
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With examples that it understands, and in 80 columns."""
    command = commands()[name]
    assert command.examples
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: goes-lite {name}")
    assert [line for line in shown.splitlines() if len(line) > 80 and "goes-lite" not in line] == []
    for example in command.examples:
        words = shlex.split(re.split(" [|<>] ", example)[0])
        assert words[:1] == ["goes-lite"]
        named, found, rest = catalog.find(words[1:])
        assert named == name
        assert isinstance(found, Command)
        parser_of(named, found).parse_intermixed_args(rest)


def test_the_overview_imports_no_command() -> None:
    """Nor what takes long: only the catalogue."""
    probe = (
        f"import sys; sys.path.insert(0, {PACKAGES!r})\n"
        "from goes_lite.cli.main import main\nmain(['--help'])\n"
        "print([name for name in sys.modules if name in ('asyncio', 'sqlite3', 'apsw', 'importlib.metadata', 'rich') "
        "or name.startswith(('goes_lite.sqlite', 'goes_lite.blocking', 'goes_lite.operations', 'goes_lite.cli.', "
        "'goes_lite.database', 'goes_lite.contract', 'goes_lite.aggregate', 'goes_lite.codec'))])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert loaded <= {
        f"goes_lite.cli.{name}" for name in ("main", "catalog", "command", "exits", "failures", "output", "terminal")
    } | {"goes_lite.operations", "goes_lite.operations.forms"}  # which import nothing but the standard library


@pytest.mark.parametrize("action", ["", "frobnicate"])
def test_groups_name_their_actions(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, row in catalog.rows().items():
        if row.actions:
            assert main([name, action] if action else [name]) == 2
            assert set(row.actions) == set(import_module(f"goes_lite.cli.{row.module}").COMMANDS)
    capsys.readouterr()


def test_a_misspelt_command_is_recognised(tmp_path: Path) -> None:
    ran = goes_lite("lgo", cwd=tmp_path, code=2)
    assert ran.error == "there is no command 'lgo': did you mean 'log'?"
    assert ran.err.splitlines()[1:] == ["try: goes-lite --help"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["log", "app.db", "--last", "-1"],
        ["log", "app.db", "--after", "x"],
        ["log", "app.db", "--since", "whenever"],
        ["log", "app.db", "--id", "17"],
        ["log", "app.db", "more.db"],
        ["log", "--la", "3"],
        ["demo", "now"],
        ["demo", "--json"],
        ["--ver"],
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], tmp_path: Path) -> None:
    ran = goes_lite(*arguments, cwd=tmp_path, code=2)

    if "--json" not in arguments:
        assert ran.error
    assert ran.err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_another_package_adds_a_command(tmp_path: Path) -> None:
    """By an entry point; it looks like all others, and cannot replace one."""
    (tmp_path / "plugin.py").write_text(
        "from goes_lite.cli.command import Command\n"
        "def run(arguments, out):\n"
        "    out.result({'said': 'hello'}, lambda terminal: terminal.line('hello \\x1b[2J'))\n"
        "COMMAND = Command('Say hello.', run, examples=('goes-lite hello',))\n"
    )
    folder = tmp_path / "plugin-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[goes_lite.commands]\nhello = plugin:COMMAND\nlog = plugin:COMMAND\nbroken = plugin:run\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}

    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        done = goes_lite(*arguments, cwd=tmp_path, env=env, code=code)
        return done.out, done.err

    assert re.search(r"^  hello +from plugin$", run("--help")[0], re.MULTILINE)
    assert run("hello") == ("hello \\x1b[2J\n", "")
    assert json.loads(run("hello", "--json")[0])["data"] == {"said": "hello"}
    assert "did you mean 'hello'" in run("helo", code=2)[1]
    assert "must be a Command" in run("broken", code=2)[1]
    assert "usage: goes-lite log" in run("log", "--help")[0]


def test_a_broken_command_of_another_package_breaks_nothing_else(tmp_path: Path) -> None:
    """It is imported only if it is called; then one line says what is wrong with it, whatever that is."""
    (tmp_path / "loud.py").write_text("print('imported'); import does_not_exist\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(7)\n")
    folder = tmp_path / "plugin-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[goes_lite.commands]\nloud = loud:COMMAND\nleaving = leaving:COMMAND\nnowhere = nowhere:COMMAND\n"
    )
    nameless = tmp_path / "nameless-1.0.dist-info"
    nameless.mkdir()
    (nameless / "entry_points.txt").write_text("[goes_lite.commands]\nnameless = json:dumps\n")
    env = {"PYTHONPATH": str(tmp_path)}

    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        done = goes_lite(*arguments, cwd=tmp_path, env=env, code=code)
        return done.out, done.err

    overview, errors = run("--help")
    assert re.search(r"^  leaving +from plugin$", overview, re.MULTILINE)
    assert ("imported" in overview, errors) == (False, "")
    notes(tmp_path / "app.db")
    assert "note.taken" in run("log", "app.db")[0]
    assert "the command 'loud' from plugin cannot be loaded: ModuleNotFoundError" in run("loud", code=2)[1]
    assert "the command 'leaving' from plugin cannot be loaded: SystemExit: 7" in run("leaving", code=2)[1]
    assert "No module named 'nowhere'" in run("nowhere", "--json", code=2)[0]


# --- the store --------------------------------------------------------------------------------------------------------


def test_the_store_can_be_configured(tmp_path: Path) -> None:
    """By the environment, or by goes.toml; an argument takes precedence. Its bus is left alone."""
    (tmp_path / "other").mkdir()
    path = notes(tmp_path / "other" / "app.db")
    env = {"GOES_LITE_URL": f"sqlite:///{path}", "GOES_LITE_BUS_URL": "nats://nowhere.invalid"}

    assert len(goes_lite("log", "--json", cwd=tmp_path, env=env).data) == 4
    (tmp_path / "goes.toml").write_text('url = "other/app.db"\nbus = "nats://nowhere.invalid"\nlock_timeout = 3\n')
    assert len(goes_lite("log", "--json", cwd=tmp_path).data) == 4
    assert goes_lite("log", "none.db", cwd=tmp_path, code=3).error


def test_without_a_store_it_says_how_to_name_one(tmp_path: Path) -> None:
    assert "GOES_LITE_URL" in goes_lite("log", cwd=tmp_path, code=2).error


@pytest.mark.parametrize("name", ["log", "info", "audit"])
def test_a_missing_store_is_not_created(name: str, tmp_path: Path) -> None:
    assert goes_lite(name, "app.db", cwd=tmp_path, code=3).error == (
        f"{tmp_path.resolve() / 'app.db'}: does not exist, and opening it read-only does not create it: check the path"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["log", "letter.txt"], 3, "not a goes_lite store"),
        (["info", "empty.db"], 3, "is empty"),
        (["info", "."], 3, "is a folder"),
        (["log", "oracle://localhost/app"], 2, "no backend for 'oracle' URLs"),
        (["log", "app.db", "--name", "two words"], 2, "must not contain ' '"),
        (["log", "app.db", "--tag", "nothing"], 2, "a tag must have the form 'key:value'"),
        (["log", "app.db", "--aggregate", "pad/"], 2, "an aggregate id must be a non-empty str"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, part: str, tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    (tmp_path / "letter.txt").write_text("Dear Ada,\n" * 100, encoding="utf-8")
    (tmp_path / "empty.db").touch()

    ran = goes_lite(*arguments, cwd=tmp_path, code=code)
    assert part in ran.error

    told = goes_lite(*arguments, "--json", cwd=tmp_path, code=code).envelope
    assert part in told["error"]["message"]
    assert told["data"] is None


def test_a_defect_is_told_in_printable_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an exit code of its own, which no script takes for a finding."""

    def run(*_: object) -> None:
        raise RuntimeError("\x1b[2J")

    def found(words: list[str]) -> tuple[str, Command, list[str]]:
        return "log", Command("", run), []

    monkeypatch.setattr(catalog, "find", found)
    assert main(["log", "--json"]) == 70
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "RuntimeError"
    assert "\x1b" not in err
    assert "RuntimeError: \\x1b[2J" in err


def test_every_module_of_a_command_has_a_row() -> None:
    """A command that nobody can find is none."""
    folder = Path(catalog.__file__).parent
    defining = {
        path.stem if path.stem != "__init__" else path.parent.name
        for path in [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
        if re.search(r"^COMMANDS?( |:)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert defining == {row.module for row in catalog.rows().values()}


def test_the_overview_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "lines"), [(Screen(), 3), (io.StringIO(), 1)])
def test_findings_are_wrapped_on_a_terminal_and_lines_in_a_pipe(
    stream: io.StringIO, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal(stream, color=False)
    terminal.message("code: " + "what is wrong " * 6 + "\x1b[31m", hint="goes-lite verify")
    shown = stream.getvalue().splitlines()
    assert len(shown) == lines
    assert "\x1b" not in stream.getvalue()
    assert shown[-1].rstrip(")").endswith("try: goes-lite verify")
    assert lines == 1 or max(map(len, shown)) < 80


def test_one_thing_is_not_many() -> None:
    assert [counted(number, "events") for number in (0, 1, 2)] == ["0 events", "1 event", "2 events"]
