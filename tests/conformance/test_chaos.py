"""Wrapped stores: those that keep the whole contract pass the whole suite, the others do what they say, and no more."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from goes_lite_conformance import EventStoreTests, Storage
from goes_lite_conformance.chaos import ChaosStore, ConflictOnce, LatencyStore, register_wrapped

import goes_lite as goes
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.database import Database
from goes_lite.database.connect import connect
from goes_lite.errors import AppendInDoubtError, ConcurrencyError, StoreUnavailable
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime import InlineRuntime, drive

register_wrapped("wrapped", lambda backend: WrappedBackend(backend, WrappedStore))
register_wrapped(
    "troubled",
    lambda db: WrappedBackend(
        db, lambda store: ChaosStore(LatencyStore(store, db.runtime, 0.0001), 7, in_doubt=0, unavailable=0)
    ),
)
register_wrapped("doubtful", lambda db: WrappedBackend(db, lambda store: ChaosStore(store, 7)))


@pytest.mark.once
class TestLegalTrouble(EventStoreTests):
    """Latency, short pages and appends that are done twice are nobody's business: every rule still holds."""

    def url(self, storage: Storage) -> str:
        return f"troubled+sqlite:///{storage.folder}/app.db"


registry = goes.Registry()


@registry.event("counted")
@dataclass(frozen=True)
class Counted:
    by: int


class Counter(goes.Aggregate, name="counter", registry=registry):
    total: int = 0

    def count(self, by: int) -> None:
        self.record(Counted(by))

    @goes.applies(Counted)
    def _counted(self, event: Event[Counted]) -> None:
        self.total += event.data.by


def wrapped(db: goes.blocking.BlockingDatabase, store: Any) -> Database:
    return Database(WrappedBackend(db.backend, lambda _: store))


def test_a_rival_is_faster_once_and_a_retry_builds_on_what_it_stored() -> None:
    """`Repository.use` decides again, on an instance that has the rival's event; the next conflict is another aggregate's."""

    def rival(ref: AggregateRef, version: int) -> Event[Counted]:
        return Event(Counted(100), aggregate=ref, version=version, registry=registry)

    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        db.repository(Counter).use("a", lambda counter: counter.count(1), create=True)
        store = ConflictOnce(db.backend.events, rival)
        counters = wrapped(db, store).repository(Counter)
        seen: list[int] = []

        def decide(counter: Counter) -> None:
            seen.append(counter.total)
            counter.count(10)

        drive(counters.use("a", decide))
        drive(counters.use("a", decide))
        assert seen == [1, 101, 111]
        assert store.refused == {AggregateRef("counter", "a")}
        assert [event.data.by for event in db.events.query()] == [1, 100, 10, 10]


def test_a_conflict_without_a_rival_stores_nothing() -> None:
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        first, second = (Event(Counted(n), aggregate=("counter", "a"), version=n, registry=registry) for n in (1, 2))
        store = ConflictOnce(db.backend.events)
        drive(store.append([first]))  # nobody can be faster with an aggregate that does not exist
        with pytest.raises(ConcurrencyError) as conflict:
            drive(store.append([second]))
        assert (conflict.value.expected, conflict.value.actual) == (1, 2)
        assert db.events.head() == 1
        drive(store.append([second]))
        assert db.events.head() == 2


@pytest.mark.parametrize("seed", range(20))
def test_whoever_repeats_what_failed_stores_everything_once(seed: int) -> None:
    """With the same events: in doubt, unavailable or done twice behind one's back, the log comes out the same."""
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        store = ChaosStore(db.backend.events, seed, repeats=0.3, in_doubt=0.3, unavailable=0.3)
        failures = 0
        for version in range(1, 31):
            event = Event(Counted(version), aggregate=("counter", "a"), version=version, registry=registry)
            while True:
                try:
                    drive(store.append([event]))
                    break
                except (AppendInDoubtError, StoreUnavailable):
                    failures += 1
        assert failures
        assert failures <= store.troubles
        assert [event.data.by for event in db.events.query()] == list(range(1, 31))


def test_pages_that_fail_go_on_where_they_were() -> None:
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        db.events.append([Event(Counted(n), registry=registry) for n in range(50)])
        pages = ChaosStore(db.backend.events, 3, unavailable=0.5).query()
        seen: list[int] = []
        failures = 0
        while True:
            try:
                page = drive(pages.next_page())
            except StoreUnavailable:
                failures += 1
                continue
            if not page:
                break
            seen += [event.data.by for event in page]
        assert failures
        assert seen == list(range(50))


def test_the_same_seed_is_the_same_trouble() -> None:
    def run(seed: int) -> list[str]:
        rng = random.Random(5)
        with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
            store = ChaosStore(db.backend.events, seed)
            said: list[str] = []
            for _ in range(50):
                event = Event(Counted(rng.randrange(9)), registry=registry)
                try:
                    said.append(str(drive(store.append([event])).position))
                except (AppendInDoubtError, StoreUnavailable) as trouble:
                    said.append(type(trouble).__name__)
            return said

    assert run(1) == run(1) != run(2)


def test_latency_waits_through_the_runtime() -> None:
    """Which sleeps in a thread, or lets the event loop go on; the waits depend on the seed alone."""

    class Waits(InlineRuntime):
        def __init__(self) -> None:
            super().__init__()
            self.waits: list[float] = []

        async def sleep(self, seconds: float) -> None:
            self.waits.append(seconds)

    def run(seed: int) -> list[float]:
        runtime = Waits()
        with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
            store = LatencyStore(db.backend.events, runtime, 1.0, jitter=0.25, seed=seed)
            drive(store.head())
            drive(store.count())
            drive(store.query().list())
        return runtime.waits

    waits = run(1)
    assert len(waits) >= 4
    assert all(0.75 <= wait <= 1.25 for wait in waits)
    assert waits == run(1) != run(2)


def test_a_wrapped_backend_is_connected_to_by_url(tmp_path: Any) -> None:
    """With its own name before the +; options and the rest of the URL are for what is behind it."""

    async def both() -> None:
        async with connect(f"wrapped+sqlite:///{tmp_path}/app.db?durability=normal", registry=registry) as db:
            assert db.durability == "process-crash"
            assert repr(db).startswith("<Database <WrappedBackend over <SQLiteBackend")
            async with db.transaction() as transaction:
                await transaction.events.append([Event(Counted(1), registry=registry)])
            assert await db.events.head() == 1

    import asyncio

    asyncio.run(both())
    with goes.blocking.connect(f"wrapped+sqlite:///{tmp_path}/app.db", registry=registry) as db:
        assert [event.data.by for event in db.events.query()] == [1]
