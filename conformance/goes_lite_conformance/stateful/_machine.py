"""The machine that does anything to a store and to the reference, in any order, and checks that they agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from goes_lite.contract.backend import DENSE_POSITIONS, PERSISTENT, PROCESSES, TRANSACTIONS, Backend, Transaction
from goes_lite.contract.event_store import AppendCondition, Appended, Pages
from goes_lite.errors import GoesError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.runtime import drive
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON, Closed, Counted, Noted, snapshot
from goes_lite_conformance.stateful._reference import Reference
from goes_lite_conformance.strategies import Draft, queries, versioned

T = TypeVar("T")
Stores: TypeAlias = Backend | Transaction
Handle = Literal["first", "second"]
Batch: TypeAlias = list[Event[Any]]
Drafts: TypeAlias = list[Draft]

REFS = [AggregateRef(name, id) for name, id in (("order", "1"), ("order", "é"), ("Order", "1"), ("order", "e\u0301"))]
TAGS = ["t:1", "t:2", "t:11", "T:1"]
MOMENTS = [NOON + timedelta(microseconds=number) for number in (0, 1, -1)]
FIELDS = [None, 1, 2, "1", ""]
"""Values of the field of read models."""

refs = st.sampled_from(REFS)
plans = st.lists(
    st.tuples(
        st.sampled_from([None, *REFS]),
        st.sampled_from([Closed(), Counted(1), Noted("x")]),
        st.frozensets(st.sampled_from(TAGS), max_size=2),
        st.sampled_from(MOMENTS),
    ).map(lambda drawn: Draft(*drawn[:3], time=drawn[3])),
    min_size=1,
    max_size=4,
)
"""The events of one batch."""
plain_queries = [
    EventQuery(),
    *(EventQuery(tags=[tag]) for tag in TAGS),
    *(EventQuery(aggregates=[ref]) for ref in REFS),
]
some_queries = st.sampled_from(plain_queries) | queries(
    versioned([Draft(ref, tags=frozenset(TAGS), time=time) for ref in REFS for time in MOMENTS])
)
handles: st.SearchStrategy[Handle] = st.sampled_from(["first", "second"])
versions = st.integers(1, 4)
model_ids = st.sampled_from(["1", "é", "e\u0301"])
offs = st.sampled_from([None, 0, 0, 1, -1])
"""How far off the expected version of a model is; None: no version is expected."""
steps = st.one_of(
    st.tuples(st.just("append"), plans),
    st.tuples(st.just("delete"), refs),
    st.tuples(st.just("save"), refs),
    st.tuples(st.just("put"), model_ids),
)
"""What is done in a transaction."""


class Follower:
    """A follower of the log, and the position that it has reached."""

    def __init__(self, query: EventQuery, after: int, handle: Handle) -> None:
        self.query = query
        self.last = after
        self.handle: Handle = handle
        self.pages: Pages[Event[Any]]


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and the reference together."""

    base: ClassVar[Place]

    batches: Bundle[Batch] = Bundle("batches")
    followers: Bundle[Follower] = Bundle("followers")

    def __init__(self) -> None:
        super().__init__()
        self.left = ExitStack()
        self.place = self.left.enter_context(self.base.another())
        self.runner = self.left.enter_context(asyncio.Runner()) if self.place.face == "async" else None
        self.reference = Reference()
        self.made = 0
        self.following: list[Follower] = []
        self.open()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on the face of the place."""
        return drive(coroutine) if self.runner is None else self.runner.run(coroutine)

    def open(self) -> None:
        self.opened = AsyncExitStack()
        number = 2 if PROCESSES in self.place.abilities else 1
        self.handles = [self.run(self.opened.enter_async_context(self.place.open())) for _ in range(number)]
        for follower in self.following:
            follower.pages = self.through(follower.handle).events.follow(follower.query, after=follower.last)

    def teardown(self) -> None:
        self.run(self.opened.aclose())
        self.left.close()

    def through(self, handle: Handle) -> Backend:
        """Return the handle of that name; there is only one if the backend does not support several."""
        return self.handles[-1 if handle == "second" else 0]

    def planned(self, plan: Sequence[Draft], reference: Reference) -> Batch:
        """Return the next batch that the store would accept."""
        events = versioned(plan, reference.versions(), self.made + 1)
        self.made += len(events)
        return events

    async def append(
        self, stores: Stores, reference: Reference, events: Batch, condition: AppendCondition | None = None
    ) -> None:
        """Append to both: the store returns what it may, and if it has stored the events, their positions."""
        allowed = reference.answers(events, condition)
        answer = await outcome(stores.events.append(events, condition=condition))
        if allowed:
            assert shown(answer) in [shown(one) for one in allowed], f"{answer!r} instead of {allowed[0]!r}"
            return
        assert isinstance(answer, Appended), f"{answer!r} instead of storing the events"
        assert not answer.already_committed, "they were not stored before"
        assert list(answer.positions) == sorted({*answer.positions}), "positions do not ascend"
        assert answer.positions[0] > reference.head, f"a position at or below the head {reference.head} was reused"
        reference.add(events, answer.positions)

    # --- appending ------------------------------------------------------------------------------------------------

    @rule(target=batches, plan=plans, handle=handles)
    def append_next(self, plan: Drafts, handle: Handle) -> Batch:
        events = self.planned(plan, self.reference)
        self.run(self.append(self.through(handle), self.reference, events))
        return events

    @rule(target=batches, plan=plans, query=some_queries, back=st.integers(0, 6), handle=handles)
    def append_on_condition(self, plan: Drafts, query: EventQuery, back: int, handle: Handle) -> Batch:
        events = self.planned(plan, self.reference)
        condition = AppendCondition(query, max(0, self.reference.head - back))
        self.run(self.append(self.through(handle), self.reference, events, condition))
        return events

    @rule(target=batches, plan=plans, ref=refs, off=st.integers(-3, 3), handle=handles)
    def append_at_some_version(self, plan: Drafts, ref: AggregateRef, off: int, handle: Handle) -> Batch:
        version = max(0, self.reference.version(ref) + off)
        events = versioned([Draft(ref), *plan], {**self.reference.versions(), ref: version}, self.made + 1)
        self.made += len(events)
        self.run(self.append(self.through(handle), self.reference, events))
        return events

    @rule(batch=batches, conditional=st.booleans(), handle=handles)
    def append_again(self, batch: Batch, conditional: bool, handle: Handle) -> None:
        condition = AppendCondition(EventQuery()) if conditional else None
        self.run(self.append(self.through(handle), self.reference, batch, condition))

    @rule(batch=batches, plan=plans, handle=handles)
    def append_again_with_more(self, batch: Batch, plan: Drafts, handle: Handle) -> None:
        loose = [draft._replace(aggregate=None) for draft in plan]
        self.run(self.append(self.through(handle), self.reference, [*batch, *self.planned(loose, self.reference)]))

    @rule(batch=batches, which=st.integers(0, 3), handle=handles)
    def append_altered(self, batch: Batch, which: int, handle: Handle) -> None:
        old = batch[which % len(batch)]
        new = Draft(old.aggregate, Noted("altered")).event(old.id, old.version)
        events = [new if event is old else event for event in batch]
        self.run(self.append(self.through(handle), self.reference, events))

    @rule(ref=refs, handle=handles)
    def delete(self, ref: AggregateRef, handle: Handle) -> None:
        assert self.run(self.through(handle).events.delete(ref)) == self.reference.delete(ref)

    # --- reading --------------------------------------------------------------------------------------------------

    @rule(
        query=some_queries,
        after=st.integers(0, 12),
        upto=st.none() | st.integers(0, 20),
        limit=st.none() | st.integers(0, 5),
        reverse=st.booleans(),
        handle=handles,
    )
    def query(
        self, query: EventQuery, after: int, upto: int | None, limit: int | None, reverse: bool, handle: Handle
    ) -> None:
        events = self.through(handle).events
        found = self.run(events.query(query, after=after, upto=upto, limit=limit, reverse=reverse).list())
        assert placed(found) == placed(self.reference.query(query, after, upto, limit, reverse=reverse))
        for one in (query, *plain_queries):  # a generated query and a generated window rarely have anything in common
            matching = self.reference.query(one)
            assert placed(self.run(events.query(one).list())) == placed(matching)
            assert self.run(events.count(one)) == len(matching)

    @rule(ref=refs, after=st.integers(0, 3), upto=st.none() | st.integers(0, 4), handle=handles)
    def load(self, ref: AggregateRef, after: int, upto: int | None, handle: Handle) -> None:
        loaded = self.run(self.through(handle).events.load(ref, after=after, upto=upto))
        assert placed(loaded) == placed(self.reference.load(ref, after, upto))

    @rule(number=st.integers(1, 20), handle=handles)
    def find(self, number: int, handle: Handle) -> None:
        id = UUID(int=number)
        assert self.run(self.through(handle).events.find(id)) == self.reference.find(id)

    @rule(
        name=st.sampled_from([None, "order", "Order"]),
        after=st.none() | refs,
        limit=st.none() | st.integers(0, 2),
        handle=handles,
    )
    def aggregates(self, name: str | None, after: AggregateRef | None, limit: int | None, handle: Handle) -> None:
        listed = self.run(self.through(handle).events.aggregates(name, after=after, limit=limit).list())
        assert listed == self.reference.aggregates(name, after, limit)

    @rule(target=followers, query=some_queries, back=st.integers(0, 5), handle=handles)
    def follow(self, query: EventQuery, back: int, handle: Handle) -> Follower:
        follower = Follower(query, max(0, self.reference.head - back), handle)
        follower.pages = self.through(handle).events.follow(query, after=follower.last)
        self.following.append(follower)
        return follower

    @rule(follower=followers, number=st.integers(1, 4))
    def read_on(self, follower: Follower, number: int) -> None:
        """A follower gets the events after its position; it may have fetched events that are deleted by now."""
        expected = self.reference.query(follower.query, follower.last)[:number]
        while expected:
            event = self.run(take(follower.pages))
            assert event.position > follower.last, f"the follower has seen {event!r} before, or skipped it"
            if placed([event]) == placed(expected[:1]):
                expected.pop(0)
            else:
                assert event.position < expected[0].position, f"the follower skipped {expected[0]!r}"
                assert placed([event])[0] in placed(self.reference.erased), f"{event!r} was never stored"
            follower.last = event.position

    # --- snapshots and read models --------------------------------------------------------------------------------

    @rule(ref=refs, version=versions, state=st.sampled_from(["{}", "", "é"]), handle=handles)
    def save(self, ref: AggregateRef, version: int, state: str, handle: Handle) -> None:
        one = snapshot(ref, version, state)
        self.run(self.through(handle).snapshots.save(one))
        self.reference.save(one)

    @rule(ref=refs, upto=st.none() | versions, handle=handles)
    def latest(self, ref: AggregateRef, upto: int | None, handle: Handle) -> None:
        found = self.run(self.through(handle).snapshots.latest(ref, upto=upto))
        assert found == self.reference.latest(ref, upto)

    @rule(keep=st.integers(1, 2), ref=st.none() | refs, handle=handles)
    def prune(self, keep: int, ref: AggregateRef | None, handle: Handle) -> None:
        pruned = self.run(self.through(handle).snapshots.prune(keep=keep, aggregate=ref))
        assert pruned == self.reference.prune(keep, ref)

    def expected(self, id: str, off: int | None) -> int | None:
        version = self.reference.models[id].version if id in self.reference.models else 0
        return None if off is None else max(0, version + off)

    @rule(id=model_ids, value=st.sampled_from(FIELDS), off=offs, handle=handles)
    def put(self, id: str, value: object, off: int | None, handle: Handle) -> None:
        data, expected = json.dumps({"f": value}), self.expected(id, off)
        answer = self.run(outcome(self.through(handle).models.put("c", id, data, expected=expected)))
        assert shown(answer) == shown(self.reference.put("c", id, data, expected))

    @rule(id=model_ids, off=offs, handle=handles)
    def remove(self, id: str, off: int | None, handle: Handle) -> None:
        expected = self.expected(id, off)
        answer = self.run(outcome(self.through(handle).models.delete("c", id, expected=expected)))
        assert shown(answer) == shown(self.reference.remove("c", id, expected))

    @rule(
        where=st.fixed_dictionaries({}, optional={"f": st.sampled_from(FIELDS)}),
        order_by=st.sampled_from([None, "f"]),
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 2),
        handle=handles,
    )
    def models(
        self, where: dict[str, Any], order_by: str | None, reverse: bool, limit: int | None, handle: Handle
    ) -> None:
        models = self.through(handle).models
        found = self.run(models.query("c", where=where, order_by=order_by, reverse=reverse, limit=limit).list())
        assert [record.id for record in found] == self.reference.records(where, order_by, reverse=reverse, limit=limit)

    # --- the whole ------------------------------------------------------------------------------------------------

    @precondition(lambda self: TRANSACTIONS in self.place.abilities)
    @rule(doing=st.lists(steps, min_size=1, max_size=4), commit=st.booleans(), handle=handles)
    def transact(self, doing: list[tuple[str, Any]], commit: bool, handle: Handle) -> None:
        """All of it commits or nothing; inside, everything done so far is visible."""
        inside = self.reference.copy()

        async def work() -> None:
            async with self.through(handle).transaction() as tx:
                for what, argument in doing:
                    await self.step(tx, inside, what, argument)
                    await tells_the_same(tx, inside)
                if not commit:
                    raise ZeroDivisionError

        try:
            self.run(work())
        except ZeroDivisionError:
            return
        self.reference = inside

    async def step(self, tx: Transaction, inside: Reference, what: str, argument: Any) -> None:
        if what == "append":
            await self.append(tx, inside, self.planned(argument, inside))
        elif what == "delete":
            assert await tx.events.delete(argument) == inside.delete(argument)
        elif what == "save":
            await tx.snapshots.save(snapshot(argument, 1))
            inside.save(snapshot(argument, 1))
        else:
            assert await tx.models.put("c", argument, "{}") == inside.put("c", argument, "{}")

    @precondition(lambda self: PERSISTENT in self.place.abilities)
    @rule()
    def reopen(self) -> None:
        self.run(self.opened.aclose())
        self.open()

    @invariant()
    def every_handle_tells_the_same(self) -> None:
        for handle in self.handles:
            self.run(tells_the_same(handle, self.reference))
        head = self.run(self.handles[-1].events.head())
        if DENSE_POSITIONS in self.place.abilities:
            assert head == self.reference.head
            if not self.reference.erased:
                assert [event.position for event in self.reference.log] == list(range(1, head + 1))
        assert head >= self.reference.head


async def tells_the_same(stores: Stores, reference: Reference) -> None:
    """Check that reading all of the stores finds what is in the reference."""
    assert placed(await stores.events.query().list()) == placed(reference.log)
    assert await stores.events.aggregates().list() == reference.aggregates()
    assert await stores.snapshots.query().list() == reference.all_snapshots()
    found = [(record.id, record.version, json.loads(record.data)) for record in await stores.models.query("c").list()]
    assert found == [(id, one.version, json.loads(one.data)) for id, one in sorted(reference.models.items())]


def placed(events: Sequence[Event[Any]]) -> list[tuple[int, Event[Any]]]:
    """Return the events with their positions, which are not part of their equality."""
    return [(event.position, event) for event in events]


def shown(answer: object) -> object:
    """Return a result as it is, or an error as its type and attributes, for comparison."""
    return (type(answer).__name__, vars(answer)) if isinstance(answer, GoesError) else answer


async def outcome(awaited: Coroutine[Any, Any, T]) -> T | GoesError:
    """Return the result, or the error that was raised."""
    try:
        return await awaited
    except GoesError as error:
        return error


async def take(pages: Pages[Event[Any]]) -> Event[Any]:
    return await anext(pages)
