"""The store that tests of commands look into, made once; an empty one on each backend, and the end of the servers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cli_kit import PACKAGES, PATIENCE, environment
from tests.conftest_kit import url

__all__ = ["url"]

APP = Path(__file__).with_name("shop_app.py")


@pytest.fixture(scope="session", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    """Servers that tests share are started by the first that asks, and end with the run."""
    yield
    for name in ("postgres", "mongo"):
        if server := sys.modules.get(f"goes_lite_conformance.servers.{name}"):
            server.close_shared()


@pytest.fixture(scope="session")
def made_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(APP, folder / "shop_app.py")
    command = [sys.executable, "-W", "error", "shop_app.py", "shop.db"]
    subprocess.run(command, cwd=folder, env=environment({"PYTHONPATH": PACKAGES}), check=True, timeout=PATIENCE)
    return folder


@pytest.fixture(scope="session")
def shop(made_shop: Path) -> Path:
    """A folder with the program `shop_app.py` and its store `shop.db`, which nobody may change."""
    return made_shop


@pytest.fixture
def own_shop(made_shop: Path, tmp_path: Path) -> Path:
    """The same, for a test of its own: nobody has the store open, so its file is complete."""
    for name in ("shop_app.py", "shop.db"):
        shutil.copy(made_shop / name, tmp_path / name)
    return tmp_path
