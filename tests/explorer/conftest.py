"""A browser for each file of tests, and the stores that are looked at: large ones made once, a small one for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goes_lite import blocking
from goes_lite.explorer import Server, serve
from tests.explorer.browser_kit import chromium, made, serving
from tests.explorer.explorer_kit import REGISTRY, Visitor, orders

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of the operating system."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def tea_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something of everything, which nobody may change."""
    return made("tea_shop", tmp_path_factory.mktemp("tea"))


@pytest.fixture(scope="session")
def hostile_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which everything tries to break out of a page."""
    return made("hostile_shop", tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def tea_url(tea_shop: Path) -> Iterator[str]:
    """Where the explorer shows the store, with the program's types."""
    with serving(tea_shop, "--app", "tea_shop:registry", "--disclose", "full") as url:
        yield url


@pytest.fixture(scope="module")
def hostile_url(hostile_shop: Path) -> Iterator[str]:
    """Where the explorer shows the store, as it is stored and in full."""
    with serving(hostile_shop, "--disclose", "full") as url:
        yield url


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The path of a store with three orders."""
    path = tmp_path / "shop.db"
    with blocking.connect(path, registry=REGISTRY) as db:
        db.events.append(orders())
    return path


@pytest.fixture
def server(shop: Path) -> Iterator[Server]:
    """A server on it, opened as `goes-lite ui` does."""
    with blocking.connect(shop, registry=REGISTRY, unknown="raw", read_only=True) as db, serve(db) as running:
        yield running


@pytest.fixture
def visitor(server: Server) -> Visitor:
    """The person who started the server."""
    return Visitor(server.url).admitted()
