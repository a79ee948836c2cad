"""A complete backend in one file. It keeps everything in a journal, a file to which lines of JSON are appended.

    import custom_backend  # registers the scheme

    with goes_lite.blocking.connect("journal:///app.journal") as db: ...

A line is a commit: a checksum and records of the changes. It is written, fsynced and only then acknowledged, so a line
that a crash has torn was never acknowledged, and the next commit cuts it off. The resulting state is held in memory and
read from there. Only a delete rewrites the file: erased data is gone.

It is as small as a backend can be that fulfils the contract of goes_lite (see tests/test_example_backend.py): everything
has to fit into memory, every commit costs an fsync, opening reads the whole file, and only one handle at a time can have
it open (between processes this needs `fcntl`, which all systems but Windows have). There are no transactions, no SQL and
no backups. docs/writing-a-backend.md walks through the file.

    python3 examples/custom_backend.py
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import sys
import tempfile
import threading
import zlib
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes
from goes_lite import (
    AggregateInfo,
    AggregateRef,
    AppendCondition,
    Appended,
    Event,
    EventQuery,
    Pages,
    Raw,
    Registry,
    errors,
)  # fmt: skip
from goes_lite.contract import (
    DENSE_POSITIONS,
    PERSISTENT,
    REPLAY,
    TRANSACTIONS,
    Backend,
    Durability,
    Fence,
    SignalCommits,
    Transaction,
    Unknown,
    View,
    check_condition,
    check_fence,
    check_move,
    check_position,
)
from goes_lite.kit import (
    EVERYTHING,
    Change,
    Checkpoints,
    EventReader,
    FrozenSession,
    InProcessBus,
    Leases,
    Models,
    Record,
    Runtime,
    Signal,
    Snapshots,
    Store,
    StoresView,
    Tables,
    aggregate_ref,
    check_batch,
    check_for_query,
    check_import,
    check_name,
    check_new,
    check_repeated,
    check_same,
    fence_change,
    fence_of_tables,
    fenced,
    id_bytes,
    metadata_json,
    packed,
    reads,
    restore,
    tags_json,
    time_micros,
    unpacked,
    writes,
)

T = TypeVar("T")

# --- what is stored: records of changes, and the resulting state ------------------------------------------------------


class State(Tables):
    """Everything that is stored: the events, and tables for everything else.

    Events are kept encoded (their data is None) and decoded each time they are read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = 0
        self.log: list[Event[None]] = []  # by position
        self.by_id: dict[bytes, Event[None]] = {}
        self.aggregates: dict[AggregateRef, list[Event[None]]] = {}  # by version, which are contiguous from 1

    def apply(self, record: Record) -> None:
        """Apply the change in a record. All changes are made here, live or replayed."""
        match record:
            case ["store", identity, head]:
                self.identity, self.head = identity, head
            case ["event", id, name, time, of, version, metadata, tags, position, encoding, schema, payload]:
                key, ref, data = bytes.fromhex(id), AggregateRef._make(of) if of else None, unpacked(payload)
                event = restore(key, name, None, time, ref, version, metadata, tags, position, encoding, schema, data)
                self.head = position
                self.log.append(event)
                self.by_id[key] = event
                if ref:
                    self.aggregates.setdefault(ref, []).append(event)
            case ["erase", *of]:
                ref = AggregateRef._make(of)
                self.tables.pop(("snapshots", *ref), None)
                for event in self.aggregates.pop(ref, ()):
                    del self.by_id[id_bytes(event)]
                self.log = [event for event in self.log if event.aggregate != ref]
            case _:
                super().apply(record)

    def records(self) -> Iterator[Record]:
        """Yield the records that result in this state, without anything that was erased."""
        yield from map(event_record, self.log)
        yield ["store", self.identity, self.head]  # the newest events may be erased, but the head never decreases
        yield from (["put", table, key, row] for table, rows in self.tables.items() for key, row in rows.items())

    def copy(self) -> Self:
        """Return the state as it is now, which later changes leave alone."""
        copied = super().copy()
        copied.log, copied.by_id = [*self.log], {**self.by_id}
        copied.aggregates = {ref: [*events] for ref, events in self.aggregates.items()}
        return copied

    def between(self, after: int, upto: int) -> list[Event[None]]:
        """Return the events with after < position ≤ upto."""
        first, last = (bisect_right(self.log, end, key=lambda event: event.position) for end in (after, upto))
        return self.log[first:last]


def event_record(event: Event[Any]) -> Record:
    """Return the fields of an event as `restore` takes them."""
    start = ["event", id_bytes(event).hex(), event.name, time_micros(event), event.aggregate, event.version]
    encoding, schema, payload = event.encoded
    return [*start, metadata_json(event), tags_json(event), event.position, encoding, schema, packed(payload)]


