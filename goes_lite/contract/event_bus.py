"""The EventBus protocol: how events reach subscribers, and what a name pattern means.

Rule of this file: it says what every bus promises and decides, without I/O, which names a subscription covers. Each
docstring is a list of promises, and each promise has a test in the conformance suite. Delivery is at least once: a
consumer that must not act twice remembers the event id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias

from goes_lite.contract.event_store import EventStore
from goes_lite.errors import BusError, InvalidEventError, InvalidQueryError, RegistrationError
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name

Start: TypeAlias = Literal["now", "beginning", "last"] | int | datetime
"""Where a new subscription or group begins: `"now"` (with what is published next), `"beginning"` (of the log), `"last"`
(with the last stored event that matches), a position (with the events after it), or an aware datetime (events whose own
time is not before it). All but `"now"` need the ability "replay"."""

Ordered: TypeAlias = Literal["aggregate"] | None
"""Whose order a group preserves, however many members share its events."""

Handler: TypeAlias = Callable[[Event[Any]], Awaitable[Any] | Any]
"""What `handle` calls with each event: a function, on the async face also a coroutine function."""

REPLAY = "replay"
"""The bus is backed by a log, so one can subscribe to events that were published before."""

MAX_PENDING = 64
CAPACITY = 1024


class NamePatterns(NamedTuple):
    """Which event names a subscription covers."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]
    """Each ends in a dot; the empty one covers every name."""

    def matches(self, name: str) -> bool:
        """Return whether an event of this name is covered."""
        return name in self.exact or name.startswith(self.prefixes)

    def __str__(self) -> str:
        return " ".join([*sorted(self.exact), *(f"{prefix}*" for prefix in self.prefixes)])


def parse_patterns(names: Iterable[str]) -> NamePatterns:
    """Parse names and patterns into one value; InvalidQueryError for anything else.

    - A name covers itself.
    - `order.*` covers every name that begins with `order.`, however many dots follow, but not `order` itself.
    - `*` covers every name.
    - A `*` anywhere else is an error, and so is a bare string or no name at all.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise InvalidQueryError(
            f"names is a collection of names and patterns, not {names!r:.80}: write [{names!r:.80}]"
        )
    exact: set[str] = set()
    prefixes: set[str] = set()
    for name in names:
        stem, star, rest = name.partition("*") if isinstance(name, str) else (name, "", "")
        if star and (rest or (stem and not stem.endswith("."))):
            raise InvalidQueryError(
                f"{name!r:.80} is not a pattern: a * stands alone, or at the end after a dot ('order.*')"
            )
        try:
            if not star:
                exact.add(check_name(name, "event name"))
            else:
                if stem:
                    check_name(stem[:-1], "event name pattern")
                prefixes.add(stem)
        except (InvalidEventError, RegistrationError) as exc:
            raise InvalidQueryError(str(exc)) from None
    if not exact and not prefixes:
        raise InvalidQueryError("a subscription needs at least one name; ['*'] covers every event")
    # leave out what a pattern covers anyway, so that equal coverage gives equal values
    kept = tuple(sorted(p for p in prefixes if not any(p != q and p.startswith(q) for q in prefixes)))
    return NamePatterns(frozenset(name for name in exact if not name.startswith(kept)), kept)


def check_published(events: Iterable[Event[Any]]) -> tuple[Event[Any], ...]:
    """Return the argument of `publish` as a tuple; InvalidEventError unless it contains only events."""
    published = tuple(events) if isinstance(events, Iterable) else (events,)
    for event in published:
        if not isinstance(event, Event):
            raise InvalidEventError(f"publish takes a collection of events, not {event!r:.80}")
    return published


class Delivery(Protocol):
    """One event given to one subscriber, who must settle it exactly once: with `ack` or `nak`."""

    @property
    def event(self) -> Event[Any]:
        """The event that is delivered."""
        ...

    @property
    def attempt(self) -> int:
        """The number of this attempt: 1 the first time, one more after each earlier delivery."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether a subscriber may have seen it before."""
        ...

    async def ack(self) -> None:
        """Mark it as done: it is not delivered again. DeliveryError if settled, taken back, or the subscription ended."""
        ...

    async def nak(self, delay: float | None = None) -> None:
        """Mark it as not done: it is delivered again, after `delay` seconds or at once. Errors as for `ack`."""
        ...


