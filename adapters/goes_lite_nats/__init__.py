"""A bus between services, over NATS: `connect("app.db", bus="nats://host")`. See docs/nats.md.

By default over JetStream, which keeps what is published, so each group gets every event at least once, whoever is killed
when. With `?mode=core` over core NATS, which forgets what nobody listens to.
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
from goes_lite_nats._options import Target, parse, with_prefix
from goes_lite_nats._streams import remove

__all__ = ["CoreBus", "JetStreamBus", "NatsCarrier"]

_ = _nats


class NatsCarrier:
    """An open bus over NATS. See `goes_lite.contract.event_bus.Carrier`."""

    def __init__(self, target: Target, bus: EventBus) -> None:
        self.location = target.location
        self.bus = bus
        self.abilities = frozenset({REPLAY}) if target.options.mode == "jetstream" else frozenset[str]()

    def __repr__(self) -> str:
        return f"<NatsCarrier {self.bus!r}>"

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> NatsCarrier:
        """Connect. ConfigError for a wrong option, a broker that does not let us in, or streams that do not fit.

        A broker that cannot be reached is no error: the bus works as soon as it can be.
        """
        target = parse(location, options)
        if runtime.inline:
            raise ConfigError("a bus over NATS needs an event loop: leave out inline=True")
        connection = Connection(target)
        try:
            reached = await connection.open()
            reader = EventReader(registry, unknown)
            if target.options.mode == "core":
                return cls(target, CoreBus(connection, runtime, reader))
            bus = JetStreamBus(connection, runtime, reader)
            if reached:
                await bus.streams.ready()
        except BaseException:
            await connection.close()
            raise
        return cls(target, bus)

    @staticmethod
    def scratch(location: str, name: str) -> str:
        """The URL of another bus beside this one, for tests: with a prefix of its own."""
        return with_prefix(location, name)

    @staticmethod
    async def erase(location: str, **options: Any) -> None:
        """Remove the streams of a bus with all that they keep: for tests. Nothing happens if there are none."""
        connection = Connection(parse(location, options))
        try:
            await connection.open()
            if connection.options.mode == "jetstream":
                await remove(connection)
        finally:
            await connection.close()

    async def close(self) -> None:
        """Finish what is under way, then release everything."""
        await self.bus.close()
