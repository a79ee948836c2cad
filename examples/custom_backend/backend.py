"""The backend: what `connect` opens."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from goes_lite import backend as api
from goes_lite.bus import REPLAY
from goes_lite.errors import ConfigError, StoreClosed, StoreLocked, TransactionError
from goes_lite.event import Event
from goes_lite.inprocess import InProcessBus
from goes_lite.registry import Registry
from goes_lite.runtime import Runtime, Signal

from .events import JournalEvents
from .file import SEVERAL_PROCESSES, Journal
from .records import Change, Record, Session, State
from .stores import JournalCheckpoints, JournalLeases, JournalModels, JournalSnapshots
from .transactions import JournalBlock, JournalTransaction, inside

T = TypeVar("T")
POLL = 0.01
"""Seconds after which a follower looks whether other processes have added something."""
LOCK_TIMEOUT = 30.0


class JournalBackend(api.Backend):
    """One handle on a journal."""

    embedded = True
    """On an inline runtime its coroutines never suspend, so blocking programs need no event loop for it."""

    def __init__(self, journal: Journal, runtime: Runtime, registry: Registry, unknown: api.Unknown) -> None:
        self.location = journal.path
        self.registry = registry
        self.runtime = runtime
        self._journal = journal
        self._unknown: api.Unknown = unknown
        self._closing = False
        self._running = 0
        self._idle = Signal()
        self.events, self.snapshots, self.models, self.checkpoints = self.stores(self)
        self.leases = JournalLeases(self, runtime)
        self._bus = self.bus = InProcessBus(runtime, self.events, head=journal.state.head)
        abilities = {api.PERSISTENT, api.DENSE_POSITIONS, api.TRANSACTIONS, REPLAY}
        self.abilities = frozenset(abilities | ({api.PROCESSES} if SEVERAL_PROCESSES else set()))
        self.durability: api.Durability = "os-crash"  # every commit is fsynced before it is acknowledged

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: api.Unknown, **options: Any
    ) -> JournalBackend:
        """Open `journal:///relative/path` or `journal:////absolute/path`."""
        url = urlsplit(location)
        path = unquote(url.path[1:])
        if url.netloc or url.fragment or not path or "\0" in path:
            raise ConfigError(f"{location!r}: write journal:///app.journal, or journal:////var/lib/app.journal")
        if url.query or options:
            raise ConfigError(f"a journal has no options: {', '.join([*options, *filter(None, [url.query])])}")
        made: list[Journal] = []
        try:
            await runtime.call(lambda: made.append(Journal(path)))
            return cls(made[0], runtime, registry, unknown)
        except BaseException:  # cancelled, it may be open all the same
            await runtime.close()
            for journal in made:
                journal.close()
            raise

    def __repr__(self) -> str:
        return f"<JournalBackend {self.location}: {'closed' if self._closing else self.durability}>"

    def stores(self, session: Session) -> tuple[JournalEvents, JournalSnapshots, JournalModels, JournalCheckpoints]:
        """The stores over a session: this backend itself, or a transaction."""
        return (
            JournalEvents(session, self.registry, self._unknown),
            JournalSnapshots(session),
            JournalModels(session),
            JournalCheckpoints(session, self.runtime),
        )

    # --- the session of the backend itself: reads catch up, writes take the lock ---

    async def read(self, work: Callable[[State], T]) -> T:
        def attempt() -> T:
            with self._journal.mutex:
                self._journal.catch_up()
                return work(self._journal.state)

        self._journal.check_open()
        return await self.runtime.call(attempt)

    async def write(self, work: Callable[[State], Change[T]]) -> T:
        outcome: list[T] = []

        def attempt() -> bool:
            # The whole of it happens in here: whoever waits for it may be cancelled, and that must leave no lock.
            with self._journal.mutex:
                if not self._journal.try_lock():
                    return False
                with self._journal.locked():
                    self._journal.catch_up()
                    change = work(self._journal.state)
                    self._commit(change.records, change.events)
            outcome.append(change.answer)
            return True

        with self._use():
            await self._until(lambda: self.runtime.call(attempt))
        return outcome[0]

    def _commit(self, records: Sequence[Record], events: Sequence[Event[Any]]) -> None:
        before = self._journal.state.head
        if records:
            self._journal.commit(records)
        if events:
            try:
                self._bus.offer(events, before)
            except Exception:  # they are stored, whatever a subscriber makes of them
                logging.getLogger("goes_lite").exception("publishing %d committed events failed", len(events))

    def changes(self) -> int:
        return self._journal.changed.count

    async def wait(self, seen: int) -> None:
        await self.runtime.wait(self._journal.changed, seen, POLL)

    async def _until(self, attempt: Callable[[], Awaitable[bool]]) -> None:
        """Try until it works: a thread that blocked instead could be the one that the holder of the lock needs."""
        began, pause = time.monotonic(), 0.0005
        while not await attempt():
            if time.monotonic() - began > LOCK_TIMEOUT:
                raise StoreLocked(self.location, LOCK_TIMEOUT)
            await self.runtime.sleep(random.uniform(0, pause))
            pause = min(pause * 1.5, 0.01)

    @contextmanager
    def _use(self) -> Generator[None]:
        """Something is going on that `close` waits for."""
        if self._closing:
            raise StoreClosed(self.location)
        self._check_outside(
            "writes through the backend would wait for the transaction that they are in: use the transaction"
        )
        with self._journal.mutex:
            self._running += 1
        try:
            yield
        finally:
            self._used()

    def _used(self) -> None:
        with self._journal.mutex:
            self._running -= 1
        self._idle.notify()

    def _check_outside(self, problem: str) -> None:
        transaction = inside.get()
        while transaction is not None:
            if transaction.backend is self and transaction.active:
                raise TransactionError(problem)
            transaction = transaction.outer

    # --- transactions ---

    def transaction(self) -> AbstractAsyncContextManager[api.Transaction]:
        return JournalBlock(self)

    async def begin(self) -> JournalTransaction:
        async def attempt() -> bool:
            return self._journal.try_lock()

        with self._use():
            await self._until(attempt)
            try:
                transaction = JournalTransaction(self, await self.read(State.copy), inside.get())
            except BaseException:
                self._journal.unlock()
                raise
            with self._journal.mutex:
                self._running += 1  # until its end
            return transaction

    async def end(self, transaction: JournalTransaction, *, commit: bool) -> None:
        ended = threading.Lock()  # taken by whoever ends it, once

        def finish(*, commit: bool) -> bool:
            if not ended.acquire(blocking=False):
                return False
            with self._journal.mutex:
                try:
                    if commit:
                        self._commit(transaction.records, transaction.new)
                finally:
                    self._journal.unlock()
                    self._used()
            return True

        try:
            await self.runtime.call(lambda: finish(commit=commit))
        except BaseException:
            finish(commit=False)  # cancelled before a thread took it up: nothing was written
            raise
        for action in transaction.actions if commit else ():
            try:
                await action()
            except Exception:  # it is committed, and the other actions are due as well
                logging.getLogger("goes_lite").exception("an action after a commit failed")

    # --- the end ---

    async def close(self) -> None:
        """Let what is under way come to its end, then release everything."""
        self._check_outside("the backend cannot be closed inside a transaction, which it would wait for")
        if self._journal.closed:
            return
        try:
            await self._bus.close()
            self._closing = True
            while self._running:
                seen = self._idle.count
                if self._running:
                    await self.runtime.wait(self._idle, seen)
        finally:  # whoever is cancelled here has closed it nevertheless
            self._closing = True
            await self.runtime.close()
            self._journal.close()
