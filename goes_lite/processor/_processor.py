"""One instance of a processor: its options, its life cycle, and requests to it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import Context, ContextVar
from types import TracebackType
from typing import Any, Self

from goes_lite.contract.backend import TRANSACTIONS, Backend, Transaction
from goes_lite.contract.checkpoints import Lease, check_owned_name, new_owner
from goes_lite.contract.commits import hold_appends
from goes_lite.contract.event_bus import Start
from goes_lite.errors import (
    TRANSIENT,
    AbilityMissing,
    ConfigError,
    GoesError,
    InvalidQueryError,
    LeaseHeld,
    LeaseLost,
    StoreClosed,
)
from goes_lite.errors.faces import AsyncBlock
from goes_lite.errors.functions import failure
from goes_lite.errors.options import check_flag
from goes_lite.events.context import timed
from goes_lite.events.event import Event
from goes_lite.events.fields import check_not_of_workflows
from goes_lite.events.query import EVERYTHING, EventQuery, check_query
from goes_lite.processor._observed import Observed
from goes_lite.processor._retry import Retry
from goes_lite.processor._schedule import Continuously, ProcessorSchedule
from goes_lite.processor._stats import State
from goes_lite.processor._worker import Worker, store_backoff
from goes_lite.processor.feed import check_start, first_position
from goes_lite.processor.held_lease import STANDBY_INTERVAL, HeldLease
from goes_lite.processor.options import check_run_options
from goes_lite.processor.records import MAX_NAME, parked_events
from goes_lite.processor.target import Chores, Stopping, Target
from goes_lite.runtime import Signal, own_clock
from goes_lite.runtime.background import Background, Done, at_once

logger = logging.getLogger("goes_lite.processor")

AT_START = ("now", "last")
"""The starts that mean the log as it is at the moment."""

GRACE = 1.0
"""The minimum time, in seconds, for which `stop` waits after cancelling."""

_at_work: ContextVar[Processor | None] = ContextVar("_at_work", default=None)
"""The processor whose handler is running here: in its task, its thread, or anything that the handler started."""


class Processor(Observed, AsyncBlock):
    """A named, durable consumer of the log; see `Database.processor` for how to create one and what it promises."""

    of_workflow = False
    """Whether it runs a workflow: no other processor may have such a name."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        target: Target,
        *,
        query: EventQuery = EVERYTHING,
        start: Start = "beginning",
        transactional: bool = False,
        batch: int | None = None,
        schedule: ProcessorSchedule | None = None,
        retry: Retry | None = None,
        lease: float = 10.0,
    ) -> None:
        check_owned_name(name, "the name of a processor")
        if len(name.encode()) > MAX_NAME:
            raise InvalidQueryError(
                f"the name of a processor must have at most {MAX_NAME} bytes, not {len(name.encode())}"
            )
        if not self.of_workflow:
            check_not_of_workflows(name, "the name of a processor")
        check_query(query)
        if batch is None:
            batch = 500 if transactional else 1
        check_run_options(batch, schedule, retry, lease)
        check_flag("transactional", transactional)
        if transactional and TRANSACTIONS not in backend.abilities:
            raise AbilityMissing(TRANSACTIONS, backend.location)
        self.backend = backend
        self.name = name
        self.target = target
        self.query = query
        self.start_at: Start = check_start(start)
        self.transactional = transactional
        self.batch = batch
        self.schedule: ProcessorSchedule = Continuously() if schedule is None else schedule
        self.retry = Retry() if retry is None else retry
        self.owner = new_owner()
        """The name under which this instance holds the lease."""
        self.chores: Chores | None = None
        self.wake = Signal()
        """Notified of commits, of closing the store, of a request to stop, and of losing the lease."""
        self.resting = False
        self.goal: int | None = None
        """Where `catch_up` ends."""
        self.error: Exception | None = None
        """The last error."""
        self._ttl = float(lease)
        self._state: State = "idle"
        self._running = False
        self._stopping = False
        self._held: HeldLease | None = None
        self._work: Background | None = None
        self._first: int | None = None
        """What 'now' or 'last' meant when it was started, until it has a checkpoint."""
        self._waiters: set[Signal] = set()
        self._position = 0
        self._handled = self._handled_before = 0
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<Processor {self.name!r}: {self._state}, at position {self._position}, {self._handled} events handled>"

    # --- running --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until `stop` is called; stand by while another instance is active.

        ProcessorStopped if an event stops it, CheckpointMismatch if its checkpoint belongs to another store.
        """
        self._claim()
        token = _at_work.set(self)
        try:
            await self._note_first()
            await self._run()
        finally:
            _at_work.reset(token)
            self._ended()

    def _claim(self) -> None:
        """ConfigError if it is already running."""
        if self._running:
            raise ConfigError(f"the processor {self.name!r} is already running: create another one, or stop it first")
        self._running, self._stopping = True, False
        self.backend.runtime.works.add(self)

    async def _run(self) -> None:
        self._state = "standby"
        begun = False
        try:
            with self.backend.commits.watch(self.wake):
                begun, failures = True, 0
                while not self._stopping:
                    try:
                        await self._serve()
                        failures = 0
                    except TRANSIENT as exc:
                        failures += 1
                        self.failed(exc)
                        await self.sleep(store_backoff(failures))
        except StoreClosed as exc:
            if not begun or not self._is_closed():  # from another store, which the handler uses
                self._state, self.error = "failed", exc
                raise
            self._state = "stopped"
        except BaseException as exc:
            error = failure(exc)  # or raised again: cancelled, or interrupted
            self._state, self.error = "failed", error
            if error is exc:
                raise
            raise error from exc
        else:
            self._state = "stopped"
        finally:
            if self._state in ("standby", "active"):  # cancelled, or interrupted
                self._state = "stopped"
            self._tell()

    def _is_closed(self) -> bool:
        try:
            self._check_open()
        except StoreClosed:
            return True
        return False

    def _check_open(self) -> None:
        with self.backend.commits.watch(Signal()):
            pass

    async def _serve(self) -> None:
        """Become the active instance if no other is, and work until that ends."""
        held = HeldLease(self.backend, self.name, self.owner, self._ttl, self.wake, lambda: self.resting)
        try:
            lease = await held.acquire()
        except LeaseHeld:
            await self._stand_by()
            return
        self._held, self._state, self.resting = held, "active", False
        self._since, self._handled_before = self.backend.runtime.clock.monotonic(), self._handled
        self._position = 0
        try:
            with timed(own_clock(self.backend.runtime.clock)):
                await Worker(self, lease).run()
            self._stopping = self._stopping or self.goal is not None
        except LeaseLost as exc:
            self.failed(exc)
        except Stopping:
            pass
        finally:
            self._held, self._state = None, "standby"
            await held.release()

    async def catch_up(self) -> int:
        """Handle everything that is stored at this moment, whatever the schedule; return the position that was reached.

        For programs that run once, such as command-line tools. It works here, in the calling task or thread; if another
        instance is active, that one is asked to, and waited for. Errors as for `run`.
        """
        goal = await self.backend.events.head()
        if self._running:
            await self.trigger()
            await self.wait_for(goal)
            return goal
        self.goal = goal
        try:
            await self.run()
        finally:
            self.goal = None
        return goal

    async def _stand_by(self) -> None:
        if self.goal is not None:
            if await self._reached() >= self.goal:
                self._stopping = True
                return
            await self.trigger()
        await self.sleep(STANDBY_INTERVAL)

    def start(self) -> Awaitable[None]:
        """Run in the background: in a task on the event loop, or in a thread of a blocking program. `stop` ends it.

        With `start="now"` or "last", that is the end of the log at this call, not when it becomes active. What this handle
        appends later counts as later; await the result (or use `async with`), and so does what anybody else appends.

        An error that ends it earlier is in `error`, in `stats` and in the log. It does not inherit context variables, since
        it outlives the caller's work; started inside a transaction block, it begins after the end of the block.
        """
        self._claim()
        work = Background(self.backend.runtime, f"goes_lite-processor {self.name}")
        before, self._state = (
            self._state,
            "standby",
        )  # now: who waits for a position must not see how it ended last time
        try:
            noted = self._noting_first()
            Context().run(work.start, self._run_logged(noted), self._ended)
        except BaseException:
            self._state = before
            self._ended()
            raise
        self._work = work
        return noted

    def _noting_first(self) -> Awaitable[None]:
        if self.start_at not in AT_START:
            return Done()
        noted = at_once(self.backend.runtime, self._note_first(), f"goes_lite-start {self.name}")
        if not isinstance(noted, Done):
            hold_appends(self.backend.commits, noted)
        return noted

    async def _note_first(self) -> None:
        self._first = None
        if self.start_at in AT_START:
            with suppress(GoesError):  # tried again when it becomes active
                self._first = await first_position(self.backend.events, self.start_at, self.query)

    def _ended(self) -> None:
        self._running = False
        self.backend.runtime.works.remove(self)

    async def _run_logged(self, noted: Awaitable[None]) -> None:
        _at_work.set(self)
        try:
            await noted
            await self._run()
        except BaseException as exc:
            failure(exc)
            logger.exception("%r ended", self)

    @property
    def inside(self) -> bool:
        """Whether the code that asks is run by its handler."""
        return _at_work.get() is self

    def halt(self) -> bool:
        """Ask it to stop after the current batch, without waiting for that; from any thread."""
        self._stopping = True
        self.wake.notify()
        return True

    async def stop(self, timeout: float | None = None) -> None:
        """Stop after the current batch, save the checkpoint and release the lease. Stopping twice is fine.

        After `timeout` seconds a handler that awaits is cancelled; a blocking one is left. Called by its own handler, it
        does not wait. Closing the handle stops it, too. Stop it outside of transaction blocks, since its writes may wait for
        their end.
        """
        self.halt()
        if self._work is None or self.inside:
            return
        if not await self._work.join(timeout) and not self.backend.runtime.inline:
            self._work.cancel()
            await self._work.join(max(timeout or 0.0, GRACE))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # --- overridden by ProjectionProcessor ----------------------------------------------------------------------------------

    async def prepare(self, lease: Lease) -> None:
        """Called each time it becomes active, before its checkpoint is read."""

    async def check(self, tx: Transaction) -> None:
        """Called in every transaction of a batch; raises if it may no longer write."""

    async def begin_again(self, lease: Lease, position: int) -> None:
        """Discard its progress up to `position`."""
        self._first = None
        await parked_events(self.backend.models, self.name, self.backend.runtime).clear()
        await self.backend.checkpoints.save(self.name, 0, lease=lease)  # LeaseLost if another instance has taken over
        await self.backend.checkpoints.delete(self.name)

    # --- the Host of its work--------------------------------------------------------------------------------------------

    async def first_position(self) -> int:
        """Return the position after which it begins without a checkpoint."""
        return (
            await first_position(self.backend.events, self.start_at, self.query) if self._first is None else self._first
        )

    @property
    def at_work(self) -> bool:
        """Whether it should continue: it was not asked to stop, and it holds its lease."""
        return not self._stopping and self._held is not None and not self._held.lost

    async def sleep(self, seconds: float) -> bool:
        """Wait; False as soon as it is asked to stop or loses its lease. StoreClosed if the store is closed."""
        runtime = self.backend.runtime
        end = runtime.clock.monotonic() + seconds
        while True:
            seen = self.wake.count
            if self._stopping or (self._held is not None and self._held.lost):
                return False
            left = end - runtime.clock.monotonic()
            if left <= 0:
                return True
            if await runtime.wait(self.wake, seen, left):
                self._check_open()

    def reached(self, position: int) -> None:
        """Note the position that it has reached."""
        self._position, self._first = position, None
        self._tell()

    def handled(self, events: int, position: int) -> None:
        """Count events that were handled."""
        self._handled += events

    def failed(self, error: Exception, event: Event[Any] | None = None) -> None:
        """Note and log an error after which it continues."""
        self.error = error
        logger.warning("%r failed on %r", self, event, exc_info=error)
