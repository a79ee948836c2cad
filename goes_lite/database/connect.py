"""How a URL becomes an open backend: which factory serves its scheme. `config` says where the URL comes from."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias, cast

from goes_lite.contract.backend import Backend, Unknown
from goes_lite.contract.factory import BackendFactory, BusFactory
from goes_lite.contract.own_collections import IMPORTS, UNFINISHED
from goes_lite.database import Database
from goes_lite.database.address import Address, parse
from goes_lite.database.config import Check, Configuration, no_url, read_configuration
from goes_lite.errors import ConfigError, ImportUnfinished, StoreDamaged, UnknownBackend
from goes_lite.errors.faces import AsyncBlock
from goes_lite.errors.functions import check_function
from goes_lite.errors.options import check_flag, did_you_mean
from goes_lite.events.registry import Registry, default_registry
from goes_lite.runtime import Clock, LoopRuntime, Runtime

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "goes_lite.backends"
BUS_ENTRY_POINTS = "goes_lite.buses"
BUNDLED = {
    "postgresql": "goes_lite_postgres:PostgresBackend",
    "postgres": "goes_lite_postgres:PostgresBackend",
    "mongodb": "goes_lite_mongo:MongoBackend",
    "mongodb+srv": "goes_lite_mongo:MongoBackend",
}
BUNDLED_BUSES = {"nats": "goes_lite_nats:NatsCarrier", "tls": "goes_lite_nats:NatsCarrier"}
"""What comes with goes_lite, for programs without packaging metadata: zipapps, PyInstaller, a copy of the packages."""

_registered: dict[str, BackendFactory] = {}
_registered_buses: dict[str, BusFactory] = {}


def register_backend(scheme: str, factory: BackendFactory) -> None:
    """Register a backend for a URL scheme in this process, without an entry point."""
    _registered[scheme] = factory


def register_bus(scheme: str, factory: BusFactory) -> None:
    """Register a bus without stores for a URL scheme in this process; `connect(…, bus=…)` can then open it."""
    _registered_buses[scheme] = factory


def factory_for(scheme: str) -> BackendFactory:
    """Return the factory that serves a URL scheme: registered in this process, built in or installed; else UnknownBackend."""
    if scheme in _registered:
        return _registered[scheme]
    if scheme == "sqlite":
        # Known without the packaging metadata, so a plain copy of the package works and starts fast.
        from goes_lite.sqlite import SQLiteBackend

        return SQLiteBackend
    found = _installed(ENTRY_POINTS, BUNDLED)
    if scheme not in found:
        known = sorted({"sqlite", *found, *_registered})
        raise UnknownBackend(scheme, known, _hint(scheme, known))
    return cast("BackendFactory", found[scheme].load())


def bus_factory_for(scheme: str) -> BusFactory:
    """Return the factory that serves the URL scheme of a bus: of a bus alone, or of a backend; else UnknownBackend."""
    if scheme in _registered_buses:
        return _registered_buses[scheme]
    if scheme != "sqlite" and scheme not in _registered:
        found = _installed(BUS_ENTRY_POINTS, BUNDLED_BUSES)
        if scheme in found:
            return cast("BusFactory", found[scheme].load())
        if scheme in BUNDLED_BUSES:
            raise UnknownBackend(scheme, sorted({*found, *_registered_buses}), _missing(BUNDLED_BUSES[scheme]))
        known = sorted({"sqlite", *found, *_registered_buses, *_installed(ENTRY_POINTS, BUNDLED), *_registered})
        if scheme not in known:
            raise UnknownBackend(scheme, known, _misspelt(scheme, known))
    return factory_for(scheme)


def _installed(group: str, bundled: dict[str, str]) -> dict[str, EntryPoint]:
    """Return what serves a scheme: by the metadata of the installed packages, and of ours what can be imported without it."""
    from importlib.metadata import EntryPoint, entry_points
    from importlib.util import find_spec

    ours = (EntryPoint(name, value, group) for name, value in bundled.items())
    found = {point.name: point for point in ours if find_spec(point.module) is not None}
    return {**found, **{point.name: point for point in entry_points(group=group)}}


def _missing(factory: str) -> str:
    package = factory.partition(":")[0]
    return (
        f": the package {package} is not here. It comes with goes-lite: install that, or make it part of the frozen program "
        f"(PyInstaller: --collect-submodules {package})"
    )


_UNKNOWN = ": check the spelling, or install the package that provides it"


def _misspelt(scheme: str, known: Sequence[str]) -> str:
    meant = did_you_mean(scheme, known)
    return f": {meant} If not, install the package that provides it" if meant else _UNKNOWN


def _hint(scheme: str, schemes: Sequence[str]) -> str:
    if scheme in _registered_buses or scheme in BUNDLED_BUSES:
        return f": {scheme}:// is a bus, and events need a store as well: connect('app.db', bus='{scheme}://…')"
    if scheme in BUNDLED:
        return _missing(BUNDLED[scheme])
    known = {"file": "sqlite", "sqlite3": "sqlite", "memory": "sqlite"}
    if scheme in known:
        return (
            f": for a file write its path, or sqlite:///app.db; for one in memory sqlite:///:memory: (not {scheme}://)"
        )
    return _misspelt(scheme, schemes)


OnMoved: TypeAlias = Literal["raise", "follow"] | Callable[[str], str]
"""What a handle does when its store is moved; see `connect`."""


class Found(NamedTuple):
    """What a `connect` opens."""

    factory: BackendFactory
    address: Address
    bus_factory: BusFactory | None
    bus_address: Address | None

    @property
    def embedded(self) -> bool:
        """Whether the coroutines of all of it run inline."""
        factories = [self.factory, self.bus_factory] if self.bus_factory else [self.factory]
        return all(getattr(factory, "embedded", False) for factory in factories)


def store_of(configured: Configuration) -> tuple[BackendFactory, Address]:
    """Return the factory and the address of the store of a configuration; ConfigError without a URL, or for wrong options."""
    if configured.url is None:
        raise no_url(configured)
    address = parse(configured.url)
    factory = factory_for(address.scheme)
    checks: Mapping[str, Check] | None = getattr(factory, "options", None)
    if checks is not None:
        configured.check(address.scheme, checks)
    return factory, address._replace(options={**address.options, **configured.options})


def find(url: str | os.PathLike[str] | None, bus: str | None, profile: str | None, options: Mapping[str, Any]) -> Found:
    """Return what `connect` opens with these arguments. It may read a file and the packaging metadata."""
    configured = read_configuration(url, bus, profile, options)
    # both are looked up before either is opened: a misspelt bus must not leave a new file
    factory, address = store_of(configured)
    bus_address = parse(configured.bus) if configured.bus else None
    return Found(factory, address, bus_factory_for(bus_address.scheme) if bus_address else None, bus_address)


async def open_backend(
    found: Callable[[], Found],
    runtime: Runtime,
    *,
    registry: Registry | None = None,
    unknown: Unknown = "error",
    unfinished: bool = False,
    on_moved: OnMoved = "raise",
) -> Backend:
    """Open the backend and bus of a `connect` on a runtime, which is closed if that fails."""
    if unknown not in ("error", "skip", "raw"):
        raise ConfigError(f"unknown={unknown!r}: must be 'error', 'skip' or 'raw'")
    if registry is None:
        registry = default_registry
    elif not isinstance(registry, Registry):
        raise ConfigError(f"registry must be a Registry, not {registry!r:.80}")
    check_flag("unfinished", unfinished)
    check_clock(runtime.clock)
    _check_on_moved(on_moved, runtime)

    backend: Backend | None = None
    try:
        factory, address, bus_factory, bus_address = await runtime.call(found)
        backend = await factory.open(address.location, runtime, registry, unknown, **address.options)
        if on_moved != "raise":
            backend = await _roaming(backend, address, runtime.clock, (registry, unknown), on_moved)
        if not unfinished:
            await _check_finished(backend)
        if bus_factory is None or bus_address is None:
            return backend
        from goes_lite.contract.wrapping import ComposedBackend

        connection = await bus_factory.open(bus_address.location, runtime, registry, unknown, **bus_address.options)
        return ComposedBackend(backend, connection)
    except BaseException as exc:
        if backend is not None:
            await backend.close()
        # after a cancellation a thread may still be looking up, and waiting for it would block
        await runtime.close(wait=isinstance(exc, Exception))
        raise


def _check_on_moved(on_moved: OnMoved, runtime: Runtime) -> None:
    if on_moved not in ("raise", "follow") and not callable(on_moved):
        raise ConfigError(
            f"on_moved={on_moved!r:.80}: must be 'raise', 'follow', or a function that returns the URL to open for a place"
        )
    if on_moved != "raise" and runtime.inline:
        raise ConfigError("on_moved='follow' needs a loop thread, so inline=True cannot be: leave it out")


async def _roaming(
    backend: Backend, address: Address, clock: Clock, reading: tuple[Registry, Unknown], on_moved: OnMoved
) -> Backend:
    """Return a backend that goes where the store is moved, from where it is now."""
    from goes_lite.database.roaming import RoamingBackend

    async def reopen(place: str) -> Backend:
        url = on_moved(place) if callable(on_moved) else place
        options = address.options
        if not parse(url).scheme == address.scheme == "sqlite":  # those of a server may say which store it is
            options = {name: value for name, value in options.items() if name == "read_only"}
        registry, unknown = reading
        return await open_backend(
            lambda: find(url, None, None, options), LoopRuntime(clock), registry=registry, unknown=unknown
        )

    roaming = RoamingBackend(backend, reopen)
    try:
        await roaming.arrive()
        roaming.start()
    except BaseException:
        await roaming.close()
        raise
    return roaming


async def _check_finished(backend: Backend) -> None:
    """Raise ImportUnfinished if the store holds only a part of what is being imported into it."""
    try:
        mark = await backend.models.get(IMPORTS, UNFINISHED)
    except StoreDamaged:
        return  # reading what is damaged raises this, too
    if mark is not None:
        from goes_lite.operations.imports import source_of

        raise ImportUnfinished(backend.location, source_of(mark.data))


def check_clock(clock: object) -> None:
    """ConfigError unless it is a clock, whose functions return times at once."""
    for name in ("now", "monotonic"):
        function = getattr(clock, name, None)
        if isinstance(clock, type) or not callable(function):
            raise ConfigError(f"clock must have now() and monotonic(), such as SystemClock(), not {clock!r:.80}")
        check_function(f"{name}() of the clock", function)


class Connecting(AsyncBlock):
    """What `connect` returns: await it, or use it in an `async with` block."""

    def __init__(self, found: Callable[[], Found], clock: Clock | None, arguments: dict[str, Any]) -> None:
        self._found = found
        self._clock = clock
        self._arguments = arguments
        self._database: Database | None = None

    def __await__(self) -> Generator[Any, Any, Database]:
        return self._open().__await__()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"connect() has not opened the store yet, so there is no {name!r}: write "
                "`async with connect(…) as db`, or `db = await connect(…)`"
            )

    async def _open(self) -> Database:
        return Database(await open_backend(self._found, LoopRuntime(self._clock), **self._arguments))

    async def __aenter__(self) -> Database:
        self._database = await self
        return self._database

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._database is not None:
            await self._database.close()


def connect(
    url: str | os.PathLike[str] | None = None,
    *,
    bus: str | None = None,
    profile: str | None = None,
    registry: Registry | None = None,
    unknown: Unknown = "error",
    clock: Clock | None = None,
    unfinished: bool = False,
    on_moved: OnMoved = "raise",
    **options: Any,
) -> Connecting:
    """Open a backend on the running event loop: `async with connect("app.db") as db`, or `db = await connect("app.db")`.

    url       a path, or a URL whose scheme selects the backend; by default the environment variable GOES_LITE_URL, else
              `url` in the profile, else at the top level of a goes.toml in the working folder.
    bus       the URL of a bus, or of another backend, to publish to; by default the backend's own bus. Without a `url` and a
              `profile`, by default GOES_LITE_BUS_URL; without a `url`, else `bus` in goes.toml.
    profile   the table of goes.toml with the settings; by default, without a `url`, GOES_LITE_PROFILE, else `profile` at the
              top level of goes.toml. The other settings of both are options.
    registry  where the events are registered; by default the default registry.
    unknown   what readers do with events that are not registered: "error", "skip" or "raw".
    clock     the source of times, for tests.
    unfinished  whether to open a store in which an import was not finished, to resume it; else ImportUnfinished is raised.
    on_moved  what happens when the store is moved to another place while the handle is open, or was before: with "raise", writes
              raise StoreMoved; with "follow", the handle goes on there by itself. A function is for places that need a password:
              it gets the path or URL without one, and returns the one to open.
    options   those of the backend, such as `durability="normal"`.

    Raises UnknownBackend, DriverMissing, ConfigError, and errors of opening such as StoreUnavailable or ForeignFile.
    """
    return Connecting(
        partial(find, url, bus, profile, options),
        clock,
        {"registry": registry, "unknown": unknown, "unfinished": unfinished, "on_moved": on_moved},
    )
