"""The environments for developing and testing goes_lite: `.venv/NAME-VERSION`, created on first use.

    python .ci/env.py NAME [--wheel FILE --at DIRECTORY]

Creates the environment, or reuses it if its inputs have not changed, and prints the path of its Python. Needs Python ≥ 3.11
with venv and pip, and a package index. With --wheel, it installs the built package instead of this folder, into a directory
of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"

ENVIRONMENTS = {  # name: (extras of the library, dependency group)
    "bare": ("", "test"),
    "full": ("[fast,protobuf,postgres,mongo,nats,parquet,pydantic]", "full"),
    "recipes": ("[fast,protobuf,postgres,mongo,nats,parquet,pydantic]", "recipes"),
    "docs": ("", "docs"),
    "dev": ("[fast,protobuf,postgres,mongo,nats,parquet,pydantic]", "dev"),
}


def make(name: str, *, wheel: Path | None = None, at: Path | None = None) -> Path:
    """Create the environment if needed, and return its Python; RuntimeError with the output of the tool that failed."""
    extras, group = ENVIRONMENTS[name]
    directory = at or ROOT / ".venv" / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = directory / "made-from"
    made_from = _digest(name, wheel)
    if python.exists() and stamp.exists() and stamp.read_text() == made_from:
        return python
    shutil.rmtree(directory, ignore_errors=True)  # this includes an unfinished one
    run(sys.executable, "-m", "venv", directory)
    project = [f"{wheel}{extras}"] if wheel else ["--editable", f"{ROOT}{extras}"]
    run(python, "-m", "pip", "install", "--disable-pip-version-check", *project, *requirements(group))
    stamp.write_text(made_from)
    return python


def requirements(group: str) -> list[str]:
    """Read the requirements of a dependency group, since older versions of pip do not have --group."""
    groups: dict[str, list[Any]] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    found: list[str] = []
    for item in groups[group]:
        found += [item] if isinstance(item, str) else requirements(item["include-group"])
    return found


def _digest(name: str, wheel: Path | None) -> str:
    digest = hashlib.sha256(repr((name, sys.version, sys.base_prefix, str(ROOT))).encode())
    for file in (PYPROJECT, Path(__file__), wheel):
        digest.update(file.read_bytes() if file else b"")
    return digest.hexdigest()


def run(*command: str | Path, umask: int = -1) -> str:
    """Run a command, and return what it printed; RuntimeError with that if it fails."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words,
        check=False,
        **({} if os.name == "nt" else {"umask": umask}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout}")
    return done.stdout


def main() -> None:
    """Create one environment and print the path of its Python."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ENVIRONMENTS)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--at", type=Path)
    arguments = parser.parse_args()
    try:
        print(make(arguments.name, wheel=arguments.wheel, at=arguments.at))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
