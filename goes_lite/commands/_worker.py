"""The worker: handles accepted commands when they are due, retries them, and gives up in the end.

Rule of this file: a command is in the store until its receipt is. A worker that claims it postpones the time at which others
may claim it; so one that a killed process had begun is begun again, and its receipt makes it count once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context as ContextVars
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from goes_lite.commands._accepted import KeptCommand, accepted_in, error_fields, read, restored
from goes_lite.commands._command import DispatchedCommand
from goes_lite.commands._dispatcher import Dispatcher
from goes_lite.commands._handlers import InsideHandler
from goes_lite.commands._receipts import settle_done
from goes_lite.commands._remote import RemoteCommands
from goes_lite.commands._sent import SentCommands
from goes_lite.commands._settling import done, failed, settle
from goes_lite.commands.accepting import Postponed
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import (
    TRANSIENT,
    BusError,
    CodecError,
    CommandMismatch,
    CommandRejected,
    CommandTimeout,
    ConfigError,
    GoesError,
    ModelConflict,
    ModelNotFound,
    StoreClosed,
    UnknownEventError,
)
from goes_lite.errors.faces import AsyncBlock
from goes_lite.errors.functions import failure
from goes_lite.errors.options import check_number, check_period
from goes_lite.events.fields import to_micros
from goes_lite.runtime import Signal
from goes_lite.runtime.background import Background
from goes_lite.runtime.backoff import Backoff, check_backoff, pause_after

logger = logging.getLogger("goes_lite.commands")

MAX_SLEEP = 1.0
"""The longest wait for a scheduled command, in seconds: the clock may be set, or the machine may sleep."""

CANDIDATES = 32
"""How many due commands are looked up at a time."""

FINAL = (CommandRejected, CommandTimeout, CommandMismatch, CodecError, UnknownEventError)
"""Errors that a retry would not change."""

store_backoff = Backoff(0.05, maximum=5.0)


class CommandWorker(AsyncBlock):
    """Handles accepted commands, `concurrency` at a time: in tasks on an event loop, in threads of a blocking program.

    Any number of workers may run on one store, in any number of processes; each takes the commands that have a handler on
    its bus. See `CommandBus.worker`.
    """

    def __init__(
        self, bus: Dispatcher, *, attempts: int, backoff: Callable[[int], float] | None, concurrency: int, claim: float
    ) -> None:
        for name, number in (("attempts", attempts), ("concurrency", concurrency)):
            check_number(name, number, 1)
        check_period("claim", claim)
        self._bus = bus
        self._backend = bus.backend
        self._attempts = attempts
        self._backoff = check_backoff(backoff)
        self._concurrency = concurrency
        self._claim = round(claim * 1_000_000)
        self._wake = Signal()
        self._tasks: list[Background] = []
        self._sent: SentCommands | None = None
        self._keeper: Background | None = None
        self._stopping = False
        self._begun = 0
        self.handled = 0
        """How many commands it has handled."""
        self.error: Exception | None = None
        """The last error."""

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<CommandWorker on {self._backend.location}: {state}, {self.handled} commands handled>"

    @property
    def running(self) -> bool:
        """Whether it is running."""
        return any(not task.ended for task in self._tasks)

    async def run(self) -> None:
        """Run until `stop` is called, or the handle is closed."""
        self.start()
        for task in self._tasks:
            await task.join()

    def start(self) -> None:
        """Run in the background, until `stop`. ConfigError if it is already running."""
        if self.running:
            raise ConfigError(f"{self!r} is already running: create another one, or stop it first")
        self._stopping = False
        self._tasks = [
            Background(self._backend.runtime, f"goes_lite-commands {number}") for number in range(self._concurrency)
        ]
        self._backend.runtime.works.add(self)
        for task in self._tasks:
            ContextVars().run(task.start, self._work(), self._ended)
        if (queue := self._bus.queue) is not None:
            self._sent = SentCommands(self._backend, queue, self._failed)
            self._keeper = Background(self._backend.runtime, "goes_lite-commands sent")
            ContextVars().run(self._keeper.start, self._sent.run())

    async def catch_up(self) -> int:
        """Handle the commands that are due now, and those that their handlers accept; return how many it has begun.

        For programs that run once, such as command-line tools. It works here, one command after the other, in the calling
        task or thread. What fails and is to be tried again later is left, as is what another worker has begun. ConfigError if
        the worker is running; errors of the store propagate.
        """
        if self.running:
            raise ConfigError(f"{self!r} is already running, and handles what is due: wait for an `outcome` instead")
        self._stopping, before = False, self._begun
        while not self._stopping and await self._take() == 0:
            pass
        return self._begun - before

    def _ended(self) -> None:
        if not self.running:
            self._backend.runtime.works.remove(self)

    @property
    def inside(self) -> bool:
        """Whether the code that asks is run by one of its handlers."""
        return any(task.inside for task in self._tasks)

    def halt(self) -> bool:
        """Ask it to stop after the current commands, without waiting for that; from any thread."""
        self._stopping = True
        self._wake.notify()
        if self._sent is not None:
            self._sent.halt()
        return True

    async def stop(self, timeout: float | None = None) -> None:
        """Stop after the current commands. After `timeout` seconds a handler that awaits is cancelled, a blocking one left."""
        self.halt()
        if self._keeper is not None:  # what it has begun can be done again at any time
            self._keeper.cancel()
            await self._keeper.join(1.0)
        for task in self._tasks:
            if not task.inside and not await task.join(timeout) and not self._backend.runtime.inline:
                task.cancel()
                await task.join(1.0)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        failures = 0
        with suppress(StoreClosed), self._backend.commits.watch(self._wake):
            while True:
                seen = self._wake.count  # before the look at `_stopping`: what is told in between is not slept through
                if self._stopping:
                    return
                try:
                    wait = await self._take()
                    failures = 0
                except StoreClosed:
                    raise
                except Exception as exc:  # noqa: BLE001 - the store is not usable just now
                    failures += 1
                    self._failed(exc)
                    wait = store_backoff(failures)
                if wait is None or wait > 0:
                    await self._backend.runtime.wait(self._wake, seen, wait)

    async def _take(self) -> float | None:
        """Handle some due commands; return the seconds until the next look, None to wait for a change."""
        now = self._now()
        candidates: list[KeptCommand] = []
        later = await self._look(candidates, now, {"state": "waiting"})
        if later is not None:  # if the clock was set back, some of those after it may be begun nevertheless
            await self._look(candidates, now, {"state": "waiting", "at_once": True})
        if self._concurrency > 1:  # so that the workers do not all claim the same one
            random.shuffle(candidates)
        for accepted in candidates:
            if self._stopping:
                break
            if (claimed := await self._claimed(accepted)) is not None:
                self._begun += 1
                await self._do(claimed)
        if candidates:
            return 0
        return None if later is None else min(MAX_SLEEP, (later - now) / 1_000_000)

    async def _look(self, candidates: list[KeptCommand], now: int, where: dict[str, Any]) -> int | None:
        """Add up to as many candidates as are missing; return when the next command is due, if they are all."""
        async for record in self._backend.models.query(COMMANDS, where=where, order_by="due"):
            if len(candidates) >= CANDIDATES:
                break
            accepted = read(record, self._backend.runtime.clock.now())
            if accepted.state != "waiting":  # it cannot be read, and must not stop the others
                await self._park(record, accepted)
            elif not (self._bus.queue or self._bus.handler_of(accepted.command)):
                continue
            elif accepted.due > now and "at_once" not in where:
                return accepted.due
            elif accepted.due > now or "at_once" not in where:  # the others are candidates already
                candidates.append(accepted)
        return None

    async def _park(self, record: ModelRecord, failed: KeptCommand) -> None:
        logger.warning("%r gives up on a command: %s", self, failed.error)
        with suppress(ModelConflict):  # changed in the meantime
            await accepted_in(self._backend).put(record.id, failed, expected=record.version)

    async def _claimed(self, accepted: KeptCommand) -> KeptCommand | None:
        now = self._now()

        def take(found: KeptCommand) -> KeptCommand:
            if found.state != "waiting" or (found.due > now and not found.at_once):
                raise _AlreadyClaimed
            return replace(found, due=now + self._claim, at_once=False, attempts=found.attempts + 1)

        try:
            return await accepted_in(self._backend).use(str(accepted.id), take)
        except (_AlreadyClaimed, ModelNotFound):
            return None

    async def _do(self, accepted: KeptCommand) -> None:
        try:
            command = restored(self._backend, accepted)
            queue = self._bus.queue
            if queue is not None and self._bus.handler_of(accepted.command) is None:
                await self._forward(command, accepted, queue)
                return
            result = await self._bus.send(command)
        except StoreClosed:
            raise
        except (*TRANSIENT, Postponed) as exc:
            self._failed(exc)
            pause = exc.seconds if isinstance(exc, Postponed) else store_backoff(accepted.attempts)
            await self._change(accepted, attempts=accepted.attempts - 1, due=self._after(pause))
            return
        except BaseException as raised:  # noqa: BLE001 - by the handler
            try:
                error = failure(raised)
            except GeneratorExit:  # its event loop is gone
                raise
            except BaseException:  # cancelled: another worker may begin immediately
                with suppress(GoesError):
                    await self._change(accepted, attempts=accepted.attempts - 1, due=self._now(), at_once=True)
                raise
            if isinstance(error, CommandRejected):  # an answer, not a failure
                logger.info("%s %s is rejected: %s", accepted.command, accepted.id, error)
            else:
                self._failed(error, accepted)
            if isinstance(error, FINAL) or accepted.attempts >= self._attempts:
                await settle(self._backend, accepted, failed(error))
            else:
                due = self._after(pause_after(accepted.attempts, self._backoff, logger))
                await self._change(accepted, **error_fields(error), due=due)
            return
        handler = self._bus.handler_of(accepted.command)
        if isinstance(handler, InsideHandler):
            await settle(self._backend, accepted, done(handler.receipts.encode(result)))
        else:
            await settle_done(self._backend, accepted)
        self.handled += 1

    async def _forward(self, command: DispatchedCommand[Any], accepted: KeptCommand, queue: RemoteCommands) -> None:
        """Hand it over to the queue of the event bus; while that is unreachable it waits here, and no attempt is counted."""
        try:
            await queue.forward(command, accepted.place)
        except BusError as exc:
            self._failed(exc)
            due = self._after(store_backoff(accepted.attempts))
            await self._change(accepted, attempts=accepted.attempts - 1, due=due)

    async def _change(self, accepted: KeptCommand, **fields: Any) -> None:
        with suppress(ModelNotFound):  # withdrawn, or handled elsewhere, in the meantime
            await accepted_in(self._backend).use(str(accepted.id), lambda found: replace(found, **fields))

    def _now(self) -> int:
        return to_micros(self._backend.runtime.clock.now())

    def _after(self, seconds: float) -> int:
        return self._now() + round(seconds * 1_000_000)

    def _failed(self, error: Exception, accepted: KeptCommand | None = None) -> None:
        self.error = error
        what = f"{accepted.command} {accepted.id}" if accepted else "its work"  # the data of a command may be private
        logger.warning("%r failed on %s", self, what, exc_info=error)


class _AlreadyClaimed(Exception):
    """Another worker has claimed the command."""
