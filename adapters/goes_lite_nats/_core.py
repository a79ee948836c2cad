"""The bus over core NATS: fast, and at most once. An event that nobody listens for is lost, or one without room for it.

Inside one process it works as an in-process bus: retries, dead letters and groups live and die with the process that
received an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from goes_lite.contract.event_bus import check_published
from goes_lite.errors import BusError, ConfigError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import Event
from goes_lite.kit.bus.backlog import Member
from goes_lite.kit.bus.queue import Queue
from goes_lite.kit.bus.subscription_request import SubscriptionRequest
from goes_lite.runtime import Signal
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._base import NatsBus
from goes_lite_nats._envelope import decode, decode_anything, encode
from goes_lite_nats._subjects import consumer_name, covering_filter, event_subject

if TYPE_CHECKING:
    from nats.aio.msg import Msg

logger = logging.getLogger("goes_lite.nats")


class CoreBus(NatsBus["CoreListener"]):
    """See `goes_lite.contract.event_bus.EventBus`, and docs/nats.md for what is not promised here."""

    _description = "a bus over core NATS"

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """See `EventBus.publish`. It waits until the broker has received the events, and for no subscriber."""
        events = check_published(events)
        self._check_open()
        if not events:
            return
        connection = self.connection
        await connection.wait_connected()
        for listener in list(self._listeners):
            await listener.opened.wait()
        for event in events:
            await connection.publish(event_subject(connection.options.prefix, event), encode(event))
        await connection.flush()
        if connection.closed:
            raise BusError("the bus was closed while events were published: some may not have been delivered")

    def _new_queue(self, request: SubscriptionRequest) -> Queue:
        self._check_loop()
        if request.ordered:
            raise ConfigError(
                "core NATS keeps no order between the members of a group: omit ordered_by, or use mode=jetstream"
            )
        queue = CoreQueue(request, self.runtime.clock, self._letters.bury)
        self._listeners.add(CoreListener(self, queue))
        return queue


class CoreQueue(Queue):
    """A queue that notifies its listener of members that join or leave."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.members_changed = Signal()
        self.on_join: Callable[[], None] | None = None

    def defer(self, action: Callable[[], None]) -> None:
        super().defer(action)
        self.members_changed.notify()

    def join(self, member: Member) -> None:
        super().join(member)
        if self.on_join is not None:
            self.on_join()
        self.members_changed.notify()

    def leave(self, member: Member) -> None:
        super().leave(member)
        self.members_changed.notify()

    def close(self) -> None:
        super().close()
        self.members_changed.notify()


class CoreListener:
    """Listens for one queue while it has a member: without one, other processes should get the events of the group."""

    def __init__(self, bus: CoreBus, queue: CoreQueue) -> None:
        self._bus = bus
        self._queue = queue
        self._connection = bus.connection
        self._backoff = Backoff(0.1, maximum=2.0)
        self._listening = False
        self.opened = asyncio.Event()
        """Cleared while a member waits for it to listen."""
        queue.on_join = self._joined
        self._task = asyncio.create_task(self._run(), name=f"goes_lite_nats-listener {queue.label}")

    async def wait_closed(self) -> None:
        """Wait until it has ended, which the end of its queue causes."""
        await asyncio.wait({self._task})

    def _joined(self) -> None:
        if not self._listening:
            self.opened.clear()

    async def _run(self) -> None:
        failures = 0
        try:
            while await self._wait_members(present=True):
                try:
                    await self._listen()
                    failures = 0
                except GoesError as exc:
                    failures += 1
                    logger.warning("%r receives no events at the moment: %s", self._queue.label, exc)
                    changed = self._queue.members_changed
                    await self._bus.runtime.wait(changed, changed.count, self._backoff(failures))
        finally:
            self.opened.set()
            self._bus.ended(self)

    async def _wait_members(self, *, present: bool) -> bool:
        """Wait until there are members, or none; False once the queue is closed."""
        while True:
            seen = self._queue.members_changed.count
            with self._bus.lock:
                self._queue.run_deferred()
                if self._queue.closed or self._connection.closed:
                    return False
                if bool(self._queue.members) is present:
                    return True
                if present:
                    self.opened.set()
            await self._bus.runtime.wait(self._queue.members_changed, seen)

    async def _listen(self) -> None:
        prefix, group = self._connection.options.prefix, self._queue.group
        await self._connection.wait_connected()
        subscription = await self._connection.subscribe(
            covering_filter(prefix, self._queue.patterns),
            self._on_message,
            "" if group is None else consumer_name(group),
        )
        try:
            await self._connection.flush()
            self._listening = True
            self.opened.set()
            await self._wait_members(present=False)
        finally:
            self._listening = False
            await self._connection.drain(subscription)

    async def _on_message(self, message: Msg) -> None:
        event: Event[Any] | None
        try:
            event = self._bus.reader.read(decode(message.data))
        except Exception as exc:  # noqa: BLE001 - one bad message must not stop the others
            logger.warning("%r cannot receive a message on %s: %s", self._queue.label, message.subject, exc)
            unreadable = decode_anything(message, self._connection.options.prefix, message.subject, 0)
            with self._bus.lock:
                self._queue.bury(unreadable, 0, error_text(exc))
            return
        if event is not None:
            with self._bus.lock:
                self._queue.offer_without_log([event])
