"""Make one file or one folder of a program, for people who have neither Python nor pip.

    python3 examples/recipes/freeze.py zipapp examples/recipes/journal.py        # one file; needs Python on the other side
    python3 examples/recipes/freeze.py pyinstaller examples/recipes/journal.py   # a folder; needs nothing
    python3 examples/recipes/freeze.py nuitka examples/recipes/journal.py        # a folder, compiled; takes minutes

The outcome is in dist/ unless --into names another folder. --with adds what the program loads by name only: an adapter and its
driver, such as `--with goes_lite_postgres --with asyncpg`. docs/recipe-frozen.md explains the options.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipapp
from pathlib import Path

NOT_NEEDED = ["goes_lite_conformance", "pytest", "hypothesis", "pyarrow", "numpy", "tkinter"]
"""What goes_lite imports in some places only, and a program does not need: the folder is smaller without."""


def frozen_by_zipapp(program: Path, packages: list[str], into: Path) -> Path:
    """Put the program and its packages into one file that Python runs. Nothing in it may be compiled, such as apsw."""
    made = into / f"{program.stem}.pyz"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(program, Path(folder, "__main__.py"))
        for package in ["goes_lite", *packages]:
            spec = importlib.util.find_spec(package)
            if spec is None or spec.submodule_search_locations is None:
                sys.exit(f"there is no package {package!r} here: pip install it first")
            (source,) = spec.submodule_search_locations
            shutil.copytree(source, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
        zipapp.create_archive(folder, made, interpreter="/usr/bin/env python3", compressed=True)
    return made


def frozen_by_pyinstaller(program: Path, packages: list[str], into: Path) -> Path:
    """Put Python, the program and all that it imports into a folder. What is imported by name has to be named."""
    with tempfile.TemporaryDirectory() as work:
        command = ["--name", program.stem, "--distpath", str(into), "--workpath", work, "--specpath", work]
        for package in ["goes_lite.sqlite", "goes_lite.blocking", *packages]:
            command += ["--collect-submodules", package]
        for package in NOT_NEEDED:
            command += ["--exclude-module", package]
        command += ["--noconfirm", "--log-level", "WARN", str(program)]
        subprocess.run([sys.executable, "-m", "PyInstaller", *command], check=True)
    return into / program.stem / program.stem


def frozen_by_nuitka(program: Path, packages: list[str], into: Path) -> Path:
    """Compile Python, the program and all that it imports into a folder. It needs a C compiler."""
    command = [
        "--mode=standalone",
        f"--output-dir={into}",
        f"--output-filename={program.stem}",
        "--assume-yes-for-downloads",
    ]
    command += [f"--include-package={package}" for package in ["goes_lite.sqlite", "goes_lite.blocking", *packages]]
    command += [f"--nofollow-import-to={package}" for package in NOT_NEEDED]
    subprocess.run([sys.executable, "-m", "nuitka", *command, "--quiet", str(program)], check=True)
    return into / f"{program.stem}.dist" / program.stem


HOW = {"zipapp": frozen_by_zipapp, "pyinstaller": frozen_by_pyinstaller, "nuitka": frozen_by_nuitka}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("how", choices=HOW)
    parser.add_argument("program", type=Path)
    parser.add_argument("--with", dest="packages", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--into", type=Path, default=Path("dist"))
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    print(HOW[arguments.how](arguments.program.resolve(), arguments.packages, arguments.into.resolve()))


if __name__ == "__main__":
    main()
