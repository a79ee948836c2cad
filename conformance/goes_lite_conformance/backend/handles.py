"""Several handles on one storage, in one process and in several (G12)."""

from __future__ import annotations

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    DuplicateEventError,
    LeaseHeld,
    LeaseLost,
    ModelConflict,
)
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import (
    A,
    B,
    contents,
    count,
    everything,
    fill,
    note,
    snapshot,
    story,
    take,
    texts,
)
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs


def another_handle(place: Place) -> None:
    """Run a process that reports what it sees in the stores and what is refused, then changes each store."""
    with place.blocking() as db:
        say([event.data.text for event in db.events.query()])
        record = db.models.get("c", "1")
        latest = db.snapshots.latest(A)
        checkpoint = db.checkpoints.get("reader")
        say([record and record.version, latest and latest.version, checkpoint and checkpoint.position])
        refusals: list[str] = []
        for attempt in (
            lambda: db.events.append(story(A, 1)),
            lambda: db.events.append([note("x")], condition=AppendCondition(EventQuery(tags=["t:1"]))),
            lambda: db.models.put("c", "1", "{}", expected=0),
            lambda: db.leases.acquire("reader", "other", 60),
        ):
            try:
                attempt()
            except Exception as error:
                refusals.append(type(error).__name__)
        say(refusals)
        listen()
        db.events.append(story(A, 1, after=2))
        db.models.put("c", "1", "{}", expected=1)
        db.snapshots.delete(A)
        db.checkpoints.save("reader", 4)
        say("done")


