"""The loop of a registered handler: take an event, call the handler, settle the delivery; on any subscription of any bus.

Rule of this file: what the return and the exceptions of a handler mean is decided here, once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from goes_lite.contract.event_bus import Delivery, Failure, Handler, Subscription
from goes_lite.errors import BusError, DeliveryError, GoesError, StoreClosed
from goes_lite.errors.functions import check_result, failure
from goes_lite.events.context import enter, leave
from goes_lite.events.event import recording_clock
from goes_lite.runtime import Runtime, Signal, own_clock
from goes_lite.runtime.background import Background
from goes_lite.runtime.backoff import Backoff, check_backoff
from goes_lite.runtime.face import call

KEPT_ERRORS = 20

_current: ContextVar[SubscriptionHandling | None] = ContextVar("_current", default=None)
"""The handling whose handler is running: in its task, its thread, or something that the handler has started."""

Bury = Callable[[Any, Exception], Awaitable[None]]
"""Settles a delivery as a dead letter."""


class SubscriptionHandling:
    """See `goes_lite.contract.event_bus.Handling`. It owns its subscription, and closes it at the end."""

    def __init__(
        self,
        runtime: Runtime,
        subscription: Subscription,
        handler: Handler,
        *,
        max_attempts: int,
        backoff: Callable[[int], float] | None,
        bury: Bury,
        ended: Callable[[SubscriptionHandling], None],
    ) -> None:
        self._runtime = runtime
        self._subscription = subscription
        self._handler = handler
        self._max_attempts = max_attempts
        self._backoff = check_backoff(backoff)
        self._bury = bury
        self._ended = ended
        self._errors: deque[Failure] = deque(maxlen=KEPT_ERRORS)
        self._failures = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._busy = False
        self._abandoned = False  # after the time that it was given to stop
        self._wake = Signal()
        self._work = Background(runtime, f"goes_lite-handler {getattr(handler, '__qualname__', handler)}")

    def start(self) -> None:
        """Start; on an event loop, BusError unless that loop is running in this thread."""
        self._runtime.works.add(self)
        try:
            self._work.start(self._run(), self._has_ended)
        except GoesError as exc:
            self._runtime.works.remove(self)
            raise BusError(str(exc)) from None

    def _has_ended(self) -> None:
        self._runtime.works.remove(self)
        self._ended(self)

    @property
    def inside(self) -> bool:
        """Whether the code that asks is run by its handler."""
        return _current.get() is self

    def halt(self) -> bool:
        """Do nothing yet: `stop`, or closing the bus, ends its subscription."""
        return False

    @property
    def running(self) -> bool:
        """Whether it takes further events."""
        return not self._stopping and not self._work.ended

    @property
    def failures(self) -> int:
        """How often it has failed so far."""
        return self._failures

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The latest failures (at most 20), oldest first."""
        return tuple(self._errors)

    async def stop(self, timeout: float | None = None) -> None:
        """See `Handling.stop`."""
        with self._lock:
            self._stopping = True
            busy = self._busy
        self._wake.notify()
        if not busy:
            await self._subscription.close()
        if self.inside or (self._abandoned and timeout is None):
            return
        if not await self._work.join(timeout):
            self._abandoned = True
            self._work.cancel()
            await self._work.join(timeout)

    async def _run(self) -> None:
        recording_clock.set(own_clock(self._runtime.clock))
        try:
            while (delivery := await self._take()) is not None:
                await self._attempt(delivery)
        except GeneratorExit:
            raise  # its event loop is gone; the finalizer of the subscription gives everything back
        except BaseException:
            await self._subscription.close()
            raise
        await self._subscription.close()

    async def _take(self) -> Delivery | None:
        tries = 0
        while True:
            with self._lock:
                self._busy = False
                if self._stopping:
                    return None
            seen = self._wake.count
            try:
                delivery = await self._subscription.__anext__()
            except StopAsyncIteration:
                return None
            except StoreClosed as exc:
                self._record(None, 1, exc)
                return None
            except Exception as exc:  # noqa: BLE001
                # The log of the bus cannot be read at the moment: nothing is lost, so try again.
                tries += 1
                self._record(None, tries, exc)
                await self._runtime.wait(self._wake, seen, self._backoff_delay(tries))
                continue
            with self._lock:
                if self._stopping:
                    return None  # closing the subscription gives it back
                self._busy = True
            return delivery

    async def _attempt(self, delivery: Delivery) -> None:
        error = await self._call(delivery)
        try:
            if error is None:
                await delivery.ack()
                return
            self._record(delivery, delivery.attempt, error)
            if delivery.attempt >= self._max_attempts:
                await self._bury(delivery, error)
            else:
                await delivery.nak(self._backoff_delay(delivery.attempt))
        except DeliveryError as exc:
            self._record(delivery, delivery.attempt, exc)  # it took longer than ack_wait; another member has it now

    async def _call(self, delivery: Delivery) -> Exception | None:
        token, context = _current.set(self), enter(delivery.event)
        try:
            await call(self._handler, delivery.event)
        except BaseException as exc:  # noqa: BLE001 - the error of the handler is the result
            error = failure(exc)
            if error is exc:
                return error
            stray = BusError(str(error))
            stray.__cause__ = exc
            return stray
        finally:
            leave(context)
            _current.reset(token)
        return None

    def _backoff_delay(self, attempt: int) -> float:
        try:
            found = self._backoff(attempt)
            check_result("backoff", found)
            return max(0.0, float(found))
        except BaseException as exc:  # noqa: BLE001 - the function is the user's
            self._record(None, attempt, failure(exc))
            return Backoff()(attempt)

    def _record(self, delivery: Delivery | None, attempt: int, error: Exception) -> None:
        import logging

        event = delivery.event if delivery is not None else None
        self._failures += 1
        self._errors.append(Failure(event, attempt, error, self._runtime.clock.now()))
        logging.getLogger("goes_lite.bus").warning("%r failed (attempt %d) on %r", self, attempt, event, exc_info=error)

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped" if self._work.ended else "stopping"
        name = getattr(self._handler, "__qualname__", repr(self._handler))
        return f"<Handling {name} {state}, {self._failures} failures, {self._subscription!r}>"
