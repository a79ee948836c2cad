"""Stores of snapshots and read models, for backends whose storage is tables of JSON rows by key.

`table_checkpoints` has those of checkpoints and leases.

Such a backend implements only its event store. The stores here compute changes from the current state; the backend's
`TableSession` gives access to that state and commits the changes. See examples/custom_backend.py.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import groupby, islice
from types import CoroutineType
from typing import Any, Concatenate, Generic, NamedTuple, NoReturn, ParamSpec, Protocol, Self, TypeVar

from goes_lite import errors
from goes_lite.contract.event_store import Pages, check_position
from goes_lite.contract.model_store import (
    ModelQuery,
    ModelRecord,
    check_collection,
    check_expected,
    check_model_key,
    check_model_keys,
    check_models,
    check_records,
    check_rename,
    parse_model,
)
from goes_lite.contract.snapshot_store import (
    Snapshot,
    check_keep,
    check_snapshot,
    check_snapshot_query,
    check_snapshots,
)
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref, from_micros, to_micros
from goes_lite.kit.view import refuse_write
from goes_lite.runtime import Runtime
from goes_lite.runtime.deadline import current_deadline

P = ParamSpec("P")
S = TypeVar("S", bound="Store")
T = TypeVar("T")
V = TypeVar("V", bound="Tables")

Record = list[Any]
"""One change as JSON, its kind first: `["put", table, key, row]`, `["drop", table, key]` or `["rename", table, to]`,
which replaces the table `to`."""


class Tables:
    """Tables of rows by key. Several words name a table; a key is a str or an int, a row is JSON."""

    def __init__(self) -> None:
        self.identity = ""
        """The identity of the store, which checkpoints record."""
        self.tables: dict[tuple[str, ...], dict[Any, Any]] = {}

    def apply(self, record: Record) -> None:
        """Apply the change that a record describes."""
        match record:
            case ["put", table, key, row]:
                self.tables.setdefault(tuple(table), {})[key] = row
            case ["drop", table, key]:
                del self.tables[tuple(table)][key]
            case ["rename", table, to]:
                self.tables[tuple(to)] = self.tables.pop(tuple(table), {})
            case _:
                raise ValueError(f"unknown kind of record: {record!r:.80}")

    def copy(self) -> Self:
        """Return the tables as they are now, which later changes leave alone. A subclass also copies what it has."""
        copied = copy(self)
        copied.tables = {name: {**rows} for name, rows in self.tables.items()}
        return copied

    def table(self, *table: str) -> dict[Any, Any]:
        """Return the rows of a table, which is empty if nothing was ever put into it."""
        return self.tables.get(table, {})


class Change(NamedTuple, Generic[T]):
    """The records that an operation writes, and the result that it returns once they are written."""

    result: T
    records: Sequence[Record] = ()
    events: Sequence[Event[Any]] = ()
    """New events, for the bus."""


class TableSession(Protocol):
    """Access to the state of a backend."""

    def check_open(self) -> None:
        """Raise StoreClosed if the session is closed."""
        ...

    def read(self, select: Callable[[Any], T]) -> T:
        """Return what `select` returns for the state, which does not change meanwhile."""
        ...

    def write(self, work: Callable[[Any], Change[T]]) -> T:
        """Call `work` with the state, commit its change and return its result; one writer at a time."""
        ...


class FrozenSession:
    """The session of a view: a copy of the state, which is read as long as the session that it came from is open."""

    def __init__(self, state: Any, session: TableSession, location: str) -> None:
        self._state = state
        self._location = location
        self.check_open = session.check_open

    def read(self, select: Callable[[Any], T]) -> T:
        self.check_open()
        return select(self._state)

    def write(self, work: object) -> NoReturn:
        refuse_write(self._location)


class Store:
    """The base class of the stores."""

    page_size = 500

    def __init__(self, session: TableSession, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime

    def pages(self, select: Callable[[Any], Iterable[T]]) -> Pages[T]:
        """Return in pages what `select` finds when the first page is fetched."""
        rest: Iterator[T] | None = None

        async def fetch() -> Sequence[T]:
            nonlocal rest
            await self.runtime.sleep(0)
            rest = self.session.read(lambda state: iter(select(state)) if rest is None else rest)
            return [*islice(rest, self.page_size)]

        return Pages(fetch)

    def now(self) -> int:
        return to_micros(self.runtime.clock.now())


def reads(method: Callable[Concatenate[S, V, P], T]) -> Callable[Concatenate[S, P], CoroutineType[Any, Any, T]]:
    """Make an operation of a function that reads the state."""

    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        await self.runtime.sleep(0)  # nothing to wait for, since the state is in memory, but let other tasks run
        return self.session.read(lambda state: method(self, state, *args, **kwargs))

    return run  # type: ignore[return-value]  # what pyright knows of an async function, mypy does not


def writes(
    method: Callable[Concatenate[S, V, P], Change[T]],
) -> Callable[Concatenate[S, P], CoroutineType[Any, Any, T]]:
    """Make an operation of a function from the state to a change. If it raises, nothing is written.

    Deciding, writing and publishing are one call of the runtime, so cancelling the caller is harmless.
    """

    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.session.check_open()  # before the runtime starts a thread
        deadline = current_deadline.get()

        def work(state: V) -> Change[T]:
            if deadline is not None:
                deadline.admit()
            return method(self, state, *args, **kwargs)

        return await self.runtime.call(lambda: self.session.write(work))

    return run  # type: ignore[return-value]  # what pyright knows of an async function, mypy does not


class Snapshots(Store):
    """One table per aggregate: the fields of a snapshot by version."""

    @writes
    def save(self, tables: Tables, snapshot: Snapshot) -> Change[None]:
        return Change(None, [_snapshot_record(check_snapshot(snapshot))])

    @writes
    def save_many(self, tables: Tables, snapshots: Iterable[Snapshot]) -> Change[None]:
        return Change(None, [_snapshot_record(snapshot) for snapshot in check_snapshots(snapshots)])

    @reads
    def latest(self, tables: Tables, aggregate: AggregateRef, *, upto: int | None = None) -> Snapshot | None:
        last = sys.maxsize if upto is None else check_position("upto", upto)
        found = [one for one in _stored_snapshots(tables, aggregate_ref(aggregate)) if one.version <= last]
        return found[-1] if found else None

    def query(self, *, names: Iterable[str] = (), aggregate: AggregateRef | None = None) -> Pages[Snapshot]:
        wanted, only = check_snapshot_query(names, aggregate)

        def select(tables: Tables) -> list[Snapshot]:
            return [one for one in _stored_snapshots(tables, only) if not wanted or one.aggregate.name in wanted]

        return self.pages(select)

    @writes
    def delete(self, tables: Tables, aggregate: AggregateRef, *, version: int | None = None) -> Change[int]:
        only = None if version is None else check_position("version", version)
        found = _stored_snapshots(tables, aggregate_ref(aggregate))
        return _dropped([one for one in found if only in (None, one.version)])

    @writes
    def prune(self, tables: Tables, *, keep: int = 1, aggregate: AggregateRef | None = None) -> Change[int]:
        check_keep(keep)
        found = _stored_snapshots(tables, None if aggregate is None else aggregate_ref(aggregate))
        by_aggregate = groupby(found, key=lambda one: one.aggregate)
        return _dropped([one for _, snapshots in by_aggregate for one in [*snapshots][:-keep]])


def _snapshot_record(snapshot: Snapshot) -> Record:
    ref, version, time, schema, encoding, data, deleted = snapshot
    return ["put", ["snapshots", *ref], version, [to_micros(time), schema, encoding, packed(data), deleted]]


def _stored_snapshots(tables: Tables, only: AggregateRef | None) -> list[Snapshot]:
    """Return the snapshots of one or all aggregates, by name, id and version."""
    names = sorted(name for name in tables.tables if name[0] == "snapshots") if only is None else [("snapshots", *only)]
    return [
        Snapshot(AggregateRef(*name[1:]), version, from_micros(time), schema, encoding, unpacked(data), deleted)
        for name in names
        for version, (time, schema, encoding, data, deleted) in sorted(tables.table(*name).items())
    ]


def _dropped(snapshots: list[Snapshot]) -> Change[int]:
    """Return the change that removes snapshots."""
    return Change(len(snapshots), [["drop", ["snapshots", *one.aggregate], one.version] for one in snapshots])


class Models(Store):
    """One table per collection: version and data by id."""

    @reads
    def get(self, tables: Tables, collection: str, id: str) -> ModelRecord | None:
        check_model_key(collection, id)
        found = tables.table("models", collection).get(id)
        return ModelRecord(collection, id, *found) if found else None

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        return await self._get_many(collection, check_model_keys(collection, ids))

    @reads
    def _get_many(self, tables: Tables, collection: str, ids: list[str]) -> dict[str, ModelRecord]:
        table = tables.table("models", collection)
        return {id: ModelRecord(collection, id, *table[id]) for id in ids if id in table}

    @writes
    def put(self, tables: Tables, collection: str, id: str, data: str, *, expected: int | None = None) -> Change[int]:
        version = self._checked_version(tables, collection, id, expected) + 1
        parse_model(collection, id, data)
        return Change(version, [["put", ["models", collection], id, [version, data]]])

    async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        items = check_models(collection, models)
        for id, data in items:
            if data is not None:
                parse_model(collection, id, data)
        await self._put_many(collection, items)

    @writes
    def _put_many(self, tables: Tables, collection: str, items: list[tuple[str, str | None]]) -> Change[None]:
        name, table = ["models", collection], tables.table("models", collection)
        written = [["put", name, id, [table.get(id, [0])[0] + 1, data]] for id, data in items if data is not None]
        removed = [["drop", name, id] for id, data in items if data is None and id in table]
        return Change(None, [*written, *removed])

    @writes
    def delete(self, tables: Tables, collection: str, id: str, *, expected: int | None = None) -> Change[bool]:
        there = self._checked_version(tables, collection, id, expected) > 0
        return Change(there, [["drop", ["models", collection], id]] if there else ())

    def _checked_version(self, tables: Tables, collection: str, id: str, expected: int | None) -> int:
        check_model_key(collection, id)
        version: int = tables.table("models", collection).get(id, [0])[0]
        check_expected(collection, id, expected, version)
        return version

    def query(
        self, collection: str, *, where: Mapping[str, Any] | None = None, order_by: str | None = None,
        reverse: bool = False, limit: int | None = None,
    ) -> Pages[ModelRecord]:  # fmt: skip
        check_collection(collection)
        query = ModelQuery(where, order_by, limit, reverse=reverse)

        def select(tables: Tables) -> list[ModelRecord]:
            stored = (ModelRecord(collection, id, *fields) for id, fields in tables.table("models", collection).items())
            parsed = ((record, json.loads(record.data)) for record in stored)
            found = [(query.key(record.id, document), record) for record, document in parsed if query.matches(document)]
            return [record for _, record in sorted(found, reverse=reverse)][:limit]

        return self.pages(select)

    @writes
    def clear(self, tables: Tables, collection: str) -> Change[int]:
        check_collection(collection)
        ids = [*tables.table("models", collection)]
        return Change(len(ids), [["drop", ["models", collection], id] for id in ids])

    @writes
    def rename(self, tables: Tables, collection: str, to: str) -> Change[int]:
        check_rename(collection, to)
        moved, gone = tables.table("models", collection), tables.table("models", to)
        return Change(len(moved), [["rename", ["models", collection], ["models", to]]] if moved or gone else ())

    @reads
    def collections(self, tables: Tables) -> list[str]:
        return sorted(name[1] for name, rows in tables.tables.items() if name[0] == "models" and rows)

    @writes
    def import_models(self, tables: Tables, records: Iterable[ModelRecord]) -> Change[None]:
        found = check_records(records)
        return Change(None, [["put", ["models", one.collection], one.id, [one.version, one.data]] for one in found])


def packed(payload: str | bytes) -> Any:
    """Return a payload as JSON, which has no bytes."""
    if isinstance(payload, bytes):
        return {"base64": base64.b64encode(payload).decode()}
    if not payload.isascii() and any("\ud800" <= character <= "\udfff" for character in payload):
        raise errors.InvalidEventError("a payload is not valid Unicode: its codec should return bytes")
    return payload


def unpacked(payload: Any) -> str | bytes:
    """Return the payload of a `packed` one."""
    return payload if isinstance(payload, str) else base64.b64decode(payload["base64"])
