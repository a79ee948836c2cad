"""Fixtures for pytest: `pytest_plugins = ["goes_lite.testing.fixtures"]` in a conftest.py.

| fixture | what it is |
|---|---|
| `goes_registry` | the registry of the tests: override it unless it is the default one |
| `goes_clock` | a new `FakeClock` |
| `goes_db` | an open store in memory, blocking face |
| `goes_connect` | opens more of them, with options of `connect`; they are closed after the test |
| `goes_heard` | a `RecordedBus` on the bus of `goes_db` |
| `goes_async` | runs a coroutine function with an open store in memory, without a plugin for asyncio |

In a test that uses `goes_clock`, all stores that the fixtures open run on that clock; in others, on the real one.

With a plugin for asyncio, `async with goes.connect("sqlite:///:memory:")` in the test is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from goes_lite.blocking import BlockingDatabase
from goes_lite.blocking import connect as blocking_connect
from goes_lite.contract.backend import Backend
from goes_lite.database.connect import connect
from goes_lite.events.registry import Registry, default_registry
from goes_lite.testing import FakeClock, RecordedBus

R = TypeVar("R")

MEMORY = "sqlite:///:memory:"


@pytest.fixture
def goes_registry() -> Registry:
    """The registry of the tests: the default one."""
    return default_registry


@pytest.fixture
def goes_clock() -> FakeClock:
    """A clock that stands still until the test advances it."""
    return FakeClock()


@pytest.fixture
def goes_connect(goes_registry: Registry, request: pytest.FixtureRequest) -> Iterator[Callable[..., BlockingDatabase]]:
    """A function that opens stores in memory, or others by URL; the options are those of `connect`."""
    with ExitStack() as stack:

        def opened(url: str = MEMORY, **options: Any) -> BlockingDatabase:
            return stack.enter_context(blocking_connect(url, **_with(goes_registry, request, options)))

        yield opened


@pytest.fixture
def goes_db(goes_connect: Callable[..., BlockingDatabase]) -> BlockingDatabase:
    """An open store in memory."""
    return goes_connect()


@pytest.fixture
def goes_heard(goes_db: BlockingDatabase) -> RecordedBus:
    """A recorder of what is published on the bus of `goes_db`."""
    return RecordedBus(goes_db.bus)


@pytest.fixture
def goes_async(goes_registry: Registry, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that calls a coroutine function with an open store in memory and returns its result.

    def test_it(goes_async):
        async def test(db):
            await db.commands.dispatch(...)

        goes_async(test)
    """

    def run(test: Callable[[Backend], Coroutine[Any, Any, R]], url: str = MEMORY, **options: Any) -> R:
        import asyncio

        async def opened() -> R:
            async with connect(url, **_with(goes_registry, request, options)) as db:
                return await test(db)

        return asyncio.run(opened())

    return run


def _with(registry: Registry, request: pytest.FixtureRequest, options: dict[str, Any]) -> dict[str, Any]:
    clock = request.getfixturevalue("goes_clock") if "goes_clock" in request.fixturenames else None
    return {"registry": registry, "clock": clock, **options}
