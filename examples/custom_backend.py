"""A backend of one's own in one file: everything is kept in a journal, a file to which lines of JSON are appended.

    import custom_backend  # which registers the scheme

    with goes_lite.blocking.connect("journal:///app.journal") as db: ...

A line is a commit: a checksum, and the records of what changed. It is written, fsynced and only then acknowledged, so
a line that a crash has torn was never promised to anybody, and the next commit cuts it off. What the records add up to
is held in memory, and read there. Only a delete rewrites the file: what is erased is gone.

It is as small as a backend can be that keeps the contract of goes_lite (see tests/test_example_backend.py): everything
has to fit into memory, every commit costs an fsync, opening reads the whole file, and one handle at a time has it open,
which is watched over between processes as well where there is `fcntl`, that is everywhere but on Windows. There are no
transactions, no SQL and no backups. docs/writing-a-backend.md goes through the file.

    python3 examples/custom_backend.py
"""

from __future__ import annotations

import base64
import errno
import importlib.util
import json
import os
import sys
import tempfile
import threading
import zlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes
from goes_lite import backend as api
from goes_lite import errors
from goes_lite.batch import check_batch, check_repeated
from goes_lite.bus import REPLAY
from goes_lite.checkpoint import Checkpoint, Lease, check_checkpoint, check_lease, check_owned_name, check_ttl
from goes_lite.connect import register_backend
from goes_lite.event import AggregateRef, Event, aggregate_ref, check_text, from_micros, id_bytes, metadata_json
from goes_lite.event import restore, tags_json, time_micros, to_micros  # fmt: skip
from goes_lite.inprocess import InProcessBus
from goes_lite.model import ModelQuery, ModelRecord, check_collection, check_expected, check_model_key, parse_model
from goes_lite.query import EVERYTHING, EventQuery
from goes_lite.reading import EventReader
from goes_lite.registry import Registry, check_name
from goes_lite.runtime import Runtime, Signal
from goes_lite.snapshot import Snapshot, check_snapshot
from goes_lite.store import AggregateInfo, AppendCondition, Appended, Pages, check_condition, check_position

T = TypeVar("T")
PAGE = 500

# --- what is stored: records of changes, and the state that they add up to --------------------------------------------

Record = list[Any]
"""One change as it stands in the file: what it is, then its fields."""


class State:
    """Everything that is stored: the events, and tables for all else.

    An event is kept as it is encoded (its data is None) and decoded each time it is read.
    """

    def __init__(self) -> None:
        self.identity = ""
        self.head = 0
        self.log: list[Event[None]] = []  # by position
        self.by_id: dict[bytes, Event[None]] = {}
        self.aggregates: dict[AggregateRef, list[Event[None]]] = {}  # by version, which are contiguous from 1
        self.tables: dict[tuple[str, ...], dict[Any, Any]] = {}

    def apply(self, record: Record) -> None:
        """Make the change that a record stands for. It is the only way in which anything changes: live or replayed."""
        match record:
            case ["store", identity, head]:
                self.identity, self.head = identity, head
            case ["put", table, key, value]:
                self.tables.setdefault(tuple(table), {})[key] = value
            case ["drop", table, key]:
                del self.tables[tuple(table)][key]
            case ["event", position, id, name, of, version, time, encoding, schema, data, metadata, tags]:
                ref, key = AggregateRef._make(of) if of else None, bytes.fromhex(id)
                event = restore(
                    key, name, None, time, ref, version, metadata, tags, position, encoding, schema, unpacked(data)
                )  # fmt: skip
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
                raise ValueError(f"a record of no known kind: {record!r:.80}")

    def records(self) -> Iterator[Record]:
        """The records that make a state like this one, and nothing of what was erased."""
        yield from (event_record(event, event.position) for event in self.log)
        yield ["store", self.identity, self.head]  # the newest events may be erased, but the head never goes back
        yield from (["put", table, key, value] for table, rows in self.tables.items() for key, value in rows.items())

    def table(self, *table: str) -> dict[Any, Any]:
        return self.tables.get(table, {})

    def between(self, after: int, upto: int) -> list[Event[None]]:
        """The events with after < position ≤ upto."""
        first, last = (bisect_right(self.log, end, key=lambda event: event.position) for end in (after, upto))
        return self.log[first:last]


