"""What an entry point names: how a backend or a bus is opened, and how tests get storages of it."""

from __future__ import annotations

from typing import Any, Protocol

from goes_lite.contract.backend import Backend, Unknown
from goes_lite.contract.event_bus import Carrier
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime


class BackendFactory(Protocol):
    """What an entry point of the group `goes_lite.backends` names: its `open` answers an open backend.

    `location` is the URL for network backends; for `sqlite` the path in it. `options` come from the URL's query (as
    str) and from the keywords of `connect`. A backend closes the runtime when it is closed; if `open` fails, the caller
    does.
    """

    async def open(
        self, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> Backend: ...


class ScratchFactory(BackendFactory, Protocol):
    """What a factory may offer beside `open`: storages for tests, made next to one that somebody uses, and removed.

    `python -m goes_lite_conformance URL` asks for them, because every rule wants an empty storage, and nothing that the
    URL names may be touched. Both are optional. Without `scratch` the URL has to say `{storage}` where the name of a
    storage belongs; without `erase` what the tests made is left where it is.
    """

    def scratch(self, location: str, name: str) -> str:
        """The location of another storage beside this one, called `name`: a letter, then letters and digits.

        It makes nothing: opening does. The same arguments give the same location, another name another one.
        """
        ...

    async def erase(self, location: str, **options: Any) -> None:
        """Remove a storage for good, with all that belongs to it; nothing happens if there is none.

        Raises a GoesError, and removes nothing, if what is there is not a storage of this backend, or is in use.
        """
        ...


class BusFactory(Protocol):
    """What an entry point of the group `goes_lite.buses` names: its `open` answers an open bus, for `connect(…, bus=…)`.

    Arguments as for `BackendFactory`. A backend can be given as a bus as well: then its own bus is used.
    """

    async def open(
        self, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> Carrier: ...
