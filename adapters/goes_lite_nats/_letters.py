"""Dead letters: kept in a stream of their own, so every process sees those of all, and they outlive whoever failed."""

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
from goes_lite_nats._connection import ApiError, Connection, unheard
from goes_lite_nats._envelope import CONTENT_TYPE, decode, encode, undecodable
from goes_lite_nats._streams import NANO, NOT_FOUND, dead
from goes_lite_nats._subjects import consumer, token

if TYPE_CHECKING:
    from nats.aio.msg import Msg

NO_MESSAGE = 10037
REDRIVEN = "Goes-Redriven"
PAGE = 256


class Letters:
    """The dead letters of a bus."""

    def __init__(self, connection: Connection, reader: EventReader) -> None:
        self._connection = connection
        self._reader = reader
        self._stream = dead(connection.options)

    async def bury(self, event: Event[Any], payload: bytes | None, group: str | None, label: str, **said: Any) -> str:
        """Keep a letter, and answer its id. BusError if the broker cannot be reached.

        `payload` is the message as it came, where it can still be had. `attempts`, `error` and a `key` that makes twice
        the same as once.
        """
        headers = {
            "Nats-Msg-Id": f"dead.{token(label)}.{said['key']}",
            "Content-Type": CONTENT_TYPE,
            "Goes-Name": json.dumps(event.name),
            "Goes-Subscriber": json.dumps(label),
            "Goes-Attempts": str(said["attempts"]),
            "Goes-Error": json.dumps(said["error"][:1000]),
        }
        if group is not None:
            headers["Goes-Group"] = json.dumps(group)
        subject = f"{self._connection.options.prefix}.dead.{token(group or '')}"
        body = payload or encode(event)
        if not self._connection.fits(body, headers):  # as an event it was just small enough
            headers["Goes-Error"] = json.dumps(f"(the event is too large for a dead letter) {said['error'][:200]}")
            body = b""
        return str((await self._store(subject, body, headers))["seq"])

    async def _store(self, subject: str, payload: bytes, headers: dict[str, str]) -> dict[str, Any]:
        await self._connection.up()
        reply = await self._connection.ask(subject, payload, headers=headers)
        return self._connection.answer(subject, reply.data)

    async def all(self) -> list[DeadLetter]:
        """Oldest first."""
        with suppress(ApiError):
            if (await self._connection.api(f"STREAM.INFO.{self._stream}"))["state"]["messages"] == 0:
                return []
        made = await self._connection.api(
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
            await self._read(made["name"], found)
        finally:
            with suppress(GoesError):
                await self._connection.api(f"CONSUMER.DELETE.{self._stream}.{made['name']}")
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
                        raise BusError("the dead letters did not come in time") from None
                    if not message.reply:
                        if unheard(message):
                            raise BusError("the dead letters cannot be read just now")
                        return  # there are no more
                    found.append(self._letter(message))
        finally:
            with self._connection.translated("the inbox of the dead letters"):
                await subscription.unsubscribe()

    def _letter(self, message: Msg) -> DeadLetter:
        headers = message.headers or {}
        fields = message.reply.split(".")
        where = 5 if len(fields) == 9 else 7  # of the sequence; the newer form has a domain and an account besides
        seq, time = fields[where], int(fields[where + 2])
        label = json.loads(headers.get("Goes-Subscriber", '""'))
        try:
            event = decode(message.data)
            with suppress(CodecError, LookupError):
                event = self._reader.read(event, whole=True) or event
        except GoesError:
            name = json.loads(headers.get("Goes-Name", '"undecodable"'))
            event = undecodable(name, f"letter {seq}", time // 1000, message.data)
        return DeadLetter(
            seq, event, label, int(headers.get("Goes-Attempts", 0)), json.loads(headers.get("Goes-Error", '""')),
            datetime.fromtimestamp(time / NANO, timezone.utc),
        )  # fmt: skip

    async def redrive(self, letter: DeadLetter) -> None:
        """Publish its event to its group once more, and forget the letter. BusError if it is gone."""
        message = await self._get(letter)
        headers = _headers(message)
        if "Goes-Group" not in headers:
            raise BusError(
                f"{letter.subscriber!r} was a subscription of one process, and has ended: drop the letter, or publish its "
                "event"
            )
        group = json.loads(headers["Goes-Group"])
        subject = f"{self._connection.options.prefix}.redrive.{consumer(group)}"
        body = base64.b64decode(message.get("data", ""))
        again = {"Nats-Msg-Id": f"redrive.{self._stream}.{letter.id}.{message['time']}", REDRIVEN: "1"}
        await self._store(subject, body, again)
        await self.drop(letter)

    async def drop(self, letter: DeadLetter) -> None:
        """Forget it; BusError if it is gone already."""
        try:
            await self._connection.api(
                f"STREAM.MSG.DELETE.{self._stream}", {"seq": int(letter.id), "no_erase": True}, repeat=False
            )
        except (ApiError, ValueError) as exc:
            raise _gone(letter) from exc

    async def _get(self, letter: DeadLetter) -> dict[str, Any]:
        try:
            answer = await self._connection.api(f"STREAM.MSG.GET.{self._stream}", {"seq": int(letter.id)})
        except (ApiError, ValueError) as exc:
            if isinstance(exc, ApiError) and exc.code != NOT_FOUND:
                raise
            raise _gone(letter) from exc
        message: dict[str, Any] = answer["message"]
        return message


def _headers(message: dict[str, Any]) -> dict[str, str]:
    lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
    return {key: value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}


def _gone(letter: DeadLetter) -> BusError:
    return BusError(f"the dead letter {letter.id!r} is gone: it was redriven or dropped before")
