"""What the tests of processors share: a store on each face, time in the test's hands, handlers that remember."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from goes_lite_conformance.harness.faces import awaited
from goes_lite_conformance.harness.place import Alongside

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.contract.backend import Backend
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite.runtime import InlineRuntime, LoopRuntime, Signal, drive
from goes_lite.testing import FakeClock

PATIENCE = 10.0  # seconds after which a test that hangs fails; nothing is measured by it
LOOK_AGAIN = 0.005  # seconds, where nothing tells that what is waited for has come
DAY = 86_400.0  # a lease that nobody renews while a test runs
NAME = "p"
MEMORY = "sqlite:///:memory:"

Face: TypeAlias = Literal["async", "blocking"]

registry = goes.Registry()


@registry.event("test.noted")
@dataclass(frozen=True)
class Noted:
    number: int


@registry.event("test.other")
@dataclass(frozen=True)
class Other:
    number: int


ONLY_NOTED = goes.EventQuery(["test.noted"])


def note(number: int, of: str | None = None, version: int = 0, **fields: Any) -> Event[Noted]:
    aggregate = ("account", of) if of else None
    return Event(Noted(number), aggregate=aggregate, version=version, registry=registry, **fields)


def notes(first: int, last: int) -> list[Event[Noted]]:
    return [note(number) for number in range(first, last + 1)]


def other(number: int = 0, **fields: Any) -> Event[Other]:
    return Event(Other(number), registry=registry, **fields)


class World:
    """One of the faces, a fake clock, and a place for a file."""

    def __init__(self, face: Face, folder: Path) -> None:
        self.face: Face = face
        self.clock = FakeClock()
        self.path = str(folder / "app.db")
        self.real = LoopRuntime() if face == "async" else InlineRuntime()
        """Waits by real time, for whoever waits for the others."""

    @asynccontextmanager
    async def open(
        self, url: str = MEMORY, *, wrap: Callable[[Backend], Backend] = lambda backend: backend, **options: Any
    ) -> AsyncGenerator[Database]:
        """A handle, awaited on either face; what it is used through can be wrapped around the backend."""
        settings: dict[str, Any] = {"registry": registry, "clock": self.clock, **options}
        if url == self.path:
            settings = {"durability": "memory", **settings}
        if self.face == "async":
            async with goes.connect(url, **settings) as db:
                yield Database(wrap(db.backend))
        else:
            with goes.blocking.connect(url, **settings) as db:
                yield awaited(BlockingDatabase(wrap(db.backend), db._portal))

    def run(self, test: Coroutine[Any, Any, None]) -> None:
        if self.face == "async":
            asyncio.run(asyncio.wait_for(test, 3 * PATIENCE))
        else:
            drive(test)

    def alongside(self, coroutine: Coroutine[Any, Any, Any]) -> Alongside:
        return Alongside(coroutine, loop=self.face == "async")

    async def waiting(self, n: int = 2) -> None:
        """Until n wait by the clock: a processor that has nothing to do is two of them, with the renewal of its lease."""
        await self.waiting_on(self.clock, n)

    async def waiting_on(self, clock: FakeClock, n: int) -> None:
        if self.face == "async":
            await clock.until_waiting(n)
        else:
            clock.block_until_waiting(n)

    async def until(self, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        """Let the others go on until it holds, at the time that it is."""
        end = time.monotonic() + PATIENCE
        while True:
            count = self.clock.changed.count
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            assert time.monotonic() < end, f"it never came true; {self.clock!r} with {self.clock.waiters}"
            await self.real.wait(self.clock.changed, count, LOOK_AGAIN)

    def stopping(self, processor: Any) -> bool:
        """Whether it has heard that it is to stop."""
        return not (processor if self.face == "async" else processor.target.processor).at_work

    async def passing(self, seconds: float, step: float, n: int = 2) -> None:
        """Let so much time pass in steps, and all n come to rest after each."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            await self.waiting(n)


class Calls:
    """A handler, of events or of lists of them, in a transaction or not, that remembers when it was called with what."""

    def __init__(self, clock: FakeClock, fails: Callable[[int], bool] = lambda _: False) -> None:
        self._clock = clock
        self.fails: Callable[[int], bool] = fails
        self.times: list[float] = []
        self.numbers: list[Any] = []
        """A list of numbers for each list."""

    def __call__(self, events: Event[Any] | Sequence[Event[Any]], *tx: Any) -> None:
        self.times.append(self._clock.monotonic())
        if isinstance(events, Event):
            numbers = [events.data.number]
            self.numbers.append(numbers[0])
        else:
            numbers = [event.data.number for event in events]
            self.numbers.append(numbers)
        if any(map(self.fails, numbers)):
            raise ValueError(f"no {self.numbers[-1]}")

    @property
    def seen(self) -> list[tuple[float, Any]]:
        return list(zip(self.times, self.numbers, strict=True))


class Gate:
    """A handler that is held at each event, or at the first of a list, until the test lets it go on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.inside = 0
        self.entered: list[int] = []
        self.left: list[int] = []
        self._open = Signal()

    async def __call__(self, events: Event[Any] | Sequence[Event[Any]], *tx: Any) -> None:
        numbers = [event.data.number for event in ([events] if isinstance(events, Event) else events)]
        self.entered += numbers
        self.inside += 1
        try:
            assert await self._world.real.wait(self._open, 0, PATIENCE), "the test has forgotten to open"
        finally:
            self.inside -= 1
        self.left += numbers

    def open(self) -> None:
        """From now on, for all."""
        self._open.notify()


async def stands(db: Backend, name: str = NAME) -> int:
    """The position of its checkpoint, 0 if there is none."""
    checkpoint = await db.checkpoints.get(name)
    return checkpoint.position if checkpoint else 0


async def state(processor: Any) -> str:
    return str((await processor.stats()).state)


async def becomes(world: World, processor: Any, wanted: str) -> None:
    async def so() -> bool:
        return await state(processor) == wanted

    await world.until(so)


def threads() -> set[str]:
    """Those of processors; what SQLite has is the store's business."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("goes_lite-processor", "goes_lite-lease", "goes_lite-publish"))}


def others_at_work() -> set[str]:
    """Tasks and threads of processors."""
    try:
        tasks = {task.get_name() for task in asyncio.all_tasks()}
    except RuntimeError:
        tasks = set[str]()
    return threads() | {name for name in tasks if name.startswith("goes_lite")}


def nothing(event: Event[Any]) -> None:
    """A handler that does nothing."""
