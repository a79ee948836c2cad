"""Where a rule runs: the face through which it uses a fresh storage, and what can run at the same time."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from goes_lite import blocking, connect
from goes_lite.contract.backend import Durability
from goes_lite.database import Database
from goes_lite.runtime import drive
from goes_lite_conformance.harness.faces import awaited
from goes_lite_conformance.harness.samples import registry
from goes_lite_conformance.harness.storage import Declared, Hook, Storage
from goes_lite_conformance.harness.workers import Worker
from goes_lite_conformance.rule import Face

PATIENCE = 30.0
"""Seconds after which something that runs alongside a rule counts as stuck."""
UNKNOWN = Declared()
"""The declaration of a storage that has not been opened yet."""


class Place:
    """An empty storage, and the face through which a rule works on it."""

    def __init__(
        self, hook: Hook, storage: Storage, face: Face, declared: Declared = UNKNOWN, rounds: int = 1, **options: Any
    ) -> None:
        self.hook = hook
        self.storage = storage
        self.face: Face = face
        self.abilities = declared.abilities
        self.durability: Durability = declared.durability
        self.rounds = rounds
        """The factor by which a soak run multiplies races and kills; 1 otherwise."""
        self._options = {**hook.options, **options}
        self._workers: list[Worker] = []

    def __repr__(self) -> str:
        return f"<Place {self.storage.name}: {self.face}>"

    @property
    def url(self) -> str:
        return self.hook.url(self.storage)

    def open(self, *, face: Face | None = None, **options: Any) -> AbstractAsyncContextManager[Database]:
        """Open a handle on the storage, to be awaited on every face: `async with place.open() as db`.

        The options are those of `connect`; the registry is that of the sample events by default. A backend without the
        ability "persistent" gives an empty storage each time. Where the bus is another's, a relay publishes to it.
        """
        settings = self._settings(options)
        face = face or self.face
        if face == "async":
            return connect(self.url, **settings) if settings["bus"] is None else _connected(self.url, settings)
        if face == "loop":
            settings["inline"] = False
        return _opened(self.url, settings)

    def blocking(self, **options: Any) -> blocking.BlockingDatabase:
        """Open a blocking handle on the storage, for rules about that face."""
        return blocking.connect(self.url, **self._settings(options))

    def _settings(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"registry": registry, "bus": self.hook.bus(self.storage), **self._options, **options}

    @contextmanager
    def another(self) -> Generator[Place]:
        """Another storage of the same kind and on the same face, empty at first and removed afterwards."""
        storage = Storage.fresh(Path(tempfile.mkdtemp(dir=self.storage.folder)), self.storage.variant)
        place = Place(
            self.hook, storage, self.face, Declared(self.abilities, self.durability), self.rounds, **self._options
        )
        try:
            yield place
        finally:
            place.end()
            with ThreadPoolExecutor(1) as thread:  # an event loop may be running in this one
                thread.submit(lambda: asyncio.run(self.hook.erase(storage))).result()

    def alongside(self, coroutine: Coroutine[Any, Any, Any]) -> Alongside:
        """Run a coroutine alongside the rule: in a task on the async face, in a thread on the others."""
        return Alongside(coroutine, loop=self.face == "async")

    async def together(self, *coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run them at the same time and return their results; an exception is a result, too."""
        running = [self.alongside(coroutine) for coroutine in coroutines]
        return [await one.outcome() for one in running]

    def spawn(self, job: Callable[..., None], **arguments: Any) -> Worker:
        """Start another process on a job (see `workers`) with this storage; it is killed at the end if it still runs."""
        worker = Worker(self.hook, self.storage, job, arguments)
        self._workers.append(worker)
        return worker

    def end(self) -> None:
        """Kill every process that still runs."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.close()


@asynccontextmanager
async def _connected(url: str, settings: dict[str, Any]) -> AsyncGenerator[Database]:
    async with connect(url, **settings) as db, db.relay():
        yield db


@asynccontextmanager
async def _opened(url: str, settings: dict[str, Any]) -> AsyncGenerator[Database]:
    with blocking.connect(url, **settings) as db, nullcontext() if settings["bus"] is None else db.relay():
        yield awaited(db)


async def until(place: Place, condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Let others run until the condition holds; AssertionError if it never does.

    Looked at again and again, for what it is about may happen in a task, in a thread, in a server, or by itself.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        assert time.monotonic() < deadline, "the condition never held"
        await pause(place)


async def pause(place: Place) -> None:
    """Yield to others: a loop without a pause would starve the threads and tasks that it waits for."""
    if place.face == "async":
        await asyncio.sleep(0.001)
    else:
        time.sleep(0.001)  # noqa: ASYNC251 - the blocking face waits by blocking


class Moment:
    """A moment that one side of a rule announces and the other waits for, on any face."""

    def __init__(self, place: Place) -> None:
        self._event = asyncio.Event() if place.face == "async" else threading.Event()

    def come(self) -> None:
        """Announce it."""
        self._event.set()

    @property
    def has_come(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait for it; AssertionError if it does not come."""
        if isinstance(self._event, threading.Event):
            assert self._event.wait(PATIENCE), "what the rule waits for does not come"
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._event.wait()
        except TimeoutError:
            raise AssertionError("what the rule waits for does not come") from None


class Alongside:
    """A coroutine that runs alongside a rule."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, loop: bool) -> None:
        self._coroutine = coroutine
        self._answer: list[Any] = []
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        if loop:
            self._task = asyncio.get_running_loop().create_task(self._run(coroutine))
        else:
            self._thread = threading.Thread(target=lambda: drive(self._run(coroutine)), name="alongside", daemon=True)
            self._thread.start()

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            self._answer.append(await coroutine)
        except BaseException as error:
            self._error = error

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return bool(self._answer) or self._error is not None

    def cancel(self) -> None:
        """Cancel it; on the async face only."""
        assert self._task is not None, "a thread cannot be cancelled"
        self._task.cancel()

    async def outcome(self, within: float | None = None) -> Any:
        """Return its result, or the exception that it raised; AssertionError if it does not end."""
        within = PATIENCE if within is None else within
        if self._thread is not None:
            self._thread.join(within)
        elif self._task is not None:
            await asyncio.wait({self._task}, timeout=within)
            if self._task.cancelled() and not self.ended:  # before it began
                self._coroutine.close()
                self._error = asyncio.CancelledError()
        assert self.ended, f"it still runs after {within:g} s"
        return self._error if self._error is not None else self._answer[0]

    async def result(self, within: float | None = None) -> Any:
        """Return its result, or raise its exception."""
        outcome = await self.outcome(within)
        if self._error is not None:
            raise self._error
        return outcome
