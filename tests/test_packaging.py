"""The installed distribution: packages, type information, entry points, and no dependencies."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
from collections.abc import Generator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

import goes_lite
from goes_lite.errors import DriverMissing

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"goes_lite", "goes_lite_conformance", "goes_lite_mongo", "goes_lite_nats", "goes_lite_postgres"}


@pytest.fixture(scope="module")
def distribution() -> metadata.Distribution:
    try:
        return metadata.distribution("goes-lite")
    except metadata.PackageNotFoundError:
        pytest.skip("goes-lite is not installed, only on the path")


@pytest.fixture(scope="module")
def files(distribution: metadata.Distribution) -> set[str]:
    """The files of the wheel; skip the test if goes-lite was not installed from one."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        if "GOES_LITE_TEST_WHEEL" in os.environ:
            pytest.fail("the wheel was to be tested, and this is an editable install")
        pytest.skip("an editable install has no files of its own")
    return {
        file.as_posix()
        for file in distribution.files or ()
        if ".." not in file.parts and "__pycache__" not in file.parts
    }


def requirements(distribution: metadata.Distribution) -> dict[str, set[str]]:
    """Return the requirements by extra; those without an extra under the empty string."""
    found: dict[str, set[str]] = {extra: set() for extra in distribution.metadata.get_all("Provides-Extra") or ()}
    for line in distribution.requires or ():
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.fullmatch(r"extra == ['\"]([\w-]+)['\"]", marker)
        found.setdefault(extra[1] if extra else "", set()).add(requirement)
    return found


def test_nothing_is_required(distribution: metadata.Distribution) -> None:
    """Every requirement belongs to an extra."""
    assert "" not in requirements(distribution)


def test_the_extra_all_is_every_other_extra_together(distribution: metadata.Distribution) -> None:
    extras = requirements(distribution)

    everything = extras.pop("all")

    assert everything == set().union(*extras.values())


def test_python_and_licence_are_stated(distribution: metadata.Distribution) -> None:
    assert distribution.metadata["Requires-Python"] == ">=3.11"
    assert distribution.metadata["License-Expression"] == "Apache-2.0"


def test_the_version_is_the_one_that_the_package_states(distribution: metadata.Distribution) -> None:
    assert distribution.version == goes_lite.__version__


def test_the_description_is_the_readme(distribution: metadata.Distribution) -> None:
    assert distribution.metadata["Description-Content-Type"] == "text/markdown"


def test_the_description_has_no_relative_links(files: set[str], distribution: metadata.Distribution) -> None:
    """The package index has no other file: a link is absolute, or it is not there."""
    text = str(distribution.metadata.get_payload()) or distribution.metadata["Description"]  # type: ignore[attr-defined]
    targets = re.findall(r"\]\(([^)\s]+)\)", text)

    assert "# goes_lite" in text
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_links_of_the_description_lead_to_the_files_of_the_version() -> None:
    described = runpy.run_path(str(ROOT / ".ci" / "metadata.py"))["described"]
    readme = "[`a`](docs/a.md#b) [c](https://c.example) [d](#d)\n```python\nx[0](docs/a.md)\n```\n[e](LICENSE)\n"

    assert described(readme, "https://host.example/us/it", "1.2.3") == (
        "[`a`](https://host.example/us/it/blob/v1.2.3/docs/a.md#b) [c](https://c.example) [d](#d)\n"
        "```python\nx[0](docs/a.md)\n```\n[e](https://host.example/us/it/blob/v1.2.3/LICENSE)\n"
    )
    assert described(readme, "", "1.2.3") == "`a` [c](https://c.example) [d](#d)\n```python\nx[0](docs/a.md)\n```\ne\n"


@contextmanager
def unless_its_driver_is_missing() -> Generator[None]:
    """Import a package; it may raise DriverMissing, if the driver is missing indeed."""
    try:
        yield
    except DriverMissing as missing:
        assert f"pip install 'goes-lite[{missing.extra}]'" in str(missing)
        with pytest.raises(metadata.PackageNotFoundError):
            metadata.version(missing.driver)


@pytest.mark.parametrize("group", ["goes_lite.backends", "console_scripts"])
def test_entry_points_load(group: str, distribution: metadata.Distribution) -> None:
    points = distribution.entry_points.select(group=group)

    assert points
    for point in points:
        with unless_its_driver_is_missing():
            assert callable(point.load()), point


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_packages_can_be_imported(package: str) -> None:
    """Each has a docstring; one whose driver is not installed says how to install it."""
    with unless_its_driver_is_missing():
        assert importlib.import_module(package).__doc__


def test_the_wheel_has_our_packages_and_nothing_else(files: set[str]) -> None:
    top = {file.partition("/")[0] for file in files}

    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES


def test_every_package_is_typed(files: set[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= files


def test_the_wheel_has_the_licence(files: set[str]) -> None:
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in files)


def test_the_wheel_has_code_and_what_pages_load_only(files: set[str]) -> None:
    other = {file for file in files if ".dist-info/" not in file and not file.endswith((".py", "/py.typed"))}

    assert other == {f"goes_lite/explorer/assets/{name}" for name in ("explorer.css", "explorer.js", "icon.svg")}
