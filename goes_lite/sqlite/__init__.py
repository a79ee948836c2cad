"""The embedded backend: everything in one SQLite file (WAL), or in memory.

    sqlite:///app.db              a path relative to the working directory; `app.db` alone means the same
    sqlite:////var/lib/app.db     an absolute path
    sqlite:///:memory:            in memory, discarded on close

Options, in the URL's query or as keywords of `connect`
    durability    'full' (default): an acknowledged append survives a power cut. 'normal': it survives the process being
                  killed; the last commits before a power cut may be lost, the file stays intact. 'memory': like 'normal',
                  but a power cut can damage the file; for files that can be recreated.
    driver        'apsw' or 'sqlite3'; by default apsw if it is installed.
    read_only     'true': nothing is changed; works on read-only files and folders. (If it can, SQLite creates a -shm and
                  an empty -wal next to the file, which the next writer removes.)
    lock_timeout  seconds to wait for other writers before StoreLocked; 30 by default.
    reads         on the async face, 'auto' (the default): brief reads, and commits that do not wait for the disk, run on the
                  thread of the event loop while the store answers fast, otherwise on other threads; 'inline': on that of
                  the loop unless they would wait for a lock; 'thread': never there.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing
from functools import partial
from typing import Any
from weakref import WeakSet

from goes_lite.contract.backend import (
    DENSE_POSITIONS,
    PERSISTENT,
    PROCESSES,
    SQL,
    TRANSACTIONS,
    Durability,
    Transaction,
    Unknown,
    View,
)
from goes_lite.contract.commits import Commits, Published, SignalCommits
from goes_lite.contract.event_bus import REPLAY, EventBus
from goes_lite.contract.upkeep import BACKUP
from goes_lite.errors import ConfigError
from goes_lite.errors.options import did_you_mean
from goes_lite.events.registry import Registry
from goes_lite.kit.bus import InProcessBus
from goes_lite.kit.events import LogEvents
from goes_lite.kit.transaction import TransactionBlock, check_not_inside
from goes_lite.kit.view import StoresView, ViewBlock
from goes_lite.runtime import LoopRuntime, Runtime
from goes_lite.sqlite import _guard
from goes_lite.sqlite._append import Append
from goes_lite.sqlite._backup import back_up, path_of
from goes_lite.sqlite._checkpoints import SQLiteCheckpoints, SQLiteLeases
from goes_lite.sqlite._connection import FileAddress, Readers, open_first, open_reader, parse_durability
from goes_lite.sqlite._driver import driver
from goes_lite.sqlite._erase import erase
from goes_lite.sqlite._events import SQLiteEventRows
from goes_lite.sqlite._executor import AnyExecutor, DirectExecutor
from goes_lite.sqlite._fenced import FencedBackend
from goes_lite.sqlite._files import files_of, found, in_use, release_files
from goes_lite.sqlite._frozen import FrozenReaders
from goes_lite.sqlite._log import check_log
from goes_lite.sqlite._loop_writer import open_writer
from goes_lite.sqlite._models import SQLiteModels
from goes_lite.sqlite._place import check_place
from goes_lite.sqlite._presence import Presence
from goes_lite.sqlite._reads import parse_reads
from goes_lite.sqlite._rights import share_group
from goes_lite.sqlite._rows import RowReader
from goes_lite.sqlite._session import SessionExecutor, SQLiteSession, SQLiteTransaction
from goes_lite.sqlite._snapshots import SQLiteSnapshots
from goes_lite.sqlite._turnstile import AnyTurnstile, NoTurnstile, Turnstile
from goes_lite.sqlite._user_sql import sql_of_readers, sql_of_transactions
from goes_lite.sqlite._view import SQLiteMoment
from goes_lite.sqlite._wakeup import Watcher, commit_signal
from goes_lite.sqlite._writer import Writer

_open_backends: WeakSet[SQLiteBackend] = WeakSet()
EXIT_PATIENCE = 1.0
"""How many seconds the end of the process waits for a transaction that is still open."""

MAX_LOCK_TIMEOUT = 1_000_000
"""In seconds: SQLite takes milliseconds as a 32-bit integer."""


def _check_timeout(name: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 < value <= MAX_LOCK_TIMEOUT:
        raise ConfigError(f"{name}={value!r}: must be a number of seconds > 0 and ≤ {MAX_LOCK_TIMEOUT}")


def _check_flag(name: str, value: Any) -> None:
    if type(value) is not bool:
        raise ConfigError(f"{name}={value!r}: must be True or False")


OPTIONS: dict[str, Callable[[str, Any], object]] = {
    "durability": lambda _, value: parse_durability(value),
    "driver": lambda _, value: driver(value),
    "read_only": _check_flag,
    "lock_timeout": _check_timeout,
    "reads": lambda _, value: parse_reads(value),
}
"""The options, and what refuses a wrong value."""


def address_of(
    location: str,
    *,
    durability: str = "full",
    driver_name: str | None = None,
    read_only: bool = False,
    lock_timeout: float = 30.0,
    reads: str = "auto",
) -> FileAddress:
    """Return the address for a location (a path or ':memory:') and options; raise ConfigError if they are invalid."""
    for name, value in (("lock_timeout", lock_timeout), ("read_only", read_only)):
        OPTIONS[name](name, value)
    memory = location == ":memory:"
    if memory and read_only:
        raise ConfigError("a store in memory cannot be read-only, since it would stay empty: leave out read_only")
    path = location if memory else os.path.abspath(os.path.expanduser(location))
    return FileAddress(
        path, driver(driver_name), parse_durability(durability), read_only, lock_timeout, parse_reads(reads)
    )


class SQLiteBackend(FencedBackend):
    """One handle on a file (or on a store in memory). Open it with `goes_lite.connect`."""

    embedded = True
    """Its coroutines never suspend on an inline runtime."""
    options = OPTIONS
    abilities = frozenset({BACKUP, DENSE_POSITIONS, PERSISTENT, PROCESSES, REPLAY, SQL, TRANSACTIONS})

    def __init__(self, address: FileAddress, runtime: Runtime, registry: Registry) -> None:
        """Prepare a handle, which `_open` opens."""
        self._given = address.path
        if not address.memory:
            # Resolve symbolic links, as SQLite does for the -wal and -shm: all handles must agree on the lock file.
            address = address._replace(path=os.path.realpath(address.path))
        check_place(address)
        self.location = address.location
        self.registry = registry
        self.runtime = runtime
        self._address = address
        self._closed = self._released = True  # until it is open
        self._sql_of_transactions = sql_of_transactions(address.driver)
        self._sql_of_readers = sql_of_readers(address.driver, address.location)
        self._writer: Writer | None = None
        self._readers = Readers(address)

    def _open(self, unknown: Unknown) -> None:
        address, runtime, registry = self._address, self.runtime, self.registry
        try:
            if not address.memory:
                _guard.claim(self._given, address.driver.name, self)
            before = None if address.memory else found(address.path)
            if before and not in_use(address.path, before):
                check_log(address)
            connection, self.identity, position, frozen = open_first(address)
            try:
                turnstile: AnyTurnstile = NoTurnstile()
                if not address.memory:
                    address = self._address = address._replace(files=files_of(address.path, before, self))
                    if not address.read_only:
                        for suffix in _guard.SUFFIXES[1:]:
                            share_group(address.path, address.path + suffix)
                        turnstile = Turnstile(address.path + "-lock", address.path, address.files)
                        self._sql_of_transactions.watch(connection)  # in a file, which other programs can change
                self._signal = commit_signal(address)
                if not address.read_only:
                    self._writer = open_writer(connection, address, turnstile, self._signal.notify, runtime.inline)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._discard()
            raise
        self._readers = Readers(address) if frozen is None else FrozenReaders(address, frozen)
        self._watcher = Watcher(address, self._signal)
        if address.read_only:
            self._readers.lend(connection)
        check_usable, watching = self._readers.check_usable, self._watcher.watching
        self.commits: Commits = SignalCommits(self._signal, runtime, check_usable, watching)
        self._append = partial(Append, registry=registry, driver=address.driver)
        executor = self._executor = DirectExecutor(runtime, self._writer, self._readers, self._append)
        executor.handle = self
        self._reader = RowReader(registry, unknown, address.driver, address.location)
        self._as_stored = self._reader.as_stored()
        events, self.snapshots, self.models, self.checkpoints = self._stores(executor, self.commits, None)
        self.events = events
        presence = Presence(turnstile.file if isinstance(turnstile, Turnstile) else None)
        presence.show(address.durability)
        self.leases = SQLiteLeases(executor, runtime.clock, presence)
        self._bus = InProcessBus(runtime, events, head=position)
        self.bus: EventBus = self._bus
        events.published = self._bus.committed
        abilities = {BACKUP, DENSE_POSITIONS, REPLAY}
        abilities |= set() if address.memory else {PROCESSES, PERSISTENT}
        abilities |= set() if address.read_only else {TRANSACTIONS, SQL}
        self.abilities = frozenset(abilities)
        self.durability: Durability = (
            "memory" if address.memory else "os-crash" if address.durability == "full" else "process-crash"
        )
        _guard.on_fork(self)
        _open_backends.add(self)
        self._closed = self._released = False

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> SQLiteBackend:
        """Open the file at `location` (a path or ':memory:'); the options are those in the module's docstring."""

        def opened() -> SQLiteBackend:
            backend = cls(_address(location, options), runtime, registry)
            made.append(backend)
            backend._open(unknown)
            return backend

        made: list[SQLiteBackend] = []
        try:
            return await runtime.call(opened)
        except BaseException:  # even if cancelled, it may be open
            await runtime.close()
            for backend in made:
                await backend.close()
                backend._discard()  # if it was interrupted before it was open
            raise

    @staticmethod
    def scratch(location: str, name: str) -> str:
        """Return the location of another store, for tests: a file next to this one, or another store in memory."""
        if location == ":memory:":
            return location
        path, suffix = os.path.splitext(location)
        return f"{path}-{name}{suffix}"

    @staticmethod
    async def erase(location: str, **options: Any) -> None:
        """Remove a store permanently, if it exists, with its -wal, -shm and -lock.

        Raise ForeignFile if the file is not a store, StoreLocked or UnsafeAccess if it is in use.
        """
        if location == ":memory:":
            return
        runtime = LoopRuntime(threads=1)
        try:
            await runtime.call(lambda: erase(_address(location, options)))
        finally:
            await runtime.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self._writer is None else self.durability
        return f"<SQLiteBackend {self.location}: {state}, {self.driver}>"

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return TransactionBlock(lambda: SQLiteSession(self.writer), self._inside)

    def _inside(self, session: SQLiteSession) -> SQLiteTransaction:
        stores = self._stores(SessionExecutor(session, self._append), None, self._bus.committed)
        return SQLiteTransaction(self.runtime, session, self._sql_of_transactions, stores)

    def view(self) -> AbstractAsyncContextManager[View]:
        return ViewBlock(lambda: SQLiteMoment(self.runtime, self._readers, self._writer), self._seen)

    def _seen(self, moment: SQLiteMoment) -> View:
        reader = self._as_stored
        events = LogEvents(SQLiteEventRows(self.location, moment, reader, reader), moment, reader, None)
        return StoresView(self.runtime, self.identity, (events, *self._others(moment)))

    async def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._executor.read(lambda connection: self._sql_of_readers.run(connection, sql, parameters))

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a complete, compact copy of the current store to a new file, while others may write.

        The copy has an identity of its own, to which its checkpoints belong. Raise ConfigError if the file exists.
        """
        self._readers.check_usable()
        await self.runtime.call(lambda: self._back_up(path_of(path)))

    def _back_up(self, copy: str) -> None:
        usable = self._readers.check_usable
        if self._address.memory:
            self.writer.read(lambda connection: back_up(connection, self._address, copy, usable))
            return
        with closing(open_reader(self._address)) as connection:  # not of the pool: this one writes the other file
            connection.execute("PRAGMA query_only = OFF")
            back_up(connection, self._address, copy, usable)

    def _stores(
        self, executor: AnyExecutor, commits: Commits | None, published: Published | None
    ) -> tuple[LogEvents, SQLiteSnapshots, SQLiteModels, SQLiteCheckpoints]:
        """Return the stores of the handle, or of a transaction, which has no `commits`."""
        events = LogEvents(
            SQLiteEventRows(self.location, executor, self._reader, self._as_stored),
            executor,
            self._reader,
            commits,
            published,
        )
        return events, *self._others(executor)

    def _others(self, executor: AnyExecutor) -> tuple[SQLiteSnapshots, SQLiteModels, SQLiteCheckpoints]:
        return SQLiteSnapshots(executor), SQLiteModels(executor), SQLiteCheckpoints(executor, self.runtime.clock)

    @property
    def writer(self) -> Writer:
        """The group committer. Raises StoreReadOnly if there is none."""
        if self._writer is None:
            self._readers.refuse_write()
        return self._writer

    async def close(self) -> None:
        if self._released:
            return
        if self._writer is not None:
            check_not_inside(self._writer)
        self._closed = True
        try:
            await self._bus.close()
            await self.runtime.call(self._close_connections)
        except BaseException:  # a cancelled close still closes: in a thread, since an event loop must not look at files
            await self.runtime.close()
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(1, "goes_lite-closing") as pool:
                pool.submit(self._close_connections).result()
            self._released = True
            raise
        await self.runtime.close()
        self._released = True  # until then, one that was interrupted is repeated by the next call

    def _close_connections(self, patience: float = -1) -> None:
        self._watcher.close()
        self._readers.close()
        if self._writer is not None:
            self._writer.close(patience=patience)
        self._signal.notify()  # followers wake up and find the store closed
        self._release()

    def _discard(self) -> None:
        """Release what an opening that failed has taken."""
        self._readers.close()
        if self._writer is not None:
            self._writer.transactions.close()
        self._release()

    def _release(self) -> None:
        _open_backends.discard(self)
        if not self._address.memory:
            _guard.release(self._address.path, self._address.driver.name, self)
            release_files(self)

    def after_fork_in_child(self) -> None:
        """Mark this handle as the parent's; called in a forked child."""
        self._closed = self._released = True
        self._readers.forked = True
        _guard.leak(*self._readers.all, self._watcher.connection)
        if self._writer is not None:
            self._writer.forked = True
            self._writer.after_fork_in_child()
            _guard.leak(self._writer.transactions.connection)

    def close_at_exit(self) -> None:
        if not self._released:
            self._closed = self._released = True
            self._close_connections(EXIT_PATIENCE)

    def __del__(self) -> None:
        if not getattr(self, "_released", True) and not sys.is_finalizing():
            # The garbage collector calls this anywhere, so nothing here waits for a lock.
            self._release()
            self._watcher.abandon()
            self._readers.close()
            if self._writer is not None:
                self._writer.abandon()
            message = f"{self!r} was not closed: use it in a with block, or close it"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)


def _address(location: str, options: dict[str, Any]) -> FileAddress:
    if "driver" in options:
        options = {**options, "driver_name": options["driver"]}
        del options["driver"]
    if unknown := sorted(options.keys() - OPTIONS.keys() - {"driver_name"}):
        hint = did_you_mean(unknown[0], OPTIONS) or f"use {', '.join(OPTIONS)}"
        raise ConfigError(f"sqlite: unknown option {unknown[0]!r}: {hint}")
    return address_of(location, **options)


@atexit.register
def _close_all() -> None:
    for backend in list(_open_backends):
        backend.close_at_exit()