def event_record(event: Event[Any], position: int) -> Record:
    encoding, schema, payload = event.encoded
    return [
        "event", position, id_bytes(event).hex(), event.name, event.aggregate, event.version, time_micros(event),
        encoding, schema, packed(payload), metadata_json(event), tags_json(event),
    ]  # fmt: skip


def packed(payload: str | bytes) -> Any:
    """A payload as JSON, which has no bytes."""
    return payload if isinstance(payload, str) else {"base64": base64.b64encode(payload).decode()}


def unpacked(payload: Any) -> str | bytes:
    return payload if isinstance(payload, str) else base64.b64decode(payload["base64"])


class Change(NamedTuple, Generic[T]):
    """What an operation wants to write, and what it answers once that is written."""

    answer: T
    records: Sequence[Record] = ()
    events: Sequence[Event[Any]] = ()
    """The new ones, for the bus."""


# --- how it is stored: lines that are there wholly or not at all ------------------------------------------------------


def line_of(records: Sequence[Record]) -> bytes:
    body = json.dumps(records, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def records_of(line: bytes) -> list[Record] | None:
    """The records of a line, None if it is not a whole one."""
    checksum, _, body = line.removesuffix(b"\n").partition(b" ")
    return json.loads(body) if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(body) else None


class Journal:
    """The file and its state. One thread at a time writes; who reads waits for no disk, only for a commit being applied.

    Nobody ever replaces the lock file, so everybody agrees on it. The kernel unlocks it when a process is killed.
    """

    _opened: ClassVar[set[str]] = set()  # by this process
    _opening = threading.Lock()

    def __init__(self, path: str) -> None:
        self.path = path
        self.changed = Signal()
        self.published: Callable[[Sequence[Event[Any]], int], None] = lambda events, before: None
        self._real = os.path.realpath(path)
        self._state = State()
        self._end = 0  # of the last whole line
        self._closed = False
        self._writing = threading.Lock()
        self._applying = threading.Lock()
        with ExitStack() as held:
            try:
                self._lock(held)
                if not os.path.exists(self._real):
                    self._write_whole([["store", uuid4().hex, 0]])
                self._file = open(self._real, "r+b", buffering=0)  # noqa: SIM115
                held.callback(lambda: self._file.close())
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
        lock = held.enter_context(open(self._real + ".lock", "ab"))
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise errors.StoreLocked(self.path, 0) from None

    def _replay(self, content: bytes) -> None:
        lines = content.splitlines(keepends=True)
        if not lines or records_of(lines[0]) is None:
            raise errors.ForeignFile(self.path, "it does not begin as a journal does")
        for number, line in enumerate(lines, 1):
            records = records_of(line)
            if records is None:
                if number < len(lines):  # it was acknowledged, or none would follow it
                    raise errors.StoreDamaged(self.path, f"the line at byte {self._end} is not what was written")
                return  # a crash has torn it
            for record in records:
                self._state.apply(record)
            self._end += len(line)

    def read(self, select: Callable[[State], T]) -> T:
        with self._applying:
            if self._closed:
                raise errors.StoreClosed(self.path)
            return select(self._state)

    def write(self, work: Callable[[State], Change[T]]) -> T:
        """Let the work look at the state and decide, then commit what it wants: nobody else writes meanwhile.

        All of it happens in one call, publishing too: whoever waits for it may be cancelled.
        """
        with self._writing:
            self.read(lambda state: None)  # StoreClosed
            change, before = work(self._state), self._state.head
            if change.records:
                self._commit(change.records)
            if change.events:
                self.published(change.events, before)
            return change.answer

    def _commit(self, records: Sequence[Record]) -> None:
        line = line_of(records)
        try:
            self._file.truncate(self._end)  # what a crash has torn
            self._file.seek(self._end)
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as exc:
            with suppress(OSError):
                self._file.truncate(self._end)  # it is refused, so it must not come back
            if exc.errno == errno.ENOSPC:
                raise errors.StoreFull(self.path) from exc
            raise errors.StoreUnavailable(self.path, f"cannot be written ({exc}): is the disk all right?") from exc
        with self._applying:  # a commit is seen wholly or not at all
            for record in records:
                self._state.apply(record)
            self._end += len(line)
        if records[0][0] == "erase":
            with suppress(OSError):  # it is deleted all the same; the bytes go with the next delete
                self._file.close()  # Windows replaces no file that is open
                try:
                    self._write_whole(self._state.records())
                finally:
                    self._file = open(self._real, "r+b", buffering=0)
                    self._end = self._file.seek(0, os.SEEK_END)
        self.changed.notify()

    def _write_whole(self, records: Iterable[Record]) -> None:
        """Put a new file in the place of the old one, if any; a crash leaves the one or the other."""
        with open(self._real + ".new", "wb") as file:
            file.writelines(line_of([record]) for record in records)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._real + ".new", self._real)
        if os.name != "nt":
            folder = os.open(os.path.dirname(self._real), os.O_RDONLY)
            try:
                os.fsync(folder)  # or a power cut brings the old name back
            finally:
                os.close(folder)

    def close(self) -> None:
        with self._writing, self._applying:
            self._closed = True
            self._held.close()
        self.changed.notify()


