"""What the rules of processors share: handlers that record, write or block, and waits for a processor's progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from goes_lite.contract.checkpoints import Lease
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite_conformance.harness.place import Moment, Place, until

LONG = 1000.0
"""Longer than any rule takes (seconds)."""
SHORT = 0.05
"""Over soon (seconds)."""
NAME = "p"
"""The name of the processor that a rule is about."""
TALLY = "tally"


class Running(Protocol):
    """What the helpers call on a processor of either face."""

    async def stats(self) -> Any: ...


def never(_: Event[Any]) -> bool:
    """Fail on no event."""
    return False


def bad(event: Event[Any]) -> bool:
    """Return whether the text of the event marks it as bad."""
    return bool(event.data.text.startswith("bad"))


def at_once(_: int) -> float:
    """Back off for no time at all."""
    return 0.0


class Ear:
    """A handler that records the texts that it was called with, and fails on some of them."""

    def __init__(self, fails: Callable[[Event[Any]], bool] = never) -> None:
        self.fails = fails
        self.calls: list[str] = []
        """The text of each call, failed or not."""
        self.done: list[str] = []
        """The texts of the calls that did not fail."""

    def __call__(self, event: Event[Any]) -> None:
        self.calls.append(event.data.text)
        if self.fails(event):
            raise ValueError(f"no {event.data.text}")
        self.done.append(event.data.text)


class Tally:
    """A transactional handler that appends each text to a read model, then fails on some.

    The model shows which events count, in which order and how often.
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
    """Return what a Tally has committed."""
    record = await db.models.get(TALLY, "all")
    return json.loads(record.data) if record else []


class Held:
    """A handler that blocks at its first event until the rule releases it."""

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
    """Return the position of the checkpoint, 0 if there is none."""
    checkpoint = await db.checkpoints.get(name)
    return checkpoint.position if checkpoint else 0


async def reached(place: Place, db: Database, position: int, name: str = NAME) -> None:
    """Wait until the checkpoint has reached the position."""

    async def there() -> bool:
        return await stands(db, name) >= position

    await until(place, there)


async def becomes(place: Place, processor: Running, state: str) -> None:
    """Wait until the processor is in that state."""

    async def so() -> bool:
        return bool((await processor.stats()).state == state)

    await until(place, so)


async def others_turn(place: Place, db: Database) -> None:
    """Run another processor up to the head: by then, idle ones are waiting."""
    async with db.processor("turn", never, start="now"):
        await reached(place, db, await db.events.head(), "turn")


async def parked(place: Place, processor: Any, number: int) -> list[Any]:
    """Wait for this number of dead letters and return them."""

    async def there() -> bool:
        return len(await processor.parked()) == number

    await until(place, there)
    letters: list[Any] = await processor.parked()
    return letters


async def steal(db: Database, name: str = NAME) -> Lease:
    """Take the lease from the active instance, as if it had expired and another owner had taken it over."""
    held = await db.leases.get(name)
    assert held is not None
    assert await db.leases.release(held)
    return await db.leases.acquire(name, "thief", LONG)
