"""`verify` finds nothing in a sound store, and each kind of damage in a store that was damaged on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.contract.backend import Backend, View
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import StoreDamaged
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.operations import Findings, verify
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from goes_lite.runtime import InlineRuntime, drive
from goes_lite.sqlite import SQLiteBackend

registry = goes.Registry()


@registry.event("counted")
@dataclass(frozen=True)
class Counted:
    number: int


@registry.event("closed")
@dataclass(frozen=True)
class Closed:
    pass


class Counter(goes.Aggregate, name="counter", registry=registry, deleted_by=Closed):
    total: int = 0

    def count(self, number: int) -> None:
        self.record(Counted(number))

    def close(self) -> None:
        self.record(Closed())

    @goes.applies(Counted)
    def _counted(self, event: Event[Counted]) -> None:
        self.total += event.data.number


PLAIN = 3
"""How many events are of no aggregate."""


async def fill(db: Backend) -> None:
    """Something of everything: aggregates a (5 events), b (3) and c (2, and softly deleted), and one that is gone."""
    counters = Repository(db, Counter, snapshots=Every(2))
    for id, numbers in (("a", (1, 2, 3, 4, 5)), ("b", (6, 7, 8)), ("c", (9,)), ("gone", (10, 11))):
        for number in numbers:
            await counters.use(id, partial(Counter.count, number=number), create=True)
    await counters.use("c", lambda counter: counter.close())
    await counters.delete("gone")
    for number in range(PLAIN):
        tags = ["parity:even" if number % 2 == 0 else "parity:odd", f"number:{number}"]
        await db.events.append([Event(Counted(number), tags=tags, metadata={"actor": "me"}, registry=registry)])
    await db.models.put("totals", "a", '{"total": 15}')
    await db.models.put("totals", "b", '{"total": 21}')
    await db.checkpoints.save("totals", 4)


async def found(db: Backend, **options: Any) -> Findings:
    return await verify(db, aggregates=[Counter], **options)


SOUND = Findings((), events=13, aggregates=3, snapshots=4, checkpoints=1, models=2)


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "app.db")
    with goes.blocking.connect(path, registry=registry) as db:
        drive(fill(db.backend))
    return path


def look(path: str, **options: Any) -> Findings:
    with goes.blocking.connect(path, registry=registry) as db:
        return drive(found(db.backend, **options))


# --- sound stores ---------------------------------------------------------------------------------------------------


def test_a_sound_store(path: str) -> None:
    assert look(path) == SOUND
    with goes.blocking.connect(path, registry=registry, read_only=True) as db:
        assert drive(found(db.backend)) == SOUND


def test_a_sound_store_on_an_event_loop() -> None:
    async def main() -> None:
        async with goes.connect("sqlite:///:memory:", registry=registry) as db:
            assert await found(db) == Findings(())
            await fill(db)
            assert await found(db) == SOUND

    asyncio.run(main())


def test_a_large_store_is_read_in_pages(tmp_path: Path) -> None:
    """With more events than are looked up one by one, and more versions than are loaded at once."""
    told: list[int] = []
    with goes.blocking.connect(tmp_path / "app.db", registry=registry) as db:
        ref = AggregateRef("counter", "long")
        for start in range(0, 3000, 500):
            db.events.append([
                Event(Counted(1), aggregate=ref, version=n + 1, tags=[f"n:{n}"], registry=registry)
                for n in range(start, start + 500)
            ])  # fmt: skip
        findings = drive(verify(db.backend, thorough=500, progress=told.append))
    assert findings == Findings((), 3000, 1)
    assert told == sorted(told)
    assert told[-1] == 3000


def test_memory_does_not_grow_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of aggregates, texts and ids is limited, so with small limits a log of some pages shows it."""
    for limit in ("RECENT", "TEXTS"):
        monkeypatch.setattr(f"goes_lite.operations.log_pass.{limit}", 100)
    peaks: list[int] = []
    for number in (2_000, 12_000):
        with goes.blocking.connect(tmp_path / f"{number}.db", registry=registry, durability="memory") as db:
            for start in range(0, number, 500):
                db.events.append([
                    Event(
                        Counted(1), aggregate=("counter", f"{n % (number // 4)}"), version=n * 4 // number + 1,
                        metadata={"n": f"{n:0100}"}, registry=registry,
                    )
                    for n in range(start, start + 500)
                ])  # fmt: skip
            tracemalloc.start()
            try:
                assert drive(verify(db.backend, thorough=10)) == Findings((), number, number // 4)
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20), peaks  # the text of the metadata alone would be 1.2 MB more


