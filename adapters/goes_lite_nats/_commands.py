"""Commands over NATS: request and reply over core NATS, and a queue in JetStream for commands that nobody waits for.

A service that handles a command sends heartbeats until it is done. So a client notices within seconds that a service has
died, and asks another one; and if no service handles a command, the server reports that at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from goes_lite.contract.command_transport import Handle, HandleQueued, NoService, TooLarge
from goes_lite.errors import BusError
from goes_lite_nats._api import message_headers
from goes_lite_nats._command_streams import CommandStreams
from goes_lite_nats._connection import POLL, Connection
from goes_lite_nats._replies import no_responders
from goes_lite_nats._service import BEGUN, HEARTBEAT, STATUS, TOO_LARGE, Service, command_id
from goes_lite_nats._subjects import tokens

if TYPE_CHECKING:
    from nats.aio.msg import Msg

logger = logging.getLogger("goes_lite.nats")

HEARTBEAT_TIMEOUT = 3 * HEARTBEAT
"""Seconds without a heartbeat after which the service that handles a command is considered dead."""

FAILOVER_TIMEOUT = 10.0
"""Seconds for which another service is looked for then."""

OUTCOME_POLL = 5.0
"""Seconds between two looks for an outcome, because the message that announces it may be lost."""


class NatsCommands:
    """See `goes_lite.contract.command_transport.CommandTransport`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = connection.options.prefix
        self.queues = connection.options.mode == "jetstream"
        self._waiting: dict[str, asyncio.Queue[Msg]] = {}
        self._inbox = ""
        self._generation = -1
        self._number = 0
        self._streams = CommandStreams(connection)
        self._services: set[Service] = set()

    # --- requests -----------------------------------------------------------------------------------------------------

    async def request(self, name: str, id: UUID, body: bytes) -> bytes:
        """See `CommandTransport.request`."""
        connection, loop = self._connection, asyncio.get_running_loop()
        subject, begun = f"{self._prefix}.commands.{tokens(name)}", False
        self._number += 1
        token = str(self._number)
        replies = self._waiting[token] = asyncio.Queue()
        give_up_at = loop.time() + FAILOVER_TIMEOUT
        try:
            while True:
                await connection.wait_connected()
                await self._subscribe_replies()
                epoch, silent_at = connection.epoch, loop.time() + HEARTBEAT_TIMEOUT
                await connection.publish(subject, body, {"Nats-Msg-Id": str(id)}, f"{self._inbox}.{token}")
                while True:
                    try:
                        async with asyncio.timeout(POLL):
                            reply = await replies.get()
                    except TimeoutError:
                        if connection.epoch != epoch or loop.time() > silent_at:
                            begun = True  # the request was lost, or the service has died: ask again
                            break
                        continue
                    if no_responders(reply):
                        if not begun:
                            raise NoService
                        await asyncio.sleep(HEARTBEAT / 2)
                        break
                    status = (reply.headers or {}).get(STATUS)
                    if status == TOO_LARGE:
                        raise TooLarge
                    if status != BEGUN:
                        return reply.data
                    begun, silent_at, give_up_at = True, loop.time() + HEARTBEAT_TIMEOUT, loop.time() + FAILOVER_TIMEOUT
                if loop.time() > give_up_at:
                    raise BusError(
                        f"the outcome of the command {name!r} {id} is unknown: a service may have begun it, and none continues "
                        "it; dispatch it again under the same id when a service is back, it counts once"
                    )
        finally:
            del self._waiting[token]

    async def _subscribe_replies(self) -> None:
        if self._generation != self._connection.generation:
            self._generation = self._connection.generation
            self._inbox = self._connection.inbox()
            await self._connection.subscribe(f"{self._inbox}.*", self._on_reply)

    async def _on_reply(self, message: Msg) -> None:
        replies = self._waiting.get(message.subject.rpartition(".")[2])
        if replies is not None:
            replies.put_nowait(message)

    # --- services -----------------------------------------------------------------------------------------------------

    async def serve(self, names: Sequence[str], handle: Handle, attempt: HandleQueued, concurrency: int) -> Service:
        """See `CommandTransport.serve`."""
        await self._connection.wait_connected()
        if self.queues:
            await self._streams.ready()
        service = Service(self._connection, self._streams, self._services.discard, handle, attempt, concurrency)
        self._services.add(service)
        try:
            await service.open(names, queue=self.queues)
        except BaseException:
            await service.close(0)
            raise
        return service

    async def close(self) -> None:
        """Close all services of this bus."""
        for service in list(self._services):
            await service.close()

    # --- the queue ----------------------------------------------------------------------------------------------------

    async def enqueue(self, name: str, id: UUID, body: bytes, lost: str = "") -> str:
        """See `CommandTransport.enqueue`."""
        if not self.queues:
            raise BusError("core NATS has no queue: use mode=jetstream")
        streams, message_id = self._streams, str(id)
        await streams.ready()
        if lost:  # with an id of its own, or the broker may drop it because it had the first one
            message_id = f"{id}#{lost}"
            purge = f"STREAM.PURGE.{streams.outcomes}"
            await self._connection.find(purge, {"filter": f"{self._prefix}.outcomes.{id}"})
        subject = f"{self._prefix}.queue.{tokens(name)}"
        stored = await streams.store(subject, body, {"Nats-Msg-Id": message_id})
        return str(stored.get("seq") or "")

    async def queued(self, id: UUID, place: str) -> bool:
        """See `CommandTransport.queued`."""
        if not place.isdecimal():
            return False
        found = await self._connection.find(f"STREAM.MSG.GET.{self._streams.queue}", {"seq": int(place)})
        # another command may have that place in a stream that was made again
        return found is not None and command_id(message_headers(found["message"])) == str(id)

    async def outcome(self, id: UUID, timeout: float | None) -> bytes | None:
        """See `CommandTransport.outcome`."""
        subject = f"{self._prefix}.outcomes.{id}"
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        announced = asyncio.Event()

        async def announce(_: Msg) -> None:
            announced.set()

        await self._connection.wait_connected()
        if timeout is not None and timeout <= 0:
            return await self._stored_outcome(subject)
        subscription = await self._connection.subscribe(subject, announce)
        try:
            while True:
                found = await self._stored_outcome(subject)
                if found is not None:
                    return found
                left = OUTCOME_POLL if end is None else min(OUTCOME_POLL, end - loop.time())
                if left <= 0:
                    return None
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await announced.wait()
                announced.clear()
        finally:
            await self._connection.drain(subscription)

    async def _stored_outcome(self, subject: str) -> bytes | None:
        import base64

        found = await self._connection.find(f"STREAM.MSG.GET.{self._streams.outcomes}", {"last_by_subj": subject})
        if found is None:
            return None
        if message_headers(found["message"]).get(STATUS) == TOO_LARGE:
            raise TooLarge
        return base64.b64decode(found["message"].get("data", ""))