# --- the stores: what each operation reads, checks and writes ---------------------------------------------------------


class Store:
    """What the stores have in common. The checks of arguments come first, then one `read` or one `write`."""

    def __init__(self, journal: Journal, runtime: Runtime) -> None:
        self.journal = journal
        self.runtime = runtime
        self.read = journal.read

    async def write(self, work: Callable[[State], Change[T]]) -> T:
        self.read(lambda state: None)  # StoreClosed, before the runtime starts a thread for it
        return await self.runtime.call(lambda: self.journal.write(work))

    def pages(self, select: Callable[[State], Iterable[T]]) -> Pages[T]:
        """What `select` finds when the first page is fetched, in pages."""
        rest: Iterator[T] | None = None

        async def fetch() -> Sequence[T]:
            nonlocal rest
            await self.runtime.sleep(0)  # nothing else here lets others have a turn
            rest = self.read(lambda state: iter(select(state)) if rest is None else rest)
            return [*islice(rest, PAGE)]

        return Pages(fetch)

    def now(self) -> int:
        return to_micros(self.runtime.clock.now())


class Events(Store):
    def __init__(self, journal: Journal, runtime: Runtime, reader: EventReader) -> None:
        super().__init__(journal, runtime)
        self.reader = reader

    async def append(self, events: Sequence[Event[Any]], *, condition: AppendCondition | None = None) -> Appended:
        batch = check_batch(events)
        check_condition(condition)
        if condition is not None:
            self.reader.check(condition.query)

        def work(state: State) -> Change[Appended]:
            ids = [id_bytes(event) for event in batch.events]
            stored = {id: state.by_id[id] for id in ids if id in state.by_id}
            if stored:  # before all else: a batch that is repeated never fits the versions that it has made itself
                return Change(check_repeated(batch, stored, self.reader.registry))
            for ref, step in batch.steps.items():
                if step.expected != (version := len(state.aggregates.get(ref, ()))):
                    raise errors.ConcurrencyError(ref, step.expected, version)
            if condition is not None:
                for event in reversed(state.between(condition.after, state.head)):
                    if self.reader.matches(condition.query, event):
                        raise errors.AppendConditionFailed(condition, event.position)
            new = [event.at(position) for position, event in enumerate(batch.events, state.head + 1)]
            records = [event_record(event, event.position) for event in new]
            return Change(Appended(tuple(event.position for event in new)), records, new)

        return await self.write(work if batch.events else lambda state: Change(Appended(())))  # whatever the condition

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        ref, first = aggregate_ref(aggregate), check_position("after", after)
        last = None if upto is None else check_position("upto", upto)
        stored = self.read(lambda state: state.aggregates.get(ref, [])[first:last])
        return [event for one in stored if (event := self.reader.read(one, whole=True))]

    def query(
        self,
        query: EventQuery = EVERYTHING,
        *,
        after: int = 0,
        upto: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Pages[Event[Any]]:
        self.reader.check(query)
        first, last = check_position("after", after), sys.maxsize if upto is None else check_position("upto", upto)
        left = sys.maxsize if limit is None else check_position("limit", limit)
        stored: list[Event[None]] | None = None
        seen = 0

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal stored, seen, left
            await self.runtime.sleep(0)
            found = self.read(
                lambda state: state.between(first, last)[:: -1 if reverse else 1] if stored is None else stored
            )
            stored = found
            page, seen = self._page(found, seen, query, min(PAGE, left))
            left -= len(page)
            return page

        return Pages(fetch)

    def follow(self, query: EventQuery = EVERYTHING, *, after: int) -> Pages[Event[Any]]:
        self.reader.check(query)
        cursor = check_position("after", after)

        async def fetch() -> Sequence[Event[Any]]:
            nonlocal cursor
            await self.runtime.sleep(0)
            while True:
                count = self.journal.changed.count  # before looking, so that no change is missed
                stored = self.read(lambda state: state.between(cursor, sys.maxsize))
                page, seen = self._page(stored, 0, query, PAGE)
                cursor = stored[seen - 1].position if seen else cursor
                if page:
                    return page
                await self.runtime.wait(self.journal.changed, count)

        return Pages(fetch)

    def _page(
        self, stored: Sequence[Event[None]], seen: int, query: EventQuery, limit: int
    ) -> tuple[list[Event[Any]], int]:
        """Up to `limit` events that match, of those not yet seen, and how many are seen then."""
        page: list[Event[Any]] = []
        for number in range(seen, len(stored)):
            if len(page) == limit:
                return page, number
            if self.reader.matches(query, stored[number]):
                try:
                    event = self.reader.read(stored[number])
                except errors.GoesError:
                    if page:  # what lies before an event that cannot be read is given out first
                        return page, number
                    raise
                page += [event] if event else []
        return page, len(stored)

    async def find(self, event_id: UUID) -> Event[Any] | None:
        if not isinstance(event_id, UUID):
            raise errors.InvalidQueryError(f"find takes an event id, which is a UUID, not {event_id!r:.80}")
        stored = self.read(lambda state: state.by_id.get(event_id.bytes))
        return self.reader.read(stored) if stored else None

    async def head(self) -> int:
        return self.read(lambda state: state.head)

    async def count(self, query: EventQuery = EVERYTHING) -> int:
        self.reader.check(query)
        stored = self.read(lambda state: state.between(0, state.head))
        return sum(self.reader.matches(query, event) for event in stored)

    def aggregates(
        self, name: str | None = None, *, after: AggregateRef | None = None, limit: int | None = None
    ) -> Pages[AggregateInfo]:
        with invalid_query():
            behind = ("", "") if after is None else aggregate_ref(after)
            wanted = None if name is None else check_name(name, "an aggregate name")
        most = None if limit is None else check_position("limit", limit)

        def select(state: State) -> list[AggregateInfo]:
            refs = sorted(ref for ref in state.aggregates if ref > behind and wanted in (None, ref.name))[:most]
            events = ((ref, state.aggregates[ref]) for ref in refs)
            return [AggregateInfo(ref, len(found), found[0].time, found[-1].time) for ref, found in events]

        return self.pages(select)

    async def delete(self, aggregate: AggregateRef) -> int:
        ref = aggregate_ref(aggregate)

        def work(state: State) -> Change[int]:
            events = len(state.aggregates.get(ref, ()))
            return Change(events, [["erase", *ref]] if events or state.table("snapshots", *ref) else ())

        return await self.write(work)


@contextmanager
def invalid_query() -> Generator[None]:
    """What is wrong with a name in a query is InvalidQueryError."""
    try:
        yield
    except (errors.InvalidEventError, errors.RegistrationError) as exc:
        raise errors.InvalidQueryError(str(exc)) from None


class Snapshots(Store):
    """A table for each aggregate: the fields of its snapshots by version."""

    async def save(self, snapshot: Snapshot) -> None:
        ref, version, taken, schema, encoding, state, deleted = check_snapshot(snapshot)
        value = [to_micros(taken), schema, encoding, packed(state), deleted]
        await self.write(lambda state: Change(None, [["put", ["snapshots", *ref], version, value]]))

    async def latest(self, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        ref, last = aggregate_ref(aggregate), sys.maxsize if upto is None else check_position("upto", upto)
        found = self.read(lambda state: [one for one in self._all(state, ref) if one.version <= last])
        return found[-1] if found else None

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise errors.InvalidQueryError(f"names is a collection of aggregate names, not {names!r:.80}")
        with invalid_query():
            wanted = {check_text(name, "an aggregate name") for name in names}
            only = None if aggregate is None else aggregate_ref(aggregate)
        return self.pages(
            lambda state: [one for one in self._all(state, only) if not wanted or one.aggregate.name in wanted]
        )

    async def delete(self, aggregate: AggregateRef, *, version: int | None = None) -> int:
        ref, only = aggregate_ref(aggregate), None if version is None else check_position("version", version)
        return await self._drop(lambda state: [one for one in self._all(state, ref) if only in (None, one.version)])

    async def prune(self, *, keep: int = 1, aggregate: AggregateRef | None = None) -> int:
        only = None if aggregate is None else aggregate_ref(aggregate)
        if not check_position("keep", keep):
            raise errors.InvalidQueryError("prune keeps at least the newest snapshot of each aggregate: keep is ≥ 1")

        def old(state: State) -> list[Snapshot]:
            refs = {one.aggregate for one in self._all(state, only)}
            return [one for ref in refs for one in self._all(state, ref)[:-keep]]

        return await self._drop(old)

    def _all(self, state: State, only: AggregateRef | None) -> list[Snapshot]:
        """The snapshots of one aggregate, or of all, by name, id and version."""
        tables = [("snapshots", *only)] if only else sorted(table for table in state.tables if table[0] == "snapshots")
        return [
            Snapshot(AggregateRef(*table[1:]), version, from_micros(time), schema, encoding, unpacked(data), deleted)
            for table in tables
            for version, (time, schema, encoding, data, deleted) in sorted(state.table(*table).items())
        ]

    async def _drop(self, select: Callable[[State], list[Snapshot]]) -> int:
        def work(state: State) -> Change[int]:
            found = select(state)
            return Change(len(found), [["drop", ["snapshots", *one.aggregate], one.version] for one in found])

        return await self.write(work)


class Models(Store):
    """A table for each collection: version and data by id."""

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        check_model_key(collection, id)
        found = self.read(lambda state: state.table("models", collection).get(id))
        return ModelRecord(collection, id, *found) if found else None

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        check_model_key(collection, id)
        parse_model(collection, id, data)

        def work(state: State) -> Change[int]:
            version, _ = state.table("models", collection).get(id, (0, ""))
            check_expected(collection, id, expected, version)
            return Change(version + 1, [["put", ["models", collection], id, [version + 1, data]]])

        return await self.write(work)

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        check_model_key(collection, id)

        def work(state: State) -> Change[bool]:
            version, _ = state.table("models", collection).get(id, (0, ""))
            check_expected(collection, id, expected, version)
            return Change(version > 0, [["drop", ["models", collection], id]] if version else ())

        return await self.write(work)

    def query(
        self,
        collection: str,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[ModelRecord]:
        check_collection(collection)
        query = ModelQuery(where, order_by, limit, reverse=reverse)

        def select(state: State) -> list[ModelRecord]:
            stored = (ModelRecord(collection, id, *fields) for id, fields in state.table("models", collection).items())
            parsed = ((record, json.loads(record.data)) for record in stored)
            found = [(query.key(record.id, document), record) for record, document in parsed if query.matches(document)]
            return [record for _, record in sorted(found, reverse=reverse)][:limit]

        return self.pages(select)

    async def clear(self, collection: str) -> int:
        check_collection(collection)

        def work(state: State) -> Change[int]:
            ids = [*state.table("models", collection)]
            return Change(len(ids), [["drop", ["models", collection], id] for id in ids])

        return await self.write(work)


class Checkpoints(Store):
    """A table: position and time by name."""

    async def get(self, name: str) -> Checkpoint | None:
        check_owned_name(name)
        return next((one for one in await self.all() if one.name == name), None)

    async def save(self, name: str, position: int, *, lease: Lease | None = None) -> None:
        check_checkpoint(name, position, lease)

        def work(state: State) -> Change[None]:
            if lease is not None:
                check_current(state, lease)
            return Change(None, [["put", ["checkpoints"], name, [position, self.now()]]])

        await self.write(work)

    async def delete(self, name: str) -> bool:
        check_owned_name(name)

        def work(state: State) -> Change[bool]:
            there = name in state.table("checkpoints")
            return Change(there, [["drop", ["checkpoints"], name]] if there else ())

        return await self.write(work)

    async def all(self) -> list[Checkpoint]:
        identity, found = self.read(lambda state: (state.identity, sorted(state.table("checkpoints").items())))
        return [Checkpoint(name, position, identity, from_micros(time)) for name, (position, time) in found]


def lease_of(state: State, name: str) -> tuple[str, int, int]:
    """Owner ('' if it was released, or never taken), token and end."""
    owner, token, end = state.table("leases").get(name, ("", 0, 0))
    return owner, token, end


def check_current(state: State, lease: Lease) -> None:
    owner, token, _ = lease_of(state, lease.name)
    if (owner, token) != (lease.owner, lease.token):
        raise errors.LeaseLost(lease.name, owner or None, lease.token, token)


class Leases(Store):
    """A table: owner, token and end by name. A released lease keeps its token, so that tokens only ever grow."""

    async def acquire(self, name: str, owner: str, ttl: float) -> Lease:
        check_owned_name(name)
        check_owned_name(owner, "the owner of a lease")
        duration = check_ttl(ttl)

        def work(state: State) -> Change[Lease]:
            now = self.now()
            holder, token, end = lease_of(state, name)
            if end > now and holder != owner:
                raise errors.LeaseHeld(name, holder, from_micros(end))
            return self._held(name, owner, token + (end <= now), now + duration)

        return await self.write(work)

    async def renew(self, lease: Lease, ttl: float) -> Lease:
        check_lease(lease)
        duration = check_ttl(ttl)

        def work(state: State) -> Change[Lease]:
            check_current(state, lease)
            return self._held(lease.name, lease.owner, lease.token, self.now() + duration)

        return await self.write(work)

    def _held(self, name: str, owner: str, token: int, end: int) -> Change[Lease]:
        return Change(Lease(name, owner, token, from_micros(end)), [["put", ["leases"], name, [owner, token, end]]])

    async def release(self, lease: Lease) -> bool:
        check_lease(lease)

        def work(state: State) -> Change[bool]:
            held = lease_of(state, lease.name)[:2] == (lease.owner, lease.token)
            return Change(held, [["put", ["leases"], lease.name, ["", lease.token, 0]]] if held else ())

        return await self.write(work)

    async def get(self, name: str) -> Lease | None:
        check_owned_name(name)
        owner, token, end = self.read(lambda state: lease_of(state, name))
        return Lease(name, owner, token, from_micros(end)) if end > self.now() else None


# --- the backend: what `connect` opens --------------------------------------------------------------------------------


class JournalBackend(api.Backend):
    embedded = True
    """On an inline runtime its coroutines never suspend, so blocking programs need no event loop for it."""

    def __init__(self, journal: Journal, runtime: Runtime, reader: EventReader) -> None:
        self.location = journal.path
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
        self.abilities = frozenset({api.PERSISTENT, api.DENSE_POSITIONS, REPLAY})
        self.durability: api.Durability = "os-crash"  # every commit is fsynced before it is acknowledged

    @classmethod
    async def open(
        cls, location: str, runtime: Runtime, registry: Registry, unknown: api.Unknown, **options: Any
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
        except BaseException:  # whoever is cancelled here may have opened it all the same
            await runtime.close()
            for journal in made:
                journal.close()
            raise

    def transaction(self) -> AbstractAsyncContextManager[api.Transaction]:
        raise errors.AbilityMissing(api.TRANSACTIONS, self.location)

    async def close(self) -> None:
        """Let what is under way come to its end, then release everything."""
        try:
            await self.bus.close()
        finally:  # whoever is cancelled here has closed it nevertheless
            await self.runtime.close()
            self.journal.close()

    def __repr__(self) -> str:
        return f"<JournalBackend {self.location}: {self.durability}>"


register_backend("journal", JournalBackend)


if __name__ == "__main__":
    goes.registry.register("greeting.said", str)
    with tempfile.TemporaryDirectory() as folder, goes.blocking.connect(f"journal:///{folder}/app.journal") as db:
        db.events.append([goes.Event("hello", name="greeting.said")])
        print(db.events.query().list())
