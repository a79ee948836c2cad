"""A handle that goes where its store is moved: what `connect(…, on_moved="follow")` opens.

Each operation that finds the store moved is run again at the new place: it has written nothing. What waits for commits waits on
there, at the position where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, cast

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.checkpoints import Checkpoint, CheckpointStore, Lease
from goes_lite.contract.commits import Commits, check_wait
from goes_lite.contract.event_store import EventStore, Pages, check_position
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore, WrappedTransaction
from goes_lite.database._whereabouts import Reopen, Whereabouts
from goes_lite.errors import LeaseHeld, StoreMoved, TransactionConflict
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.runtime import Signal


class _Store:
    """A store of the current handle: what is awaited is run again where the store was moved to."""

    def __init__(self, at: Whereabouts, name: str) -> None:
        self._at = at
        self._name = name

    def __repr__(self) -> str:
        return repr(getattr(self._at.current, self._name))

    def __getattr__(self, name: str) -> Any:
        at, store = self._at, self._name
        if name == "query":  # whose pages are of the store as it is now
            return getattr(at.current, store).query

        async def call(*args: Any, **options: Any) -> Any:
            return await at.run(lambda backend: getattr(getattr(backend, store), name)(*args, **options))

        return call


class _Events(WrappedStore):
    """The event store of the current handle."""

    def __init__(self, at: Whereabouts) -> None:
        super().__init__(at.current.events)
        self._at = at
        at.on_move.append(lambda _, there: setattr(self, "store", there.events))

    async def around(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        return await self._at.run(lambda _: operation())

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        following = _Following(self._at, query, check_position("after", after))
        return Pages(following.fetch, following.wake)


class _Following:
    """What `follow` returns the pages of: it goes on in the next store after the last event that it has returned."""

    def __init__(self, at: Whereabouts, query: EventQuery, after: int) -> None:
        self._at = at
        self._query = query
        self._after = after
        self._backend = at.current
        self._pages = self._backend.events.follow(query, after=after)
        self._ending: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._ending = asyncio.ensure_future(self._pages.aclose())

    async def fetch(self) -> Sequence[Event[Any]]:
        while True:
            if self._backend is not self._at.current:
                self._backend = self._at.current
                await self._pages.aclose()
                self._pages = self._backend.events.follow(self._query, after=self._after)
            backend, pages = self._backend, self._pages
            waiting = asyncio.ensure_future(pages.next_page())
            wake = _waker(pages)
            if not self._at.moved.call_once(self._at.moved.count, wake) or self._at.current is not backend:
                wake()
            try:
                page = await waiting
            finally:
                self._at.moved.forget(wake)
                waiting.cancel()
            if page:
                self._after = page[-1].position
                return page
            if self._at.current is backend or self._ending is not None:
                return page  # closed


def _waker(pages: Pages[Any]) -> Callable[[], None]:
    """Return a function that ends the pages, from any thread."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(pages.aclose()))

    return wake


class _Commits:
    """The commits of the current handle; a move counts as one."""

    def __init__(self, at: Whereabouts) -> None:
        self._at = at
        self._before = 0
        self._watched: dict[int, tuple[Signal, Any]] = {}
        at.on_move.append(self._moved)

    @property
    def readings(self) -> set[asyncio.Future[None]]:
        return self._at.current.commits.readings

    @property
    def count(self) -> int:
        return self._before + self._at.current.commits.count

    async def wait(self, seen: int, timeout: float | None = None, *, ended: Signal | None = None) -> bool:
        seconds = check_wait(seen, timeout)
        either = Signal()
        with self.watch(either):
            if self.count == seen and (ended is None or ended.call_once(0, either.notify)):
                await self._at.current.runtime.wait(either, 0, seconds)
            if ended is not None:
                ended.forget(either.notify)
        return self.count != seen

    @contextmanager
    def watch(self, signal: Signal, /) -> Generator[None]:
        watching = self._at.current.commits.watch(signal)
        watching.__enter__()
        key = id(watching)
        self._watched[key] = signal, watching
        try:
            yield
        finally:
            self._watched.pop(key)[1].__exit__(None, None, None)

    def _moved(self, before: Backend, there: Backend) -> None:
        self._before += before.commits.count + 1
        for key, (signal, watching) in [*self._watched.items()]:
            following = there.commits.watch(signal)
            following.__enter__()
            self._watched[key] = signal, following
            watching.__exit__(None, None, None)
            signal.notify()


