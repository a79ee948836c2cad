"""The bus over JetStream: what is published is kept in a stream, and each group and subscription reads it at its own pace.

What the members of one process do with each other (sharing, retrying, keeping an aggregate in order, taking back what takes
too long) is that of the bus within a process. Between processes, the broker decides who gets what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from goes_lite.contract.event_bus import DeadLetter, check_published
from goes_lite.errors import BusError, GoesError
from goes_lite.events.event import Event
from goes_lite.kit.bus import told
from goes_lite.kit.bus.queue import Queue, Wish
from goes_lite.kit.bus.subscription import InProcessDelivery
from goes_lite.kit.reading import EventReader
from goes_lite.runtime import Runtime
from goes_lite_nats._base import NatsBus
from goes_lite_nats._connection import Connection
from goes_lite_nats._consumers import consumers_of, remove_group
from goes_lite_nats._feed import Feed
from goes_lite_nats._letters import Letters
from goes_lite_nats._publish import Publisher
from goes_lite_nats._queue import StreamQueue
from goes_lite_nats._streams import SetUp

logger = logging.getLogger("goes_lite.nats")

LATER = 5.0
"""Seconds after which an event is tried again that could not be made a dead letter."""


class JetStreamBus(NatsBus[Feed]):
    """See `goes_lite.contract.event_bus.EventBus`, and docs/nats.md for what is promised between processes."""

    def __init__(self, connection: Connection, runtime: Runtime, reader: EventReader) -> None:
        super().__init__(connection, runtime, reader)
        self.letters = Letters(connection, reader)
        self.streams = SetUp(connection)
        self._publisher = Publisher(connection)
        self._handle = uuid4().hex[:8]

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """See `EventBus.publish`. It waits for the broker to keep them, and for no subscriber."""
        events = check_published(events)
        self._check_open()
        if not events:
            return
        await self.streams.ready()
        await self.listening_since()
        await self._publisher.publish(events)

    async def listening_since(self) -> None:
        """Until the broker knows of every subscription that was made before; BusError if it takes too long."""
        waiting = [feed for feed in self._listeners if not feed.opened.is_set()]
        if waiting:
            await self.connection.up()
            try:
                async with asyncio.timeout(self.connection.options.timeout):
                    for feed in waiting:
                        await feed.opened.wait()
            except TimeoutError:
                raise BusError(
                    f"{self.connection.target.location} does not set up a subscription that was made before"
                ) from None

    # --- what is other than within a process ------------------------------------------------------------------------

    @property
    def _replays(self) -> bool:
        return True

    def _new_queue(self, wish: Wish) -> Queue:
        self.check_loop()
        if wish.group is None:
            wish = wish._replace(label=f"{wish.label} of {self._handle}")
        queue = StreamQueue(wish, self.runtime.clock, self.connection.answer_later)
        self._listeners.add(Feed(self, queue, consumers_of(self.connection, wish, self.reader.registry)))
        return queue

    def failed(self, queue: StreamQueue, why: str) -> None:
        """Nothing will come to this queue; who subscribes to the group after this begins anew."""
        with self.lock:
            queue.failure = why
            if queue.group is not None and self._groups.get(queue.group) is queue:
                del self._groups[queue.group]
        queue.changed.notify()

    async def _bury_delivery(self, delivery: InProcessDelivery, error: Exception) -> None:
        queue = delivery._subscription._queue
        try:
            await self.letters.bury(
                delivery.event, None, queue.group, queue.label,
                attempts=delivery.attempt, error=told(error), key=f"{delivery.event.id}.{uuid4().hex}",
            )  # fmt: skip
        except GoesError:
            logger.exception("%r could not be made a dead letter, and will be tried again", delivery.event)
            await delivery.nak(LATER)
            return
        delivery._subscription.settle(delivery, "dead-lettered")

    async def reset(self, group: str) -> None:
        """See `EventBus.reset`. Members in other processes begin it anew, from what is published then."""
        queue = self._groups.get(group)
        await super().reset(group)
        for feed in [feed for feed in self._listeners if feed.queue is queue]:
            await feed.ended()
        await self.streams.ready()
        await remove_group(self.connection, group)

    # --- dead letters -----------------------------------------------------------------------------------------------

    async def dead_letters(self) -> list[DeadLetter]:
        """The dead letters of all processes, oldest first."""
        self._check_open()
        await self.streams.ready()
        return await self.letters.all()

    async def redrive(self, letter: DeadLetter) -> None:
        """See `EventBus.redrive`."""
        self._check_open()
        with self.lock:
            queue = next((q for q in self._queues if q.group is None and q.label == letter.subscriber), None)
            alive = queue is not None and not queue.closed
        if queue is None or not alive:
            await self.letters.redrive(letter)
            return
        await self.letters.drop(letter)
        with self.lock:
            queue.redrive(letter.event)

    async def drop(self, letter: DeadLetter) -> None:
        """Forget the letter; BusError if it is gone already."""
        self._check_open()
        await self.letters.drop(letter)
