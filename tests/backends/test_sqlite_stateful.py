"""The real store against a plain list: whatever is done to both, in whatever order, they tell the same."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from goes_lite.blocking import BlockingBackend, connect
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, DuplicateEventError
from goes_lite.event import AggregateRef, Event
from goes_lite.query import EventQuery
from goes_lite.snapshot import Snapshot
from goes_lite.store import AppendCondition, Appended

if TYPE_CHECKING:
    from tests.backends.faces import count, note, registry
else:
    from faces import count, note, registry

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
REFS = [AggregateRef(name, id) for name in ("order", "invoice") for id in ("1", "é")]
TAGS = ["t:1", "t:2", "u:1"]

tags = st.sets(st.sampled_from(TAGS), max_size=2)
refs = st.sampled_from(REFS)
# how many events of which aggregate (None: of none), one behind the other, in one batch
plans = st.lists(st.tuples(st.sampled_from([None, *REFS]), tags), min_size=1, max_size=4)
tag = st.sampled_from(TAGS)
tagged = st.builds(EventQuery, tags=st.lists(tag, min_size=1, max_size=2))
of_aggregates = st.builds(EventQuery, aggregates=st.lists(refs, min_size=1, max_size=2))
named = st.builds(EventQuery, st.lists(st.sampled_from(["noted", "counted", "closed"]), min_size=1))
from_version = st.builds(EventQuery, min_version=st.integers(0, 3))
either = st.builds(EventQuery.any_of, tagged, of_aggregates)
queries = st.one_of(st.just(EventQuery()), tagged, of_aggregates, named, from_version, either)


@dataclass
class Model:
    """What a store is: a list of events, each at a position, and the highest position that was ever used."""

    log: list[Event[Any]] = field(default_factory=list[Event[Any]])
    head: int = 0
    snapshots: dict[tuple[AggregateRef, int], Snapshot] = field(
        default_factory=dict[tuple[AggregateRef, int], Snapshot]
    )

    def version(self, ref: AggregateRef) -> int:
        return sum(event.aggregate == ref for event in self.log)

    def append(self, events: list[Event[Any]]) -> Appended:
        positions = tuple(range(self.head + 1, self.head + 1 + len(events)))
        self.log += [event.at(position) for event, position in zip(events, positions, strict=True)]
        self.head += len(events)
        return Appended(positions)

    def positions(self, events: list[Event[Any]]) -> list[int]:
        """Of those of the events that are stored, by their ids."""
        stored = {event.id: event.position for event in self.log}
        return [stored[event.id] for event in events if event.id in stored]


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and the model together."""

    driver = "sqlite3"
    where = "memory"
    batches: Bundle[list[Event[Any]]] = Bundle("batches")

    @initialize()
    def open(self) -> None:
        self.model = Model()
        self.folder = tempfile.TemporaryDirectory() if self.where == "file" else None
        self.path = os.path.join(self.folder.name, "store.db") if self.folder else ":memory:"
        self.db = self.connect()
        self.stores: Any = self.db  # or a transaction's
        self.following = self.db.events.follow(after=0)
        self.followed = 0

    def connect(self) -> BlockingBackend:
        return connect(self.path, driver=self.driver, registry=registry, durability="memory")

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
            if self.folder:
                self.folder.cleanup()

    def planned(self, plan: list[tuple[AggregateRef | None, set[str]]]) -> list[Event[Any]]:
        versions: dict[AggregateRef, int] = {}
        events: list[Event[Any]] = []
        for number, (ref, labels) in enumerate(plan):
            time = NOON + timedelta(microseconds=self.model.head + number)
            if ref is None:
                events.append(count(number, tags=labels, time=time))
                continue
            versions[ref] = versions.get(ref, self.model.version(ref)) + 1
            events.append(note(str(number), ref, versions[ref], tags=labels, time=time, metadata={"n": str(number)}))
        return events

    @rule(target=batches, plan=plans)
    def append(self, plan: list[tuple[AggregateRef | None, set[str]]]) -> list[Event[Any]]:
        events = self.planned(plan)
        assert self.stores.events.append(events) == self.model.append(events)
        return events

    @rule(target=batches, plan=plans, query=queries, back=st.integers(0, 6))
    def append_on_condition(self, plan: Any, query: EventQuery, back: int) -> list[Event[Any]]:
        events = self.planned(plan)
        condition = AppendCondition(query, max(0, self.model.head - back))
        behind = [e.position for e in self.model.log if e.position > condition.after and query.matches(e)]
        if behind:
            with pytest.raises(AppendConditionFailed) as caught:
                self.db.events.append(events, condition=condition)
            assert caught.value.position in behind
        else:
            assert self.db.events.append(events, condition=condition) == self.model.append(events)
        return events

    @rule(ref=refs, off=st.sampled_from([-2, -1, 1, 2]), plan=plans)
    def append_stale(self, ref: AggregateRef, off: int, plan: Any) -> None:
        version = self.model.version(ref)
        events = [event for event in self.planned(plan) if event.aggregate != ref]
        if version + 1 + off < 1:
            return
        with pytest.raises(ConcurrencyError) as caught:
            self.db.events.append([*events, note("stale", ref, version + 1 + off)])
        assert (caught.value.aggregate, caught.value.expected, caught.value.actual) == (ref, version + off, version)

    @rule(batch=batches)
    def append_again(self, batch: list[Event[Any]]) -> None:
        """What is stored is a retry; what is stored in part, or was deleted, is judged anew."""
        stored = self.model.positions(batch)
        if len(stored) == len(batch):
            assert self.db.events.append(batch) == Appended(tuple(stored), already_committed=True)
        elif stored:
            with pytest.raises(DuplicateEventError):
                self.db.events.append(batch)
        else:
            first: dict[AggregateRef, int] = {}
            for event in batch:
                if event.aggregate is not None:
                    first.setdefault(event.aggregate, event.version)
            if all(self.model.version(ref) == version - 1 for ref, version in first.items()):
                assert self.db.events.append(batch) == self.model.append(batch)
            else:
                with pytest.raises(ConcurrencyError):
                    self.db.events.append(batch)

    @rule(batch=batches, plan=plans)
    def reuse_an_id(self, batch: list[Event[Any]], plan: Any) -> None:
        used = self.model.positions(batch[:1])
        if used:
            with pytest.raises(DuplicateEventError) as caught:
                self.db.events.append([*self.planned(plan), note("other", id=batch[0].id)])
            assert caught.value.position == used[0]

    @rule(ref=refs)
    def delete(self, ref: AggregateRef) -> None:
        assert self.stores.events.delete(ref) == self.model.version(ref)
        self.model.log = [event for event in self.model.log if event.aggregate != ref]
        self.model.snapshots = {key: one for key, one in self.model.snapshots.items() if key[0] != ref}

    @rule(
        query=queries,
        after=st.integers(0, 12),
        size=st.integers(0, 12),
        limit=st.none() | st.integers(0, 5),
        reverse=st.booleans(),
    )
    def query(self, query: EventQuery, after: int, size: int, limit: int | None, reverse: bool) -> None:
        window = [e for e in self.model.log if after < e.position <= after + size and query.matches(e)]
        expected = (window[::-1] if reverse else window)[:limit]
        found = self.db.events.query(query, after=after, upto=after + size, limit=limit, reverse=reverse).list()
        assert [(event, event.position) for event in found] == [(event, event.position) for event in expected]
        assert self.db.events.count(query) == sum(query.matches(event) for event in self.model.log)

    @rule(ref=refs, after=st.integers(0, 3), upto=st.none() | st.integers(0, 4))
    def load(self, ref: AggregateRef, after: int, upto: int | None) -> None:
        history = [event for event in self.model.log if event.aggregate == ref]
        assert self.db.events.load(ref, after=after, upto=upto) == history[after:upto]

    @rule(batch=batches)
    def find(self, batch: list[Event[Any]]) -> None:
        stored = {event.id: event for event in self.model.log}
        for event in batch:
            assert self.db.events.find(event.id) == stored.get(event.id)
        assert self.db.events.find(uuid4()) is None

    @rule(number=st.integers(1, 5))
    def follow(self, number: int) -> None:
        """A follower gets what is there and lies behind what it saw; what was deleted meanwhile it may have fetched."""
        waiting = [event for event in self.model.log if event.position > self.followed]
        for event in islice(self.following, min(number, len(waiting))):
            assert event.position > self.followed
            self.followed = event.position
        fresh = self.db.events.follow(after=self.followed)
        rest = [event for event in self.model.log if event.position > self.followed]
        assert list(islice(fresh, len(rest))) == rest

    @precondition(lambda self: self.model.log)
    @rule(data=st.data())
    def snapshot(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.model.log))
        if event.aggregate is not None:
            one = Snapshot(event.aggregate, event.version, event.time, 1, "json", data.draw(st.text(max_size=5)))
            self.db.snapshots.save(one)
            self.model.snapshots[one.aggregate, one.version] = one

    @rule(keep=st.integers(1, 2))
    def prune(self, keep: int) -> None:
        before = len(self.model.snapshots)
        for ref in REFS:
            for key in sorted(key for key in self.model.snapshots if key[0] == ref)[:-keep]:
                del self.model.snapshots[key]
        assert self.db.snapshots.prune(keep=keep) == before - len(self.model.snapshots)

    @rule(plan=plans, ref=refs, commit=st.booleans())
    def transact(self, plan: Any, ref: AggregateRef, commit: bool) -> None:
        """Appends and a deletion, all or nothing."""
        before = Model(list(self.model.log), self.model.head, dict(self.model.snapshots))
        try:
            with self.db.transaction() as tx:
                self.stores = tx
                try:
                    self.append(plan)
                    self.delete(ref)
                    self.append(plan)
                finally:
                    self.stores = self.db
                if not commit:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            self.model = before

    @precondition(lambda self: self.where == "file")
    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = self.stores = self.connect()
        self.following = self.db.events.follow(after=self.followed)

    @invariant()
    def tells_the_same(self) -> None:
        if not hasattr(self, "db"):
            return
        stored = self.db.events.query().list()
        assert [(event, event.position) for event in stored] == [(event, event.position) for event in self.model.log]
        assert self.db.events.head() == self.model.head
        listed = [(info.aggregate, info.version) for info in self.db.events.aggregates()]
        assert listed == [(ref, self.model.version(ref)) for ref in sorted(REFS) if self.model.version(ref)]
        assert self.db.snapshots.query().list() == [self.model.snapshots[key] for key in sorted(self.model.snapshots)]


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_store_is_a_list_of_events(driver: str, where: str) -> None:
    """Appends, conditions, retries, deletions, snapshots, transactions, followers and reopening, in any order."""
    machine = type("Machine", (StoreMachine,), {"driver": driver, "where": where})
    effort = (
        settings(stateful_step_count=30) if where == "memory" else settings(stateful_step_count=30, max_examples=12)
    )
    run_state_machine_as_test(machine, settings=effort)
