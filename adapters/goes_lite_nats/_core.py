"""The bus over core NATS: quick, and at most once. What nobody listens to is gone, and so is what a listener has no room for.

Beyond the way from process to process it is the bus within a process: retries, dead letters and all the rest live and die
with the process that has an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.contract.event_bus import check_published
from goes_lite.errors import BusError, ConfigError, GoesError
from goes_lite.events.event import Event
from goes_lite.kit.bus import told
from goes_lite.kit.bus.queue import Member, Queue, Wish
from goes_lite.runtime import Signal
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._base import NatsBus
from goes_lite_nats._envelope import decode, encode, undecodable
from goes_lite_nats._subjects import consumer, event_subject, name_in, one_filter

if TYPE_CHECKING:
    from nats.aio.msg import Msg

logger = logging.getLogger("goes_lite.nats")


class CoreBus(NatsBus["_Ear"]):
    """See `goes_lite.contract.event_bus.EventBus`, and docs/nats.md for what is not promised here."""

    _what = "a bus over core NATS"

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """See `EventBus.publish`. It waits for the broker to have taken them, and for no subscriber."""
        events = check_published(events)
        self._check_open()
        if not events:
            return
        connection = self.connection
        await connection.up()
        for ear in list(self._listeners):
            await ear.opened.wait()
        for event in events:
            await connection.publish(event_subject(connection.options.prefix, event), encode(event))
        await connection.flush()
        if connection.closed:
            raise BusError("the bus was closed while events were published: perhaps not all were delivered")

    def _new_queue(self, wish: Wish) -> Queue:
        self.check_loop()
        if wish.ordered_by is not None:
            raise ConfigError(
                "core NATS keeps no order between the members of a group: leave out ordered_by, or use mode=jetstream"
            )
        queue = CoreQueue(
            wish.patterns, wish.group, wish.label, wish.capacity, self.runtime.clock, self.bury, min_time=wish.min_time
        )
        self._listeners.add(_Ear(self, queue))
        return queue


class CoreQueue(Queue):
    """A queue that says when somebody came or went."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.moved = Signal()
        self.joined: Callable[[], None] = _nothing

    def later(self, errand: Any) -> None:
        super().later(errand)
        self.moved.notify()

    def join(self, member: Member) -> None:
        super().join(member)
        self.joined()
        self.moved.notify()

    def leave(self, member: Member) -> None:
        super().leave(member)
        self.moved.notify()

    def close(self) -> None:
        super().close()
        self.moved.notify()


def _nothing() -> None:
    pass


class _Ear:
    """Listens for one queue while it has a member: without one, other processes shall get what is for the group."""

    def __init__(self, bus: CoreBus, queue: CoreQueue) -> None:
        self._bus = bus
        self._queue = queue
        self._connection = bus.connection
        self._backoff = Backoff(0.1, maximum=2.0)
        self._listening = False
        self.opened = asyncio.Event()
        """Unless somebody waits for it to listen, which it does not yet."""
        queue.joined = self._expected
        self._task = asyncio.create_task(self._run(), name=f"goes_lite_nats-ear {queue.label}")

    async def ended(self) -> None:
        """Until it has come to its end, which its queue's end brings about."""
        await asyncio.wait({self._task})

    def _expected(self) -> None:
        if not self._listening:
            self.opened.clear()

    async def _run(self) -> None:
        failures = 0
        try:
            while await self._until(members=True):
                try:
                    await self._listen()
                    failures = 0
                except GoesError as exc:
                    failures += 1
                    logger.warning("%r hears nothing just now: %s", self._queue.label, exc)
                    await self._bus.runtime.wait(self._queue.moved, self._queue.moved.count, self._backoff(failures))
        finally:
            self.opened.set()
            self._bus.ended(self)

    async def _until(self, *, members: bool) -> bool:
        """Until there are members, or are none; False once the queue is closed."""
        while True:
            seen = self._queue.moved.count
            with self._bus.lock:
                self._queue.catch_up()
                if self._queue.closed or self._connection.closed:
                    return False
                if bool(self._queue.members) is members:
                    return True
                if members:
                    self.opened.set()
            await self._bus.runtime.wait(self._queue.moved, seen)

    async def _listen(self) -> None:
        prefix, group = self._connection.options.prefix, self._queue.group
        await self._connection.up()
        subscription = await self._connection.subscribe(
            one_filter(prefix, self._queue.patterns), self._on_message, "" if group is None else consumer(group)
        )
        try:
            await self._connection.flush()
            self._listening = True
            self.opened.set()
            await self._until(members=False)
        finally:
            self._listening = False
            await self._connection.drain(subscription)

    async def _on_message(self, message: Msg) -> None:
        event: Event[Any] | None
        try:
            event = self._bus.reader.read(decode(message.data))
        except Exception as exc:  # noqa: BLE001 - whatever is in it, it must not stop the others
            logger.warning("%r cannot be given a message on %s: %s", self._queue.label, message.subject, exc)
            with self._bus.lock:
                self._bus.bury(self._queue, self._unreadable(message), 0, told(exc))
            return
        if event is not None:
            with self._bus.lock:
                self._queue.offer_without_log([event])

    def _unreadable(self, message: Msg) -> Event[Any]:
        try:
            return decode(message.data)
        except GoesError:
            name = name_in(self._connection.options.prefix, message.subject) or "undecodable"
            return undecodable(name, message.subject, 0, message.data)