# --- how it is stored: lines that are complete or ignored -------------------------------------------------------------


def line_of(records: Sequence[Record]) -> bytes:
    body = json.dumps(records, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def records_of(line: bytes) -> list[Record] | None:
    """Return the records of a line, or None if it is incomplete."""
    checksum, _, body = line.removesuffix(b"\n").partition(b" ")
    return json.loads(body) if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(body) else None


class Journal:
    """The file and its state. One thread at a time writes; readers never wait for the disk, only while a commit is applied.

    The lock file is never replaced, so all processes lock the same one. The kernel unlocks it when a process is killed.
    """

    _opened: ClassVar[set[str]] = set()  # paths that this process has open
    _opening = threading.Lock()

    def __init__(self, path: str) -> None:
        self.path = path
        self.changed = Signal()
        self.passing: str | None = None
        self.published: Callable[[Sequence[Event[Any]], int], None] = lambda events, before: None
        self._real = os.path.realpath(path)
        self._state = State()
        self._end = 0  # the end of the last complete line
        self.closed = False
        self._writing = threading.Lock()
        self._applying = threading.Lock()
        with ExitStack() as held:
            try:
                self._lock(held)
                if not os.path.exists(self._real):
                    self._write_whole([["store", uuid4().hex, 0]])
                self._file = open(self._real, "r+b", buffering=0)  # noqa: SIM115
                held.callback(lambda: self._file.close())  # noqa: PLW0108  `_file` may be replaced until then
                self._replay(self._file.readall())
            except errors.StoreError:
                raise
            except OSError as exc:
                raise errors.StoreUnavailable(path, f"cannot be opened ({exc}): is the folder there?") from exc
            self._held = held.pop_all()

    def _lock(self, held: ExitStack) -> None:
        with self._opening:
            if self._real in self._opened:
                raise errors.StoreLocked(self.path, 0)
            self._opened.add(self._real)
        held.callback(self._opened.discard, self._real)
        lock = held.enter_context(open(self._real + ".lock", "ab"))  # noqa: SIM115
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise errors.StoreLocked(self.path, 0) from None

    def _write_whole(self, records: Iterable[Record]) -> None:
        """Replace the file, if any, by a new one: a crash leaves either the old or the new one."""
        with open(self._real + ".new", "wb") as file:
            file.writelines(line_of([record]) for record in records)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._real + ".new", self._real)
        if os.name != "nt":
            folder = os.open(os.path.dirname(self._real), os.O_RDONLY)
            os.fsync(folder)  # otherwise a power failure could undo the rename
            os.close(folder)

    def _replay(self, content: bytes) -> None:
        lines = content.splitlines(keepends=True)
        if not lines or records_of(lines[0]) is None:
            raise errors.ForeignFile(self.path, "it does not begin like a journal")
        for number, line in enumerate(lines, 1):
            records = records_of(line)
            if records is None:
                if number < len(lines):  # another line follows, so this one was acknowledged
                    raise errors.StoreDamaged(self.path, f"the line at byte {self._end} is not what was written")
                return  # a crash tore it
            for record in records:
                self._state.apply(record)
            self._end += len(line)

    def check_open(self) -> None:
        if self.closed:
            raise errors.StoreClosed(self.path)

    def read(self, select: Callable[[State], T]) -> T:
        with self._applying:
            self.check_open()
            return select(self._state)

    def write(self, work: Callable[[State], Change[T]]) -> T:
        """Let the work read the state and return a change, then commit it. Nobody else can write in between."""
        with self._writing:
            self.check_open()
            change, before = fenced(self.path, self._state, work(self._state), self.passing), self._state.head
            if change.records:
                self._commit(change.records)
            if change.events:
                self.published(change.events, before)
            return change.result

    def _commit(self, records: Sequence[Record]) -> None:
        line = line_of(records)
        try:
            self._file.truncate(self._end)  # cut off a torn line
            self._file.seek(self._end)
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as exc:
            with suppress(OSError):
                self._file.truncate(self._end)  # the commit failed, so it must not come back
            if exc.errno == errno.ENOSPC:
                raise errors.StoreFull(self.path) from exc
            raise errors.StoreUnavailable(self.path, f"cannot be written ({exc}): is the disk all right?") from exc
        with self._applying:  # readers see a commit completely or not at all
            for record in records:
                self._state.apply(record)
            self._end += len(line)
        if records[0][0] == "erase":
            with suppress(OSError):  # it counts as deleted anyway; the next delete removes the bytes
                self._file.close()  # Windows cannot replace an open file
                try:
                    self._write_whole(self._state.records())
                finally:
                    self._file = open(self._real, "r+b", buffering=0)  # noqa: SIM115
                    self._end = self._file.seek(0, os.SEEK_END)
        self.changed.notify()

    def close(self) -> None:
        with self._writing, self._applying:
            self.closed = True
            self._held.close()
        self.changed.notify()

    def __del__(self) -> None:
        if hasattr(self, "_held"):  # a program may end without closing; what it wrote is on the disk already
            self._held.close()


