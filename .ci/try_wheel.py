"""Try a built wheel on every Python that is here: alone, in a new environment, with no package index.

    python3 .ci/try_wheel.py WHEEL [PYTHON ...]

Takes python3.11 and newer from the PATH and from pyenv unless interpreters are named. On each it installs the wheel, imports
every module of it with warnings as errors, runs the demo, and writes and reads a store. Prints a line for each Python, and fails
if one of them failed, or if there was none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

NEWEST = 16
ABOUT = "import sys, venv, ensurepip; print(*sys.version_info[:3], sep='.')"
IMPORTS = """
import importlib, pkgutil, sys
import goes_lite
assert goes_lite.__file__.startswith(sys.prefix), goes_lite.__file__
from goes_lite.errors import DriverMissing
count = left_out = 0
for package in ("goes_lite", "goes_lite_conformance", "goes_lite_mongo", "goes_lite_nats", "goes_lite_postgres"):
    try:
        found = importlib.import_module(package)
        names = [module.name for module in pkgutil.walk_packages(found.__path__, f"{package}.", onerror=lambda name: None)]
    except (DriverMissing, ModuleNotFoundError):
        left_out += 1
        continue
    for name in names:
        if name.endswith("__main__"):
            continue
        try:
            importlib.import_module(name)
            count += 1
        except (DriverMissing, ModuleNotFoundError) as missing:
            assert not (getattr(missing, "name", None) or "").startswith("goes_lite"), missing
            left_out += 1
print(f"{count} modules, {left_out} that need a package", end="")
"""
STORE = """
import goes_lite as goes
note = goes.event("note.taken")(str)
for turn in (1, 2):
    with goes.blocking.connect("app.db") as db:
        db.events.append([goes.Event("text")])
        assert [event.data for event in db.events.query()] == ["text"] * turn
"""


def interpreters() -> Iterator[str]:
    """Yield the Pythons of the PATH and of pyenv, those that do not work included."""
    for minor in range(11, NEWEST + 1):
        if found := shutil.which(f"python3.{minor}"):
            yield found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if versions.is_dir():
        yield from (str(folder / "bin" / "python") for folder in sorted(versions.iterdir()))


def usable(names: list[str]) -> dict[str, str]:
    """Return the interpreters by version: one of each version that goes_lite supports and that can make environments."""
    found: dict[str, str] = {}
    for name in names:
        try:
            done = subprocess.run([name, "-c", ABOUT], check=False, capture_output=True, text=True)
        except OSError:
            continue
        version = done.stdout.strip()
        if done.returncode == 0 and tuple(map(int, version.split("."))) >= (3, 11, 0):
            found.setdefault(version, name)
    return found


def trial(python: str, version: str, wheel: Path) -> str:
    """Try the wheel on one Python, and return what is to be said; RuntimeError with the output of what failed."""
    strict = ["-I", "-W", "error"]
    if (3, 12, 0) <= tuple(map(int, version.split("."))) < (3, 12, 4):  # warned of `?1` in SQL, until it was corrected
        strict += ["-W", "ignore:Binding:DeprecationWarning"]
    with tempfile.TemporaryDirectory() as work:
        inside = Path(work, "env") / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        said = ""
        for command in (
            [python, "-m", "venv", Path(work, "env")],
            [inside, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", wheel],
            [inside, *strict, "-c", IMPORTS],
            [inside, *strict, "-c", STORE],
            [inside, *strict, "-m", "goes_lite", "demo"],
            [inside.parent / "goes-lite", "--version"],
        ):
            done = subprocess.run(
                [str(word) for word in command], check=False, cwd=work, capture_output=True, text=True, encoding="utf-8"
            )
            if done.returncode:
                raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
            said = done.stdout if command[-1] == IMPORTS else said
        return said


def main() -> int:
    """Try all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("python", nargs="*")
    arguments = parser.parse_args()
    wheel: Path = arguments.wheel.resolve()
    if not wheel.is_file():
        parser.error(f"{wheel} is not there: build it with python3 .ci/build.py")
    found = usable(arguments.python or [*interpreters()])
    failed = not found
    for version, python in found.items():
        try:
            print(f"ok      {version:<8} {trial(python, version, wheel)}", flush=True)
        except RuntimeError as error:
            failed = True
            print(f"FAILED  {version:<8} {error}", flush=True)
    if not found:
        print("no Python ≥ 3.11 with venv and pip was found")
    return failed


if __name__ == "__main__":
    sys.exit(main())
