"""Publishing to a stream: many events at a time, each acknowledged by the broker, each aggregate in order.

Rule of this file: at most one event of an aggregate is in flight. So whatever is lost, refused or repeated while brokers
come and go, a later event of an aggregate is never stored before an earlier one. Events are sent in the order of the call,
and arrive in that order unless one has to be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from goes_lite.errors import BusError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime.backoff import Backoff
from goes_lite_nats._api import ApiError, api_result
from goes_lite_nats._connection import POLL, Connection
from goes_lite_nats._envelope import encode
from goes_lite_nats._replies import no_responders
from goes_lite_nats._storing import ACK_TIMEOUT
from goes_lite_nats._streams import Streams
from goes_lite_nats._subjects import event_subject

if TYPE_CHECKING:
    from nats.aio.msg import Msg

MAX_IN_FLIGHT = 512
"""How many events are in flight at a time."""


class _Sent(NamedTuple):
    """A message in flight."""

    subject: str
    payload: bytes
    id: str
    reply: asyncio.Future[Msg]
    epoch: int
    """Of the connection: what was sent to a broker that is lost is sent again at once."""


class Publisher:
    """Publishes events to the stream, and waits until they are stored there."""

    def __init__(self, connection: Connection, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._backoff = Backoff(0.05, maximum=1.0)

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """Publish the events and wait until the broker has all of them; BusError after `timeout` seconds without success.

        Then it may have some of them; if they are published again, it drops those by their ids.
        """
        connection = self._connection
        await connection.wait_connected()
        prefix = connection.options.prefix
        messages = [(event.aggregate, event_subject(prefix, event), encode(event), str(event.id)) for event in events]
        in_flight: dict[AggregateRef | int, _Sent] = {}
        try:
            for number, (aggregate, subject, payload, id) in enumerate(messages):
                key = number if aggregate is None else aggregate
                if key in in_flight:
                    await self._wait_acknowledged(in_flight, key)
                elif len(in_flight) >= MAX_IN_FLIGHT:
                    await self._wait_acknowledged(in_flight, next(iter(in_flight)))
                in_flight[key] = await self._send(subject, payload, id)
            while in_flight:
                await self._wait_acknowledged(in_flight, next(iter(in_flight)))
        finally:
            for sent in in_flight.values():
                sent.reply.cancel()

    async def _send(self, subject: str, payload: bytes, id: str) -> _Sent:
        reply_subject, future = (await self._connection.replies()).expect()
        try:
            await self._connection.publish(subject, payload, {"Nats-Msg-Id": id}, reply_subject)
        except BaseException:
            future.cancel()
            raise
        return _Sent(subject, payload, id, future, self._connection.epoch)

    async def _wait_acknowledged(self, in_flight: dict[AggregateRef | int, _Sent], key: AggregateRef | int) -> None:
        """Wait until a message is acknowledged; send it again if necessary."""
        connection, sent = self._connection, in_flight[key]
        loop = asyncio.get_running_loop()
        end, tries = loop.time() + connection.options.timeout, 0
        while True:
            failure = await self._failure(sent)
            if failure is None:
                del in_flight[key]
                return
            tries += 1
            if loop.time() >= end or connection.closed:
                raise failure
            await asyncio.sleep(self._backoff(tries))
            await connection.wait_connected(max(0.0, end - loop.time()))
            if (
                not isinstance(failure, ApiError) and connection.epoch == sent.epoch
            ):  # no stream has the subject, it seems
                await self._streams.again()
            sent.reply.cancel()
            in_flight[key] = sent = await self._send(sent.subject, sent.payload, sent.id)

    async def _failure(self, sent: _Sent) -> BusError | None:
        """Wait for the acknowledgement; None if the broker has the event."""
        reply = sent.reply
        loop = asyncio.get_running_loop()
        end = loop.time() + ACK_TIMEOUT
        while not reply.done() and loop.time() < end and self._connection.epoch == sent.epoch:
            await asyncio.wait({reply}, timeout=POLL)
        if reply.cancelled():
            return BusError("the bus was closed, or the connection lost, before the broker acknowledged an event")
        if not reply.done():
            location = self._connection.address.location
            why = self._connection.refusals.why(sent.subject)
            return BusError(f"{location} did not acknowledge an event in time{': ' if why else ''}{why}")
        message = reply.result()
        if no_responders(message):
            return BusError(
                f"no stream has the subject {sent.subject!r}: check that it was not deleted, and has a leader"
            )
        try:
            api_result(sent.subject, message.data)
        except ApiError as exc:
            return exc
        return None
