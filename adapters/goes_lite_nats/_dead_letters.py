"""Dead letters: in a stream of their own, so every process sees those of all, and they outlive the process that failed."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from goes_lite.contract.event_bus import DeadLetter
from goes_lite.errors import BusError, CodecError, GoesError
from goes_lite.events.event import Event
from goes_lite.kit.reading import EventReader
from goes_lite_nats._api import NANO, ApiError, delivery_fields, message_headers
from goes_lite_nats._connection import Connection
from goes_lite_nats._envelope import CONTENT_TYPE, decode, encode, undecodable_event
from goes_lite_nats._replies import no_responders
from goes_lite_nats._storing import store
from goes_lite_nats._streams import Streams, dead_letter_stream
from goes_lite_nats._subjects import consumer_name, token

if TYPE_CHECKING:
    from nats.aio.msg import Msg

REDRIVEN = "Goes-Redriven"
PAGE = 256


class DeadLetterStream:
    """The dead letters of a bus."""

    def __init__(self, connection: Connection, reader: EventReader, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._reader = reader
        self._stream = dead_letter_stream(connection.options)

    async def bury(
        self,
        event: Event[Any],
        payload: bytes | None,
        group: str | None,
        label: str,
        *,
        attempts: int,
        error: str,
        key: str,
    ) -> None:
        """Keep a dead letter. BusError if the broker cannot be reached.

        `payload` is the original message, if there is one; `key` makes the call idempotent.
        """
        headers = {
            "Nats-Msg-Id": f"dead.{token(label)}.{key}",
            "Content-Type": CONTENT_TYPE,
            "Goes-Name": json.dumps(event.name),
            "Goes-Subscriber": json.dumps(label),
            "Goes-Attempts": str(attempts),
            "Goes-Error": json.dumps(error[:1000]),
        }
        if group is not None:
            headers["Goes-Group"] = json.dumps(group)
        subject = f"{self._connection.options.prefix}.dead.{token(group or '')}"
        body = payload or encode(event)
        if not self._connection.fits(body, headers):  # the headers of a letter are larger than those of an event
            headers["Goes-Error"] = json.dumps(f"(the event is too large for a dead letter) {error[:200]}")
            body = b""
        await store(self._connection, subject, body, headers, self._streams)

    async def all(self) -> list[DeadLetter]:
        """Oldest first."""
        await self._streams.again()
        with suppress(ApiError):
            if (await self._connection.api(f"STREAM.INFO.{self._stream}"))["state"]["messages"] == 0:
                return []
        created = await self._connection.api(
            f"CONSUMER.CREATE.{self._stream}",
            {
                "stream_name": self._stream,
                "config": {
                    "ack_policy": "none", "deliver_policy": "all", "mem_storage": True, "num_replicas": 1,
                    "inactive_threshold": 30 * NANO,
                },
            },
        )  # fmt: skip
        found: list[DeadLetter] = []
        try:
            await self._read(created["name"], found)
        finally:
            with suppress(GoesError):
                await self._connection.api(f"CONSUMER.DELETE.{self._stream}.{created['name']}")
        return found

    async def _read(self, name: str, found: list[DeadLetter]) -> None:
        messages: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = self._connection.inbox()
        subscription = await self._connection.subscribe(inbox, messages.put)
        pull = json.dumps({"batch": PAGE, "no_wait": True}).encode()
        try:
            while True:
                await self._connection.publish(
                    f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{name}", pull, reply=inbox
                )
                for _ in range(PAGE):
                    try:
                        async with asyncio.timeout(self._connection.options.timeout):
                            message = await messages.get()
                    except TimeoutError:
                        raise BusError("the dead letters did not arrive in time") from None
                    if not message.reply:
                        if no_responders(message):
                            raise BusError("the dead letters cannot be read at the moment: try again")
                        return  # there are no more
                    found.append(self._letter(message))
        finally:
            with self._connection.translated("the inbox of the dead letters"):
                await subscription.unsubscribe()

    def _letter(self, message: Msg) -> DeadLetter:
        headers = message.headers or {}
        _, _, sequence, time = delivery_fields(message.reply)
        label = json.loads(headers.get("Goes-Subscriber", '""'))
        try:
            event = decode(message.data)
            with suppress(CodecError, LookupError):
                event = self._reader.read(event, whole=True) or event
        except GoesError:
            name = json.loads(headers.get("Goes-Name", '"undecodable"'))
            event = undecodable_event(name, f"letter {sequence}", time // 1000, message.data)
        return DeadLetter(
            str(sequence), event, label, int(headers.get("Goes-Attempts", 0)), json.loads(headers.get("Goes-Error", '""')),
            datetime.fromtimestamp(time / NANO, timezone.utc),
        )  # fmt: skip

    async def redrive(self, letter: DeadLetter) -> None:
        """Publish its event to its group again, and forget the letter. BusError if it is gone."""
        message = await self._get(letter)
        headers = message_headers(message)
        if "Goes-Group" not in headers:
            raise BusError(
                f"{letter.subscriber!r} was a subscription of one process, and has ended: drop the letter, or publish the "
                "event"
            )
        group = json.loads(headers["Goes-Group"])
        subject = f"{self._connection.options.prefix}.redrive.{consumer_name(group)}"
        body = base64.b64decode(message.get("data", ""))
        redrive_headers = {"Nats-Msg-Id": f"redrive.{self._stream}.{letter.id}.{message['time']}", REDRIVEN: "1"}
        await store(self._connection, subject, body, redrive_headers, self._streams)
        await self.drop(letter)

    async def drop(self, letter: DeadLetter) -> None:
        """Forget the letter; BusError if it is gone already."""
        try:
            await self._connection.api(
                f"STREAM.MSG.DELETE.{self._stream}", {"seq": int(letter.id), "no_erase": True}, repeat=False
            )
        except (ApiError, ValueError) as exc:
            raise _gone(letter) from exc

    async def _get(self, letter: DeadLetter) -> dict[str, Any]:
        found = None
        if letter.id.isdecimal():
            found = await self._connection.find(f"STREAM.MSG.GET.{self._stream}", {"seq": int(letter.id)})
        if found is None:
            raise _gone(letter)
        message: dict[str, Any] = found["message"]
        return message


def _gone(letter: DeadLetter) -> BusError:
    return BusError(f"the dead letter {letter.id!r} is gone: it was redriven or dropped before")
