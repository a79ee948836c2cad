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

from goes_lite.connect import factory_for, parse
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
from goes_lite_conformance._place import Face, Storage

URL = "GOES_LITE_CONFORMANCE_URL"
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


def missing(url: str) -> dict[str, str]:
    """The suites that cannot be run here, and why."""
    if importlib.util.find_spec("hypothesis") is None:
        return {"StatefulTests": "Hypothesis is not installed: pip install 'goes-lite[conformance]'"}
    return {}


def suites(url: str) -> tuple[type[Contract], ...]:
    """The suites for the backend that a URL names, those left out that cannot be run here."""
    return (*SUITES, *_more(url))


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

    async def erase(self, storage: Storage) -> None:
        await erase(self.url(storage))


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
    globals().update({bound.__name__: bound for bound in map(_bound, suites(os.environ[URL]))})
