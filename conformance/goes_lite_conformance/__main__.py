"""The command line: `python -m goes_lite_conformance URL` judges the backend that a URL names.

Exit codes: 0 every rule that applies is kept, 1 a rule is broken or could not run, 2 a wrong argument or an
unreachable backend, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

import goes_lite
from goes_lite.cli.terminal import BOLD, GREEN, RED, Terminal
from goes_lite.contract.event_bus import REPLAY
from goes_lite.database.address import parse
from goes_lite.database.connect import connect, factory_for
from goes_lite.errors import ConfigError, GoesError
from goes_lite_conformance.report.progress import Progress
from goes_lite_conformance.report.verdict import About, Outcome, Verdict, ranges

FACES = ("async", "blocking", "loop")
CONNECTING = 60.0
"""Seconds after which a backend that does not respond counts as unreachable."""

_INI = "[pytest]\nfilterwarnings = error\nverbosity_assertions = 2\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Judge a backend and return the exit code; a wrong argument raises SystemExit(2), as in argparse."""
    arguments = parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks must not be an error
    terminal = Terminal(sys.stdout)
    try:
        with tempfile.TemporaryDirectory(prefix="goes-") as folder, _environment(arguments, folder):
            return _judge(arguments, Path(folder), terminal)
    except KeyboardInterrupt:
        return 130
    except (GoesError, OSError) as error:
        return _error(str(error), arguments.url)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    known = argparse.ArgumentParser(
        prog="python -m goes_lite_conformance",
        description="Run every rule of the contract against the backend that a URL names. Its storage is not touched: "
        "the rules use fresh storages next to it, or where the URL contains {storage}.",
        allow_abbrev=False,
    )
    known.add_argument("url", metavar="URL", help="such as sqlite:///app.db, or acme://host/{storage}")
    known.add_argument(
        "--bus",
        metavar="URL",
        help="judge this bus together with that backend, such as nats://host: only the suites about a bus",
    )
    known.add_argument(
        "--rounds", type=_positive, default=1, metavar="N", help="soak: race and kill N times as often (default: 1)"
    )
    known.add_argument(
        "--faces",
        type=_faces,
        default=("async", "blocking"),
        metavar="FACE,…",
        help="async, blocking, loop (an embedded backend on a loop thread); default: async,blocking",
    )
    known.add_argument(
        "--report",
        type=_file,
        action="append",
        default=[],
        metavar="FILE",
        help="write a report to FILE.json or FILE.md",
    )
    known.add_argument(
        "-k", metavar="EXPR", dest="only", help="only rules that match, such as ES-APPEND or 'not crash'"
    )
    known.add_argument(
        "--suite", nargs="+", default=[], metavar="NAME", help="only these suites, such as EventBusTests"
    )
    known.add_argument("-v", "--verbose", action="store_true", help="print a line for each test, and whole tracebacks")
    return known


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number ≥ 1")
    return int(text)


def _faces(text: str) -> tuple[str, ...]:
    faces = tuple(text.split(","))
    if not set(faces) <= set(FACES) or len(set(faces)) != len(faces):
        raise argparse.ArgumentTypeError(f"{text!r}: any of {', '.join(FACES)}, with commas between")
    return faces


def _file(text: str) -> Path:
    path = Path(text).absolute()
    if path.suffix not in (".json", ".md"):
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .json nor in .md")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder of {text!r} does not exist")
    return path