class _Checkpoints(_Store):
    """The checkpoints of the current handle, saved under leases as they are there."""

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        at = self._at
        await at.run(
            lambda backend: backend.checkpoints.save(name, position, lease=None if lease is None else at.lease(lease))
        )


class _CheckpointsInside(CheckpointStore):
    """The checkpoints of a transaction, saved under leases as they are in its store."""

    def __init__(self, store: CheckpointStore, at: Whereabouts) -> None:
        self._store = store
        self._at = at

    async def get(self, name: str) -> Checkpoint | None:
        return await self._store.get(name)

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        await self._store.save(name, position, lease=None if lease is None else self._at.lease(lease))

    async def delete(self, name: str) -> bool:
        return await self._store.delete(name)

    async def all(self) -> list[Checkpoint]:
        return await self._store.all()

    async def import_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        await self._store.import_checkpoints(checkpoints)


class _Leases(_Store):
    """The leases of the current handle. One that is held is taken along when the store moves."""

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        at = self._at
        if (held := await at.held_before(name, owner)) is not None:
            raise LeaseHeld(name, held.owner, held.expires)
        lease = await at.run(lambda backend: backend.leases.acquire(name, owner, ttl))
        at.leases[name] = lease, ttl
        return lease

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        at = self._at
        return await at.run(lambda backend: backend.leases.renew(at.lease(lease), ttl))

    async def release(self, lease: Lease) -> bool:
        at = self._at
        released = await at.run(lambda backend: backend.leases.release(at.lease(lease)))
        at.leases.pop(lease.name, None)
        return released


class _InsideMoved(WrappedTransaction):
    """A transaction on a store that was moved, with leases of the places before."""

    def __init__(self, transaction: Transaction, at: Whereabouts) -> None:
        super().__init__(transaction)
        self.checkpoints = _CheckpointsInside(transaction.checkpoints, at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transaction, name)  # what a backend has beyond the contract, such as a connection


class _Block(AbstractAsyncContextManager[Transaction]):
    """A transaction on the current handle. One that a move has ended can be run again, at the new place."""

    def __init__(self, at: Whereabouts) -> None:
        self._at = at
        self._backend = at.current
        self._block = self._backend.transaction()

    async def __aenter__(self) -> Transaction:
        while True:
            try:
                transaction = await self._block.__aenter__()
            except StoreMoved as moved:
                await self._at.go(self._backend, moved)
            else:
                return _InsideMoved(transaction, self._at) if self._at.former else transaction
            self._backend = self._at.current
            self._block = self._backend.transaction()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            suppressed = await self._block.__aexit__(exc_type, exc, traceback)
        except StoreMoved as moved:
            await self._again(moved)
        if isinstance(exc, StoreMoved) and not suppressed:
            await self._again(exc)
        return suppressed

    async def _again(self, moved: StoreMoved) -> NoReturn:
        """Go where the store is, and say that nothing of the transaction is stored."""
        await self._at.go(self._backend, moved)
        raise TransactionConflict(
            f"{self._backend.location}: the store was moved during a transaction, so nothing of it is stored: run it again"
        ) from moved


class RoamingBackend(WrappedBackend):
    """A backend that goes where its store is moved."""

    def __init__(self, backend: Backend, reopen: Reopen) -> None:
        at = self._at = Whereabouts(backend, reopen)
        super().__init__(backend)
        self.events: EventStore = _Events(at)
        self.snapshots = cast("Any", _Store(at, "snapshots"))
        self.models = cast("Any", _Store(at, "models"))
        self.checkpoints = cast("Any", _Checkpoints(at, "checkpoints"))
        self.leases = cast("Any", _Leases(at, "leases"))
        self.commits: Commits = cast("Commits", _Commits(at))
        at.on_move.append(self._moved)

    def _moved(self, before: Backend, there: Backend) -> None:
        self.backend = there
        self.moved_to(there)

    def start(self) -> None:
        """Look at the fence in the background from now on."""
        self._at.start()

    async def arrive(self) -> None:
        """Go where the store is, if it was moved before the handle was opened."""
        backend = self.backend
        while (fence := await backend.fence()) is not None and fence.until is None:
            await self._at.go(backend, StoreMoved(backend.location, fence.to, fence.move))
            if self.backend is backend:
                return
            backend = self.backend

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return _Block(self._at)

    async def close(self) -> None:
        await self._at.close()