# --- the event store: what each operation reads, checks and writes (the other stores are those of goes_lite.kit.tables) ---


class Events(Store):
    def __init__(self, journal: Journal | FrozenSession, runtime: Runtime, reader: EventReader) -> None:
        super().__init__(journal, runtime)
        self.journal = journal
        self.reader = reader

    @writes
    def append(
        self, state: State, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None
    ) -> Change[Appended]:
        batch = check_batch(events)
        check_condition(condition)
        if condition is not None:
            self.reader.check(condition.query)
        stored = {key: state.by_id[key] for key in map(id_bytes, batch.events) if key in state.by_id}
        if stored:  # check this first: a repeated batch never fits the versions that it has created itself
            return Change(check_repeated(batch, stored, self.reader.registry))
        for ref, step in batch.steps.items():
            if step.expected != (version := len(state.aggregates.get(ref, ()))):
                raise errors.ConcurrencyError(ref, step.expected, version)
        if condition is not None and batch.events:
            for event in reversed(state.between(condition.after, state.head)):
                if self.reader.matches(condition.query, event):
                    raise errors.AppendConditionFailed(condition, event.position)
        new = [event.at(position) for position, event in enumerate(batch.events, state.head + 1)]
        return Change(Appended(tuple(event.position for event in new)), [*map(event_record, new)], new)

    @reads
    def load(
        self, state: State, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None
    ) -> list[Event[Any]]:
        first, last = check_position("after", after), None if upto is None else check_position("upto", upto)
        stored = state.aggregates.get(aggregate_ref(aggregate), [])[first:last]
        return [event for one in stored if (event := self.reader.read(one, whole=True))]

    def query(
        self, query: EventQuery = EVERYTHING, *, after: int = 0, upto: int | None = None, limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:  # fmt: skip
        self.reader.check(query)
        first, last = check_position("after", after), sys.maxsize if upto is None else check_position("upto", upto)
        left = sys.maxsize if limit is None else check_position("limit", limit)
        order = -1 if reverse else 1
        stored: list[Event[None]] | None = None
        seen = 0

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal stored, seen, left
            await self.runtime.sleep(0)
            found: list[Event[None]] = self.journal.read(
                lambda state: state.between(first, last)[::order] if stored is None else stored
            )
            stored = found
            page, seen = self.reader.page(found, seen, query, min(self.page_size, left))
            left -= len(page)
            return page

        return Pages(fetch)

    def stored(self, *, after: int = 0, upto: int | None = None) -> Pages[Event[Raw]]:
        return Events(self.journal, self.runtime, self.reader.as_stored()).query(after=after, upto=upto)

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        self.reader.check(query)
        cursor = check_position("after", after)

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal cursor
            if isinstance(self.journal, FrozenSession):
                raise errors.TransactionError("follow() in a view would wait forever for commits: call it outside")
            await self.runtime.sleep(0)
            while True:
                count = self.journal.changed.count  # read before looking, so that no change is missed
                stored = self.journal.read(lambda state: state.between(cursor, sys.maxsize))  # noqa: B023  called at once
                page, seen = self.reader.page(stored, 0, query, self.page_size)
                cursor = stored[seen - 1].position if seen else cursor
                if page:
                    return page
                await self.runtime.wait(self.journal.changed, count)

        return Pages(fetch)

    @reads
    def find(self, state: State, event_id: UUID) -> Event[Any] | None:
        if not isinstance(event_id, UUID):
            raise errors.InvalidQueryError(f"find takes an event id, which is a UUID, not {event_id!r:.80}")
        stored = state.by_id.get(event_id.bytes)
        return self.reader.read(stored) if stored else None

    @reads
    def head(self, state: State) -> int:
        return state.head

    @reads
    def count(self, state: State, query: EventQuery = EVERYTHING) -> int:
        self.reader.check(query)
        return sum(self.reader.matches(query, event) for event in state.log)

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        last = ("", "") if after is None else check_for_query(aggregate_ref, after)
        wanted = None if name is None else check_for_query(check_name, name, "an aggregate name")
        most = None if limit is None else check_position("limit", limit)

        def select(state: State) -> list[AggregateInfo]:
            refs = sorted(ref for ref in state.aggregates if ref > last and wanted in (None, ref.name))[:most]
            events = ((ref, state.aggregates[ref]) for ref in refs)
            return [AggregateInfo(ref, len(found), found[0].time, found[-1].time) for ref, found in events]

        return self.pages(select)

    @writes
    def import_events(self, state: State, events: Sequence[Event[Any]], *, head: int = 0) -> Change[int]:
        imported = check_import(events, head)
        if known := imported.stored_already(state.head):
            check_same(known, state.between(known[0].position - 1, known[-1].position))
        new = imported.new(state.head)
        versions = {ref: len(state.aggregates.get(ref, ())) for ref in new.steps}
        check_new(new, versions, {id: event.position for id, event in state.by_id.items()})
        last = max(state.head, imported.head)
        moved = [] if last == state.head else [["store", state.identity, last]]  # after the events, which move the head
        return Change(last, [*map(event_record, new.events), *moved])

    @writes
    def delete(self, state: State, aggregate: AggregateRef) -> Change[int]:
        ref = aggregate_ref(aggregate)
        events = len(state.aggregates.get(ref, ()))
        return Change(events, [["erase", *ref]] if events or state.table("snapshots", *ref) else ())


# --- the backend: what `connect` opens --------------------------------------------------------------------------------


class JournalBackend(Backend):
    embedded = True
    """On an inline runtime its coroutines never suspend, so blocking programs need no event loop for it."""
    abilities = frozenset({PERSISTENT, DENSE_POSITIONS, REPLAY})

    def __init__(self, journal: Journal, runtime: Runtime, reader: EventReader) -> None:
        self.location = journal.path
        self.identity = journal.read(lambda state: state.identity)
        self.registry = reader.registry
        self.runtime = runtime
        self.journal = journal
        self.events = Events(journal, runtime, reader)
        self.snapshots = Snapshots(journal, runtime)
        self.models = Models(journal, runtime)
        self.checkpoints = Checkpoints(journal, runtime)
        self.leases = Leases(journal, runtime)
        bus = InProcessBus(runtime, self.events, head=journal.read(lambda state: state.head))
        self.bus, journal.published = bus, bus.offer
        self.commits = SignalCommits(journal.changed, runtime, journal.check_open)
        self.durability: Durability = "os-crash"  # every commit is fsynced before it is acknowledged

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: Unknown, **options: Any
    ) -> JournalBackend:
        """Open `journal:///relative/path` or `journal:////absolute/path`."""
        url = urlsplit(location)
        path = unquote(url.path[1:])
        if url.netloc or url.fragment or not path or "\0" in path:
            raise errors.ConfigError(f"{location!r}: write journal:///app.journal, or journal:////var/lib/app.journal")
        if url.query or options:
            raise errors.ConfigError(f"a journal has no options: {', '.join([*options, *filter(None, [url.query])])}")
        made: list[Journal] = []
        try:
            await runtime.call(lambda: made.append(Journal(path)))
            return cls(made[0], runtime, EventReader(registry, unknown))
        except BaseException:  # a cancelled call may have opened it nevertheless
            await runtime.close()
            for journal in made:
                journal.close()
            raise

    @asynccontextmanager
    async def view(self) -> AsyncGenerator[View]:
        """Yield a view: a copy of the state as it is now."""
        frozen = FrozenSession(self.journal.read(lambda state: state.copy()), self.journal, self.location)
        reader = EventReader(Registry(), "raw")  # knows no names: decodes nothing
        events, snapshots = Events(frozen, self.runtime, reader), Snapshots(frozen, self.runtime)
        models, checkpoints = Models(frozen, self.runtime), Checkpoints(frozen, self.runtime)
        yield StoresView(self.runtime, self.identity, (events, snapshots, models, checkpoints))

    async def fence(self) -> Fence | None:
        return self.journal.read(fence_of_tables)

    async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        change = fence, expected, check_fence(fence, expected, lasts)
        self.journal.write(lambda state: fence_change(self.location, state, change))

    def pass_fence(self, move: str) -> None:
        check_move(move)
        self.journal.passing = move

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        raise errors.AbilityMissing(TRANSACTIONS, self.location)

    async def close(self) -> None:
        """Finish what is in progress, then release everything."""
        try:
            await self.bus.close()
        finally:  # a cancelled call closes it nevertheless
            await self.runtime.close()
            self.journal.close()

    def __repr__(self) -> str:
        return f"<JournalBackend {self.location}: {'closed' if self.journal.closed else self.durability}>"


goes.register_backend("journal", JournalBackend)


if __name__ == "__main__":
    goes.default_registry.register("greeting.said", str)
    with tempfile.TemporaryDirectory() as folder, goes.blocking.connect(f"journal:///{folder}/app.journal") as db:
        db.events.append([goes.Event("hello", name="greeting.said")])
        print(db.events.query().list())
