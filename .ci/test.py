"""Run the tests as they have to pass: once with every optional package, and once with the standard library alone.

    python3 .ci/test.py [--legs full,bare] [arguments for pytest]

Needs Python ≥ 3.11 with venv and pip, and a package index; everything else is installed into `.venv/`, and found there
the next time. The tests of a leg run in as many processes as there are cores, unless `-n` says otherwise. What is about
the suites and no installed package (`once`) is left out of the second, and what takes long and is much like the rest
(`slow`) of both, unless `-m` says otherwise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

if sys.version_info < (3, 11):  # noqa: UP036 (who runs this on an older one shall read why it fails)
    sys.exit(f"goes_lite needs Python 3.11 or newer, this is {sys.version.split()[0]}: run it with another python3")

import env

NO_TESTS = 5  # pytest's exit code where every test was deselected


def run(leg: str, arguments: list[str]) -> int:
    """The exit code of pytest in one environment."""
    print(f"=== {leg}: Python {sys.version.split()[0]}", flush=True)
    try:
        python = env.make(leg)
    except RuntimeError as error:
        print(error, flush=True)
        return 1
    if not any(argument.startswith(("-n", "--numprocesses")) or argument == "no:xdist" for argument in arguments):
        arguments = ["-n", "auto", "--dist", "worksteal", *arguments]
    arguments = ["-m", "not slow and not once" if leg == "bare" else "not slow", *arguments]
    # -P: the package that is installed is tested, whatever lies in the current directory
    return subprocess.run([python, "-P", "-m", "pytest", *arguments], check=False, cwd=env.ROOT).returncode


def main() -> int:
    """0 if every leg passed, else the exit code of the first that did not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--legs", default="full,bare", metavar="LEG,LEG", help="which of: full, bare")
    arguments, rest = parser.parse_known_args()
    legs = arguments.legs.split(",")
    if unknown := set(legs) - env.ENVIRONMENTS.keys():
        parser.error(f"no such leg: {', '.join(sorted(unknown))}")
    codes = [run(leg, rest) for leg in legs]
    if set(codes) == {NO_TESTS}:
        return NO_TESTS
    # A selection of tests may leave nothing to one of the legs; without a selection both have to run something.
    return next((code for code in codes if code and not (code == NO_TESTS and rest)), 0)


if __name__ == "__main__":
    sys.exit(main())
