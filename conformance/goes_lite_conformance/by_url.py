"""All suites, bound to the backend that the environment variable GOES_LITE_CONFORMANCE_URL names.

    GOES_LITE_CONFORMANCE_URL=acme://host/db pytest --pyargs goes_lite_conformance.by_url

`python -m goes_lite_conformance URL` runs it, with a verdict for people. Nothing in the storage that the URL names is
touched: each test has one of its own beside it, or where the URL says `{storage}`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any, ClassVar, cast
from urllib.parse import quote, urlsplit

from goes_lite.database.connect import bus_factory_for, factory_for, parse
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
)
from goes_lite_conformance.harness.storage import Storage
from goes_lite_conformance.rule import Face

URL = "GOES_LITE_CONFORMANCE_URL"
BUS = "GOES_LITE_CONFORMANCE_BUS"
"""The URL of a bus, beside that of the backend: then the suites are about the bus."""
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
    ParityTests,
    ConcurrencyTests,
    CrashTests,
)
"""Those that need nothing but pytest."""

BUS_SUITES: tuple[type[Contract], ...] = (EventBusTests,)
"""Those about a bus that is another than the backend's."""


def beside(url: str, name: str) -> str:
    """The URL of the storage called `name`, beside the one that a URL names; ConfigError if it cannot be told."""
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
        return location  # which is the whole URL
    _, query, options = url.partition("?") if "://" in url else ("", "", "")
    return f"sqlite:///{quote(location, safe='/:~')}{query}{options}"


def bus_beside(url: str, name: str) -> str:
    """The URL of a bus of its own for the storage called `name`, beside the one that a URL names."""
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
    """Remove what a bus that `bus_beside` named has kept, if it knows how."""
    address = parse(url)
    remove = getattr(bus_factory_for(address.scheme), "erase", None)
    if remove is not None:
        await remove(address.location, **address.options)


async def erase(url: str) -> bool:
    """Remove a storage that `beside` named; whether the backend knows how."""
    address = parse(url)
    remove = getattr(factory_for(address.scheme), "erase", None)
    if remove is None:
        return False
    await remove(address.location, **address.options)
    return True


def shown(url: str) -> str:
    """The URL without the password in it."""
    secret = password(url)
    return url.replace(f":{secret}@", ":***@", 1) if secret else url


def password(url: str) -> str:
    """The password in the URL, as it is written there."""
    login, at, _ = urlsplit(url).netloc.rpartition("@") if "://" in url else ("", "", "")
    return login.partition(":")[2] if at else ""


def missing(url: str, bus: str | None = None) -> dict[str, str]:
    """The suites that cannot be run here, and why."""
    if bus:
        return {}
    if importlib.util.find_spec("hypothesis") is None:
        return {"StatefulTests": "Hypothesis is not installed: pip install 'goes-lite[conformance]'"}
    return {}


def suites(url: str, bus: str | None = None) -> tuple[type[Contract], ...]:
    """The suites for the backend that a URL names, or for a bus beside it; those left out that cannot be run here."""
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
    """The backend of the environment's URL."""

    faces: ClassVar = cast("tuple[Face, ...]", tuple(os.environ.get(FACES, "async,blocking").split(",")))

    def url(self, storage: Storage) -> str:
        if not os.environ.get(URL):
            raise ConfigError(f"{URL} is not set: it names the backend to judge, such as sqlite:///app.db")
        return beside(os.environ[URL], storage.name)

    def bus(self, storage: Storage) -> str | None:
        return bus_beside(os.environ[BUS], storage.name) if os.environ.get(BUS) else None

    async def erase(self, storage: Storage) -> None:
        await erase(self.url(storage))
        if (bus := self.bus(storage)) is not None:
            await erase_bus(bus)


class InFolder(ByUrl):
    """The same, in the folder of each storage: for power cuts, where what is left of the disk is laid out beside it."""

    def url(self, storage: Storage) -> str:
        _, query, options = os.environ[URL].partition("?")
        return f"sqlite:///{quote(str(storage.folder), safe='/:~')}/app.db{query}{options}"


def _bound(suite: type[Contract]) -> type[Any]:
    name = f"Test{suite.__name__.removesuffix('Tests')}"
    hook = InFolder if suite.__name__ == "SQLitePowerTests" else ByUrl
    return type(name, (hook, suite), {"__module__": __name__, "__doc__": suite.__doc__})


if os.environ.get(URL):
    globals().update({bound.__name__: bound for bound in map(_bound, suites(os.environ[URL], os.environ.get(BUS)))})
