"""Check the sources without running the tests: style, types, what is generated, and that type checkers find typos.

    python3 .ci/check.py [NAME ...]     format, lint, mypy, pyright, generated, typos; all of them by default

Needs Python ≥ 3.11 with venv and pip, and a package index the first time. `.ci/run`, the pre-commit hooks and the workflow
call this, so each command is written here and nowhere else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import env

CHECKS = {  # name: the arguments of Python, for each command of the check
    "format": ["-m ruff format --check --output-format concise ."],
    "lint": ["-m ruff check --output-format concise ."],
    "mypy": ["-m mypy"],
    "pyright": ["-m pyright --pythonpath {python}"],
    "generated": [".ci/blocking.py --check", ".ci/storeys.py --check", ".ci/faults.py --check", ".ci/docs.py --check"],
    "typos": ["-P -m pytest -q tests/test_typos.py"],
}


def main() -> int:
    """Run all checks that were named, and fail if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(CHECKS)}")
    names = parser.parse_args().names or [*CHECKS]
    if unknown := sorted({*names} - {*CHECKS}):
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    try:
        python = str(env.make("dev"))
    except RuntimeError as error:
        sys.exit(str(error))
    failed = 0
    for name in names:
        for arguments in CHECKS[name]:
            print(f"=== {name}: python {arguments}", flush=True)
            words = [python if word == "{python}" else word for word in arguments.split()]
            failed |= subprocess.run([python, *words], check=False, cwd=env.ROOT).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
