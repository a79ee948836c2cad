"""All suites, bound to the backend that the environment variable GOES_LITE_CONFORMANCE_URL names.

    GOES_LITE_CONFORMANCE_URL=acme://host/db pytest --pyargs goes_lite_conformance.by_url

`python -m goes_lite_conformance URL` runs it and prints a verdict. The storage that the URL names is not touched: each
test has a storage of its own next to it, or where the URL contains `{storage}`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any, ClassVar, cast
from urllib.parse import quote, urlsplit

from goes_lite.database.address import parse
from goes_lite.database.connect import bus_factory_for, factory_for
from goes_lite.errors import ConfigError
from goes_lite_conformance import (
    BackendTests,
    CheckpointAndLeaseTests,
    ConcurrencyTests,
    Contract,
    CrashTests,
    EventBusTests,
    EventStoreTests,
    ModelStoreTests,
    ParityTests,
    ProcessorTests,
    SnapshotStoreTests,
    WorkflowTests,
)
from goes_lite_conformance.harness.storage import Storage
from goes_lite_conformance.rule import Face

URL = "GOES_LITE_CONFORMANCE_URL"
BUS = "GOES_LITE_CONFORMANCE_BUS"
"""The URL of a bus, in addition to that of the backend; only the suites about a bus then apply."""
FACES = "GOES_LITE_CONFORMANCE_FACES"
PLACEHOLDER = "{storage}"

SUITES: tuple[type[Contract], ...] = (
    EventStoreTests,
    SnapshotStoreTests,
    ModelStoreTests,
    CheckpointAndLeaseTests,
    EventBusTests,
    BackendTests,
    ProcessorTests,
    WorkflowTests,
    ParityTests,
    ConcurrencyTests,
    CrashTests,
)
"""The suites that need nothing but pytest."""

BUS_SUITES: tuple[type[Contract], ...] = (EventBusTests,)
"""The suites about a bus that is not the backend's own."""


def next_to(url: str, name: str) -> str:
    """Return the URL of a storage called `name`, next to the one that a URL names; raise ConfigError if that is impossible."""
    if PLACEHOLDER in url:
        return url.replace(PLACEHOLDER, name)
    address = parse(url)
    scratch = getattr(factory_for(address.scheme), "scratch", None)
    if scratch is None:
        raise ConfigError(
            f"{shown(url)}: the backend {address.scheme!r} does not say how to make storages for tests (its factory has no "
            f"`scratch`): write {PLACEHOLDER} in the URL where the name of a fresh storage belongs"
        )
    location = str(scratch(address.location, name))
    if address.scheme != "sqlite":
        return location  # already a whole URL
    _, query, options = url.partition("?") if "://" in url else ("", "", "")
    return f"sqlite:///{quote(location, safe='/:~')}{query}{options}"


def bus_next_to(url: str, name: str) -> str:
    """Return the URL of a separate bus for the storage called `name`, next to the one that a URL names."""
    if PLACEHOLDER in url:
        return url.replace(PLACEHOLDER, name)
    address = parse(url)
    scratch = getattr(bus_factory_for(address.scheme), "scratch", None)
    if scratch is None:
        raise ConfigError(
            f"{shown(url)}: the bus {address.scheme!r} does not say how to make one for tests (its factory has no "
            f"`scratch`): write {PLACEHOLDER} in the URL where the name of a fresh one belongs"
        )
    return str(scratch(address.location, name))


async def erase_bus(url: str) -> None:
    """Remove what a bus named by `bus_next_to` has kept, if it can."""
    address = parse(url)
    remove = getattr(bus_factory_for(address.scheme), "erase", None)
    if remove is not None:
        await remove(address.location, **address.options)


async def erase(url: str) -> bool:
    """Remove a storage named by `next_to`; return whether the backend can do that."""
    address = parse(url)
    remove = getattr(factory_for(address.scheme), "erase", None)
    if remove is None:
        return False
    await remove(address.location, **address.options)
    return True


def shown(url: str) -> str:
    """Return the URL without its password."""
    secret = password(url)
    return url.replace(f":{secret}@", ":***@", 1) if secret else url


def password(url: str) -> str:
    """Return the password in the URL, as it is written there."""
    login, at, _ = urlsplit(url).netloc.rpartition("@") if "://" in url else ("", "", "")
    return login.partition(":")[2] if at else ""


def missing(url: str, bus: str | None = None) -> dict[str, str]:
    """Return the suites that cannot run here, and why."""
    if bus:
        return {}
    if importlib.util.find_spec("hypothesis") is None:
        return {"StatefulTests": "Hypothesis is not installed: pip install 'goes-lite[conformance]'"}
    return {}


def suites(url: str, bus: str | None = None) -> tuple[type[Contract], ...]:
    """Return the suites for the backend that a URL names, or for a bus, without those that cannot run here."""
    return BUS_SUITES if bus else (*SUITES, *_more(url))


def _more(url: str) -> Iterator[type[Contract]]:
    if "StatefulTests" not in missing(url):
        yield _suite("goes_lite_conformance.stateful", "StatefulTests")
    address = parse(url)
    if address.scheme == "sqlite" and address.location != ":memory:":
        installed = importlib.util.find_spec("apsw") is not None
        if installed and address.options.get("driver", "apsw") == "apsw":
            yield _suite("goes_lite_conformance.sqlite_power", "SQLitePowerTests")


def _suite(module: str, name: str) -> type[Contract]:
    return cast("type[Contract]", getattr(importlib.import_module(module), name))


class ByUrl(Contract):
    """The backend that the environment's URL names."""

    faces: ClassVar = cast("tuple[Face, ...]", tuple(os.environ.get(FACES, "async,blocking").split(",")))

    def url(self, storage: Storage) -> str:
        if not os.environ.get(URL):
            raise ConfigError(f"{URL} is not set: set it to the URL of the backend to judge, such as sqlite:///app.db")
        return next_to(os.environ[URL], storage.name)

    def bus(self, storage: Storage) -> str | None:
        return bus_next_to(os.environ[BUS], storage.name) if os.environ.get(BUS) else None

    async def erase(self, storage: Storage) -> None:
        await erase(self.url(storage))
        if (bus := self.bus(storage)) is not None:
            await erase_bus(bus)


class InFolder(ByUrl):
    """The same, in the folder of each storage: for power cuts, which leave files next to it."""

    def url(self, storage: Storage) -> str:
        _, query, options = os.environ[URL].partition("?")
        return f"sqlite:///{quote(str(storage.folder), safe='/:~')}/app.db{query}{options}"


def _bound(suite: type[Contract]) -> type[Any]:
    name = f"Test{suite.__name__.removesuffix('Tests')}"
    hook = InFolder if suite.__name__ == "SQLitePowerTests" else ByUrl
    return type(name, (hook, suite), {"__module__": __name__, "__doc__": suite.__doc__})


if os.environ.get(URL):
    globals().update({bound.__name__: bound for bound in map(_bound, suites(os.environ[URL], os.environ.get(BUS)))})
