"""Run the tests twice: with every optional package, and with the standard library alone.

    python3 .ci/test.py [--legs full,bare] [--all | --share N] [arguments for pytest]

Needs Python ≥ 3.11 with venv and pip, and a package index; everything else is installed into `.venv/` and reused. The tests
of a leg run in one process more than there are cores, since many wait for another process, unless `-n` says otherwise.

A rule that holds for many backends, drivers and faces runs on one of each (see tests/shares.py): another `--share` takes
others, `--all` takes all of them. Slow tests, and those of one database server, run with `--all`, and where files are
named. The second leg runs what can differ without the optional packages, unless files are named. A third, `--legs recipes`,
is the first with what the programs in examples/recipes are about: frameworks, Qt, Jupyter and tools that freeze programs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python should say why it fails)
    sys.exit(f"goes_lite needs Python 3.11 or newer, this is {sys.version.split()[0]}: run it with another python3")

import env

NO_TESTS = 5  # pytest's exit code where every test was deselected

BARE = (
    "tests/backends/test_sqlite.py tests/backends/test_sqlite_commits.py "
    "tests/backends/test_sqlite_processes.py tests/codec tests/registry tests/processor/test_feed.py "
    "tests/projection/test_inline.py tests/test_connect.py tests/test_demo.py "
    "tests/test_packaging.py tests/test_public_api.py tests/test_query.py tests/test_runtime.py tests/test_workers.py"
).split()
"""Tests of what the standard library does without the optional packages: SQLite, JSON, waking up, typing, printing."""


def run(leg: str, arguments: list[str]) -> int:
    """Run pytest in one environment and return its exit code."""
    print(f"=== {leg}: Python {sys.version.split()[0]}", flush=True)
    try:
        python = env.make(leg)
    except RuntimeError as error:
        print(error, flush=True)
        return 1
    if not any(argument.startswith(("-n", "--numprocesses")) or argument == "no:xdist" for argument in arguments):
        arguments = ["-n", str(_cores() + 1), "--dist", "worksteal", *arguments]
    named = any(argument.startswith("tests") for argument in arguments)
    everything = named or "--all" in arguments
    marks = {"bare": "not once" if everything else "not slow and not once"}
    if leg == "bare" and not named:
        arguments = [*arguments, *BARE]
    # -P: test the installed package, not the current directory
    command = [
        python,
        "-P",
        "-m",
        "pytest",
        "-q",
        "--progress",
        "-m",
        marks.get(leg, "" if everything else "not slow"),
        *arguments,
    ]
    # The many processes that tests start compile nothing twice, wherever else Python is told to keep no bytecode.
    environment = {"PYTHONPYCACHEPREFIX": str(env.ROOT / ".venv" / "bytecode"), **os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(command, check=False, cwd=env.ROOT, env=environment).returncode


def _cores() -> int:
    """How many processes can run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> int:
    """Run the legs; return 0 if all passed, else the exit code of the first that did not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--legs", default="full,bare", metavar="LEG,LEG", help="which of: full, bare, recipes")
    arguments, rest = parser.parse_known_args()
    legs = arguments.legs.split(",")
    if unknown := set(legs) - env.ENVIRONMENTS.keys():
        parser.error(f"no such leg: {', '.join(sorted(unknown))}")
    codes: list[int] = []
    times: list[str] = []
    for leg in legs:
        begin = time.monotonic()
        codes.append(run(leg, rest))
        seconds = int(time.monotonic() - begin)
        verdict = "passed" if codes[-1] == 0 else "no tests" if codes[-1] == NO_TESTS else "FAILED"
        times.append(f"{leg} {verdict} in {seconds // 60}:{seconds % 60:02}")
    print(f"=== {', '.join(times)}", flush=True)
    if set(codes) == {NO_TESTS}:
        return NO_TESTS
    # A selection of tests may leave a leg without tests; without a selection both must run some.
    return next((code for code in codes if code and not (code == NO_TESTS and rest)), 0)


if __name__ == "__main__":
    sys.exit(main())