def test_a_store_that_grows_and_shrinks_meanwhile(path: str) -> None:
    """Everything is of one moment: what is appended, deleted and begun again meanwhile makes no finding."""
    with goes.blocking.connect(path, registry=registry) as writer, goes.blocking.connect(path, registry=registry) as db:
        counters = writer.repository(Counter, snapshots=Every(2))
        seen: list[str] = []

        class Busy(WrappedBackend):
            """Each view begins, then others write: the snapshots and checkpoints that it shows are soon no more."""

            @asynccontextmanager
            async def view(self) -> AsyncGenerator[View]:
                async with self.backend.view() as view:
                    for id in "abc":
                        counters.delete(id)
                        for _ in range(1 if len(seen) % 2 else 3):  # with a snapshot, or too few events for it
                            counters.use(id, lambda counter: counter.count(100), create=True)
                    writer.checkpoints.save("totals", writer.events.head())
                    seen.append("view")
                    yield view

        first = drive(found(Busy(db.backend)))
        assert first.problems == ()
        assert first.notes == ()
        assert len(seen) > 1
        assert look(path).problems == ()


def test_it_changes_nothing(path: str) -> None:
    before = Path(path).read_bytes()
    look(path)
    assert Path(path).read_bytes() == before


# --- damage, behind the store's back ----------------------------------------------------------------------------------

_UNIQUE = "CREATE UNIQUE INDEX events_of_aggregate ON events (aggregate_key, version) WHERE aggregate_key IS NOT NULL"
_WITHOUT_UNIQUE_IDS = (
    "PRAGMA writable_schema = ON",
    "UPDATE sqlite_schema SET sql = replace(sql, 'id BLOB NOT NULL UNIQUE', 'id BLOB NOT NULL') WHERE name = 'events'",
    "DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1'",
    "PRAGMA writable_schema = RESET",
)
_OF_A = "aggregate_key = (SELECT key FROM aggregates WHERE id = 'a')"

