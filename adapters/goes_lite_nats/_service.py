"""One service that handles commands over NATS: it is asked, or takes from the queue, and says that it lives while it works.

Rule of this file: a command from the queue is acknowledged when it is kept what came of it, and not before.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from goes_lite.contract.command_transport import Attempt, Handle
from goes_lite.errors import GoesError
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._connection import ApiError, Connection
from goes_lite_nats._queue import ACK, PROGRESS, nak
from goes_lite_nats._streams import NANO
from goes_lite_nats._subjects import consumer, tokens

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

logger = logging.getLogger("goes_lite.nats")

BEAT = 1.0
"""Seconds after which a service says again that it is at work on a command."""

STATUS = "Goes-Status"
BEGUN = "begun"
DONE = "done"
TOO_LARGE = "too-large"

EXISTS = 10148
IDLE = 5.0


class Service:
    """Commands of some names, brought to this process."""

    def __init__(
        self,
        connection: Connection,
        ended: Callable[[Service], None],
        handle: Handle,
        attempt: Attempt,
        concurrency: int,
    ) -> None:
        self._connection = connection
        self._prefix = connection.options.prefix
        self._ended = ended
        self._handle = handle
        self._attempt = attempt
        self._free = asyncio.Semaphore(concurrency)
        self._subscriptions: list[Subscription] = []
        self._takers: list[asyncio.Task[None]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, set[str]] = {}  # by the id of a command: who waits for it
        self._alive: asyncio.Task[None] | None = None

    async def open(self, names: Sequence[str], stream: str | None) -> None:
        """Be brought commands of these names, and take those from the queue. Until the server knows of it."""
        for name in names:
            made = await self._connection.subscribe(
                f"{self._prefix}.commands.{tokens(name)}", self._on_request, "handlers"
            )
            self._subscriptions.append(made)
        await self._connection.flush()
        self._alive = asyncio.create_task(self._live(), name="goes_lite_nats-alive")
        if stream is not None:
            for name in names:
                await _consumer(self._connection, stream, name)
                task = asyncio.create_task(self._take(stream, name), name=f"goes_lite_nats-queue {name}")
                self._takers.append(task)

    async def close(self, timeout: float | None = None) -> None:
        """See `goes_lite.commands.Serving.close`."""
        for subscription in self._subscriptions:
            await self._connection.drain(subscription)
        self._subscriptions.clear()
        for taker in self._takers:
            taker.cancel()
        await asyncio.gather(*self._takers, return_exceptions=True)
        tasks = list(self._tasks.values())
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=timeout)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._alive is not None:
            self._alive.cancel()
            await asyncio.gather(self._alive, return_exceptions=True)
        await self._connection.answers_sent()
        self._ended(self)

    # --- asked ------------------------------------------------------------------------------------------------------

    async def _on_request(self, message: Msg) -> None:
        id = (message.headers or {}).get("Nats-Msg-Id", message.reply)
        self._asked.setdefault(id, set()).add(message.reply)
        if id not in self._tasks:  # asked again while it is at work, it does it once, and answers both
            self._tasks[id] = asyncio.create_task(self._answer(id, message), name=f"goes_lite_nats-command {id}")

    async def _answer(self, id: str, message: Msg) -> None:
        try:
            async with self._free:
                answer = await self._handle(message.data)
            status = DONE if self._connection.fits(answer) else TOO_LARGE
            for reply in self._asked.pop(id, ()):
                self._say(reply, status, answer if status == DONE else b"")
        finally:
            self._asked.pop(id, None)
            self._tasks.pop(id, None)

    async def _live(self) -> None:
        """Tell all who wait, again and again, that somebody is at work."""
        while True:
            await asyncio.sleep(BEAT)
            for replies in list(self._asked.values()):
                for reply in replies:
                    self._say(reply, BEGUN)

    def _say(self, reply: str, status: str, answer: bytes = b"") -> None:
        self._connection.answer_later(reply, answer, {STATUS: status})

    # --- from the queue ---------------------------------------------------------------------------------------------

    async def _take(self, stream: str, name: str) -> None:
        """Ask for one command after the other, as long as there is a hand free."""
        connection, backoff, failures = self._connection, Backoff(0.1, maximum=2.0), 0
        messages: asyncio.Queue[Msg] = asyncio.Queue()
        where = f"{connection.api_prefix}.CONSUMER.MSG.NEXT.{stream}.{consumer(name)}"
        ask = json.dumps({"batch": 1, "expires": round(6 * IDLE * NANO), "idle_heartbeat": round(IDLE * NANO)}).encode()
        while not connection.closed:
            try:
                await connection.up()
                inbox = connection.inbox()
                subscription = await connection.subscribe(inbox, messages.put)
                try:
                    while True:
                        async with self._free:
                            pass  # there is a hand free; perhaps it is not when a command comes, then that waits
                        await connection.publish(where, ask, reply=inbox)
                        message = await _next(messages)
                        if message is not None:
                            failures = 0
                            await self._free.acquire()
                            self._begin(name, message)
                        elif not connection.connected:
                            break
                finally:
                    await connection.drain(subscription)
                    while not messages.empty():  # it came too late to be begun here
                        late = messages.get_nowait()
                        if late.reply:
                            connection.answer_later(late.reply, nak(0))
            except GoesError as exc:
                failures += 1
                logger.warning("commands %r cannot be taken from the queue just now: %s", name, exc)
                await asyncio.sleep(backoff(failures))
                with suppress(GoesError):
                    await _consumer(connection, stream, name)

    def _begin(self, name: str, message: Msg) -> None:
        key = message.reply
        self._tasks[key] = asyncio.create_task(self._work(message), name=f"goes_lite_nats-command {name}")

    async def _work(self, message: Msg) -> None:
        """Do one command, whose hand was taken already."""
        alive = asyncio.create_task(self._hold(message.reply))
        fields = message.reply.split(".")
        attempt = int(fields[4 if len(fields) == 9 else 6])
        id = (message.headers or {}).get("Nats-Msg-Id", "")
        answer = nak(0)
        try:
            came = await self._attempt(message.data, attempt)
            if isinstance(came, bytes):
                subject = f"{self._prefix}.outcomes.{id}"
                kept = await self._connection.ask(subject, came)
                self._connection.answer(subject, kept.data)
                answer = ACK
            else:
                answer = nak(came)
        except GoesError as exc:
            logger.warning("what came of the command %s cannot be kept, it will be tried again: %s", id, exc)
            answer = nak(BEAT)
        finally:
            alive.cancel()
            self._free.release()
            self._connection.answer_later(message.reply, answer)
            self._tasks.pop(message.reply, None)

    async def _hold(self, reply: str) -> None:
        while True:
            await asyncio.sleep(self._connection.options.lease / 3)
            self._connection.answer_later(reply, PROGRESS)


async def _next(messages: asyncio.Queue[Msg]) -> Msg | None:
    """The next command; None if there was none for a while, or the broker forgot that it was asked."""
    while True:
        try:
            async with asyncio.timeout(2 * IDLE):
                message = await messages.get()
        except TimeoutError:
            return None
        if message.reply:
            return message
        if (message.headers or {}).get("Status") == "503":
            await asyncio.sleep(BEAT)
        if (message.headers or {}).get("Status") != "100":
            return None


async def _consumer(connection: Connection, stream: str, name: str) -> None:
    """All services that handle a command take it from one consumer."""
    config = {
        "name": consumer(name), "durable_name": consumer(name), "ack_policy": "explicit", "deliver_policy": "all",
        "filter_subject": f"{connection.options.prefix}.queue.{tokens(name)}", "max_ack_pending": -1,
        "ack_wait": round(connection.options.lease * NANO),
    }  # fmt: skip
    body = {"stream_name": stream, "config": config, "action": "create"}
    try:
        await connection.api(f"CONSUMER.CREATE.{stream}.{consumer(name)}", body)
    except ApiError as exc:
        if exc.err_code != EXISTS:  # another service has made it, with another lease
            raise
