"""The service: handles commands that other services dispatch.

Rule of this file: a command from another service counts once, by its id. So the caller may ask again when a service died or
a message was lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._dispatcher import Dispatcher
from goes_lite.commands._wire import command_of, error_bytes, result_bytes
from goes_lite.commands._worker import FINAL
from goes_lite.contract.command_transport import CommandDelivery, CommandTransport
from goes_lite.errors import TRANSIENT, CommandNotHandled, CommandRejected, ConfigError
from goes_lite.errors.faces import AsyncBlock
from goes_lite.errors.functions import failure
from goes_lite.errors.options import check_number
from goes_lite.runtime import Signal
from goes_lite.runtime.backoff import check_backoff, pause_after

logger = logging.getLogger("goes_lite.commands")


class CommandService(AsyncBlock):
    """Handles commands of other services, while it runs. See `CommandBus.service`."""

    def __init__(
        self,
        bus: Dispatcher,
        transport: CommandTransport,
        *,
        concurrency: int,
        attempts: int,
        backoff: Callable[[int], float] | None,
    ) -> None:
        for name, number in (("attempts", attempts), ("concurrency", concurrency)):
            check_number(name, number, 1)
        self._bus = bus
        self._transport = transport
        self._concurrency = concurrency
        self._attempts = attempts
        self._backoff = check_backoff(backoff)
        self._serving: CommandDelivery | None = None
        self._stopped = Signal()
        self.handled = 0
        """How many commands it has answered, with a result or an error."""

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<CommandService on {self._bus.backend.location}: {state}, {self.handled} commands handled>"

    @property
    def running(self) -> bool:
        """Whether it receives commands."""
        return self._serving is not None

    async def start(self) -> None:
        """Receive commands until `stop`. ConfigError if it is already running, or if no command has a handler here."""
        if self._serving is not None:
            raise ConfigError(f"{self!r} is already running: create another one, or stop it first")
        if not self._bus.handled:
            raise ConfigError("no command has a handler here: register handlers before starting the service")
        self._bus.backend.runtime.works.add(self)
        self._serving = await self._transport.serve(self._bus.handled, self._handle, self._attempt, self._concurrency)

    async def stop(self, timeout: float | None = None) -> None:
        """Stop after the current commands. After `timeout` seconds a handler that awaits is cancelled."""
        serving, self._serving = self._serving, None
        try:
            if serving is not None:
                await serving.close(timeout)
        finally:
            self._bus.backend.runtime.works.remove(self)
            self._stopped.notify()

    inside = False

    def halt(self) -> bool:
        """Do nothing yet: `stop`, or closing the bus, tells the broker."""
        return False

    async def run(self) -> None:
        """Receive commands until `stop` is called."""
        seen = self._stopped.count
        await self.start()
        try:
            await self._bus.backend.runtime.wait(self._stopped, seen)
        finally:
            await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _handle(self, body: bytes) -> bytes:
        """Return the outcome of a command that a caller waits for."""
        try:
            return await self._done(command_of(self._bus.backend.registry, body))
        except BaseException as raised:  # by the handler: it is the answer
            exc = failure(raised)
            if not isinstance(exc, CommandRejected):  # an answer, not a failure
                logger.warning("%r answers with an error", self, exc_info=exc)
            self.handled += 1
            return error_bytes(exc)

    async def _attempt(self, body: bytes, attempt: int, /) -> bytes | float:
        """Return the outcome of a command from the queue, or the seconds until the next attempt."""
        try:
            return await self._done(command_of(self._bus.backend.registry, body))
        except BaseException as raised:  # by the handler
            exc = failure(raised)
            final = isinstance(exc, FINAL) or (attempt >= self._attempts and not isinstance(exc, TRANSIENT))
            if final:
                self.handled += 1
                return error_bytes(exc, attempt)
            logger.warning("%r will try a command again", self, exc_info=exc)
            return pause_after(attempt, self._backoff, logger)

    async def _done(self, command: DispatchedCommand[Any]) -> bytes:
        handler = self._bus.handler_of(command.name)
        if handler is None:
            raise CommandNotHandled(command.name, command.id)
        result = await self._bus.send(command)
        self.handled += 1
        return result_bytes(handler.receipts.encode(result))