DAMAGES: dict[str, tuple[Sequence[str], str]] = {
    "an event is gone": (
        [f"DELETE FROM events WHERE version = 3 AND {_OF_A}"],
        r"counter\(a\): .* without its event of version 3",
    ),
    "the last event is gone": (
        [f"DELETE FROM events WHERE version = 5 AND {_OF_A}"],
        r"counter\(a\): .* without its event of version 5",
    ),
    "versions against the order of positions": (
        [
            "DROP INDEX events_of_aggregate",
            f"UPDATE events SET version = 5 - version WHERE version IN (2, 3) AND {_OF_A}",
            _UNIQUE,
        ],
        r"version 3 of counter\(a\) is at position 2, after 3",
    ),
    "an aggregate is gone": (
        ["DELETE FROM aggregates WHERE id = 'b'"],
        "the event at position 6 has version 1, but its aggregate is gone",
    ),
    "an event without its version": (
        [f"UPDATE events SET version = 0 WHERE version = 1 AND {_OF_A}"],
        r"the event at position 1 has version 0 of counter\(a\)",
    ),
    "the version of an aggregate": (
        ["UPDATE aggregates SET version = 7 WHERE id = 'a'"],
        r"counter\(a\): .* without its event of version 6",
    ),
    "the first time of an aggregate": (
        ["UPDATE aggregates SET first_time = first_time - 1 WHERE id = 'a'"],
        r"counter\(a\) is listed with .* as its first time, but that of its event is",
    ),
    "the last time of an aggregate": (
        ["UPDATE aggregates SET last_time = last_time + 1 WHERE id = 'a'"],
        r"counter\(a\) is listed with .* as its last time, but that of its event is",
    ),
    "an aggregate of no events": (
        ["INSERT INTO aggregates (name, id, version, first_time, last_time) VALUES ('counter', 'none', 1, 0, 0)"],
        r"counter\(none\): .* without its event of version 1",
    ),
    "an id that is none": (
        ["UPDATE events SET id = x'00' WHERE position = 3"],
        "the event at position 3 cannot be read: DecodeError: id:",
    ),
    "metadata that cannot be read": (
        ["UPDATE events SET metadata = '{' WHERE position = 15"],
        "the event at position 15 cannot be read: DecodeError: metadata:",
    ),
    "data that cannot be read": (
        ["UPDATE events SET data = '{' WHERE position = 3"],
        r"the event 'counted' of counter\(a\) at position 3 cannot be decoded: DecodeError: \$: not JSON",
    ),
    "an event whose name is gone": (
        ["DELETE FROM event_names WHERE name = 'closed'"],
        "the event at position 12 cannot be read: StoreDamaged: .* has the name key 2, which does not exist",
    ),
    "a tag that does not lead to its event": (
        ["DELETE FROM event_tags WHERE tag = 'parity:even' AND position = 15"],
        r"events found by the tag 'parity:even' differ from the log: missing at positions \[15\]",
    ),
    "a tag that leads to another event": (
        ["INSERT INTO event_tags (tag, position) VALUES ('parity:odd', 13)"],
        r"events found by the tag 'parity:odd' differ from the log: wrong at positions \[13\]",
    ),
    "a snapshot of a version to come": (
        ["UPDATE snapshots SET version = 9 WHERE id = 'a' AND version = 4"],
        r"the snapshot of counter\(a\) at version 9 is of a version that the aggregate does not have",
    ),
    "a snapshot of an aggregate that is gone": (
        ["UPDATE snapshots SET id = 'who' WHERE id = 'c'"],
        r"the snapshot of counter\(who\) at version 2 is of a version that the aggregate does not have",
    ),
    "a snapshot of another state": (
        ["""UPDATE snapshots SET state = replace(state, '"total":10', '"total":11') WHERE id = 'a' AND version = 4"""],
        r"the snapshot of counter\(a\) at version 4 has the state {'total': 11}, but its events result in {'total': 10}",
    ),
    "a snapshot that knows nothing of the deletion": (
        ["UPDATE snapshots SET deleted = 0 WHERE id = 'c'"],
        r"the snapshot of counter\(c\) at version 2 has the state",
    ),
    "a snapshot that cannot be read": (
        ["UPDATE snapshots SET state = '{' WHERE id = 'c'"],
        r"the snapshot of counter\(c\) at version 2 does not fit",
    ),
    "a checkpoint ahead of the log": (
        ["UPDATE checkpoints SET position = 99"],
        "the checkpoint 'totals' is at 99, but the head is 15",
    ),
    "a checkpoint of another store": (
        ["UPDATE checkpoints SET store = 'another/1'"],
        "the checkpoint 'totals' belongs to the store another/1, but this one is",
    ),
    "a model that is not JSON": (
        ["UPDATE models SET data = '{' WHERE id = 'a'"],
        "the model 'a' of 'totals' is not valid JSON",
    ),
    "a model without a version": (
        ["UPDATE models SET version = 0 WHERE id = 'b'"],
        "the model 'b' of 'totals' has version 0",
    ),
}


