"""A service that handles commands over NATS: from requests and from the queue, with heartbeats while it works.

Rule of this file: a queued command is acknowledged after its outcome is stored, and not before.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from goes_lite.contract.command_transport import Handle, HandleQueued
from goes_lite.errors import BusError, GoesError
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._api import CONSUMER_EXISTS, NANO, ApiError, delivery_fields
from goes_lite_nats._command_streams import CommandStreams
from goes_lite_nats._connection import Connection
from goes_lite_nats._queue import ACK, IN_PROGRESS, nak
from goes_lite_nats._subjects import consumer_name, tokens

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

logger = logging.getLogger("goes_lite.nats")

HEARTBEAT = 1.0
"""Seconds between two heartbeats of a command that is being handled."""

STATUS = "Goes-Status"
BEGUN = "begun"
DONE = "done"
TOO_LARGE = "too-large"

IDLE_HEARTBEAT = 5.0
"""Seconds after which the broker reports that the queue is empty."""

PULL = {"batch": 1, "expires": round(6 * IDLE_HEARTBEAT * NANO), "idle_heartbeat": round(IDLE_HEARTBEAT * NANO)}
"""A pull request for one command."""


class Service:
    """Receives the commands of some names in this process."""

    def __init__(
        self,
        connection: Connection,
        streams: CommandStreams,
        ended: Callable[[Service], None],
        handle: Handle,
        attempt: HandleQueued,
        concurrency: int,
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._prefix = connection.options.prefix
        self._ended = ended
        self._handle = handle
        self._attempt = attempt
        self._slots = asyncio.Semaphore(concurrency)
        self._subscriptions: list[Subscription] = []
        self._pullers: list[asyncio.Task[None]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, set[str]] = {}  # by command id: the reply subjects of the clients that wait
        self._heartbeats: asyncio.Task[None] | None = None

    async def open(self, names: Sequence[str], *, queue: bool) -> None:
        """Start to receive commands of these names, and to pull those in the queue; returns when the server knows."""
        for name in names:
            subscription = await self._connection.subscribe(
                f"{self._prefix}.commands.{tokens(name)}", self._on_request, "handlers"
            )
            self._subscriptions.append(subscription)
        await self._connection.flush()
        self._heartbeats = asyncio.create_task(self._send_heartbeats(), name="goes_lite_nats-heartbeats")
        if queue:
            for name in names:
                await self._ensure_consumer(name)
                task = asyncio.create_task(self._pull(name), name=f"goes_lite_nats-queue {name}")
                self._pullers.append(task)

    async def close(self, timeout: float | None = None) -> None:
        """See `goes_lite.contract.command_transport.CommandDelivery.close`."""
        for subscription in self._subscriptions:
            await self._connection.drain(subscription)
        self._subscriptions.clear()
        for puller in self._pullers:
            puller.cancel()
        await asyncio.gather(*self._pullers, return_exceptions=True)
        tasks = list(self._tasks.values())
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=timeout)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._heartbeats is not None:
            self._heartbeats.cancel()
            await asyncio.gather(self._heartbeats, return_exceptions=True)
        await self._connection.outbox.flush()
        self._ended(self)

    # --- requests -----------------------------------------------------------------------------------------------------

    async def _on_request(self, message: Msg) -> None:
        id = (message.headers or {}).get("Nats-Msg-Id", message.reply)
        self._waiting.setdefault(id, set()).add(message.reply)
        if id not in self._tasks:  # a repeated request while it is handled: handle it once, and reply to both
            self._tasks[id] = asyncio.create_task(
                self._handle_request(id, message), name=f"goes_lite_nats-command {id}"
            )

    async def _handle_request(self, id: str, message: Msg) -> None:
        try:
            async with self._slots:
                outcome = await self._handle(message.data)
            status = DONE if self._connection.fits(outcome) else TOO_LARGE
            for reply in self._waiting.pop(id, ()):
                self._reply(reply, status, outcome if status == DONE else b"")
        finally:
            self._waiting.pop(id, None)
            self._tasks.pop(id, None)

    async def _send_heartbeats(self) -> None:
        """Send heartbeats to all clients that wait."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            for replies in list(self._waiting.values()):
                for reply in replies:
                    self._reply(reply, BEGUN)

    def _reply(self, reply: str, status: str, outcome: bytes = b"") -> None:
        self._connection.outbox.put(reply, outcome, {STATUS: status})

    # --- queued commands ----------------------------------------------------------------------------------------------

    async def _pull(self, name: str) -> None:
        """Pull one command after the other, while a slot is free."""
        connection, backoff, failures = self._connection, Backoff(0.1, maximum=2.0), 0
        messages: asyncio.Queue[Msg | None] = asyncio.Queue()
        subject = f"{connection.api_prefix}.CONSUMER.MSG.NEXT.{self._streams.queue}.{consumer_name(name)}"
        pull = json.dumps(PULL).encode()

        def reconnected() -> None:
            messages.put_nowait(None)  # the new broker knows nothing of the pull

        connection.on_reconnect.append(reconnected)
        try:
            while not connection.closed:
                try:
                    await connection.wait_connected()
                    if failures:  # somebody may have deleted the stream or the consumer
                        await self._streams.again()
                        await self._ensure_consumer(name)
                    inbox = connection.inbox()
                    subscription = await connection.subscribe(inbox, messages.put)
                    try:
                        while connection.connected:
                            async with self._slots:
                                pass  # a slot is free; it may be taken when a command arrives, which waits then
                            await connection.publish(subject, pull, reply=inbox)
                            message = await _next_message(messages)
                            if message is not None:
                                await self._slots.acquire()
                                self._tasks[message.reply] = asyncio.create_task(
                                    self._handle_queued(message), name=f"goes_lite_nats-command {name}"
                                )
                            failures = 0
                    finally:
                        await connection.drain(subscription)
                        while not messages.empty():  # it arrived too late to be handled here
                            late = messages.get_nowait()
                            if late is not None and late.reply:
                                connection.outbox.put(late.reply, nak(0))
                except GoesError as exc:
                    failures += 1
                    logger.log(
                        logging.DEBUG if isinstance(exc, _Gone) and failures == 1 else logging.WARNING,
                        "commands %r cannot be pulled from the queue at the moment: %s", name, exc,
                    )  # fmt: skip
                    await asyncio.sleep(backoff(failures))
        finally:
            connection.on_reconnect.remove(reconnected)

    async def _handle_queued(self, message: Msg) -> None:
        """Handle a queued command, which has its slot already."""
        progress = asyncio.create_task(self._report_progress(message.reply))
        _, attempt, _, _ = delivery_fields(message.reply)
        id = command_id(message.headers or {})
        reply = nak(0)
        try:
            outcome = await self._attempt(message.data, attempt)
            if isinstance(outcome, bytes):
                headers = None
                if not self._connection.fits(outcome):
                    outcome, headers = b"", {STATUS: TOO_LARGE}
                await self._streams.store(f"{self._prefix}.outcomes.{id}", outcome, headers)
                reply = ACK
            else:
                reply = nak(outcome)
        except GoesError as exc:
            logger.warning("the outcome of the command %s cannot be stored, so it will be tried again: %s", id, exc)
            reply = nak(HEARTBEAT)
        finally:
            progress.cancel()
            self._slots.release()
            self._connection.outbox.put(message.reply, reply)
            self._tasks.pop(message.reply, None)

    async def _report_progress(self, reply: str) -> None:
        while True:
            await asyncio.sleep(self._connection.options.lease / 3)
            self._connection.outbox.put(reply, IN_PROGRESS)

    async def _ensure_consumer(self, name: str) -> None:
        """Create the consumer that all services of a command share."""
        connection, stream, consumer = self._connection, self._streams.queue, consumer_name(name)
        config = {
            "name": consumer, "durable_name": consumer, "ack_policy": "explicit", "deliver_policy": "all",
            "filter_subject": f"{self._prefix}.queue.{tokens(name)}", "max_ack_pending": -1,
            "ack_wait": round(connection.options.lease * NANO),
        }  # fmt: skip
        body = {"stream_name": stream, "config": config, "action": "create"}
        try:
            await connection.api(f"CONSUMER.CREATE.{stream}.{consumer}", body)
        except ApiError as exc:
            if exc.err_code != CONSUMER_EXISTS:  # another service created it, with another lease
                raise


class _Gone(BusError):
    """The queue, or the consumer, may be gone."""


def command_id(headers: Mapping[str, str]) -> str:
    """Return the id of the command in a message of the queue; what follows is the place where it was lost before."""
    return headers.get("Nats-Msg-Id", "").partition("#")[0]


async def _next_message(messages: asyncio.Queue[Msg | None]) -> Msg | None:
    """Wait for the next command; None if there was none for a while, or the pull has expired. _Gone if it was refused."""
    while True:
        try:
            async with asyncio.timeout(2 * IDLE_HEARTBEAT):
                message = await messages.get()
        except TimeoutError:
            raise _Gone("the broker says nothing any more") from None
        if message is None or message.reply:
            return message
        headers = message.headers or {}
        if (status := headers.get("Status", "")) in ("404", "408"):
            return None  # the pull has expired
        if status != "100":
            why = "there is no such queue" if status == "503" else headers.get("Description", status)
            raise _Gone(f"{why}: looking whether it has to be made again")
