"""What brings events from a stream into a queue: it asks for as many as there is room for, and says who still works on what.

Rules of this file: nothing is asked for that nobody has a use for. Whatever the connection, the consumer or its leader goes
through, asking goes on behind the last event that came.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from goes_lite.errors import BusError, GoesError
from goes_lite.events.event import Event
from goes_lite.kit.bus import told
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._connection import Connection
from goes_lite_nats._consumers import Consumer, Mismatch
from goes_lite_nats._envelope import decode, undecodable
from goes_lite_nats._letters import REDRIVEN
from goes_lite_nats._queue import ACK, PROGRESS, StreamQueue, nak
from goes_lite_nats._streams import NANO
from goes_lite_nats._subjects import name_in

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from goes_lite_nats._bus import JetStreamBus

logger = logging.getLogger("goes_lite.nats")

IDLE = 5.0
"""Seconds after which the broker says that it has nothing; without a word for twice as long, it is asked again."""

EXPIRES = 30.0
"""Seconds for which it remembers what it was asked for."""

LATER = 5.0
"""Seconds after which a message is tried again that could be neither read nor made a dead letter."""


class Feed:
    """The way from the stream to one queue of this process."""

    def __init__(self, bus: JetStreamBus, queue: StreamQueue, consumers: list[Consumer]) -> None:
        self._bus = bus
        self.queue = queue
        self._connection: Connection = bus.connection
        self._taps = [Tap(self, consumer) for consumer in consumers]
        self._backoff = Backoff(0.1, maximum=2.0)
        self.opened = asyncio.Event()
        """Whether what is published from now on will come; or never will."""
        self._task = asyncio.create_task(self._run(), name=f"goes_lite_nats-feed {queue.label}")

    async def ended(self) -> None:
        """Until it has come to its end, which its queue's end brings about."""
        await asyncio.wait({self._task})

    # --- its life ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        self._connection.reconnected.append(self._again)
        try:
            while await self._needed():
                try:
                    await self._connection.up()
                    await self._bus.streams.ready()
                    for tap in self._taps:
                        await tap.open()
                    self.opened.set()
                    failures = 0
                    await self._work()
                except Mismatch as exc:
                    self._bus.failed(self.queue, str(exc))
                    return
                except GoesError as exc:
                    failures += 1
                    logger.warning("%r cannot be brought events just now: %s", self.queue.label, exc)
                    await self._bus.runtime.wait(self.queue.hungry, self.queue.hungry.count, self._backoff(failures))
                finally:
                    for tap in self._taps:
                        await tap.close()
                    await self._give_back()
        except Exception as exc:
            self._bus.failed(self.queue, f"no more events can be brought: {told(exc)}")
            logger.exception("%r is brought no more events", self.queue.label)
        finally:
            self._connection.reconnected.remove(self._again)
            self.opened.set()
            for tap in self._taps:
                await tap.forget()
            self._bus.ended(self)

    async def _needed(self) -> bool:
        """Whether there is somebody to bring events to; False once there never will be."""
        while True:
            seen = self.queue.hungry.count
            with self._bus.lock:
                self.queue.catch_up()
                if self.queue.closed or self._connection.closed:
                    return False
                if self.queue.members or (self.queue.group is not None and not self.opened.is_set()):
                    return True  # a group collects from its beginning on, though its first member is gone already
            await self._bus.runtime.wait(self.queue.hungry, seen)

    async def _give_back(self) -> None:
        """If nobody is left. It is kept until nothing more is on its way, so that it is given back in order."""
        if self.queue.group is None or self._connection.closed:
            return
        for tap in self._taps:
            with suppress(BusError):
                await tap.withdraw()
        with self._bus.lock:
            self.queue.catch_up()
            if self.queue.members:
                return  # somebody came meanwhile
            answers = self.queue.give_back()
        if not answers:
            return
        for source, payload in answers[:-1]:
            self._connection.answer_later(source, payload)
        await self._connection.answers_sent()
        with suppress(BusError):  # the broker takes them one after the other: with the last, it has had all
            await self._connection.ask(*answers[-1], timeout=2)

    async def _work(self) -> None:
        """Ask, and keep alive what was brought, until nobody is left."""
        queue, loop = self.queue, asyncio.get_running_loop()
        generation, rhythm = self._connection.generation, self._connection.options.lease / 3
        beat = loop.time() + rhythm
        while True:
            seen = queue.hungry.count
            with self._bus.lock:
                queue.catch_up()
                if queue.closed or not queue.members or self._connection.generation != generation:
                    return
                wanted, appetite = queue.wanted, queue.appetite
            if self._connection.connected:
                for tap in self._taps:
                    await tap.ask(wanted, appetite)
            now = loop.time()
            if now >= beat:
                beat = now + rhythm
                if self._connection.connected:
                    for source in queue.sources():
                        self._connection.answer_later(source, PROGRESS)
            await self._bus.runtime.wait(queue.hungry, seen, min(beat - now, IDLE))

    def _again(self) -> None:
        """A broker was reached again: what the former one was asked for is forgotten there."""
        for tap in self._taps:
            tap.lose()

    # --- what comes -------------------------------------------------------------------------------------------------

    async def receive(self, message: Msg, delivered: int, sequence: int, time: int) -> None:
        """One message of the stream."""
        queue, headers = self.queue, message.headers or {}
        event: Event[Any] | None
        try:
            event = self._bus.reader.read(decode(message.data))
        except Exception as exc:  # noqa: BLE001 - whatever is in it, it must not stop the others
            await self._bury(message, exc, sequence, time)
            return
        if event is not None and queue.covers(event):
            with self._bus.lock:  # also if nobody is left: then it is given back with the others
                queue.receive(event, message.reply, sequence, delivered - 1, redriven=REDRIVEN in headers)
        elif queue.group is not None:  # it is not for this group, or nobody wants to know it
            self._connection.answer_later(message.reply, ACK)

    async def _bury(self, message: Msg, error: Exception, sequence: int, time: int) -> None:
        queue = self.queue
        try:
            event = decode(message.data)
        except GoesError:
            name = name_in(self._connection.options.prefix, message.subject) or "undecodable"
            event = undecodable(name, f"{message.subject} {sequence}", time // 1000, message.data)
        logger.warning("%r cannot be given what lies at %d: %s", queue.label, sequence, error)
        try:
            await self._bus.letters.bury(
                event, message.data, queue.group, queue.label, attempts=0, error=told(error), key=str(sequence)
            )
        except GoesError:
            logger.exception("it could not be made a dead letter, and will be tried again")
            if queue.group is not None:
                self._connection.answer_later(message.reply, nak(LATER))
            return
        if queue.group is not None:
            self._connection.answer_later(message.reply, ACK)


class Tap:
    """One consumer that a feed asks, and how many events it still owes."""

    def __init__(self, feed: Feed, consumer: Consumer) -> None:
        self._feed = feed
        self._consumer = consumer
        self._connection = consumer.connection
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._owed = 0
        self._heard = 0.0
        self._doubtful = False

    async def open(self) -> None:
        """See to it that the consumer is there, and listen. Mismatch if it is another's."""
        min_time = await self._consumer.ensure()
        self._feed.queue.min_time = min_time
        self._owed, self._doubtful = 0, False
        self._inbox = self._connection.inbox()
        self._subscription = await self._connection.subscribe(self._inbox, self._on_message)

    def lose(self) -> None:
        """What it owed will not come; perhaps it is gone itself."""
        self._owed, self._doubtful = 0, True
        self._feed.queue.hungry.notify()

    async def ask(self, wanted: int, appetite: int) -> None:
        """Ask for what is wanted beyond what is owed, in few requests rather than many."""
        now = asyncio.get_running_loop().time()
        if self._owed > 0 and now - self._heard > 2 * IDLE:
            self._owed, self._doubtful = 0, True
        short = wanted - self._owed
        if short <= 0 or (self._owed > 0 and short < max(1, appetite // 2)):
            return
        if self._doubtful:
            await self._consumer.ensure()
            self._doubtful = False
        self._owed += short
        self._heard = now
        request = {"batch": short, "expires": round(EXPIRES * NANO), "idle_heartbeat": round(IDLE * NANO)}
        await self._connection.publish(self._consumer.next, json.dumps(request).encode(), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if not message.reply:
            self._on_status(message.headers or {})
            return
        fields = message.reply.split(".")
        where = 4 if len(fields) == 9 else 6  # the newer form has a domain and an account besides
        if fields[where - 1] != self._consumer.name:
            return  # of one that was given up: the one behind it brings this as well
        delivered, sequence, time = int(fields[where]), int(fields[where + 1]), int(fields[where + 3])
        self._owed -= 1
        self._consumer.passed(sequence)
        await self._feed.receive(message, delivered, sequence, time)
        if self._owed <= 0:
            self._feed.queue.hungry.notify()

    def _on_status(self, headers: dict[str, str]) -> None:
        status = headers.get("Status", "")
        if status == "100":  # it has nothing just now
            return
        left = headers.get("Nats-Pending-Messages")
        self._owed = max(0, self._owed - int(left)) if left is not None else 0
        if status not in ("404", "408"):  # else the time is over, and nothing else
            self._doubtful = True
            logger.debug("%s: %s", self._consumer, headers)
        self._feed.queue.hungry.notify()

    async def close(self) -> None:
        """Listen no more; what is on its way is taken in, or given back."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await self._connection.drain(subscription)

    async def withdraw(self) -> None:
        """Have the broker forget what it was asked for, now that nobody listens.

        Else it would take up the first event that is given back, find nobody, and put it behind the others.
        """
        if self._connection.connected:
            await self._consumer.look()

    async def forget(self) -> None:
        """Its queue is closed."""
        with suppress(BusError):
            await self._consumer.forget()
