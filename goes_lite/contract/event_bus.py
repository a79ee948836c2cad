"""The EventBus protocol: how events reach those who subscribed to them, and what a name pattern means.

Rule of this file: it says what every bus promises and decides, purely, which names a subscription covers. Each
docstring is a list of promises, and each has a test in the conformance suite. Delivery is at least once: a consumer
that must not act twice remembers the event id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias

from goes_lite.contract.event_store import EventStore
from goes_lite.errors import InvalidEventError, InvalidQueryError, RegistrationError
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name

Start: TypeAlias = Literal["now", "beginning", "last"] | int | datetime
"""Where a new subscription or group begins: `"now"` (what is published from here on), `"beginning"` (of the log), `"last"`
(the last event there is of those that it asks for, and what comes behind it), a position (what lies behind it), or an aware
datetime (events whose own time is not before it). All but `"now"` need the ability "replay"."""

Ordered: TypeAlias = Literal["aggregate"] | None
"""What a group keeps the order of, however many members share its events."""

Handler: TypeAlias = Callable[[Event[Any]], Awaitable[Any] | Any]
"""What `handle` calls with each event: a function or a coroutine function."""

REPLAY = "replay"
"""The ability to subscribe to what was published before, because a log stands behind the bus."""

MAX_PENDING = 64
CAPACITY = 1024


class NamePatterns(NamedTuple):
    """Which event names a subscription covers."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]
    """Each ends in a dot; an empty one covers every name."""

    def matches(self, name: str) -> bool:
        """Whether an event of this name is covered."""
        return name in self.exact or name.startswith(self.prefixes)

    def __str__(self) -> str:
        return " ".join([*sorted(self.exact), *(f"{prefix}*" for prefix in self.prefixes)])


def parse_patterns(names: Iterable[str]) -> NamePatterns:
    """Names and patterns as one value; InvalidQueryError for anything else.

    - A name covers itself.
    - `order.*` covers every name that begins with `order.`, however many dots follow; not `order` itself.
    - `*` covers every name.
    - A `*` anywhere else is an error, as is no name at all, or a bare string.
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
                f"{name!r:.80} is not a pattern: a * stands alone, or at the end behind a dot ('order.*')"
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
    # what a pattern covers anyway is left out, so equal coverage is an equal value
    kept = tuple(sorted(p for p in prefixes if not any(p != q and p.startswith(q) for q in prefixes)))
    return NamePatterns(frozenset(name for name in exact if not name.startswith(kept)), kept)


def check_published(events: Iterable[Event[Any]]) -> tuple[Event[Any], ...]:
    """What `publish` was given, as a tuple; InvalidEventError for what is no event."""
    published = tuple(events) if isinstance(events, Iterable) else (events,)
    for event in published:
        if not isinstance(event, Event):
            raise InvalidEventError(f"publish takes a collection of events, not {event!r:.80}")
    return published


class Delivery(Protocol):
    """One event on its way to one subscriber, to be settled exactly once: by `ack` or by `nak`."""

    @property
    def event(self) -> Event[Any]:
        """The event that is delivered."""
        ...

    @property
    def attempt(self) -> int:
        """1 the first time, one more each time that it was given out before."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether somebody may have seen it before."""
        ...

    async def ack(self) -> None:
        """Done: it is not delivered again. DeliveryError if it is settled, taken back, or the subscription ended."""
        ...

    async def nak(self, delay: float | None = None) -> None:
        """Not done: deliver it again, after `delay` seconds or at once. Errors as for `ack`."""
        ...