REFUSED: dict[str, tuple[Sequence[str], str]] = {
    "the head has gone back": (
        ["UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'events'"],
        "the last event is at position 15, but sqlite_sequence, .*, has 14",
    ),
    "the head has gone back behind an aggregate": (
        ["UPDATE sqlite_sequence SET seq = 4 WHERE name = 'events'"],
        "the last event is at position 15, but sqlite_sequence, .*, has 4",
    ),
    "ids that need not be unique": (
        [*_WITHOUT_UNIQUE_IDS, "UPDATE events SET id = (SELECT id FROM events WHERE position = 1) WHERE position = 2"],
        "the table 'events' is not as goes_lite made it",
    ),
    "a table is gone": (["DROP TABLE models"], "'models' is missing"),
}
"""Damage that opening the store finds already."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(path: str, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goes_lite.operations.lookups.IDS", 5)
    statements, expected = DAMAGES[damage]
    harm(path, statements)
    problems = look(path).problems
    with pytest.raises(AssertionError, match=expected):
        raise AssertionError("\n".join(map(str, problems)))


@pytest.mark.parametrize("damage", REFUSED)
def test_damage_is_refused_at_opening(path: str, damage: str) -> None:
    statements, expected = REFUSED[damage]
    harm(path, statements)
    with pytest.raises(StoreDamaged, match=expected):
        look(path)


def harm(path: str, statements: Sequence[str]) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()


# --- stores that say one thing and then another -----------------------------------------------------------------------


class Lying(WrappedStore):
    """Answers what it is told to, instead of asking the store behind it."""

    def __init__(self, store: Any, **lies: Callable[..., Any]) -> None:
        super().__init__(store)
        for method, lie in lies.items():
            setattr(self, method, lie)


def pages(*items: Any) -> Pages[Any]:
    left = [list(items)]

    async def fetch() -> Sequence[Any]:
        return left.pop() if left else []

    return Pages(fetch)


def answering(value: Any) -> Callable[..., Any]:
    async def answer(*_: Any, **__: Any) -> Any:
        return value

    return answer


def searching(events: Sequence[Event[Any]]) -> Callable[..., Any]:
    def query(query: EventQuery = EVERYTHING, **_: Any) -> Pages[Any]:
        return pages(*filter(query.matches, events))

    return query


def storing(events: Sequence[Event[Any]]) -> Callable[..., Any]:
    def stored(*, after: int = 0, **_: Any) -> Pages[Any]:
        return pages(*events) if not after else pages()

    return stored


class OwnView(WrappedBackend):
    """A backend whose view shows its own stores, so that a test can replace them."""

    @asynccontextmanager
    async def view(self) -> AsyncGenerator[View]:
        yield self


async def problems_of(change: Callable[[WrappedBackend], None]) -> str:
    runtime = InlineRuntime()
    db = OwnView(await SQLiteBackend.open(":memory:", runtime, registry, "error"))
    try:
        await fill(db)
        change(db)
        return "\n".join(map(str, (await found(db)).problems))
    finally:
        await db.close()


def reports(change: Callable[[WrappedBackend], None]) -> str:
    return drive(problems_of(change))


def test_positions_that_do_not_grow() -> None:
    def change(db: WrappedBackend) -> None:
        events = drive(db.events.query().list())
        events[3], events[4] = events[4], events[3]
        db.events = Lying(db.events, query=searching(events), stored=storing(events))

    assert "position 4 follows position 5" in reports(change)


def test_an_event_twice() -> None:
    def change(db: WrappedBackend) -> None:
        events = drive(db.events.query().list())
        events.insert(3, events[3])
        db.events = Lying(db.events, query=searching(events), stored=storing(events))

    problems = reports(change)
    assert "position 4 follows position 4" in problems
    assert "13 events are counted, but the log has 14" in problems


def test_a_head_that_lags() -> None:
    lies = {"head": answering(14)}
    assert "the head is 14, but there is an event at position 15" in reports(
        lambda db: setattr(db, "events", Lying(db.events, **lies))
    )


@pytest.mark.parametrize("lie", [None, "another"])
def test_an_id_that_finds_something_else(lie: str | None) -> None:
    def change(db: WrappedBackend) -> None:
        wrong = drive(db.events.load(AggregateRef("counter", "c")))[0] if lie else None
        db.events = Lying(db.events, find=answering(wrong))

    assert "the event at position 1 is found by its id" in reports(change)


def test_a_wrong_count() -> None:
    def change(db: WrappedBackend) -> None:
        store = db.events

        async def count(query: EventQuery = EVERYTHING) -> int:
            return await store.count(query) + (query != EVERYTHING)

        db.events = Lying(store, count=count)

    assert "13 events named 'counted' are counted, but the log has 12" in reports(change)


def test_loading_something_else_than_a_query_finds() -> None:
    def change(db: WrappedBackend) -> None:
        store = db.events
        wrong = drive(store.load(AggregateRef("counter", "b")))
        db.events = Lying(store, load=answering(wrong))

    problems = reports(change)
    assert "version 1 of counter(a) is loaded as an event of counter(b)" in problems
    assert "events found by their aggregate counter(a) differ from the log" in problems


def test_an_aggregate_that_is_not_listed() -> None:
    def change(db: WrappedBackend) -> None:
        infos = drive(db.events.aggregates().list())
        db.events = Lying(db.events, aggregates=lambda: pages(*infos[1:]))

    assert "the log has 10 events of aggregates, and what is listed of them differs" in reports(change)


def test_aggregates_out_of_order() -> None:
    def change(db: WrappedBackend) -> None:
        infos = drive(db.events.aggregates().list())
        db.events = Lying(db.events, aggregates=lambda: pages(*reversed(infos)))

    assert "counter(b) is listed after counter(c)" in reports(change)


class Instead:
    """A store with some of its methods replaced."""

    def __init__(self, store: Any, **methods: Callable[..., Any]) -> None:
        self._store = store
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._store, name)


def replace(part: str, **methods: Callable[..., Any]) -> Callable[[WrappedBackend], None]:
    def change(db: WrappedBackend) -> None:
        setattr(db, part, Instead(getattr(db, part), **methods))

    return change


def test_a_latest_snapshot_that_is_not_the_latest() -> None:
    def change(db: WrappedBackend) -> None:
        first: Snapshot = drive(db.snapshots.query().list())[0]
        replace("snapshots", latest=answering(first))(db)

    problems = reports(change)
    assert "the latest snapshot of counter(a) is at version 4, not that at version 2" in problems
    assert "the latest snapshot of counter(b) is at version 2, not that at version 2" in problems


def test_snapshots_out_of_order() -> None:
    def change(db: WrappedBackend) -> None:
        snapshots = drive(db.snapshots.query().list())
        replace("snapshots", query=lambda: pages(*reversed(snapshots)))(db)

    assert "the snapshot of counter(b) at version 2 is listed after that of counter(c) at version 2" in reports(change)


def test_a_checkpoint_that_is_listed_and_not_there() -> None:
    nothing: Checkpoint | None = None
    assert "the checkpoint 'totals' is listed as" in reports(replace("checkpoints", get=answering(nothing)))


def test_a_model_that_is_another_when_it_is_got() -> None:
    record = ModelRecord("totals", "a", 2, "{}")
    assert "the model 'b' of 'totals' is not what get() returns" in reports(replace("models", get=answering(record)))


def test_models_out_of_order() -> None:
    def change(db: WrappedBackend) -> None:
        records = drive(db.models.query("totals").list())
        records.reverse()
        replace("models", query=lambda *_: pages(*records))(db)

    assert "the model 'a' of 'totals' is listed after 'b'" in reports(change)


def test_enough_is_enough(path: str) -> None:
    """A store in which everything is wrong does not fill the memory with sentences."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET metadata = '{'")
    problems = look(path, limit=5).problems
    assert len(problems) == 6
    assert str(problems[-1]) == "stopped after 5 problems; the rest was not checked"


