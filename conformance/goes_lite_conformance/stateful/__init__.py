"""Any sequence of operations: a store behaves like a plain reference that is driven along with it.

Hypothesis generates the sequences, and shrinks one that fails. It tries a quarter of the examples of the loaded profile
(25 by default), since each is a long sequence on a storage of its own, multiplied by `--rounds`.

Belongs here: rules about generated sequences, the machine that runs them, and the reference that they are compared with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import GoesError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.faces import run
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.rule import patience
from goes_lite_conformance.stateful._machine import StoreMachine, outcome, placed, shown
from goes_lite_conformance.stateful._reference import Reference
from goes_lite_conformance.strategies import Draft, batches, events, queries, versioned

STEPS = 30
"""The maximum number of operations in a sequence."""

windows = st.tuples(st.integers(0, 8), st.none() | st.integers(0, 12), st.none() | st.integers(0, 4), st.booleans())


def effort(place: Place) -> settings:
    """Return settings in proportion to the loaded profile."""
    profile = settings()
    return settings(
        profile,
        max_examples=max(1, profile.max_examples // 4) * place.rounds,
        stateful_step_count=STEPS,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


class Attempt(NamedTuple):
    """An append made by one of several concurrent writers."""

    events: list[Event[Any]]
    condition: AppendCondition | None
    answer: Appended | GoesError
    known: int
    """The highest position that was acknowledged to any writer before it began."""


class StatefulTests(Contract):
    """Rules ST: what holds for any generated sequence of operations."""

    @patience(600)
    def test_a_store_is_what_the_reference_is(self, place: Place) -> None:
        """ST-MODEL-001: Whatever operations are applied, in whatever order, a store returns what a plain list of events would.

        The operations are appends (with conditions, at wrong versions, repeated and altered), deletions, queries, followers,
        snapshots, read models, transactions and reopening, all of them through two handles if the backend supports that.
        """
        run_state_machine_as_test(type("Store", (StoreMachine,), {"base": place}), settings=effort(place))

    @patience(600)
    def test_queries_mean_what_matches_says(self, place: Place) -> None:
        """ST-MODEL-002: Whatever is stored, any query yields the events that it `matches`, in any window and either direction."""
        cases = batches().flatmap(lambda batch: st.tuples(st.just(batch), st.lists(queries(batch), min_size=1)))

        @effort(place)
        @given(cases, windows)
        def look(case: tuple[list[Event[Any]], list[EventQuery]], window: Any) -> None:
            batch, asked = case
            after, upto, limit, reverse = window

            async def compare(db: Backend) -> None:
                reference = Reference()
                reference.add(batch, (await db.events.append(batch)).positions)
                for query in asked:
                    found = await db.events.query(query, after=after, upto=upto, limit=limit, reverse=reverse).list()
                    assert placed(found) == placed(reference.query(query, after, upto, limit, reverse=reverse))
                    assert await db.events.count(query) == len(reference.query(query))
                    wanted = reference.query(query, after)
                    following = db.events.follow(query, after=after)
                    assert placed([await anext(following) for _ in wanted]) == placed(wanted)

            with_store(place, compare)

        look()

    @patience(600)
    def test_events_come_back_as_they_were(self, place: Place) -> None:
        """ST-MODEL-003: Whatever an event contains, every field is read back unchanged, by every way of reading."""

        @effort(place)
        @given(events())
        def keep(event: Event[Any]) -> None:
            async def compare(db: Backend) -> None:
                await db.events.append([event])
                found = await db.events.find(event.id)
                assert found is not None
                same([found], [event])
                same(await db.events.query().list(), [event])
                assert found.encoded == event.encoded
                if event.aggregate is not None:
                    same(await db.events.load(event.aggregate), [event])
                    (info,) = await db.events.aggregates().list()
                    assert info == (event.aggregate, 1, event.time, event.time)
                assert (await db.events.append([event])).already_committed

            with_store(place, compare)

        keep()

    @patience(600)
    def test_concurrent_appends_have_a_serial_order(self, place: Place) -> None:
        """ST-MODEL-004: Concurrent appends have the outcomes of the same appends made one after another, by position.

        Each append that was stored would have been stored there, and each that was refused would have been refused for the
        same reason at some moment while it was in progress.
        """
        refs = [AggregateRef("order", id) for id in ("1", "2")]
        tagged = st.booleans().map(lambda yes: frozenset(["t:1"] if yes else []))
        draft = st.tuples(st.sampled_from([None, *refs]), tagged).map(lambda drawn: Draft(drawn[0], tags=drawn[1]))
        plan = st.tuples(st.lists(draft, min_size=1, max_size=3), st.booleans())
        plans = st.lists(st.lists(plan, min_size=1, max_size=4), min_size=2, max_size=4)

        @effort(place)
        @given(plans)
        def work(everybody: list[list[tuple[list[Draft], bool]]]) -> None:
            async def compare(fresh: Place) -> None:
                async with fresh.open() as db:
                    if PROCESSES not in fresh.abilities:
                        await side_by_side(fresh, [db], everybody)
                        return
                    async with fresh.open() as other:
                        await side_by_side(fresh, [db, other], everybody)

            with place.another() as fresh:
                run(fresh.face, compare(fresh))

        work()


def with_store(place: Place, compare: Any) -> None:
    """Call a function with a handle on a storage of its own."""

    async def use(fresh: Place) -> None:
        async with fresh.open() as db:
            await compare(db)

    with place.another() as fresh:
        run(fresh.face, use(fresh))


async def side_by_side(place: Place, handles: list[Backend], everybody: list[list[tuple[list[Draft], bool]]]) -> None:
    """Run the writers' appends, each based on what it read, and check that some order explains the outcomes."""
    attempts: list[Attempt] = []
    known = made = 0

    async def work(db: Backend, plans: list[tuple[list[Draft], bool]]) -> None:
        nonlocal known, made
        for drafts, conditional in plans:
            first, made = made + 1, made + len(drafts)
            refs = {draft.aggregate for draft in drafts if draft.aggregate}
            versions = {ref: len(await db.events.load(ref)) for ref in sorted(refs)}
            batch = versioned(drafts, versions, first)
            condition = AppendCondition(EventQuery(tags=["t:1"]), await db.events.head()) if conditional else None
            before = known
            answer = await outcome(db.events.append(batch, condition=condition))
            if isinstance(answer, Appended):
                known = max(known, answer.position)
            attempts.append(Attempt(batch, condition, answer, before))

    tasks = [work(handles[number % len(handles)], plans) for number, plans in enumerate(everybody)]
    for error in await place.together(*tasks):
        assert error is None, f"{error!r}"
    explained(attempts, await handles[0].events.query().list())


def explained(attempts: list[Attempt], log: list[Event[Any]]) -> None:
    """Replay what was stored, by position; for each refusal, find a moment at which it was right."""
    stored = [(one, one.answer.positions) for one in attempts if isinstance(one.answer, Appended)]
    stored.sort(key=lambda pair: pair[1])
    reference = Reference()
    moments = [reference.copy()]
    for attempt, positions in stored:
        assert positions[0] > attempt.known, f"{attempt} was stored before what was acknowledged when it began"
        refusals = reference.answers(attempt.events, attempt.condition)
        assert not refusals, f"{attempt} should have been refused: {refusals[0]!r}"
        reference.add(attempt.events, positions)
        moments.append(reference.copy())
    assert placed(log) == placed(reference.log)
    for attempt in attempts:
        if isinstance(attempt.answer, GoesError):
            due = [
                moment.answers(attempt.events, attempt.condition) for moment in moments if moment.head >= attempt.known
            ]
            assert any(shown(attempt.answer) in map(shown, refusals) for refusals in due), (
                f"{attempt} was refused wrongly"
            )
