"""What an entry point names: how a backend or a bus is opened, and how tests get stores of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from goes_lite.contract.backend import Backend, Unknown
from goes_lite.contract.event_bus import BusConnection
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime


class BackendFactory(Protocol):
    """What an entry point of the group `goes_lite.backends` names: its `open` returns an open backend.

    `location` is the URL for network backends, and the path in it for `sqlite`. `options` come from the URL's query (as
    str) and from the keywords of `connect`. A backend closes the runtime when it is closed; if `open` fails, the caller
    does.

    Every backend should have the option `read_only`: such a handle creates and changes nothing, a store that does not exist
    is StoreUnavailable, and a write is StoreReadOnly. The command line reads stores that way. The rules BE-READONLY judge it.
    """

    async def open(
        self, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> Backend: ...


class CheckingFactory(BackendFactory, Protocol):
    """What a factory may offer in addition to `open`: its options, so that goes.toml is checked before anything is opened.

    Without it, `open` itself refuses an option that it does not know, as it does in any case.
    """

    options: Mapping[str, Callable[[str, Any], object]]
    """For each option a function of its name and value, which raises ConfigError if the value is wrong."""


class DescribedFactory(BackendFactory, Protocol):
    """What a factory may offer in addition to `open`: what its stores can do, to plan a move before there is a store."""

    abilities: frozenset[str]
    """The abilities of a handle that writes to a store of this backend which lasts."""


class ScratchFactory(BackendFactory, Protocol):
    """What a factory may offer in addition to `open`: scratch stores for tests, next to one in use, and their removal.

    `python -m goes_lite_conformance URL` uses them, because every rule needs an empty store and must not touch the one
    that the URL names. Both are optional. Without `scratch` the URL must contain `{storage}` where the name of a store
    belongs; without `erase` the stores of the tests are left behind.
    """

    def scratch(self, location: str, name: str) -> str:
        """Return the location of another store next to this one, called `name`: a letter, then letters and digits.

        It creates nothing: opening does. The same arguments give the same location, another name another location.
        """
        ...

    async def erase(self, location: str, **options: Any) -> None:
        """Remove a store for good, with all that belongs to it; nothing happens if there is none.

        Raises a GoesError, and removes nothing, if what is there is not a store of this backend, or is in use.
        """
        ...


class BusFactory(Protocol):
    """What an entry point of the group `goes_lite.buses` names: its `open` returns an open bus, for `connect(…, bus=…)`.

    The arguments are those of `BackendFactory`. A backend also serves as a bus: then its own bus is used.
    """

    async def open(
        self, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> BusConnection: ...
