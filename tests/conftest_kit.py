"""What the conftest.py files of the folders share: empty stores, coroutine tests, quiet loggers."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from goes_lite_conformance.harness import Face, Place, Storage, run
from goes_lite_conformance.harness.samples import registry as samples
from goes_lite_conformance.servers import ServerMissing, mongo, postgres

from goes_lite import Registry
from goes_lite.runtime import drive

T = TypeVar("T")
FACES = ("async", "blocking", "loop")


class _File:
    """Opens a file in the folder of the test."""

    options: ClassVar[dict[str, Any]] = {"durability": "normal"}

    def url(self, storage: Storage) -> str:
        return str(storage.folder / "app.db")

    def bus(self, storage: Storage) -> None:
        return None

    async def erase(self, storage: Storage) -> None:
        """What lies in its folder is removed with it."""


class _Memory(_File):
    options: ClassVar[dict[str, Any]] = {}

    def url(self, storage: Storage) -> str:
        return ":memory:"


class SQLitePlace(Place):
    """An empty SQLite storage, in a file unless `memory`, and the face through which a test uses it."""

    def __init__(
        self, face: Face, folder: Path, registry: Registry = samples, *, memory: bool = False, **options: Any
    ) -> None:
        hook = _Memory() if memory else _File()
        super().__init__(hook, Storage.fresh(folder), face, registry=registry, **options)

    def open(self, *, face: Face | None = None, **options: Any) -> AbstractAsyncContextManager[Any]:
        """Open a handle; not typed, because tests also pass it what its types forbid."""
        return super().open(face=face, **options)

    def run(self, test: Coroutine[Any, Any, Any]) -> None:
        """Run a test on the face."""
        run(self.face, test)

    def with_handle(self, test: Callable[[Any], Coroutine[Any, Any, None]], **options: Any) -> None:
        """Run a test on the face, with an open handle."""

        async def body() -> None:
            async with self.open(**options) as db:
                await test(db)

        self.run(body())

    def function(self, function: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Any]:
        """Return a coroutine function of a test as the face calls functions: on the blocking ones a plain function."""
        return function if self.face == "async" else lambda *args: drive(function(*args))


@pytest.fixture
def db(place: SQLitePlace) -> SQLitePlace:
    """Provide an open handle on an empty storage: `pytest_pyfunc_call` opens it where the test runs."""
    return place


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store on each backend."""
    if request.param == "sqlite":
        return str(tmp_path / "app.db")
    kit, driver = ("postgres_kit", "asyncpg") if request.param == "postgresql" else ("mongo_kit", "pymongo")
    if importlib.util.find_spec(driver) is None:
        pytest.skip(f"{driver} is not installed")
    try:
        if driver == "pymongo":
            mongo.program()
        elif not postgres.installations():
            raise ServerMissing("no PostgreSQL is installed")
    except ServerMissing as missing:
        pytest.skip(str(missing))
    return str(importlib.import_module(f"tests.backends.{kit}").store_url())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on the face of its place, or else in an event loop; no async plugin is needed."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    place = next((value for value in arguments.values() if isinstance(value, SQLitePlace)), None)
    if place is None:
        asyncio.run(test(**arguments))
    elif "db" in arguments:
        place.with_handle(lambda db: test(**{**arguments, "db": db}))
    else:
        place.run(test(**arguments))
    return True


def quiet(name: str) -> Any:
    """Return a fixture that disables a logger, for tests of failures that are logged."""

    @pytest.fixture(autouse=True)
    def quiet() -> Iterator[None]:
        logger = logging.getLogger(name)
        logger.disabled = True
        yield
        logger.disabled = False

    return quiet
