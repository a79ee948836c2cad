"""A bus between services over NATS: `connect("app.db", bus="nats://host")`. See docs/nats.md.

By default over JetStream, which stores what is published, so every group receives every event at least once, even after a
crash. With `?mode=core` over core NATS, which drops what nobody listens for.
"""

from __future__ import annotations

from typing import Any

from goes_lite.errors import DriverMissing

try:
    import nats as _nats
except ModuleNotFoundError as _exc:
    raise DriverMissing("the bus over NATS", "nats-py", "nats") from _exc

from goes_lite.contract.backend import Unknown
from goes_lite.contract.event_bus import REPLAY, EventBus
from goes_lite.errors import ConfigError
from goes_lite.events.registry import Registry
from goes_lite.kit.reading import EventReader
from goes_lite.runtime import Runtime
from goes_lite_nats._bus import JetStreamBus
from goes_lite_nats._connection import Connection
from goes_lite_nats._core import CoreBus
from goes_lite_nats._options import ServerAddress, parse, with_prefix
from goes_lite_nats._streams import delete_streams

__all__ = ["CoreBus", "JetStreamBus", "NatsCarrier"]

_ = _nats


class NatsCarrier:
    """An open bus over NATS. See `goes_lite.contract.event_bus.BusConnection`."""

    def __init__(self, address: ServerAddress, bus: EventBus) -> None:
        self.location = address.location
        self.bus = bus
        self.abilities = frozenset({REPLAY}) if address.options.mode == "jetstream" else frozenset[str]()

    def __repr__(self) -> str:
        return f"<NatsCarrier {self.bus!r}>"

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> NatsCarrier:
        """Connect. ConfigError for a wrong option, a refused login, or streams that do not match the options.

        A broker that cannot be reached is not an error: the bus works as soon as it can be.
        """
        address = parse(location, options)
        if runtime.inline:
            raise ConfigError("a bus over NATS needs an event loop: omit inline=True")
        connection = Connection(address)
        try:
            reached = await connection.open()
            reader = EventReader(registry, unknown)
            if address.options.mode == "core":
                return cls(address, CoreBus(connection, runtime, reader))
            bus = JetStreamBus(connection, runtime, reader)
            if reached:
                await bus.streams.ready()
        except BaseException:
            await connection.close()
            raise
        return cls(address, bus)

    @staticmethod
    def scratch(location: str, name: str) -> str:
        """Return the URL of another bus at the same broker, with a prefix of its own: for tests."""
        return with_prefix(location, name)

    @staticmethod
    async def erase(location: str, **options: Any) -> None:
        """Delete the streams of a bus with everything in them, if there are any: for tests."""
        connection = Connection(parse(location, options))
        try:
            await connection.open()
            if connection.options.mode == "jetstream":
                await delete_streams(connection)
        finally:
            await connection.close()

    async def close(self) -> None:
        """Finish what is in progress, then release everything."""
        await self.bus.close()
