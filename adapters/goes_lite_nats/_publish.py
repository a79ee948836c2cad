"""Publishing to a stream: many at a time, each acknowledged by the broker, each aggregate in order.

Rule of this file: of one aggregate at most one event is under way. So whatever is lost, refused or sent again, when brokers
come and go, a later event of an aggregate is never stored before an earlier one. Events are sent in the order of their
call, and arrive in it unless one of them has to be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from goes_lite.errors import BusError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._connection import LOOK, ApiError, Connection, unheard
from goes_lite_nats._envelope import encode
from goes_lite_nats._subjects import event_subject

if TYPE_CHECKING:
    from nats.aio.msg import Msg

WINDOW = 512
"""How many events are under way at a time."""

ANSWER = 2.0
"""Seconds after which an event that was not acknowledged is sent again."""


class _Sent(NamedTuple):
    """A message that is under way."""

    subject: str
    payload: bytes
    id: str
    reply: asyncio.Future[Msg]
    epoch: int
    """Of the connection: what was sent to a broker that is lost is sent again at once."""


class Publisher:
    """Publishes events to the stream, and waits until they are kept there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._backoff = Backoff(0.05, maximum=1.0)

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """Until the broker has all of them. BusError after `timeout` seconds without an answer that helps.

        Then it has some of them, perhaps; published again, those are dropped by their ids.
        """
        connection = self._connection
        await connection.up()
        prefix = connection.options.prefix
        messages = [(event.aggregate, event_subject(prefix, event), encode(event), str(event.id)) for event in events]
        under_way: dict[AggregateRef | int, _Sent] = {}
        try:
            for number, (aggregate, subject, payload, id) in enumerate(messages):
                key = number if aggregate is None else aggregate
                if key in under_way:
                    await self._settle(under_way, key)
                elif len(under_way) >= WINDOW:
                    await self._settle(under_way, next(iter(under_way)))
                under_way[key] = await self._send(subject, payload, id)
            while under_way:
                await self._settle(under_way, next(iter(under_way)))
        finally:
            for sent in under_way.values():
                sent.reply.cancel()

    async def _send(self, subject: str, payload: bytes, id: str) -> _Sent:
        where, future = (await self._connection.replies()).expect()
        try:
            await self._connection.publish(subject, payload, {"Nats-Msg-Id": id}, where)
        except BaseException:
            future.cancel()
            raise
        return _Sent(subject, payload, id, future, self._connection.epoch)

    async def _settle(self, under_way: dict[AggregateRef | int, _Sent], key: AggregateRef | int) -> None:
        """Until one is acknowledged, sending it again if need be."""
        connection, sent = self._connection, under_way[key]
        loop = asyncio.get_running_loop()
        end, tries = loop.time() + connection.options.timeout, 0
        while True:
            problem = await self._problem(sent)
            if problem is None:
                del under_way[key]
                return
            tries += 1
            if loop.time() >= end or connection.closed:
                raise problem
            await asyncio.sleep(self._backoff(tries))
            await connection.up(max(0.0, end - loop.time()))
            sent.reply.cancel()
            under_way[key] = sent = await self._send(sent.subject, sent.payload, sent.id)

    async def _problem(self, sent: _Sent) -> BusError | None:
        """None if the broker has it."""
        reply = sent.reply
        loop = asyncio.get_running_loop()
        end = loop.time() + ANSWER
        while not reply.done() and loop.time() < end and self._connection.epoch == sent.epoch:
            await asyncio.wait({reply}, timeout=LOOK)
        if reply.cancelled():
            return BusError("the bus was closed, or the connection lost, before the broker had an event")
        if not reply.done():
            return BusError(f"{self._connection.target.location} did not say in time that it has an event")
        message = reply.result()
        if unheard(message):
            return BusError(f"no stream takes {sent.subject!r}: was it deleted, or has it no leader?")
        try:
            self._connection.answer(sent.subject, message.data)
        except ApiError as exc:
            return exc
        return None
