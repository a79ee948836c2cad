"""Build the sdist and the wheel, and check them: twice to the same bytes, the metadata, and what the wheel has.

    python .ci/build.py [--at FOLDER] [--release]

Writes to dist/ unless --at names another folder. The second build is made from the unpacked sdist, in another folder and under
another umask, so what is published can be built again by anybody who has the sdist. Times in the archives are SOURCE_DATE_EPOCH,
by default the time of the last commit. With --release, a bill of materials (CycloneDX) and SHA256SUMS are written next to the
files, and the address of the repository (GOES_LITE_REPOSITORY) has to be given, since the package index shows it.

Needs the packages of the group `dev`: .ci/env.py makes them an environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import env
from env import run

WHEEL_CHECKS = "W009"  # five packages on purpose: the library, its adapters, the conformance suites


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, by name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def build(python: Path, folder: Path) -> list[Path]:
    """Build into the folder, build again elsewhere, and return the sdist and the wheel; RuntimeError if they differ."""
    folder.mkdir(parents=True, exist_ok=True)
    if left := [*folder.iterdir()]:
        raise RuntimeError(f"{folder} is not empty: remove {', '.join(file.name for file in left)}")
    run(python, "-m", "build", "--outdir", folder, env.ROOT)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as work:
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        [sources] = Path(work).iterdir()
        run(python, "-m", "build", "--outdir", Path(work, "again"), sources, umask=0o077)
        if (first := hashes(folder)) != (second := hashes(Path(work, "again"))):
            raise RuntimeError(f"two builds differ: {first} and, from the sdist, {second}")
    return [sdist, wheel]


def bill(python: Path, wheel: Path, folder: Path) -> Path:
    """Write a bill of materials of an environment with nothing but the wheel; RuntimeError if anything else is in it."""
    with tempfile.TemporaryDirectory() as work:
        run(sys.executable, "-m", "venv", "--without-pip", work)
        inside = Path(work) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        run(python, "-m", "pip", "--python", inside, "install", "--quiet", "--no-index", wheel)
        written = folder / f"{wheel.name.partition('-py3')[0]}.cdx.json"
        run(
            *(python, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--pyproject", env.PYPROJECT),
            *("--of", "JSON", "-o", written, inside),
        )
    parts = [component["name"] for component in json.loads(written.read_text(encoding="utf-8")).get("components", [])]
    if parts not in ([], ["goes-lite"]):
        raise RuntimeError(f"the wheel alone was to be listed, not {parts}")
    return written


def main() -> None:
    """Build and check, and print a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=Path, metavar="FOLDER", default=env.ROOT / "dist")
    parser.add_argument("--release", action="store_true")
    arguments = parser.parse_args()
    folder: Path = arguments.at.resolve()
    os.chdir(env.ROOT)
    if arguments.release and not os.environ.get("GOES_LITE_REPOSITORY"):
        parser.error("GOES_LITE_REPOSITORY is not set: the package index shows links to the repository")
    if "SOURCE_DATE_EPOCH" not in os.environ and shutil.which("git"):
        done = subprocess.run(
            ["git", "log", "-1", "--format=%ct"], check=False, cwd=env.ROOT, capture_output=True, text=True
        )
        if done.returncode == 0:
            os.environ["SOURCE_DATE_EPOCH"] = done.stdout.strip()
    try:
        python = env.make("dev")
        files = build(python, folder)
        print("built twice, to the same bytes")
        print(run(python, "-m", "twine", "check", "--strict", *files).strip())
        print(run(python, "-m", "check_wheel_contents", "--ignore", WHEEL_CHECKS, files[1]).strip())
        if arguments.release:
            files.append(bill(python, files[1], folder))
            lines = [f"{digest}  {name}\n" for name, digest in hashes(folder).items()]
            (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    except RuntimeError as error:
        sys.exit(str(error))
    for name, digest in hashes(folder).items():
        print(digest[:16], (folder / name).stat().st_size, name)


if __name__ == "__main__":
    main()