# --- the records of goes_lite's own -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collection", "id", "data", "code"),
    [
        (
            "goes:parked:totals",
            f"{4:019d}",
            '{"position": 5, "name": "counted", "error": "", "attempts": 1}',
            "parked-wrong",
        ),
        (
            "goes:parked:totals",
            f"{99:019d}",
            '{"position": 99, "name": "x", "error": "", "attempts": 1}',
            "parked-wrong",
        ),
        (
            "goes:parked:totals",
            f"{4:019d}",
            '{"position": 4, "name": "x", "error": "", "attempts": -1}',
            "parked-wrong",
        ),
        ("goes:commands", "one", '{"id": "two"}', "commands-wrong"),
        ("goes:commands", "one", '{"id": "one", "state": "lost", "due": 0}', "commands-wrong"),
        ("goes:commands", "one", '{"id": "one", "due": "noon"}', "commands-wrong"),
        ("goes:receipts", "one", '{"data": "none"}', "receipts-wrong"),
        ("goes:receipts", "one", "[]", "receipts-wrong"),
        ("goes:receipts", "one", "{", "receipts-wrong"),
        ("goes:processors", "totals", '{"triggers": "many"}', "records-wrong"),
        ("goes:projections", "totals", '{"version": 1, "replay_until": 99}', "records-wrong"),
    ],
)
def test_a_damaged_record_is_found(path: str, collection: str, id: str, data: str, code: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("INSERT INTO models VALUES (?, ?, 1, ?)", (collection, id, data))
    assert {problem.code for problem in look(path).problems} == {code}


def test_a_lease_that_cannot_be_is_found(path: str) -> None:
    harm(path, ["INSERT INTO leases VALUES ('totals', 'me', 0, 9000000000000000)"])
    assert {problem.code for problem in look(path).problems} == {"lease-wrong"}
