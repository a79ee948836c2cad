"""Event stores that are slow, contended or unreliable on purpose, for testing what is built on them.

Each wraps any store and keeps its contract: it raises only what a store may raise at that moment, and stores what the
wrapped store stores. A wrapped backend is reached by a URL like any other, so both faces, other processes and the
suites can use it:

    register_wrapped("slow", lambda backend: WrappedBackend(backend, lambda store: LatencyStore(store, backend.runtime)))
    with goes_lite.blocking.connect("slow+sqlite:///app.db") as db: ...
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from goes_lite.contract.backend import Backend, Unknown
from goes_lite.contract.event_store import AppendCondition, Appended, EventStore, Pages
from goes_lite.contract.factory import BackendFactory
from goes_lite.contract.wrapping import WrappedStore
from goes_lite.database.address import parse
from goes_lite.database.connect import factory_for, register_backend
from goes_lite.errors import AppendInDoubtError, ConcurrencyError, StoreUnavailable
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Registry
from goes_lite.kit.batch import check_batch
from goes_lite.runtime import Runtime

T = TypeVar("T")


class ConflictOnce(WrappedStore):
    """Lets another writer be faster, once for each aggregate, so that a retry has to start from the stored events.

    The first append to an existing aggregate is refused with ConcurrencyError, after the event that
    `rival(aggregate, version)` makes was appended in its place. Without a `rival`, nothing is appended.
    """

    def __init__(self, store: EventStore, rival: Callable[[AggregateRef, int], Event[Any]] | None = None) -> None:
        super().__init__(store)
        self._rival = rival
        self.refused: set[AggregateRef] = set()
        """The aggregates that have had their conflict."""

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events)
        for ref, step in batch.steps.items():
            if step.expected and ref not in self.refused:
                self.refused.add(ref)
                if self._rival is not None:
                    await self.store.append([self._rival(ref, step.expected + 1)])
                raise ConcurrencyError(ref, step.expected, step.expected + 1)
        return await self.store.append(batch.events, condition=condition)


class LatencyStore(WrappedStore):
    """Slows a store down: an operation waits `seconds` before and after, a page before, plus or minus `jitter` of it.

    On an event loop other tasks run meanwhile, even where an embedded store would never let them.
    """

    def __init__(
        self, store: EventStore, runtime: Runtime, seconds: float = 0.001, *, jitter: float = 0.5, seed: int = 0
    ) -> None:
        super().__init__(store)
        self._runtime = runtime
        self._seconds = seconds
        self._jitter = jitter
        self._random = random.Random(seed)

    async def _wait(self) -> None:
        await self._runtime.sleep(self._seconds * (1 + self._jitter * self._random.uniform(-1, 1)))

    async def around(self, operation: Callable[[], Awaitable[T]]) -> T:
        await self._wait()
        result = await operation()
        await self._wait()
        return result

    def over(self, pages: Pages[T]) -> Pages[T]:
        async def fetch() -> Sequence[T]:
            await self._wait()
            return await pages.next_page()  # and no wait after it: a caller cancelled while waiting would lose the page

        return Pages(fetch)


class ChaosStore(WrappedStore):
    """An unreliable connection to a reliable store. Its effects depend only on `seed` and on the order of operations.

    repeats      the rate at which an append is made twice, as after a lost acknowledgement and a retry
    in_doubt     the rate at which an append raises AppendInDoubtError; half of those are stored
    unavailable  the rate at which an operation or a page raises StoreUnavailable, before anything was done

    Pages are short and of random length. With `in_doubt=0` and `unavailable=0` it is indistinguishable from the wrapped
    store; with them, a caller that retries what failed, with the same events, reaches the same result.
    """

    def __init__(
        self,
        store: EventStore,
        seed: int = 0,
        *,
        repeats: float = 0.1,
        in_doubt: float = 0.1,
        unavailable: float = 0.1,
    ) -> None:
        super().__init__(store)
        self._random = random.Random(seed)
        self._repeats = repeats
        self._in_doubt = in_doubt
        self._unavailable = unavailable
        self.troubles = 0
        """How often an operation was made to fail or was done twice."""

    def _strikes(self, rate: float) -> bool:
        strikes = self._random.random() < rate
        self.troubles += strikes
        return strikes

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events).events
        in_doubt = self._strikes(self._in_doubt)
        if in_doubt and self._random.random() < 0.5:  # the request was lost
            raise AppendInDoubtError(batch)
        appended = await super().append(batch, condition=condition)
        if in_doubt:  # the response was lost
            raise AppendInDoubtError(batch)
        if self._strikes(self._repeats):
            again = await self.store.append(batch, condition=condition)
            if again.positions != appended.positions:
                raise AssertionError(f"{batch} were stored twice: first {appended}, then {again}")
        return appended

    async def around(self, operation: Callable[[], Awaitable[T]]) -> T:
        if self._strikes(self._unavailable):
            raise StoreUnavailable("chaos", "the connection was made to fail")
        return await operation()

    def over(self, pages: Pages[T]) -> Pages[T]:
        fetched: list[T] = []

        async def fetch() -> Sequence[T]:
            if not fetched:
                fetched.extend(await self.around(pages.next_page))
            page = fetched[: self._random.randint(1, 5)]
            del fetched[: len(page)]
            return page

        return Pages(fetch)


class WrappedFactory:
    """Opens what follows `name+` in a URL, and wraps it."""

    def __init__(self, scheme: str, wrap: Callable[[Backend], Backend]) -> None:
        self._scheme = scheme
        self._wrap = wrap
        self.embedded: bool = getattr(factory_for(scheme), "embedded", False)
        """As for the wrapped backend: whether its coroutines never suspend on an inline runtime."""

    async def open(
        self, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> Backend:
        address = parse(location.partition("+")[2])
        factory: BackendFactory = factory_for(address.scheme)
        settings = {**address.options, **options}
        return self._wrap(await factory.open(address.location, runtime, registry, unknown, **settings))


def register_wrapped(name: str, wrap: Callable[[Backend], Backend], *, scheme: str = "sqlite") -> None:
    """Serve URLs `name+scheme:…` in this process: open the URL after the + and wrap the backend with `wrap`."""
    register_backend(f"{name}+{scheme}", WrappedFactory(scheme, wrap))
