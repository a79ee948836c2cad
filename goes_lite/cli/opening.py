"""How commands reach a store: read-only unless they say otherwise, at the URL given or configured, without a bus."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.cli.exits import UsageError

if TYPE_CHECKING:
    import argparse

    from goes_lite.blocking import BlockingDatabase
    from goes_lite.cli.output import Output
    from goes_lite.database.config import Configuration
    from goes_lite.events.registry import Registry

T = TypeVar("T")


@contextmanager
def opened(
    arguments: argparse.Namespace, out: Output, *, write: bool = False, loop: bool = False
) -> Generator[BlockingDatabase]:
    """Open the store that the arguments name, for reading; only `write` can change it, and nothing creates one.

    Events are `Raw` unless `--app` names the module that registers them. Commits are not published to a configured bus.
    """
    from goes_lite.blocking import connect

    registry = application(getattr(arguments, "app", None))
    url, reading, writing = place_of(arguments)
    if not write and reading == writing:
        out.note("this store cannot be opened read-only: it is opened as by a program")
    if write:
        with connect(url, registry=registry, **reading):
            pass  # it exists, and is a store: opening for writing would create what is missing
    inline = False if loop else None
    options = writing if write else reading
    with connect(url, registry=registry, unknown="raw", inline=inline, **options) as db:
        out.store = db.location
        yield db


def place_of(arguments: argparse.Namespace) -> tuple[Path | str, dict[str, Any], dict[str, Any]]:
    """Return the path or URL of the store that the arguments name, and its options for reading and for writing."""
    from goes_lite.database.connect import store_of

    factory, address = store_of(configuration_of(arguments))
    url = Path(address.location) if address.scheme == "sqlite" else address.location
    known: Mapping[str, object] = getattr(factory, "options", {})
    writing: dict[str, Any] = dict(address.options)
    return url, {**writing, **({"read_only": True} if "read_only" in known else {})}, writing


@contextmanager
def for_import(arguments: argparse.Namespace, out: Output) -> Generator[BlockingDatabase]:
    """Open the store that the arguments name for an import: it is created, or was left behind by one."""
    from goes_lite.blocking import connect
    from goes_lite.database.connect import store_of
    from goes_lite.events.registry import Registry

    _, address = store_of(configuration_of(arguments))
    url = Path(address.location) if address.scheme == "sqlite" else address.location
    with connect(url, registry=Registry(), unknown="raw", unfinished=True, **address.options) as db:
        out.store = db.location
        yield db


def configuration_of(arguments: argparse.Namespace) -> Configuration:
    """Return what the arguments, the environment and goes.toml say about the store."""
    from goes_lite.database.config import read_configuration

    return read_configuration(arguments.store, profile=getattr(arguments, "profile", None))


def run_on(db: BlockingDatabase, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that uses `db.backend`, and return its result."""
    return db._portal.run(coroutine)


def application(name: str | None) -> Registry:
    """Return the registry of a program: its module is imported. Without a name, an empty one."""
    from goes_lite.events.registry import Registry, default_registry

    if name is None:
        return Registry()
    module, attribute = imported("--app", name)
    if not attribute:
        return default_registry
    registry: object = getattr(module, attribute, None)
    if not isinstance(registry, Registry):
        raise UsageError(f"--app {name}: {module.__name__} has no Registry {attribute!r}")
    return registry


def imported(option: str, name: str) -> tuple[ModuleType, str]:
    """Import the module that an option names, and return it with the attribute that stands behind a colon, or none."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())  # as `python -m` does
    if module_name.endswith(".py"):
        raise UsageError(f"{option} {name}: a module has a name, not a path: write {option} {module_name[:-3]}")
    try:
        return import_module(module_name), attribute
    except ModuleNotFoundError as exc:
        raise UsageError(f"{option} {name}: {exc}: run it where the module can be imported") from exc
    except Exception as exc:  # of the module itself, or a name that none can have
        raise UsageError(
            f"{option} {name}: importing it raises {type(exc).__name__}: {exc}; what the program does belongs behind "
            'if __name__ == "__main__"'
        ) from exc
