"""The relay: a processor that publishes stored events to a bus, with the log as the outbox.

Rule of this file: a save does not depend on the bus, so no bus can make it fail or wait; the checkpoint of the relay defines
what is still to be published. Errors of the bus are retried like those of the store: an event is given up only if the user
asks for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from goes_lite.contract.wrapping import innermost
from goes_lite.errors import BusError, ConfigError, InvalidEventError, StoreError
from goes_lite.errors.functions import failure, form_of
from goes_lite.processor import Processor, RelayOptions, Retry
from goes_lite.processor.target import HandlerFailed, Stopping
from goes_lite.runtime.background import Background
from goes_lite.runtime.backoff import Backoff
from goes_lite.runtime.face import Face, call

if TYPE_CHECKING:
    from goes_lite.contract.backend import Backend, Transaction
    from goes_lite.contract.event_store import EventStore
    from goes_lite.events.event import Event

UNREACHABLE = (BusError, StoreError, OSError)
"""Errors of a bus for which no event is to blame: it is closed, down, full, slow, or unreachable."""

GRACE = 1.0
"""Seconds for which a stopping relay waits for a slow bus."""


class Relay(Processor):
    """A processor that publishes events; see `Database.relay`."""

    def __init__(
        self, backend: Backend, bus: Any, face: Face, *, name: str = "relay", **options: Unpack[RelayOptions]
    ) -> None:
        if not callable(getattr(bus, "publish", None)):
            raise ConfigError(f"a relay must publish to an event bus, not to {bus!r:.80}")
        log: EventStore | None = getattr(bus, "log", None)
        if log is not None and innermost(log) is innermost(backend.events):
            raise ConfigError(
                f"a relay of {backend.location} to its own bus would publish every event twice, since that bus receives all "
                "commits: use another bus, relay(other.bus) or connect(url, bus=…)"
            )
        self._publish: Callable[..., object] = (
            bus.publish if form_of(bus.publish) else face.function(bus.publish, "publish()")
        )
        self._for_ever = options.get("retry") is None
        if self._for_ever:
            options["retry"] = Retry(backoff=Backoff(maximum=5.0))
        if options.get("batch") is None:
            options["batch"] = 100
        super().__init__(backend, name, self, **options)

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        """Publish the events, retrying as needed. Stopping if it should not continue; HandlerFailed if `retry` decides."""
        failures = 0
        while events and (error := await self._failure(events)) is not None:
            if isinstance(error, InvalidEventError) or not (self._for_ever or isinstance(error, UNREACHABLE)):
                raise HandlerFailed(error, None)
            failures += 1
            self.failed(error)
            if not await self.sleep(self.retry.pause(failures)) or not self.at_work:
                raise Stopping
            await self.backend.events.head()  # StoreClosed, if the bus was closed together with the store

    async def _failure(self, events: Sequence[Event[Any]]) -> Exception | None:
        """Return the error of the bus, None if it accepted the events; Stopping if it blocks a stopping relay."""
        over = False
        error: Exception | None = BusError("publishing was interrupted, so the bus may or may not have the events")

        async def publish() -> None:
            nonlocal over, error
            try:
                await call(self._publish, events)
                error = None
            except Exception as exc:  # noqa: BLE001 - the caller decides what to do about it
                error = exc
            except BaseException as exc:  # noqa: BLE001 - a client may cancel what it waits for itself
                failure(exc)
            finally:
                over = True
                self.wake.notify()

        runtime = self.backend.runtime
        deadline: float | None = None
        work = Background(runtime, f"goes_lite-publishing {self.name}")
        work.start(publish())
        try:
            while True:
                seen = self.wake.count
                if over:
                    return error
                left: float | None = None
                if not self.at_work:
                    now = runtime.clock.monotonic()
                    deadline = now + GRACE if deadline is None else deadline
                    left = deadline - now
                    if left <= 0:
                        raise Stopping
                await runtime.wait(self.wake, seen, left)
        finally:
            if not over and not runtime.inline:  # a thread cannot be cancelled: it ends when the bus returns
                work.cancel()
                await work.join(GRACE)
