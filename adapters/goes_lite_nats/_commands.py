"""Commands over NATS: questions and answers over core NATS, and a queue in JetStream for those that nobody waits for.

Who handles a command says so, again and again until it is done. So whoever asked knows within seconds that it has died, and
asks another; and where nobody handles a command, the server says so without any wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from goes_lite.contract.command_transport import Attempt, Handle, Unheard
from goes_lite.errors import BusError, ConfigError
from goes_lite_nats._connection import LOOK, ApiError, Connection, Unanswered, unheard
from goes_lite_nats._options import Options
from goes_lite_nats._service import BEAT, BEGUN, STATUS, TOO_LARGE, Service
from goes_lite_nats._streams import NANO, NOT_FOUND, ensure
from goes_lite_nats._subjects import tokens

if TYPE_CHECKING:
    from nats.aio.msg import Msg

logger = logging.getLogger("goes_lite.nats")

SILENCE = 3 * BEAT
"""Seconds without a word after which whoever handles a command is taken for dead."""

PATIENCE = 10.0
"""Seconds for which another is sought then."""

KEPT = 7 * 86_400.0
"""Seconds for which it is kept what came of a command from the queue."""

LOOK_AGAIN = 5.0
"""Seconds after which an outcome is looked for again, for the message that tells of it may have been lost."""


def queue_stream(options: Options) -> str:
    """The stream of the commands that nobody waits for."""
    return f"{options.stream_name}-COMMANDS"


def outcome_stream(options: Options) -> str:
    """The stream of what came of them."""
    return f"{options.stream_name}-OUTCOMES"


class NatsCommands:
    """See `goes_lite.commands.CommandTransport`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = connection.options.prefix
        self.queues = connection.options.mode == "jetstream"
        self._waiting: dict[str, asyncio.Queue[Msg]] = {}
        self._inbox = ""
        self._generation = -1
        self._number = 0
        self._ready = False
        self._services: set[Service] = set()

    # --- asking -----------------------------------------------------------------------------------------------------

    async def request(self, name: str, id: UUID, body: bytes) -> bytes:
        """See `CommandTransport.request`."""
        connection, loop = self._connection, asyncio.get_running_loop()
        subject, taken = f"{self._prefix}.commands.{tokens(name)}", False
        self._number += 1
        token = str(self._number)
        replies = self._waiting[token] = asyncio.Queue()
        given_up = loop.time() + PATIENCE
        try:
            while True:
                await connection.up()
                await self._listen()
                epoch, quiet = connection.epoch, loop.time() + SILENCE
                await connection.publish(subject, body, {"Nats-Msg-Id": str(id)}, f"{self._inbox}.{token}")
                while True:
                    try:
                        async with asyncio.timeout(LOOK):
                            reply = await replies.get()
                    except TimeoutError:
                        if connection.epoch != epoch or loop.time() > quiet:
                            taken = True  # the message was lost, or whoever had it has died: ask again
                            break
                        continue
                    if unheard(reply):
                        if not taken:
                            raise Unheard
                        await asyncio.sleep(BEAT / 2)
                        break
                    status = (reply.headers or {}).get(STATUS)
                    if status == TOO_LARGE:
                        raise BusError(f"the command {name!r} {id} was done, but its result is too large for a message")
                    if status != BEGUN:
                        return reply.data
                    taken, quiet, given_up = True, loop.time() + SILENCE, loop.time() + PATIENCE
                if loop.time() > given_up:
                    raise BusError(
                        f"nobody goes on with the command {name!r} {id}, which somebody had begun, or may have: dispatch it "
                        "again under the same id when the service is back, it counts once"
                    )
        finally:
            del self._waiting[token]

    async def _listen(self) -> None:
        if self._generation != self._connection.generation:
            self._generation = self._connection.generation
            self._inbox = self._connection.inbox()
            await self._connection.subscribe(f"{self._inbox}.*", self._on_reply)

    async def _on_reply(self, message: Msg) -> None:
        replies = self._waiting.get(message.subject.rpartition(".")[2])
        if replies is not None:
            replies.put_nowait(message)

    # --- handling ---------------------------------------------------------------------------------------------------

    async def serve(self, names: Sequence[str], handle: Handle, attempt: Attempt, concurrency: int) -> Service:
        """See `CommandTransport.serve`."""
        await self._connection.up()
        if self.queues:
            await self._streams()
        service = Service(self._connection, self._services.discard, handle, attempt, concurrency)
        self._services.add(service)
        try:
            await service.open(names, queue_stream(self._connection.options) if self.queues else None)
        except BaseException:
            await service.close(0)
            raise
        return service

    async def close(self) -> None:
        """End all services of this bus."""
        for service in list(self._services):
            await service.close()

    # --- the queue --------------------------------------------------------------------------------------------------

    async def enqueue(self, name: str, id: UUID, body: bytes) -> None:
        """See `CommandTransport.enqueue`."""
        if not self.queues:
            raise BusError("core NATS has no queue: use mode=jetstream")
        await self._connection.up()
        await self._streams()
        subject = f"{self._prefix}.queue.{tokens(name)}"
        try:
            reply = await self._connection.ask(subject, body, headers={"Nats-Msg-Id": str(id)})
        except Unanswered:
            self._ready = False
            raise
        self._connection.answer(subject, reply.data)

    async def outcome(self, id: UUID, timeout: float | None) -> bytes | None:
        """See `CommandTransport.outcome`."""
        subject = f"{self._prefix}.outcomes.{id}"
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        come = asyncio.Event()

        async def hear(_: Msg) -> None:
            come.set()

        await self._connection.up()
        subscription = await self._connection.subscribe(subject, hear)
        try:
            while True:
                found = await self._look(subject)
                if found is not None:
                    return found
                left = LOOK_AGAIN if end is None else min(LOOK_AGAIN, end - loop.time())
                if left <= 0:
                    return None
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await come.wait()
                come.clear()
        finally:
            await self._connection.drain(subscription)

    async def _look(self, subject: str) -> bytes | None:
        import base64

        stream = outcome_stream(self._connection.options)
        try:
            answer = await self._connection.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
        except ApiError as exc:
            if exc.code == NOT_FOUND:
                return None
            raise
        return base64.b64decode(answer["message"].get("data", ""))

    async def _streams(self) -> None:
        if self._ready:
            return
        options = self._connection.options
        said: dict[str, Any] = {}
        if options.storage is not None:
            said["storage"] = options.storage
        if options.replicas is not None:
            said["num_replicas"] = options.replicas
        try:
            await ensure(
                self._connection, queue_stream(options), [f"{self._prefix}.queue.>"], said, retention="workqueue"
            )
            kept = {**said, "max_msgs_per_subject": 1, "max_age": round(KEPT * NANO)}
            await ensure(self._connection, outcome_stream(options), [f"{self._prefix}.outcomes.>"], kept)
        except ConfigError as exc:
            raise BusError(f"commands cannot be queued: {exc}") from exc
        self._ready = True
