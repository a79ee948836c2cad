"""The store as a simulated program sees it: each operation waits for its turn, which the simulation gives.

All programs share one store in memory, whose operations never suspend. A transaction keeps all others out until it ends. So
between two turns exactly one thing happens to the store, and the order of the turns is the whole schedule.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar, cast

from goes_lite.contract.backend import PERSISTENT, PROCESSES, Backend, Transaction, View
from goes_lite.contract.checkpoints import CheckpointStore, LeaseStore
from goes_lite.contract.commits import SignalCommits
from goes_lite.contract.event_store import AppendCondition, Appended, EventStore, Pages
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.snapshot_store import SnapshotStore
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore, WrappedTransaction
from goes_lite.errors import StoreClosed
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.kit.bus import InProcessBus
from goes_lite.runtime import Signal
from goes_lite.testing.simulation.loop import SimulatedRuntime

T = TypeVar("T")
_PAGES: type[Any] = Pages  # isinstance() with the class itself makes the type of the items unknown


class Held:
    """The transaction that a program has open."""


inside: ContextVar[Held | None] = ContextVar("inside", default=None)
"""The transaction that the running code is in."""


class Scheduler(Protocol):
    """Gives the turns."""

    held: Held | None
    """The transaction that keeps others out."""

    async def turn(self, backend: SimulatedBackend, what: str, within: Held | None) -> None:
        """Wait for a turn. Raises StoreClosed if the program crashes before."""
        ...


class _Events(WrappedStore):
    def __init__(self, store: EventStore, backend: SimulatedBackend, tx: Transaction | None = None) -> None:
        super().__init__(store)
        self._backend = backend
        self._tx = tx

    async def around(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await self._backend.operate("events", operation)

    def over(self, pages: Pages[T]) -> Pages[T]:
        return self._backend.pages("events", pages)

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = [*events]
        names = " ".join(dict.fromkeys(str(getattr(event, "name", "?")) for event in batch))
        appended = await self._backend.operate(f"append {names}", lambda: self.store.append(batch, condition=condition))
        if batch and not appended.already_committed:
            before = appended.positions[0] - 1
            if self._tx is None:
                self._backend.offer(batch, before)
            else:
                self._tx.on_commit(lambda: self._backend.offer(batch, before))
        return appended

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        cursor, closed, commits = after, Signal(), self._backend.commits
        self.store.follow(query, after=after)  # checks the arguments

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal cursor
            while not closed.count:
                seen = commits.count
                if page := await self.query(query, after=cursor).next_page():
                    cursor = page[-1].position
                    return page
                await commits.wait(seen, ended=closed)
            return ()

        return Pages(fetch, closed.notify)


class _Stores:
    """Any other store: the methods that its protocol declares as coroutines wait for a turn, and so does each page."""

    def __init__(self, protocol: type, store: object, backend: SimulatedBackend, name: str) -> None:
        self._protocol = protocol
        self._store = store
        self._backend = backend
        self._name = name

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if iscoroutinefunction(getattr(self._protocol, name, None)):
            what = f"{self._name}.{name}"

            async def operate(*args: Any, **kwargs: Any) -> Any:
                subject = f" {args[0]}" if args and isinstance(args[0], str) else ""
                return await self._backend.operate(what + subject, lambda: method(*args, **kwargs))

            return operate

        def call(*args: Any, **kwargs: Any) -> Any:
            found: Any = method(*args, **kwargs)
            return self._backend.pages(self._name, found) if isinstance(found, _PAGES) else found

        return call


class _Transaction(WrappedTransaction):
    def __init__(self, tx: Transaction, backend: SimulatedBackend) -> None:
        super().__init__(tx, _Events(tx.events, backend, tx))
        self.runtime = backend.runtime
        self.snapshots, self.models, self.checkpoints = backend.stores_of(tx)
        self._backend = backend

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._backend.operate("execute", lambda: self.transaction.execute(sql, parameters))


class SimulatedBackend(WrappedBackend):
    """One handle of a simulated program on the store that all of them share."""

    def __init__(self, store: Backend, scheduler: Scheduler, runtime: SimulatedRuntime, name: str, head: int) -> None:
        super().__init__(store)
        self.name = name
        """Of the program."""
        self.runtime = runtime
        self.closed = False
        self._scheduler = scheduler
        self._signal = Signal()
        self._watch = store.commits.watch(self._signal)
        self._watch.__enter__()
        self.events = _Events(store.events, self)
        self.snapshots, self.models, self.checkpoints = self.stores_of(store)
        self.leases = cast("LeaseStore", _Stores(LeaseStore, store.leases, self, "leases"))
        self.commits = SignalCommits(self._signal, runtime, self.check_open)
        self.bus = InProcessBus(runtime, self.events, head=head)
        self.offer = self.bus.committed
        self.abilities = store.abilities | {PROCESSES, PERSISTENT}

    def __repr__(self) -> str:
        return f"<SimulatedBackend of {self.name}>"

    def stores_of(self, store: Backend | Transaction) -> tuple[SnapshotStore, ModelStore, CheckpointStore]:
        """Return the other stores of a handle or a transaction, with turns."""
        return (
            cast("SnapshotStore", _Stores(SnapshotStore, store.snapshots, self, "snapshots")),
            cast("ModelStore", _Stores(ModelStore, store.models, self, "models")),
            cast("CheckpointStore", _Stores(CheckpointStore, store.checkpoints, self, "checkpoints")),
        )

    def check_open(self) -> None:
        """Raise StoreClosed after the end of the program."""
        if self.closed:
            raise StoreClosed(self.location)

    async def operate(self, what: str, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation at its turn; if it has committed something, its caller learns of that at another turn."""
        await self._turn(what)
        seen = self._signal.count
        result = await operation()
        if self._signal.count != seen:
            await self._turn(f"{what}: done")
        return result

    async def _turn(self, what: str) -> None:
        self.check_open()
        await self._scheduler.turn(self, what, inside.get())
        self.check_open()

    def pages(self, what: str, pages: Pages[T]) -> Pages[T]:
        """Return the same pages, each at its turn."""

        async def fetch() -> Sequence[T]:
            await self._turn(f"{what}: a page")
            return await pages.next_page()

        return Pages(fetch)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        await self._turn("begin")
        held, outer, seen = Held(), inside.get(), self._signal.count
        try:
            async with self.backend.transaction() as tx:
                self._scheduler.held = held
                inside.set(held)
                yield _Transaction(tx, self)
                await self._turn("commit")
        finally:
            if self._scheduler.held is held:
                self._scheduler.held = None
            inside.set(outer)
        if self._signal.count != seen:
            await self._turn("commit: done")

    @asynccontextmanager
    async def view(self) -> AsyncGenerator[View]:
        await self._turn("view")
        async with self.backend.view() as view:
            yield view

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self.operate("select", lambda: self.backend.select(sql, parameters))

    async def close(self) -> None:
        if not self.closed:
            await self.bus.close()
            self.end()

    def end(self) -> None:
        """Refuse everything from now on."""
        if not self.closed:
            self.closed = True
            self._watch.__exit__(None, None, None)
            self._signal.notify()
