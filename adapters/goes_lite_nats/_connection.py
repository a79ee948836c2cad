"""The connection to the brokers: made, kept, asked, and closed. Errors of the driver become ours here and nowhere else.

Rules of this file: no broker is needed to begin with, and none for ever: connecting goes on in the background, and what
needs a broker waits for it as long as its time-out says. What answers deliveries is handed over at once and sent in order.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from nats.aio.client import Client, __version__
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from goes_lite.errors import BusError, ConfigError, GoesError, InvalidEventError
from goes_lite_nats._login import login
from goes_lite_nats._options import Target

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

logger = logging.getLogger("goes_lite.nats")

Callback = Callable[[Msg], Awaitable[None]]

RECONNECT = 0.1
"""Seconds between two attempts to reach a broker."""

CONNECT = 2
"""Seconds that one attempt may take (nats-py wants a whole number)."""

LOOK = 0.2
"""Seconds after which it is looked whether the connection is still the same."""

HEADERS = 64
"""Bytes besides that headers may take: a server counts them too, and ends the connection over what is too large."""

DENIED = ("authorization violation", "authentication", "account expired", "nkey", "permissions violation for connect")
"""What trying again would not change. There is no type for it: a server says it in a line of text."""


class ApiError(BusError):
    """JetStream refused a request. Attributes: `code` (like that of HTTP), `err_code` (of NATS)."""

    def __init__(self, subject: str, code: int, err_code: int, description: str) -> None:
        self.code = code
        self.err_code = err_code
        super().__init__(f"JetStream refused {subject!r}: {description} (code {code}, {err_code})")


class Unanswered(BusError):
    """Nobody listens to a subject: no stream, no JetStream, no handler."""


class Connection:
    """One connection to one of the brokers, which moves to another or comes back by itself."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.options = target.options
        self.epoch = 0
        """Grows with each time that a broker was reached."""
        self.error: Exception | None = None
        """The last one that the driver told of."""
        self.reconnected: list[Callable[[], None]] = []
        """Called whenever a broker was reached again."""
        self.generation = 0
        """Grows when the driver has given up and another connection is begun: subscriptions of the old one are gone."""
        self._client = Client()
        self._up = asyncio.Event()
        self._denied = asyncio.Event()
        self._begun = False
        self._closed = False
        self._ended = False
        self._connecting: asyncio.Task[None] | None = None
        self._answers: deque[tuple[str, bytes, dict[str, str] | None]] = deque()
        self._answering = asyncio.Event()
        self._sending = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._replies: Replies | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.target.location}: {self.state}>"

    @property
    def state(self) -> str:
        """In one word."""
        return "closed" if self._closed else "connected" if self.connected else "not connected"

    @property
    def connected(self) -> bool:
        """Whether a broker is reached just now."""
        return self._up.is_set() and self._client.is_connected

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def version(self) -> tuple[int, int, int]:
        """Of the broker."""
        version = self._client.connected_server_version
        return version.major, version.minor, version.patch

    @property
    def driver(self) -> str:
        """What carries it, with versions."""
        return f"nats-py {__version__}, NATS {'.'.join(map(str, self.version))}"

    # --- its life ---------------------------------------------------------------------------------------------------

    async def open(self) -> bool:
        """Begin to connect; whether a broker was reached within `patience`. ConfigError if it does not let us in."""
        self._connecting = asyncio.create_task(self._connect(), name="goes_lite_nats-connect")
        self._writer = asyncio.create_task(self._answer_all(), name="goes_lite_nats-answers")
        denied = asyncio.create_task(self._denied.wait())
        try:
            await asyncio.wait(
                {self._connecting, denied}, timeout=self.options.patience, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            denied.cancel()
        if self._denied.is_set():
            raise ConfigError(
                f"{self.target.location} does not let this program in ({self.error}): look at user, password, token, "
                "creds or nkey"
            )
        if self._connecting.done():
            self._connecting.result()
        elif not self.connected:
            logger.warning("%s does not answer (%s): going on without, and trying on", self.target.location, self.error)
        return self.connected

    async def _connect(self) -> None:
        options, known = self.options, login(self.target)
        client = self._client
        self._begun = True
        try:
            await client.connect(
                list(self.target.servers), error_cb=self._on_error, disconnected_cb=self._on_disconnect,
                reconnected_cb=self._on_connect, lame_duck_mode_cb=self._on_lame_duck,
                closed_cb=partial(self._on_closed, client), name=options.name,
                connect_timeout=CONNECT, reconnect_time_wait=cast("int", RECONNECT), max_reconnect_attempts=-1,
                ping_interval=10, max_outstanding_pings=2, **known,
            )  # fmt: skip
        except (OSError, NatsError, ValueError) as exc:
            self.error = exc
            raise BusError(f"{self.target.location} cannot be reached: {exc}") from exc
        await self._on_connect()

    async def _on_connect(self) -> None:
        self.epoch += 1
        self._up.set()
        self._answering.set()
        for call in list(self.reconnected):
            call()

    async def _on_disconnect(self) -> None:
        self._up.clear()
        if not self._closed:
            logger.warning("%s is lost, and will be sought again", self.target.location)

    async def _on_closed(self, client: Client) -> None:
        if self._closed or client is not self._client:
            return
        logger.error("%s ended the connection (%s): beginning another one", self.target.location, self.error)
        self._client = Client()
        self._replies = None
        self.generation += 1
        self._connecting = asyncio.create_task(self._connect(), name="goes_lite_nats-connect")

    async def _on_lame_duck(self) -> None:
        logger.info("%s is about to shut down: the driver moves to another server", self.target.location)

    async def _on_error(self, error: Exception) -> None:
        self.error = error
        if not self._up.is_set() and any(word in str(error).lower() for word in DENIED):
            self._denied.set()
        logger.debug("%s: %r", self.target.location, error)

    async def close(self) -> None:
        """Send what is to be sent, and end. Closing twice is fine."""
        if self._ended:
            return
        self._ended = True
        if self.connected:
            with suppress(GoesError, TimeoutError):
                async with asyncio.timeout(2):
                    await self.answers_sent()
                    await self.flush()
        self.give_up()
        for task in (self._connecting, self._writer):
            while task is not None and not task.done():  # what is cancelled in the driver may go on for once
                task.cancel()
                await asyncio.wait({task}, timeout=LOOK)
            if task is not None and not task.cancelled():
                task.exception()  # is known, and of no interest any more
        if self._begun:  # else the driver would trip over what it has not got
            with suppress(NatsError, OSError):
                await self._client.close()
        if self._replies is not None:
            self._replies.end()
        await asyncio.sleep(0)  # the driver's own tasks have been cancelled; let them end

    def give_up(self) -> None:
        """It is to be closed, and whoever waits for a broker need not wait any longer."""
        self._closed = True
        self._up.set()

    async def up(self, timeout: float | None = None) -> None:
        """Until a broker is reached; BusError after `timeout` seconds (those of the options by default), or if closed."""
        if self.connected:
            return
        if not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.options.timeout if timeout is None else timeout):
                    while not self.connected and not self._closed:
                        await self._up.wait()
                        if not self.connected and not self._closed:
                            await asyncio.sleep(RECONNECT)
        if self._closed:
            raise BusError("the bus is closed: connect again")
        if not self.connected:
            raise BusError(f"{self.target.location} cannot be reached ({self.error}): is a server running there?")

    # --- what it carries --------------------------------------------------------------------------------------------

    @contextmanager
    def translated(self, what: str) -> Generator[None]:
        """What the driver raises in the block is raised as one of ours."""
        try:
            yield
        except MaxPayloadError as exc:
            raise InvalidEventError(
                f"{what} is larger than the {self._client.max_payload} bytes that {self.target.location} takes in one "
                "message: raise max_payload there, or keep large data elsewhere and publish where"
            ) from exc
        except NoRespondersError as exc:
            raise Unanswered(f"{what}: nobody listens there") from exc
        except (NatsError, OSError, TimeoutError) as exc:
            if self._closed:
                raise BusError("the bus is closed: connect again") from exc
            late = isinstance(exc, NatsTimeout | TimeoutError)
            raise BusError(f"{what}: {'no answer in time' if late else exc!r} ({self.target.location})") from exc

    async def publish(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Hand a message over to the driver, which sends it as soon as it can. InvalidEventError if it is too large."""
        with self.translated(subject):
            self._check_size(payload, headers)
            await self._client.publish(subject, payload, reply, dict(headers) if headers else None)

    async def subscribe(self, subject: str, callback: Callback, queue: str = "") -> Subscription:
        """Have the callback called with each message, one at a time; without bounds but those of who asks for them."""
        with self.translated(subject):
            subscribe = cast("Any", self._client).subscribe  # whose types are not complete
            made: Subscription = await subscribe(subject, queue, callback, pending_msgs_limit=0, pending_bytes_limit=0)
            return made

    async def drain(self, subscription: Subscription) -> None:
        """Listen no more; what is on its way is still received. Never fails, for a connection that is lost brings nothing."""
        try:
            async with asyncio.timeout(2):
                # The driver's own drain asks for an answer before it says that it listens no more, and drops what comes in
                # between. So say it first, see to it that the server has heard it, and clean up then.
                send = getattr(self._client, "_send_unsubscribe", None)
                if send is not None and self.connected:
                    await send(subscription._id)
                    with suppress(BusError):
                        await self.flush()
                await subscription.drain()  # type: ignore[no-untyped-call]
        except (NatsError, OSError, TimeoutError):
            with suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def flush(self) -> None:
        """Until the broker has had all that was sent: a message to ourselves is back. BusError if it does not come.

        (`flush` of the driver is no such proof: its ping may overtake what is still to be written.)
        """
        where, back = (await self.replies()).expect()
        await self.publish(where, b"")
        with self.translated("a message to itself"):
            try:
                async with asyncio.timeout(self.options.timeout):
                    await back
            except asyncio.CancelledError:
                if back.cancelled() and self._closed:
                    raise BusError("the bus is closed: connect again") from None
                raise

    def inbox(self) -> str:
        """A subject of our own."""
        return self._client.new_inbox()

    async def replies(self) -> Replies:
        """Where answers to our requests come."""
        if self._replies is None:
            self._replies = Replies(self.inbox())
            await self.subscribe(f"{self._replies.prefix}*", self._replies.receive)
        return self._replies

    async def ask(
        self, subject: str, payload: bytes, timeout: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Send a request and answer the reply. Unanswered if nobody listens, BusError if nobody answers in time."""
        timeout = self.options.timeout if timeout is None else timeout
        with self.translated(subject):
            self._check_size(payload, headers)
            return await self._client.request(subject, payload, timeout, headers=dict(headers) if headers else None)

    @property
    def api_prefix(self) -> str:
        """What the subjects of JetStream's own requests begin with."""
        return f"$JS.{self.options.domain}.API" if self.options.domain else "$JS.API"

    async def api(self, request: str, body: Mapping[str, Any] | None = None, *, repeat: bool = True) -> dict[str, Any]:
        """Ask JetStream for something. ApiError if it refuses; Unanswered where there is no JetStream.

        If the connection is lost meanwhile it is asked again, unless twice is not the same as once.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.options.timeout
        payload = json.dumps(body).encode() if body else b""
        while True:
            await self.up()
            epoch = self.epoch
            asking = asyncio.ensure_future(
                self.ask(f"{self.api_prefix}.{request}", payload, max(0.1, end - loop.time()))
            )
            try:
                while not asking.done() and (self.epoch == epoch or not repeat):
                    await asyncio.wait({asking}, timeout=LOOK)
                if asking.done():
                    return self.answer(request, asking.result().data)
            finally:
                asking.cancel()
                with suppress(asyncio.CancelledError, GoesError):
                    await asking
            if loop.time() > end:
                raise BusError(f"{request}: no answer in time ({self.target.location})")

    def answer(self, request: str, data: bytes) -> dict[str, Any]:
        """What JetStream answered."""
        answer = cast("dict[str, Any]", json.loads(data))
        if "error" in answer:
            error = answer["error"]
            raise ApiError(request, error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
        return answer

    # --- answering deliveries ---------------------------------------------------------------------------------------

    def fits(self, payload: bytes, headers: Mapping[str, str] | None = None) -> bool:
        """Whether it is not too large for one message."""
        more = sum(len(key) + len(value) + 4 for key, value in headers.items()) if headers else 0
        return len(payload) + more + HEADERS <= self._client.max_payload

    def _check_size(self, payload: bytes, headers: Mapping[str, str] | None) -> None:
        if not self.fits(payload, headers):
            raise MaxPayloadError

    def answer_later(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Have it sent, in the order of these calls, as soon as there is a broker."""
        self._answers.append((subject, payload, headers))
        self._answering.set()

    async def _answer_all(self) -> None:
        while True:
            await self._answering.wait()
            self._answering.clear()
            await self.answers_sent()

    async def answers_sent(self) -> None:
        """Until all that was to be answered before is on its way, if there is a broker."""
        if self.connected:
            with suppress(NatsError, OSError):
                await self._send_answers()

    async def _send_answers(self) -> None:
        answers = self._answers
        async with self._sending:
            while answers:
                subject, payload, headers = answers[0]
                await self._client.publish(subject, payload, headers=headers)
                answers.popleft()


class Replies:
    """Answers to what was sent, each to the future that waits for it."""

    def __init__(self, inbox: str) -> None:
        self.prefix = f"{inbox}."
        self._number = 0
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    def expect(self) -> tuple[str, asyncio.Future[Msg]]:
        """Where an answer is to go, and what will have it. Cancel the future if nobody waits any more."""
        self._number += 1
        token = str(self._number)
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        future.add_done_callback(lambda _: self._waiting.pop(token, None))
        return f"{self.prefix}{token}", future

    async def receive(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is not None and not future.done():
            future.set_result(message)

    def end(self) -> None:
        """Nothing will come any more."""
        for future in list(self._waiting.values()):
            future.cancel()


def unheard(message: Msg) -> bool:
    """Whether a reply says that nobody listens."""
    return bool(message.headers) and not message.data and (message.headers or {}).get("Status") == "503"
