"""Brings events from a stream into a queue: pulls as many as there is room for, and reports which are in progress.

Rules of this file: nothing is pulled that nobody can use. Whatever happens to the connection, the consumer or its leader,
pulling resumes after the last event that arrived.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from goes_lite.errors import BusError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import Event
from goes_lite.kit.reading import EventReader
from goes_lite.runtime import Runtime
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._api import NANO, delivery_fields
from goes_lite_nats._connection import Connection
from goes_lite_nats._consumers import Consumer, GroupMismatch
from goes_lite_nats._dead_letters import REDRIVEN, DeadLetterStream
from goes_lite_nats._envelope import decode, decode_anything
from goes_lite_nats._queue import ACK, IN_PROGRESS, StreamQueue, nak
from goes_lite_nats._streams import Streams

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

logger = logging.getLogger("goes_lite.nats")

IDLE_HEARTBEAT = 5.0
"""Seconds after which the broker reports that it has nothing; after twice as long without a word, the pull is repeated."""

EXPIRES = 30.0
"""Seconds until the broker forgets a pull."""

HELD_POLL = 0.2
"""Seconds between two looks whether something that was lost on its way is still to come."""

LOST_MARGIN = 0.5
"""Seconds that the broker may take, beyond the lease, to put what was lost on its way before everything else."""

RETRY_DELAY = 5.0
"""Seconds until a message is delivered again that could be neither read nor made a dead letter."""


class FeedHost(Protocol):
    """What a feed needs of its bus."""

    @property
    def lock(self) -> threading.Lock: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def connection(self) -> Connection: ...
    @property
    def reader(self) -> EventReader: ...
    @property
    def letters(self) -> DeadLetterStream: ...
    @property
    def streams(self) -> Streams: ...

    def failed(self, queue: StreamQueue, why: str) -> None:
        """Note that no event will reach the queue."""
        ...

    def ended(self, listener: Feed) -> None:
        """Forget the feed, which has ended."""
        ...


class Feed:
    """Brings events from the stream to one queue of this process."""

    def __init__(self, bus: FeedHost, queue: StreamQueue, consumers: list[Consumer]) -> None:
        self._bus = bus
        self.queue = queue
        self._connection = bus.connection
        self._pullers = [Puller(self, consumer) for consumer in consumers]
        self._backoff = Backoff(0.1, maximum=2.0)
        self._born = ""
        self.opened = asyncio.Event()
        """Set once events that are published from now on will arrive, or if they never will."""
        self._task = asyncio.create_task(self._run(), name=f"goes_lite_nats-feed {queue.label}")

    async def wait_closed(self) -> None:
        """Wait until it has ended, which the end of its queue causes."""
        await asyncio.wait({self._task})

    # --- running ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        self._connection.on_reconnect.append(self._reconnected)
        try:
            while await self._wait_needed():
                try:
                    await self._connection.wait_connected()
                    await self.check_stream(again=failures > 0)
                    for puller in self._pullers:
                        await puller.open()
                    self.opened.set()
                    failures = 0
                    await self._pull()
                except GroupMismatch as exc:
                    self._bus.failed(self.queue, str(exc))
                    return
                except GoesError as exc:
                    failures += 1
                    logger.warning("%r receives no events at the moment: %s", self.queue.label, exc)
                    changed = self.queue.demand_changed
                    await self._bus.runtime.wait(changed, changed.count, self._backoff(failures))
                finally:
                    for puller in self._pullers:
                        await puller.close()
                    await self._give_back()
        except Exception as exc:
            self._bus.failed(self.queue, f"no more events can be received: {error_text(exc)}")
            logger.exception("%r receives no more events", self.queue.label)
        finally:
            self._connection.on_reconnect.remove(self._reconnected)
            self.opened.set()
            for puller in self._pullers:
                await puller.delete()
            self._bus.ended(self)

    async def check_stream(self, *, again: bool) -> None:
        """Make sure that the stream exists, and whether it still is the one of before."""
        streams = self._bus.streams
        await (streams.again() if again else streams.ready())
        if self._born not in ("", streams.born):
            with self._bus.lock:
                self.queue.forget_unacked()
        self._born = streams.born
        for puller in self._pullers:
            puller.belongs_to(streams.born)

    async def _wait_needed(self) -> bool:
        """Wait until there is a member to bring events to; False once there never will be."""
        while True:
            seen = self.queue.demand_changed.count
            with self._bus.lock:
                self.queue.run_deferred()
                if self.queue.closed or self._connection.closed:
                    return False
                if self.queue.members or (self.queue.group is not None and not self.opened.is_set()):
                    return True  # a group collects from its start on, even if its first member is gone already
            await self._bus.runtime.wait(self.queue.demand_changed, seen)

    async def _give_back(self) -> None:
        """Give events back if no member is left; only now, when nothing more is on its way, so that they keep their order."""
        if self.queue.group is None or self._connection.closed:
            return
        for puller in self._pullers:
            with suppress(BusError):
                await puller.cancel_pulls()
        with self._bus.lock:
            self.queue.run_deferred()
            if self.queue.members:
                return  # a member joined meanwhile
            replies = self.queue.give_back()
        if not replies:
            return
        for ack_to, payload in replies[:-1]:
            self._connection.outbox.put(ack_to, payload)
        await self._connection.outbox.flush()
        with suppress(BusError):  # the broker processes them in order: once it confirms the last, it has had all
            await self._connection.request(*replies[-1], timeout=2)

    async def _pull(self) -> None:
        """Pull events, and report those in progress, until no member is left."""
        queue, loop = self.queue, asyncio.get_running_loop()
        generation, interval = self._connection.generation, self._connection.options.lease / 3
        next_report = loop.time() + interval
        while True:
            seen = queue.demand_changed.count
            with self._bus.lock:
                queue.run_deferred()
                if queue.closed or not queue.members or self._connection.generation != generation:
                    return
                demand, max_demand = queue.demand, queue.max_demand
            again = IDLE_HEARTBEAT
            if self._connection.connected:
                for puller in self._pullers:
                    again = min(again, await puller.pull(demand, max_demand))
            now = loop.time()
            if now >= next_report:
                next_report = now + interval
                if self._connection.connected:
                    for ack_to in queue.ack_subjects():
                        self._connection.outbox.put(ack_to, IN_PROGRESS)
            await self._bus.runtime.wait(queue.demand_changed, seen, min(next_report - now, again))

    def _reconnected(self) -> None:
        """Pull again: the new broker knows nothing of earlier pulls."""
        for puller in self._pullers:
            puller.reset()

    # --- incoming events ----------------------------------------------------------------------------------------------

    async def receive(self, message: Msg, delivered: int, sequence: int, time: int) -> None:
        """Queue a message of the stream."""
        queue, headers = self.queue, message.headers or {}
        event: Event[Any] | None
        try:
            event = self._bus.reader.read(decode(message.data))
        except Exception as exc:  # noqa: BLE001 - one bad message must not stop the others
            await self._bury(message, exc, sequence, time)
            return
        if event is not None and queue.covers(event):
            with self._bus.lock:  # even if no member is left: then it is given back with the others
                queue.receive(event, message.reply, sequence, delivered - 1, redriven=REDRIVEN in headers)
        elif queue.group is not None:  # not for this group, or unknown and to be skipped
            self._connection.outbox.put(message.reply, ACK)

    async def _bury(self, message: Msg, error: Exception, sequence: int, time: int) -> None:
        queue = self.queue
        prefix = self._connection.options.prefix
        event = decode_anything(message, prefix, f"{message.subject} {sequence}", time // 1000)
        logger.warning("%r cannot receive the message at %d: %s", queue.label, sequence, error)
        reply = ACK
        try:
            await self._bus.letters.bury(
                event, message.data, queue.group, queue.label, attempts=0, error=error_text(error), key=str(sequence)
            )
        except GoesError:
            logger.exception("the message at %d could not be made a dead letter: it will be tried again", sequence)
            reply = nak(RETRY_DELAY)
        if queue.group is not None:
            self._connection.outbox.put(message.reply, reply)


class Puller:
    """Pulls events from one consumer, and counts how many are still to come."""

    def __init__(self, feed: Feed, consumer: Consumer) -> None:
        self._feed = feed
        self._consumer = consumer
        self._connection = consumer.connection
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._pending = 0
        self._last_message = 0.0
        self._in_doubt = False  # whether the consumer may be gone
        self._opened = False
        self._held_until: float | None = None

    async def open(self) -> None:
        """Make sure that the consumer exists, and listen. GroupMismatch if it is for other names."""
        min_time = await self._consumer.ensure(self._feed.queue.first_unacked)
        self._feed.queue.min_time = min_time
        self._pending, self._in_doubt = 0, False
        if self._opened:
            self._hold()
        self._opened = True
        self._inbox = self._connection.inbox()
        self._subscription = await self._connection.subscribe(self._inbox, self._on_message)

    def belongs_to(self, born: str) -> None:
        """Note when the stream was made."""
        self._consumer.belongs_to(born)

    def reset(self) -> None:
        """Forget what is pending: it will not arrive, and the consumer itself may be gone."""
        self._pending, self._in_doubt = 0, True
        self._feed.queue.demand_changed.notify()

    def _hold(self) -> None:
        """Keep the order of a queue that takes one event at a time: what was lost on its way comes before all others.

        The broker gives it to nobody until the lease is over, and what is pulled meanwhile would overtake it.
        """
        queue = self._feed.queue
        if queue.one_at_a_time:
            if queue.last_ack:  # it may be lost as well; then nothing else is
                self._connection.outbox.put(queue.last_ack, ACK)
            lease = self._connection.options.lease
            self._held_until = asyncio.get_running_loop().time() + lease + LOST_MARGIN

    async def _holding(self) -> bool:
        """Whether an event was lost on its way, and is not due yet."""
        if self._held_until is not None:
            await self._connection.outbox.flush()
            unsettled = (await self._consumer.info())["num_ack_pending"]
            over = asyncio.get_running_loop().time() >= self._held_until
            if over or unsettled <= self._feed.queue.unacked or not self._feed.queue.one_at_a_time:
                self._held_until = None
        return self._held_until is not None

    async def pull(self, demand: int, max_demand: int) -> float:
        """Request what is needed beyond what is pending, in few requests rather than many.

        Return the seconds after which to call again, if nothing happens.
        """
        now = asyncio.get_running_loop().time()
        if self._pending > 0 and now - self._last_message > 2 * IDLE_HEARTBEAT:
            self._pending, self._in_doubt = 0, True
        missing = demand - self._pending
        if missing <= 0 or (self._pending > 0 and missing < max(1, max_demand // 2)):
            return IDLE_HEARTBEAT
        if self._in_doubt:
            await self._feed.check_stream(again=True)
            await self._consumer.ensure(self._feed.queue.first_unacked)
            self._in_doubt = False
            self._hold()
        if await self._holding():
            return HELD_POLL
        self._pending += missing
        self._last_message = now
        request = {
            "batch": missing, "expires": round(EXPIRES * NANO), "idle_heartbeat": round(IDLE_HEARTBEAT * NANO),
        }  # fmt: skip
        await self._connection.publish(self._consumer.next, json.dumps(request).encode(), reply=self._inbox)
        return IDLE_HEARTBEAT

    async def _on_message(self, message: Msg) -> None:
        self._last_message = asyncio.get_running_loop().time()
        if not message.reply:
            self._on_status(message.headers or {})
            return
        consumer, delivered, sequence, time = delivery_fields(message.reply)
        if consumer != self._consumer.name:
            return  # from a consumer that was replaced: the new one delivers this as well
        self._pending -= 1
        self._consumer.received(sequence)
        await self._feed.receive(message, delivered, sequence, time)
        if self._pending <= 0:
            self._feed.queue.demand_changed.notify()

    def _on_status(self, headers: dict[str, str]) -> None:
        status = headers.get("Status", "")
        if status == "100":  # an idle heartbeat
            return
        left = headers.get("Nats-Pending-Messages")
        self._pending = max(0, self._pending - int(left)) if left is not None else 0
        if status not in ("404", "408"):  # those mean that the pull has expired, and nothing else
            self._in_doubt = True
            logger.debug("%s: %s", self._consumer, headers)
        self._feed.queue.demand_changed.notify()

    async def close(self) -> None:
        """Stop listening; what is already on its way is received."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await self._connection.drain(subscription)

    async def cancel_pulls(self) -> None:
        """Make the broker forget its pulls, now that nobody listens.

        Otherwise it would deliver the first event that is given back to nobody, and then put it after the others.
        """
        if self._connection.connected:
            await self._consumer.info()

    async def delete(self) -> None:
        """Delete the consumer, if it is not that of a group."""
        with suppress(BusError):
            await self._consumer.delete()