class Subscription(Protocol):
    """An async iterator of deliveries.

    - Deliveries come in the order of publication, also across names. Only a redelivery breaks it, and with
      `max_pending=1` not even that within one aggregate.
    - At most `max_pending` are out unsettled; iteration waits for a settlement beyond that.
    - A delivery that is unsettled when the subscription is closed or abandoned goes back: to another member of the
      group, else to the next one that joins. Without a group it is gone with its subscription.
    - Cancelling `__anext__` loses nothing.
    """

    def __aiter__(self) -> Subscription: ...

    async def __anext__(self) -> Delivery:
        """The next delivery, when there is one; the iteration ends when the subscription or its bus is closed."""
        ...

    async def close(self) -> None:
        """End the iteration, also one that is waiting, and give back what is unsettled. Closing twice is fine."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Failure(NamedTuple):
    """What went wrong when a handler ran."""

    event: Event[Any] | None
    """None if the failure was to get an event, not to handle one."""
    attempt: int
    error: Exception
    time: datetime


class Handling(Protocol):
    """A registered handler at work: one event at a time, in order."""

    @property
    def running(self) -> bool:
        """Whether it still takes events."""
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
        """Take no more events, let the one at hand finish, and release the task or thread. Stopping twice is fine.

        Called by the handler itself, or by what it has started, it does not wait for the handler's end.
        After `timeout` seconds a handler that awaits is cancelled and its event goes back; a blocking one is left.
        """
        ...


class DeadLetter(NamedTuple):
    """An event that a subscriber could not be given, or failed on too often."""

    id: str
    """Of the letter, unique in its bus."""
    event: Event[Any]
    subscriber: str
    """The group, or else a description of the subscription."""
    attempts: int
    """How often it was tried; 0 if there was never room for it."""
    error: str
    """What the last try raised, as text."""
    time: datetime
    """When it died (aware, UTC)."""


class EventBus(Protocol):
    """Brings events to subscribers."""

    @property
    def log(self) -> EventStore | None:
        """The store whose commits the bus publishes by itself, None if it publishes only what `publish` is given.

        So a relay of that store to this bus is refused: every event would arrive twice.
        """
        ...

    async def publish(self, events: Sequence[Event[Any]]) -> None:
        """Give the events to everyone who is subscribed to their names.

        - Subscribers get the events of one call, and of calls that follow each other, in that order.
        - A subscriber with room gets them at once, however full others are; the call waits for the full ones.
        - Safe to call from any thread. Not atomic: a cancelled call may have reached some and not others.
        - InvalidEventError for what is no event; nothing of the call is delivered then.
        - BusError if the bus is closed, or is being closed while the call waits.
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
        - A group lives as long as the bus, or until it is reset: with no member it goes on collecting. Its first member
          decides names, order, start and capacity; another who names other names or another order is BusError (where only a
          server knows, raised by the first `__anext__`), another's start and capacity are ignored.
        - With `ordered_by="aggregate"`, of one aggregate at most one event is out at a time, over all members: so they
          handle each aggregate in order, and different ones side by side.
        - On a bus without the ability "replay" a group collects for its members alone, and what a subscriber has no room
          for may become a dead letter.
        - At most `max_pending` deliveries are out unsettled, per member; at most about `capacity` events are queued.
        - A delivery that is unsettled after `ack_wait` seconds is taken back and delivered again (None: never).

        InvalidQueryError for a wrong name, pattern or start; ConfigError for a wrong option; AbilityMissing for a
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
        """Call the handler with each event, one at a time: its return is an ack, its exception a nak.

        - After a failure the event is tried again `backoff(attempt)` seconds later (`Backoff()` by default).
        - After `max_attempts` it is a dead letter, and the others go on.
        - While an event waits to be tried again, those of other aggregates, and of none, are handled.
        """
        ...

    async def reset(self, group: str) -> None:
        """Forget a group, with what it has still to get: its next member begins it anew. Its dead letters stay.

        BusError while it has members here. Nothing happens if there is no such group.
        """
        ...

    async def dead_letters(self) -> list[DeadLetter]:
        """The dead letters, oldest first."""
        ...

    async def redrive(self, letter: DeadLetter) -> None:
        """Deliver its event to the same subscriber again, counting attempts from 1; the letter is gone.

        BusError if the letter is gone already, or the subscriber is.
        """
        ...

    async def drop(self, letter: DeadLetter) -> None:
        """Forget the letter; BusError if it is gone already."""
        ...

    async def close(self) -> None:
        """Let handlers finish the event at hand, then end every subscription. Closing twice is fine.

        What is still queued in a bus without storage of its own is gone with it.
        """
        ...


class Carrier(Protocol):
    """What `connect(…, bus=…)` opens besides the stores: a bus, and what it can do. A backend is one, by its own bus."""

    location: str
    """Where it is: a path or URL, without a password."""
    abilities: frozenset[str]
    """Those of the bus count: REPLAY."""

    @property
    def bus(self) -> EventBus: ...

    async def close(self) -> None:
        """Finish what is under way, then release everything. Closing twice is fine."""
        ...