@contextmanager
def _environment(arguments: argparse.Namespace, folder: str) -> Generator[None]:
    """Set the environment of the suites and worker processes, and hide what would configure pytest from outside."""
    before = dict(os.environ)
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ |= {
        "GOES_LITE_CONFORMANCE_URL": arguments.url,
        "GOES_LITE_CONFORMANCE_FACES": ",".join(arguments.faces),
        "GOES_LITE_CONFORMANCE_BUS": arguments.bus or "",
        "HYPOTHESIS_STORAGE_DIRECTORY": folder,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _judge(arguments: argparse.Namespace, folder: Path, terminal: Terminal) -> int:
    if find_spec("hypothesis") is not None:
        _steady_examples()
    from goes_lite_conformance import by_url  # reads the environment when imported

    not_run = by_url.missing(arguments.url, arguments.bus)
    asked = _asked(arguments.suite, by_url, not_run)
    about = _described(arguments, by_url)
    _introduce(about, terminal)
    begin = time.monotonic()
    progress = Progress(terminal, arguments)
    ini = folder / "pytest.ini"
    ini.write_text(_INI, encoding="utf-8")
    file = str(Path(by_url.__file__ or ""))
    code = pytest.main(
        [
            *("-c", str(ini), "--rootdir", str(folder), "--noconftest", "--import-mode=importlib"),
            *("-p", "no:cacheprovider", "-p", "no:terminal", "--basetemp", str(folder / "tmp")),
            *(("-k", arguments.only) if arguments.only else ()),
            *([f"{file}::{name}" for name in asked] or [file]),
        ],
        plugins=[progress],
    )
    secrets = [by_url.password(url) for url in (arguments.url, arguments.bus or "") if url]
    verdict = Verdict(
        about.url,
        [_without(secrets, outcome) for outcome in progress.outcomes],
        about,
        {name: why for name, why in not_run.items() if not arguments.suite or name in arguments.suite},
        {why: rules for why, rules in progress.left_out.items() if why != "deselected"},
        time.monotonic() - begin,
    )
    if code == pytest.ExitCode.USAGE_ERROR:
        return 2
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return _error(f"no rule matches -k {arguments.only!r}", arguments.url)
    _conclude(verdict, terminal, verbose=arguments.verbose)
    if not hasattr(factory_for(parse(arguments.url).scheme), "erase"):
        terminal.line(
            "The backend cannot erase storages: those of the tests, called t and 16 digits, were left behind."
        )
    for path in arguments.report:
        path.write_text(verdict.to_json() if path.suffix == ".json" else verdict.to_markdown(), encoding="utf-8")
    if code == pytest.ExitCode.INTERRUPTED and not progress.broken:
        terminal.line("Interrupted: not all rules were run.", RED)
        return 130
    for broken in progress.broken:
        terminal.line(broken, RED)
    terminal.flush()
    return 0 if verdict.kept and code == pytest.ExitCode.OK else 1


def _steady_examples() -> None:
    """Make Hypothesis try the same examples each time, and leave nothing in the working folder."""
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "goes_lite_conformance",
        settings(
            derandomize=True,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    settings.load_profile("goes_lite_conformance")


def _asked(names: Sequence[str], by_url: ModuleType, not_run: dict[str, str]) -> list[str]:
    """Return the classes of the named suites; raise ConfigError if there is no such suite."""
    known = {
        suite.__name__: f"Test{suite.__name__.removesuffix('Tests')}"
        for suite in by_url.suites(os.environ[by_url.URL], os.environ[by_url.BUS])
    }
    if unknown := [name for name in names if name not in known]:
        why = not_run.get(unknown[0], f"the suites are {', '.join(known)}")
        raise ConfigError(f"--suite {unknown[0]}: {why}")
    return [known[name] for name in names]


def _described(arguments: argparse.Namespace, by_url: ModuleType) -> About:
    """Return what a handle on a fresh storage says of itself; raise ConfigError if there can be none."""
    name = f"t{uuid4().hex[:16]}"
    if "loop" in arguments.faces and not getattr(factory_for(parse(arguments.url).scheme), "embedded", False):
        raise ConfigError(
            "--faces loop is for embedded backends: the blocking face of this one is on a loop thread anyway"
        )
    url = by_url.next_to(arguments.url, name)
    bus = by_url.bus_next_to(arguments.bus, name) if arguments.bus else None

    async def look() -> About:
        async with asyncio.timeout(CONNECTING), connect(url, bus=bus) as db:
            versions = {"goes-lite": goes_lite.__version__, "python": platform.python_version().rpartition(".")[0]}
            if driver := getattr(db.bus if bus else db.backend, "driver", None):
                versions["driver"] = str(driver)
            about = About(
                by_url.shown(arguments.url),
                str(db.location).replace(name, "*"),
                frozenset(db.abilities & {REPLAY}) if bus else frozenset(db.abilities),
                "–" if bus else str(db.durability),
                arguments.faces,
                versions,
                by_url.shown(arguments.bus) if arguments.bus else "",
            )
        await by_url.erase(url)
        if bus is not None:
            await by_url.erase_bus(bus)
        return about

    try:
        return asyncio.run(look())
    except (GoesError, OSError):
        raise
    except Exception as error:  # anything that a driver raises
        raise ConfigError(f"cannot connect: {type(error).__name__}: {error}") from error


def _without(secrets: Sequence[str], outcome: Outcome) -> Outcome:
    """Return the outcome, without the passwords of the URLs in its traceback."""
    for secret in filter(None, secrets):
        said = {name: getattr(outcome, name).replace(secret, "***") for name in ("reason", "details")}
        outcome = outcome._replace(**said)
    return outcome


def _error(message: str, url: str) -> int:
    from urllib.parse import urlsplit

    login, _, _ = urlsplit(url).netloc.rpartition("@")
    secret = login.partition(":")[2]
    text = " ".join(message.split())
    sys.stderr.write(f"error: {text.replace(secret, '***') if secret else text}\n")
    return 2


def _introduce(about: About, terminal: Terminal) -> None:
    terminal.line(f"goes_lite conformance: {about.bus or about.url}", BOLD)
    said: dict[str, Any] = {
        "storages": about.location,
        "abilities": ", ".join(sorted(about.abilities)) or "none",
        "durability": about.durability,
        "faces": ", ".join(about.faces),
        "versions": ", ".join(f"{name} {version}" for name, version in about.versions.items()),
    }
    for what, value in said.items():
        terminal.line(f"  {what:<11} {value}")
    terminal.line()
    terminal.flush()


def _conclude(verdict: Verdict, terminal: Terminal, *, verbose: bool) -> None:
    for rule in verdict.failed:
        terminal.line()
        terminal.line(f"FAILED {rule.id}: {rule.text}", RED)
        for reason, outcomes in rule.failures.items():
            terminal.line(f"  {', '.join(one.place for one in outcomes)}: {reason}")
            details = outcomes[0].details.splitlines()
            for line in details if verbose else [line for line in details if line.startswith("E  ")][1:40]:
                terminal.line(f"    {line}")
    terminal.line()
    for abilities, rules in verdict.excused.items():
        terminal.line(f"not applicable without {abilities}: {ranges(rule.id for rule in rules)}")
    for why, left_out in verdict.left_out.items():
        terminal.line(f"left out, {why}: {ranges(left_out)}")
    for what, why in verdict.not_run.items():
        terminal.line(f"not run: {what}: {why}", RED)
    terminal.line(f"{verdict.total()}, in {verdict.seconds:.1f} s", BOLD)
    terminal.line(
        "The contract is kept." if verdict.kept else "The contract is NOT kept.", GREEN if verdict.kept else RED
    )


if __name__ == "__main__":
    sys.exit(main())