class HandleRules(Contract):
    """Rules BE-HANDLE."""

    @needs(PROCESSES)
    async def test_events_are_seen_through_every_handle(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-001: What one handle has acknowledged, another reads at once, by every way of reading."""
        async with place.open() as other:
            for number in range(3):
                events = [*story(A, 2, after=2 * number), count(number, tags=[f"n:{number}"])]
                positions = (await db.events.append(events)).positions
                same(await other.events.load(A, after=2 * number), events[:2])
                assert await other.events.find(events[2].id) == events[2]
                assert await other.events.query(EventQuery(tags=[f"n:{number}"])).list() == events[2:]
                assert await other.events.head() == positions[-1]
                assert await everything(other) == await everything(db)

    @needs(PROCESSES)
    async def test_handles_take_turns(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-002: Handles append to one log: positions increase, and versions of an aggregate continue, across them."""
        async with place.open() as other:
            positions: list[int] = []
            for version in range(6):
                positions += (await (db, other)[version % 2].events.append(story(A, 1, after=version))).positions
            assert positions == sorted(set(positions))
            assert await texts(db) == [f"a-{version}" for version in range(1, 7)]

    @needs(PROCESSES)
    async def test_conflicts_are_found_across_handles(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-003: An append based on a version that another handle has moved past raises ConcurrencyError."""
        async with place.open() as other:
            await db.events.append(story(A, 1))
            await other.events.append(story(A, 2, after=1))
            with refused(ConcurrencyError, aggregate=A, expected=1, actual=3):
                await db.events.append([note("refused"), *story(A, 1, after=1)])
            assert await db.events.count() == 3

    @needs(PROCESSES)
    async def test_a_retry_is_recognised_across_handles(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-004: A retry of an append is recognised through any handle; altered events are refused by all."""
        async with place.open() as other:
            events = story(A, 2)
            first = await db.events.append(events)
            assert await other.events.append(events) == Appended(first.positions, already_committed=True)
            with refused(DuplicateEventError, event_id=events[0].id, position=first.positions[0]):
                await other.events.append([note("altered", A, 1, id=events[0].id)])

    @needs(PROCESSES)
    async def test_conditions_hold_across_handles(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-005: A condition sees what other handles appended, even if this handle has never read it."""
        query = EventQuery(tags=["seat:1"])
        async with place.open() as other:
            condition = AppendCondition(query, after=await db.events.head())
            taken = (await other.events.append([note("taken", tags=["seat:1"])])).position
            with refused(AppendConditionFailed, condition=condition, position=taken):
                await db.events.append([note("late", tags=["seat:1"])], condition=condition)
            await db.events.append([note("next")], condition=AppendCondition(query, after=taken))

    @needs(PROCESSES)
    async def test_models_are_shared(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-006: Read models have one version, whichever handle wrote them last."""
        async with place.open() as other:
            assert await db.models.put("c", "1", '{"n": 1}') == 1
            assert await other.models.put("c", "1", '{"n": 2}', expected=1) == 2
            with refused(ModelConflict, collection="c", id="1", expected=1, actual=2):
                await db.models.put("c", "1", '{"n": 3}', expected=1)
            assert await db.models.query("c").list() == await other.models.query("c").list() != []

    @needs(PROCESSES)
    async def test_leases_are_shared(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-007: A lease has one owner among all handles, and fences the checkpoints of all."""
        async with place.open() as other:
            held = await db.leases.acquire("reader", "me", 60)
            with refused(LeaseHeld, name="reader", owner="me", expires=held.expires):
                await other.leases.acquire("reader", "you", 60)
            await db.leases.release(held)
            taken = await other.leases.acquire("reader", "you", 60)
            assert taken.token > held.token
            with refused(LeaseLost, name="reader", owner="you", token=held.token, current=taken.token):
                await db.checkpoints.save("reader", 1, lease=held)
            await other.checkpoints.save("reader", 2, lease=taken)
            assert await db.checkpoints.all() == await other.checkpoints.all() != []

    @needs(PROCESSES)
    async def test_deleting_reaches_every_handle(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-008: An aggregate that one handle deleted is gone for all, with its snapshots, and may begin again."""
        async with place.open() as other:
            await db.events.append(story(A, 2))
            await db.snapshots.save(snapshot(A, 2))
            assert len(await other.events.load(A)) == 2
            assert await other.events.delete(A) == 2
            assert await db.events.load(A) == []
            assert await db.snapshots.latest(A) is None
            await db.events.append(story(A, 1))
            assert [event.version for event in await other.events.load(A)] == [1]

    @needs(PROCESSES)
    async def test_followers_wake_on_every_handle(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-009: A follower that waits on one handle gets each event that another commits, once."""
        async with place.open() as other:
            following = {"db": db.events.follow(after=0), "other": other.events.follow(after=0)}
            for number in range(3):
                waiting = [place.alongside(take(pages, 2)) for pages in following.values()]
                await db.events.append([note(f"db-{number}")])
                await other.events.append([note(f"other-{number}")])
                for one in waiting:
                    assert await one.result() == [f"db-{number}", f"other-{number}"]

    @needs(PROCESSES)
    async def test_closing_one_handle_concerns_no_other(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-010: Closing one handle does not affect the others, nor their waiting followers."""
        async with place.open() as other:
            await other.events.append([note("1")])
            waiting = place.alongside(take(db.events.follow(after=0), 2))
        await db.events.append([note("2")])
        assert await waiting.result() == ["1", "2"]

    @needs(PROCESSES)
    async def test_new_names_reach_every_handle(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-011: Event names, aggregates and tags that are new to a handle are read correctly from another's events."""
        async with place.open() as other:
            await db.events.append([note("1")])
            await other.events.append([count(2, ("new", "1"), 1, tags=["new:tag"]), note("3", B, 1)])
            stored = await db.events.query().list()
            assert [event.name for event in stored] == ["sample.noted", "sample.counted", "sample.noted"]
            assert [event.aggregate for event in stored] == [None, AggregateRef("new", "1"), B]
            await db.events.append([count(4, ("new", "1"), 2, tags=["new:tag"])])
            tagged = await other.events.query(EventQuery(tags=["new:tag"])).list()
            assert [event.data.number for event in tagged] == [2, 4]

    @needs(PROCESSES)
    async def test_another_process_is_another_handle(self, place: Place, db: Backend) -> None:
        """BE-HANDLE-012: A handle in another process sees the same, is refused the same, and changes the same stores."""
        await fill(db)
        await db.leases.acquire("reader", "me", 60)
        worker = place.spawn(another_handle)
        worker.expect(["a-1", "a-2", "loose"])
        worker.expect([1, 2, 3])
        worker.expect(["ConcurrencyError", "AppendConditionFailed", "ModelConflict", "LeaseHeld"])
        worker.tell()
        worker.expect("done")
        worker.finish()
        after = await contents(db)
        assert [event.data.text for event in after["events"][0]] == ["a-1", "a-2", "loose", "a-3"]
        assert [record.version for record in after["models"]] == [2]
        assert after["snapshots"] == []
        assert [checkpoint[:2] for checkpoint in after["checkpoints"]] == [("reader", 4)]
