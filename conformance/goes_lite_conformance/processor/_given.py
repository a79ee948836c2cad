"""What the rules of processors share: handlers that remember, that write, that are held; where a processor stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from goes_lite.contract.checkpoints import Lease
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite_conformance.harness.place import Moment, Place, until

LONG = 1000.0
"""Seconds that no rule takes."""
SHORT = 0.05
"""Seconds that are soon over."""
NAME = "p"
"""Of the processor that a rule is about."""
TALLY = "tally"


class Running(Protocol):
    """What the rules ask of a processor on either face, beside what they call by name."""

    async def stats(self) -> Any: ...


def never(_: Event[Any]) -> bool:
    """A handler that fails on nothing."""
    return False


def bad(event: Event[Any]) -> bool:
    """Whether its text says so."""
    return bool(event.data.text.startswith("bad"))


def at_once(_: int) -> float:
    """A backoff for those who have no time."""
    return 0.0


class Ear:
    """A handler that remembers the texts that it was called with, and fails on some of them."""

    def __init__(self, fails: Callable[[Event[Any]], bool] = never) -> None:
        self.fails = fails
        self.calls: list[str] = []
        """The text of each call, failed or not."""
        self.done: list[str] = []
        """The texts of those that did not fail."""

    def __call__(self, event: Event[Any]) -> None:
        self.calls.append(event.data.text)
        if self.fails(event):
            raise ValueError(f"no {event.data.text}")
        self.done.append(event.data.text)


class Tally:
    """A transactional handler that writes each text into a read model, behind the others, and then fails on some.

    So the model tells, in their order, which events count, and how often each.
    """

    def __init__(self, fails: Callable[[Event[Any]], bool] = never) -> None:
        self.fails = fails
        self.calls: list[str] = []

    async def __call__(self, event: Event[Any], tx: Any) -> None:
        self.calls.append(event.data.text)
        record = await tx.models.get(TALLY, "all")
        counted: list[str] = json.loads(record.data) if record else []
        await tx.models.put(TALLY, "all", json.dumps([*counted, event.data.text]))
        if self.fails(event):
            raise ValueError(f"no {event.data.text}")


async def tallied(db: Database) -> list[str]:
    """What a Tally has written down, as everybody sees it."""
    record = await db.models.get(TALLY, "all")
    return json.loads(record.data) if record else []


class Held:
    """A handler that is held at its first event until the rule lets it go."""

    def __init__(self, place: Place) -> None:
        self.entered, self.let = Moment(place), Moment(place)
        self.calls: list[str] = []
        self.left: list[str] = []

    async def __call__(self, event: Event[Any]) -> None:
        self.calls.append(event.data.text)
        self.entered.come()
        await self.let.wait()
        self.left.append(event.data.text)


async def stands(db: Database, name: str = NAME) -> int:
    """The position of its checkpoint, 0 if there is none."""
    checkpoint = await db.checkpoints.get(name)
    return checkpoint.position if checkpoint else 0


async def behind(place: Place, db: Database, position: int, name: str = NAME) -> None:
    """Until its checkpoint has come to the position."""

    async def there() -> bool:
        return await stands(db, name) >= position

    await until(place, there)


async def becomes(place: Place, processor: Running, state: str) -> None:
    """Until it is in that state."""

    async def so() -> bool:
        return bool((await processor.stats()).state == state)

    await until(place, so)


async def others_turn(place: Place, db: Database) -> None:
    """Until a processor that begins now has begun and ended: by then, those that have nothing to do wait for something."""
    async with db.processor("turn", never, start="now"):
        await behind(place, db, await db.events.head(), "turn")


async def parked(place: Place, processor: Any, number: int) -> list[Any]:
    """The dead letters, once there are so many."""

    async def there() -> bool:
        return len(await processor.parked()) == number

    await until(place, there)
    letters: list[Any] = await processor.parked()
    return letters


async def steal(db: Database, name: str = NAME) -> Lease:
    """Take the lease of the active one away, as if it had expired and another had taken it over."""
    held = await db.leases.get(name)
    assert held is not None
    assert await db.leases.release(held)
    return await db.leases.acquire(name, "thief", LONG)