class Subscription(Protocol):
    """An async iterator of deliveries.

    - Deliveries come in the order of publication, also across names. Only a redelivery breaks this order, and with
      `max_pending=1` not even that within one aggregate.
    - At most `max_pending` deliveries are unsettled at a time; beyond that, iteration waits until one is settled.
    - A delivery that is unsettled when the subscription is closed or abandoned goes back: to another member of the
      group, else to the next one that joins. Without a group it is lost with its subscription.
    - Cancelling `__anext__` loses nothing.
    """

    def __aiter__(self) -> Subscription: ...

    async def __anext__(self) -> Delivery:
        """Wait for the next delivery and return it; the iteration ends when the subscription or its bus is closed."""
        ...

    async def close(self) -> None:
        """End the iteration, even one that is waiting, and give back unsettled deliveries. Closing twice is allowed."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Failure(NamedTuple):
    """A failure of a handler."""

    event: Event[Any] | None
    """None if getting an event failed, not handling one."""
    attempt: int
    error: Exception
    time: datetime


class Handling(Protocol):
    """A registered handler at work: one event at a time, in order."""

    @property
    def running(self) -> bool:
        """Whether it still accepts events."""
        ...

    @property
    def failures(self) -> int:
        """How often it has failed so far."""
        ...

    @property
    def errors(self) -> Sequence[Failure]:
        """The latest failures, oldest first."""
        ...

    async def stop(self, timeout: float | None = None) -> None:
        """Take no more events, let the current one finish, and release the task or thread. Stopping twice is allowed.

        Called by the handler itself, or by what it started, it does not wait for the handler to end.
        After `timeout` seconds a handler that awaits is cancelled and its event goes back; a blocking one is left running.
        """
        ...


class DeadLetter(NamedTuple):
    """An event that could not be given to a subscriber, or that the subscriber failed on too often."""

    id: str
    """The id of the letter, unique in its bus."""
    event: Event[Any]
    subscriber: str
    """The group, or else a description of the subscription."""
    attempts: int
    """How many attempts were made; 0 if there was never room for it."""
    error: str
    """The exception of the last attempt, as text."""
    time: datetime
    """When it became a dead letter (aware, UTC)."""


def check_letter(letter: object) -> None:
    """Raise BusError unless it is a dead letter of a bus."""
    if not isinstance(letter, DeadLetter):
        raise BusError(f"a dead letter is a DeadLetter, as dead_letters() returns it, not {letter!r:.80}")


class EventBus(Protocol):
    """Brings events to subscribers."""

    @property
    def log(self) -> EventStore | None:
        """The store whose commits the bus publishes itself; None if it publishes only what `publish` is given.

        A relay of that store to this bus is refused, because every event would arrive twice.
        """
        ...

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """Deliver the events to all subscribers of their names.

        - Subscribers get the events of one call, and of successive calls, in that order.
        - A subscriber with room gets them at once, however full others are; the call waits for the full ones.
        - Safe to call from any thread. Not atomic: a cancelled call may have reached some subscribers and not others.
        - If one of them is not an event, it raises InvalidEventError and delivers nothing.
        - BusError if the bus is closed, or is closed while the call waits.
        """
        ...

    def subscribe(
        self,
        names: Iterable[str] = ("*",),
        *,
        group: str | None = None,
        start: Start = "now",
        ordered_by: Ordered = None,
        max_pending: int = MAX_PENDING,
        capacity: int = CAPACITY,
        ack_wait: float | None = None,
    ) -> Subscription:
        """Subscribe to names and patterns (see `parse_patterns`), from this call on.

        - Without a group, it gets every matching event.
        - The members of a group share: each event goes to exactly one of them.
        - A group exists as long as the bus, or until it is reset, and keeps collecting while it has no member. Its first
          member decides names, order, start and capacity; a further member with other names or another order is a BusError
          (where only a server knows, raised by the first `__anext__`), while its start and capacity are ignored.
        - With `ordered_by="aggregate"`, at most one event of an aggregate is unsettled at a time, across all members: they
          handle each aggregate in order, and different aggregates concurrently.
        - On a bus without the ability "replay" a group collects for its members alone, and what a subscriber has no room
          for may become a dead letter.
        - At most `max_pending` deliveries are unsettled per member; at most about `capacity` events are queued.
        - A delivery that is unsettled after `ack_wait` seconds is taken back and delivered again (None: never).

        Raises InvalidQueryError for a wrong name, pattern or start; ConfigError for a wrong option; AbilityMissing for a
        start other than "now" on a bus that keeps no log; BusError on a closed bus.
        """
        ...

    def handle(
        self,
        names: Iterable[str],
        handler: Handler,
        *,
        group: str | None = None,
        start: Start = "now",
        ordered_by: Ordered = None,
        max_attempts: int = 5,
        backoff: Callable[[int], float] | None = None,
        max_pending: int = MAX_PENDING,
        capacity: int = CAPACITY,
        ack_wait: float | None = None,
    ) -> Handling:
        """Call the handler with each event, one at a time: a return is an ack, an exception a nak.

        - After a failure the event is retried `backoff(attempt)` seconds later (`Backoff()` by default).
        - After `max_attempts` it becomes a dead letter, and the other events continue.
        - While an event waits for its retry, those of other aggregates, and of none, are handled.
        """
        ...

    async def reset(self, group: str) -> None:
        """Forget a group and its pending events; the next member starts a new one. Its dead letters stay.

        Raises BusError while it has members here. Nothing happens if there is no such group.
        """
        ...

    async def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        ...

    async def redrive(self, letter: DeadLetter) -> None:
        """Deliver its event to the same subscriber again, counting attempts from 1, and remove the letter.

        Raises BusError if the letter or the subscriber no longer exists.
        """
        ...

    async def drop(self, letter: DeadLetter) -> None:
        """Remove the letter; BusError if it no longer exists."""
        ...

    async def close(self) -> None:
        """Let handlers finish their current event, then end every subscription. Closing twice is allowed.

        What is still queued in a bus without storage of its own is lost.
        """
        ...


class BusConnection(Protocol):
    """What `connect(…, bus=…)` opens in addition to the stores: a bus and its abilities. Every backend is one, too."""

    location: str
    """Where the bus is: a path or URL, without a password."""
    abilities: frozenset[str]
    """What the bus can do; only REPLAY matters."""

    @property
    def bus(self) -> EventBus: ...

    async def close(self) -> None:
        """Finish what is in progress, then release everything. Closing twice is allowed."""
        ...
