"""Backends on which processors go wrong: checkpoints, leases, what commits together, who wakes them, what is parked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from goes_lite.contract.backend import Transaction
from goes_lite.contract.checkpoints import Lease
from goes_lite.contract.event_store import Pages
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore, WrappedTransaction
from goes_lite.errors import LeaseHeld
from tests.conformance.mutants import Handed, mutant


class _Spoilt(WrappedTransaction):
    """A transaction of which the read models, or the checkpoints, have a fault."""

    def __init__(self, transaction: Transaction, *, models: Any = None, checkpoints: Any = None) -> None:
        super().__init__(transaction)
        self.models = transaction.models if models is None else models
        self.checkpoints = transaction.checkpoints if checkpoints is None else checkpoints


def _of_transactions(wrapped: WrappedBackend, change: Callable[[Transaction], Transaction]) -> None:
    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        async with wrapped.backend.transaction() as inner:
            yield change(inner)

    cast("Any", wrapped).transaction = transaction


# --- checkpoints ----------------------------------------------------------------------------------------------------


@mutant("PR-ONCE-001", "PR-FENCE-001")
def saves_the_checkpoint_behind_the_transaction(wrapped: WrappedBackend) -> None:
    """What a handler wrote is committed by then, whatever becomes of the checkpoint."""
    late: list[tuple[str, int, Lease | None]] = []

    class Checkpoints(Handed):
        async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
            late.append((name, position, lease))

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        late.clear()
        async with wrapped.backend.transaction() as inner:
            yield _Spoilt(inner, checkpoints=Checkpoints(inner.checkpoints))
        for name, position, lease in late:
            await wrapped.backend.checkpoints.save(name, position, lease=lease)

    cast("Any", wrapped).transaction = transaction


@mutant("PR-ONCE-001", "PR-ONCE-002")
def forgets_the_checkpoint_of_a_transaction(wrapped: WrappedBackend) -> None:
    class Checkpoints(Handed):
        async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None: ...

    _of_transactions(wrapped, lambda inner: _Spoilt(inner, checkpoints=Checkpoints(inner.checkpoints)))


@mutant("PR-CHECK-005", "PR-RUN-011", "PR-RETRY-006")
def saves_the_checkpoint_before_the_handler_is_called(wrapped: WrappedBackend) -> None:
    """As a consumer does that commits what it has fetched."""
    names: list[str] = []

    class Leases(Handed):
        async def acquire(self, name: str, *arguments: Any, **options: Any) -> Any:
            names[:] = [name]
            return await self.target.acquire(name, *arguments, **options)

    class Early(WrappedStore):
        def over(self, pages: Pages[Any]) -> Pages[Any]:
            async def fetch() -> Sequence[Any]:
                page = await pages.next_page()
                if page and names:
                    await wrapped.checkpoints.save(names[0], page[-1].position)
                return page

            return Pages(fetch)

    cast("Any", wrapped).leases = Leases(wrapped.leases)
    wrapped.events = Early(wrapped.events)


# --- leases ---------------------------------------------------------------------------------------------------------


class _Unfenced(Handed):
    """Checkpoints that are saved whatever the lease."""

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        await self.target.save(name, position)


@mutant("PR-FENCE-001", "PR-FENCE-002", "PR-FENCE-003")
def never_looks_at_the_lease_of_a_checkpoint(wrapped: WrappedBackend) -> None:
    wrapped.checkpoints = cast("Any", _Unfenced(wrapped.backend.checkpoints))
    _of_transactions(wrapped, lambda inner: _Spoilt(inner, checkpoints=_Unfenced(inner.checkpoints)))


@mutant("PR-LEASE-002", "PR-LEASE-003", "PR-LEASE-005")
def gives_a_lease_to_whoever_asks(wrapped: WrappedBackend) -> None:
    class Leases(Handed):
        async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
            try:
                return cast("Lease", await self.target.acquire(name, owner, ttl))
            except LeaseHeld:
                return cast("Lease", await self.target.get(name))

        async def get(self, name: str) -> None:
            """Nobody has it, so whoever stands by asks for it."""

    wrapped.leases = cast("Any", Leases(wrapped.backend.leases))


@mutant("PR-LEASE-001", "PR-FENCE-004")
def renews_nothing_and_says_so_to_nobody(wrapped: WrappedBackend) -> None:
    class Leases(Handed):
        async def renew(self, lease: Lease, ttl: float) -> Lease:
            return lease

    wrapped.leases = cast("Any", Leases(wrapped.backend.leases))


# --- what commits together ------------------------------------------------------------------------------------------


@mutant("PR-ONCE-002", "PR-ONCE-003", "PR-ONCE-005", "PR-DEAD-008", "PR-DEAD-009")
def does_not_roll_read_models_back(wrapped: WrappedBackend) -> None:
    written: list[tuple[str, Mapping[str, str | None]]] = []

    class Models(Handed):
        async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
            version = await self.target.put(collection, id, data, expected=expected)
            written.append((collection, {id: data}))
            return cast("int", version)

        async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
            await self.target.put_many(collection, models)
            written.append((collection, models))

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        written.clear()
        try:
            async with wrapped.backend.transaction() as inner:
                yield _Spoilt(inner, models=Models(inner.models))
        except BaseException:
            for collection, models in written:
                await wrapped.backend.models.put_many(collection, models)
            raise

    cast("Any", wrapped).transaction = transaction


@mutant("CR-PROC-001")
def writes_read_models_with_the_next_transaction(wrapped: WrappedBackend) -> None:
    """Each transaction writes those of the one before it: a kill in between loses what its checkpoint has counted."""
    waiting: dict[tuple[str, str], str] = {}

    class Models(Handed):
        async def get(self, collection: str, id: str) -> Any:
            record = await self.target.get(collection, id)
            if (collection, id) not in waiting:
                return record
            return _Record(waiting[collection, id])

        async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
            waiting[collection, id] = data
            return 1

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Transaction]:
        async with wrapped.backend.transaction() as inner:
            for (collection, id), data in waiting.items():
                await inner.models.put(collection, id, data)
            waiting.clear()
            yield _Spoilt(inner, models=Models(inner.models))

    cast("Any", wrapped).transaction = transaction


class _Record:
    def __init__(self, data: str) -> None:
        self.data = data


# --- who wakes them, and what is parked -----------------------------------------------------------------------------


@mutant("PR-RUN-001", "PR-SCHED-001")
def watches_without_telling(wrapped: WrappedBackend) -> None:
    class Commits(Handed):
        @contextmanager
        def watch(self, signal: Any, /) -> Generator[None]:
            yield

    wrapped.commits = cast("Any", Commits(wrapped.backend.commits))


@mutant("PR-DEAD-001", "PR-DEAD-006", "PR-ORDER-001", "PR-ORDER-004")
def loses_dead_letters(wrapped: WrappedBackend) -> None:
    class Models(Handed):
        async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
            if collection.startswith("goes:parked:"):
                return 1
            return cast("int", await self.target.put(collection, id, data, expected=expected))

    wrapped.models = cast("Any", Models(wrapped.backend.models))
    _of_transactions(wrapped, lambda inner: _Spoilt(inner, models=Models(inner.models)))
