"""The connection to the brokers: opened, kept, used, closed. Errors of the driver become ours here and nowhere else.

Rules of this file: no broker is needed at the start, and none stays for ever: connecting continues in the background, and
an operation that needs a broker waits for one until its timeout. Acknowledgements are queued at once and sent in order.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from nats.aio.client import __version__
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from goes_lite.errors import BusError, ConfigError, GoesError, InvalidEventError
from goes_lite_nats._api import NOT_FOUND, ApiError, api_result
from goes_lite_nats._client import BusClient
from goes_lite_nats._login import login
from goes_lite_nats._options import ServerAddress
from goes_lite_nats._outbox import Outbox
from goes_lite_nats._refusals import Refusals, denies_login, unreachable
from goes_lite_nats._replies import NoResponders, Replies

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

logger = logging.getLogger("goes_lite.nats")

Callback = Callable[[Msg], Awaitable[None]]

RECONNECT_WAIT = 0.1
"""Seconds between two attempts to connect."""

CONNECT_TIMEOUT = 2
"""Seconds that one attempt may take (nats-py requires an int)."""

POLL = 0.2
"""Seconds between two checks whether the connection is still the same."""

HEADER_MARGIN = 64
"""Bytes that headers may add: a server counts them too, and closes the connection over a message that is too large."""


class Connection:
    """One connection to one of the brokers, which reconnects by itself, to the same broker or another one."""

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self.options = address.options
        self.epoch = 0
        """Incremented each time that a broker is reached."""
        self.error: Exception | None = None
        """The last error that the driver reported."""
        self.refusals = Refusals()
        """What it does not permit."""
        self.on_reconnect: list[Callable[[], None]] = []
        """Called each time that a broker is reached."""
        self.generation = 0
        """Incremented when the driver gives up and a new client connects: the subscriptions of the old one are gone."""
        self._client = BusClient(secure=self.options.secure)
        self._reached = asyncio.Event()
        self._denied = asyncio.Event()
        self._denial: Exception | None = None  # what follows it may be less clear, such as a connection that is reset
        self._started = False
        self._closed = False
        self._closing = False
        self._connecting: asyncio.Task[None] | None = None
        self.outbox = Outbox(self._send)
        """Acknowledgements, and what else is sent without waiting for it."""
        self._replies: Replies | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.address.location}: {self.state}>"

    @property
    def state(self) -> str:
        """In one word."""
        return "closed" if self._closed else "connected" if self.connected else "not connected"

    @property
    def connected(self) -> bool:
        """Whether a broker is connected."""
        return self._reached.is_set() and self._client.is_connected

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of the broker."""
        version = self._client.connected_server_version
        return version.major, version.minor, version.patch

    @property
    def driver(self) -> str:
        """The driver and the broker, with versions."""
        return f"nats-py {__version__}, NATS {'.'.join(map(str, self.version))}"

    # --- connecting ---------------------------------------------------------------------------------------------------

    async def open(self) -> bool:
        """Start to connect; whether a broker was reached within `patience`. ConfigError if it refuses the login."""
        self._connecting = asyncio.create_task(self._connect(), name="goes_lite_nats-connect")
        self.outbox.start()
        denied = asyncio.create_task(self._denied.wait())
        try:
            await asyncio.wait(
                {self._connecting, denied}, timeout=self.options.patience, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            denied.cancel()
        if self._denied.is_set():
            raise ConfigError(unreachable(self.address.location, self._denial or self.error))
        if self._connecting.done():
            self._connecting.result()
        elif not self.connected:
            logger.warning(
                "%s does not respond (%s): still trying in the background", self.address.location, self.error
            )
        return self.connected

    async def _connect(self) -> None:
        options, credentials = self.options, login(self.address)
        client = self._client
        self._started = True
        try:
            await client.connect(
                list(self.address.servers), error_cb=self._on_error, disconnected_cb=self._on_disconnect,
                reconnected_cb=self._on_connect, lame_duck_mode_cb=self._on_lame_duck,
                closed_cb=partial(self._on_closed, client), name=options.name,
                connect_timeout=CONNECT_TIMEOUT, reconnect_time_wait=cast("int", RECONNECT_WAIT), max_reconnect_attempts=-1,
                ping_interval=10, max_outstanding_pings=2, **credentials,
            )  # fmt: skip
        except (OSError, NatsError, ValueError) as exc:
            self.error = exc
            raise BusError(f"{self.address.location} cannot be reached: {exc}") from exc
        await self._on_connect()

    async def _on_connect(self) -> None:
        self.epoch += 1
        self.refusals.clear()
        self._denial = None
        self._reached.set()
        self.outbox.wake()
        for callback in list(self.on_reconnect):
            callback()

    async def _on_disconnect(self) -> None:
        self._reached.clear()
        if not self._closed:
            logger.warning("%s is lost: reconnecting", self.address.location)

    async def _on_closed(self, client: BusClient) -> None:
        if self._closed or client is not self._client:
            return
        logger.error("%s closed the connection (%s): opening a new one", self.address.location, self.error)
        self._client = BusClient(secure=self.options.secure)
        self._replies = None
        self.generation += 1
        self._connecting = asyncio.create_task(self._connect(), name="goes_lite_nats-connect")

    async def _on_lame_duck(self) -> None:
        logger.info("%s is about to shut down: the driver moves to another server", self.address.location)

    async def _on_error(self, error: Exception) -> None:
        self.error = error
        self.refusals.note(error)
        if not self._reached.is_set() and denies_login(error):
            self._denial = error
            self._denied.set()
        logger.debug("%s: %r", self.address.location, error)

    async def close(self) -> None:
        """Send what is queued, then disconnect. Closing twice is fine."""
        if self._closing:
            return
        self._closing = True
        if self.connected:
            with suppress(GoesError, TimeoutError):
                async with asyncio.timeout(2):
                    await self.outbox.flush()
                    await self.flush()
        self.abort()
        for task in (self._connecting, self.outbox.writer):
            while task is not None and not task.done():  # the driver may swallow a cancellation once
                task.cancel()
                await asyncio.wait({task}, timeout=POLL)
            if task is not None and not task.cancelled():
                task.exception()  # retrieved, so that nobody logs it
        if self._started:  # or the driver fails on what it has not set up
            # TypeError: what a transport of Python 3.13 raises if the broker vanishes at this very moment
            with suppress(NatsError, OSError, TypeError):
                await self._client.end()
        if self._replies is not None:
            self._replies.cancel()
        await asyncio.sleep(0)  # lets the driver's own tasks, which are cancelled, end

    def abort(self) -> None:
        """Stop everything that waits for a broker, because the connection is about to be closed."""
        self._closed = True
        self._reached.set()

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait for a broker; BusError after `timeout` seconds (by default that of the options), or if closed."""
        if self.connected:
            return
        if not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.options.timeout if timeout is None else timeout):
                    while not self.connected and not self._closed:
                        await self._reached.wait()
                        if not self.connected and not self._closed:
                            await asyncio.sleep(RECONNECT_WAIT)
        if self._closed:
            raise BusError("the bus is closed: connect again")
        if not self.connected:
            raise BusError(unreachable(self.address.location, self._denial or self.error))

    # --- messages -----------------------------------------------------------------------------------------------------

    @contextmanager
    def translated(self, what: str) -> Generator[None]:
        """Raise errors of the driver as errors of ours."""
        try:
            yield
        except MaxPayloadError as exc:
            raise InvalidEventError(
                f"{what} is larger than the {self._client.max_payload} bytes that {self.address.location} accepts in one "
                "message: raise max_payload there, or store large data elsewhere and publish a reference"
            ) from exc
        except NoRespondersError as exc:
            raise NoResponders(f"{what}: nobody listens to this subject") from exc
        except (NatsError, OSError, TimeoutError) as exc:
            if self._closed:
                raise BusError("the bus is closed: connect again") from exc
            timed_out = isinstance(exc, NatsTimeout | TimeoutError)
            why = self.refusals.why(what) or ("no reply in time" if timed_out else repr(exc))
            raise BusError(f"{what}: {why} ({self.address.location})") from exc

    async def publish(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Pass a message to the driver, which sends it as soon as it can. InvalidEventError if it is too large."""
        with self.translated(subject):
            self._check_size(payload, headers)
            await self._client.publish(subject, payload, reply, dict(headers) if headers else None)

    async def subscribe(self, subject: str, callback: Callback, queue: str = "") -> Subscription:
        """Call the callback with each message, one at a time. Nothing is dropped: callers bound what they ask for."""
        with self.translated(subject):
            subscribe = cast("Any", self._client).subscribe  # its types are incomplete
            subscription: Subscription = await subscribe(
                subject, queue, callback, pending_msgs_limit=0, pending_bytes_limit=0
            )
            return subscription

    async def drain(self, subscription: Subscription) -> None:
        """Unsubscribe, and process what is already on its way. Never raises, for a lost connection delivers nothing."""
        try:
            async with asyncio.timeout(2):
                # The driver's own drain flushes before it unsubscribes, and drops what arrives in between. So unsubscribe
                # first, make sure that the server knows, and then clean up.
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
        """Wait until the broker has received everything sent so far: a message to ourselves is back. BusError if it is not.

        (`flush` of the driver does not prove that: its ping may overtake what is still to be written.)
        """
        subject, reply = (await self.replies()).expect()
        await self.publish(subject, b"")
        with self.translated("a message to itself"):
            try:
                async with asyncio.timeout(self.options.timeout):
                    await reply
            except asyncio.CancelledError:
                if reply.cancelled() and self._closed:
                    raise BusError("the bus is closed: connect again") from None
                raise

    def inbox(self) -> str:
        """Return a new subject for replies."""
        return self._client.new_inbox()

    async def replies(self) -> Replies:
        """The replies to our requests."""
        if self._replies is None:
            self._replies = Replies(self.inbox())
            await self.subscribe(f"{self._replies.prefix}*", self._replies.receive)
        return self._replies

    async def request(
        self, subject: str, payload: bytes, timeout: float | None = None, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Send a request and return the reply. NoResponders if nobody listens, BusError without a reply in time."""
        timeout = self.options.timeout if timeout is None else timeout
        with self.translated(subject):
            self._check_size(payload, headers)
            return await self._client.request(subject, payload, timeout, headers=dict(headers) if headers else None)

    @property
    def api_prefix(self) -> str:
        """The prefix of the subjects of the JetStream API."""
        return f"$JS.{self.options.domain}.API" if self.options.domain else "$JS.API"

    async def api(self, request: str, body: Mapping[str, Any] | None = None, *, repeat: bool = True) -> dict[str, Any]:
        """Send a request to the JetStream API. ApiError if it refuses; NoResponders without JetStream.

        The request is repeated if the connection is lost meanwhile, unless `repeat` is false (not idempotent).
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.options.timeout
        payload = json.dumps(body).encode() if body else b""
        while True:
            await self.wait_connected()
            epoch = self.epoch
            task = asyncio.ensure_future(
                self.request(f"{self.api_prefix}.{request}", payload, max(0.1, end - loop.time()))
            )
            try:
                while not task.done() and (self.epoch == epoch or not repeat):
                    await asyncio.wait({task}, timeout=POLL)
                if task.done():
                    return api_result(request, task.result().data)
            except NoResponders as exc:
                raise NoResponders(
                    f"{self.address.location} has no JetStream for this user: start it with `nats-server -js`, enable it for "
                    "the account, name its ?domain=…, or use ?mode=core"
                ) from exc
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError, GoesError):
                    await task
            if loop.time() > end:
                raise BusError(f"{request}: no reply in time ({self.address.location})")

    async def find(self, request: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Send a request to the JetStream API; None if its stream, consumer or message does not exist."""
        try:
            return await self.api(request, body)
        except ApiError as exc:
            if exc.code != NOT_FOUND:
                raise
            return None

    async def _send(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> bool:
        """Pass a message of the outbox to the driver; False while there is no broker."""
        if not self.connected:
            return False
        with suppress(NatsError, OSError):
            await self._client.publish(subject, payload, headers=headers)
            return True
        return False

    def fits(self, payload: bytes, headers: Mapping[str, str] | None = None) -> bool:
        """Whether the message is not too large."""
        size = sum(len(key) + len(value) + 4 for key, value in headers.items()) if headers else 0
        return len(payload) + size + HEADER_MARGIN <= self._client.max_payload

    def _check_size(self, payload: bytes, headers: Mapping[str, str] | None) -> None:
        if not self.fits(payload, headers):
            raise MaxPayloadError
