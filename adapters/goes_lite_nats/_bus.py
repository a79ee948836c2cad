"""The bus over JetStream: events are kept in a stream, and each group and subscription reads it at its own pace.

Inside one process, the members of a group work together as on an in-process bus: sharing, retries, order per aggregate,
`ack_wait`. Between processes, the broker decides who gets an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from goes_lite.contract.event_bus import DeadLetter, check_letter, check_published
from goes_lite.errors import BusError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import Event
from goes_lite.kit.bus import InProcessDelivery
from goes_lite.kit.bus.queue import Queue
from goes_lite.kit.bus.subscription_request import SubscriptionRequest, check_group
from goes_lite.kit.reading import EventReader
from goes_lite.runtime import Runtime
from goes_lite_nats._base import NatsBus
from goes_lite_nats._connection import Connection
from goes_lite_nats._consumers import consumers_of, delete_group
from goes_lite_nats._dead_letters import DeadLetterStream
from goes_lite_nats._feed import Feed
from goes_lite_nats._publish import Publisher
from goes_lite_nats._queue import StreamQueue
from goes_lite_nats._streams import Streams

logger = logging.getLogger("goes_lite.nats")

RETRY_DELAY = 5.0
"""Seconds until an event is delivered again that could not be made a dead letter."""


class JetStreamBus(NatsBus[Feed]):
    """See `goes_lite.contract.event_bus.EventBus`, and docs/nats.md for what is promised between processes."""

    def __init__(self, connection: Connection, runtime: Runtime, reader: EventReader) -> None:
        super().__init__(connection, runtime, reader)
        self.streams = Streams(connection)
        self.letters = DeadLetterStream(connection, reader, self.streams)
        self._publisher = Publisher(connection, self.streams)
        self._instance = uuid4().hex[:8]

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """See `EventBus.publish`. It waits until the broker has stored the events, and for no subscriber."""
        events = check_published(events)
        self._check_open()
        if not events:
            return
        await self.streams.ready()
        await self._subscriptions_opened()
        await self._publisher.publish(events)

    async def _subscriptions_opened(self) -> None:
        """Wait until the broker knows every subscription that was made before; BusError if it takes too long."""
        waiting = [feed for feed in self._listeners if not feed.opened.is_set()]
        if waiting:
            await self.connection.wait_connected()
            try:
                async with asyncio.timeout(self.connection.options.timeout):
                    for feed in waiting:
                        await feed.opened.wait()
            except TimeoutError:
                raise BusError(
                    f"{self.connection.address.location} did not set up an earlier subscription in time: see the log"
                ) from None

    # --- what differs from an in-process bus --------------------------------------------------------------------------

    @property
    def _replays(self) -> bool:
        return True

    def _new_queue(self, request: SubscriptionRequest) -> Queue:
        self._check_loop()
        if request.group is None:
            request = request._replace(label=f"{request.label} of {self._instance}")
        queue = StreamQueue(request, self.runtime.clock, self.connection.outbox.put)
        self._listeners.add(Feed(self, queue, consumers_of(self.connection, request, self.reader.registry)))
        return queue

    def failed(self, queue: StreamQueue, why: str) -> None:
        """Fail the subscriptions of a queue that no event will reach; a later member of its group starts a new one."""
        with self.lock:
            queue.failure = why
            if queue.group is not None and self._groups.get(queue.group) is queue:
                del self._groups[queue.group]
        queue.changed.notify()

    async def _bury_delivery(self, delivery: InProcessDelivery, error: Exception) -> None:
        queue = delivery.queue
        try:
            await self.letters.bury(
                delivery.event, None, queue.group, queue.label,
                attempts=delivery.attempt, error=error_text(error), key=f"{delivery.event.id}.{uuid4().hex}",
            )  # fmt: skip
        except GoesError:
            logger.exception("%r could not be made a dead letter: it will be tried again", delivery.event)
            await delivery.nak(RETRY_DELAY)
            return
        delivery.settle_dead()

    async def reset(self, group: str) -> None:
        """See `EventBus.reset`. Members in other processes start it again, from what is published after that."""
        check_group(group)
        queue = self._groups.get(group)
        await super().reset(group)
        for feed in [feed for feed in self._listeners if feed.queue is queue]:
            await feed.wait_closed()
        await self.streams.ready()
        await delete_group(self.connection, group)

    # --- dead letters -------------------------------------------------------------------------------------------------

    async def dead_letters(self) -> list[DeadLetter]:
        """The dead letters of all processes, oldest first."""
        self._check_open()
        return await self.letters.all()

    async def redrive(self, letter: DeadLetter) -> None:
        """See `EventBus.redrive`."""
        self._check_open()
        check_letter(letter)
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
        check_letter(letter)
        await self.letters.drop(letter)
