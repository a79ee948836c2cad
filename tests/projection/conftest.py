"""Loads what the tests of projections share, and runs those that are coroutines on each face."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.projection import projection_kit


@pytest.fixture(params=["async", "blocking", "loop"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> projection_kit.Place:
    """An empty storage in a file, on each face."""
    return projection_kit.Place(request.param, str(tmp_path / "app.db"))


@pytest.fixture
def loop_place(tmp_path: Path) -> projection_kit.Place:
    """An empty storage in a file, on the async face."""
    return projection_kit.Place("async", str(tmp_path / "app.db"))


@pytest.fixture
def db(place: projection_kit.Place) -> projection_kit.Place:
    """An open handle on an empty storage: opened where the test runs, see below."""
    return place


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on the face of its storage, whatever async plugin is installed."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    place = next(value for value in arguments.values() if isinstance(value, projection_kit.Place))

    async def run() -> None:
        if "db" not in arguments:
            await test(**arguments)
            return
        async with place.open() as db:
            await test(**{**arguments, "db": db})

    place.run(run())
    return True
