"""Several processes on one storage: the same result as with one (G12)."""

from __future__ import annotations

from collections import Counter

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, LeaseHeld
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite_conformance.concurrency._given import END, end, log, reading, saw_all
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs, only

WRITERS = 3
SEATS = 12


def write(place: Place, *, process: int, events: int) -> None:
    """Append this many events, two of three to an aggregate of its own, the third to one of two that all write to."""
    positions: list[int] = []
    with place.blocking() as db:
        say("ready")
        listen()
        versions: Counter[AggregateRef] = Counter()
        for number in range(events):
            shared = number % 3 == 2
            ref = AggregateRef("shared", str(number % 2)) if shared else AggregateRef("own", str(process))
            while True:
                event = note(f"{process}:{number}", ref, versions[ref] + 1, tags=[f"process:{process}"])
                try:
                    positions.append(db.events.append([event]).position)
                except ConcurrencyError as conflict:
                    assert (shared, conflict.actual > versions[ref]) == (True, True), conflict
                    versions[ref] = conflict.actual
                else:
                    versions[ref] += 1
                    break
    say(positions)


def follow(place: Place) -> None:
    """Follow from the beginning up to the event after all others, and say the positions and texts."""
    with place.blocking() as db:
        say("ready")
        seen: list[tuple[int, str]] = []
        for event in db.events.follow(after=0):
            seen.append((event.position, event.data.text))
            if END.matches(event):
                break
    say(seen)


def book(place: Place) -> None:
    """Book seats, each based on what was read, until none is free; say how many were booked."""
    query, taken = EventQuery(tags=["course:1"]), 0
    with place.blocking() as db:
        say("ready")
        listen()
        while True:
            booked = db.events.query(query).list()
            if len(booked) >= SEATS:
                break
            condition = AppendCondition(query, booked[-1].position if booked else 0)
            try:
                db.events.append([note("seat", tags=["course:1"])], condition=condition)
            except AppendConditionFailed as error:
                assert error.position > condition.after, error
            else:
                taken += 1
    say(taken)


def work(place: Place, *, times: int) -> None:
    """Increment one model."""
    with place.blocking() as db:
        counters = db.models_of("counter", int)
        say("ready")
        listen()
        for _ in range(times):
            counters.use("1", lambda number: number + 1, default=0, tries=1000)
    say("done")


def guarded(place: Place, *, process: int, times: int) -> None:
    """Increment one model without checking its version, while holding a lease; say the tokens and the other holders."""
    owner, tokens, owners = f"owner-{process}", list[int](), set[str | None]()
    with place.blocking() as db:
        say("ready")
        listen()
        while len(tokens) < times:
            try:
                lease = db.leases.acquire("job", owner, 60.0)
            except LeaseHeld as held:
                owners.add(held.owner)
                continue
            record = db.models.get("c", "1")
            db.models.put("c", "1", str(int(record.data) + 1 if record else 1))
            tokens.append(lease.token)
            db.leases.release(lease)
    say([tokens, sorted(map(str, owners))])


class ProcessRules(Contract):
    """Rules CC-PROC."""

    @needs(PROCESSES)
    async def test_processes_write_one_log(self, place: Place, db: Backend) -> None:
        """CC-PROC-001: What three processes append is stored once, at the returned positions, and readers everywhere see it all.

        Two of three events go to aggregates of their own, the third to shared ones. Followers in this and in another
        process, and a polling reader, see each event once, in position order.
        """
        events = 24 * place.rounds
        follower = place.spawn(follow)
        writers = [place.spawn(write, process=process, events=events) for process in range(WRITERS)]
        readers = reading(place, db)
        for worker in (follower, *writers):
            worker.expect("ready")
        for writer in writers:
            writer.tell()
        told = [writer.hear() for writer in writers]
        await end(db)
        seen = follower.hear()
        for worker in (follower, *writers):
            worker.finish()

        stored = await log(db)
        texts = {event.position: event.data.text for event in stored}
        for process, positions in enumerate(told):
            assert [texts[position] for position in positions] == [f"{process}:{number}" for number in range(events)]
            assert positions == sorted(positions)
        assert len(stored) == WRITERS * events + 1
        for reader in readers:
            saw_all(await reader.result(), stored)
        assert seen == [[position, text] for position, text in texts.items()]

    @only("async")
    @needs(PROCESSES)
    async def test_processes_decide_on_what_they_read(self, place: Place, db: Backend) -> None:
        """CC-PROC-002: Of processes that book seats based on what they read, none books a taken one, and none stays free."""
        workers = [place.spawn(book) for _ in range(WRITERS)]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.tell()
        taken = [worker.hear() for worker in workers]
        for worker in workers:
            worker.finish()
        assert sum(taken) == SEATS == await db.events.count()

    @only("async")
    @needs(PROCESSES)
    async def test_processes_change_one_model(self, place: Place, db: Backend) -> None:
        """CC-PROC-003: Every change that several processes make to one model counts."""
        times = 12 * place.rounds
        workers = [place.spawn(work, times=times) for _ in range(WRITERS)]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.tell()
        for worker in workers:
            worker.expect("done")
            worker.finish()
        assert await db.models_of("counter", int).get("1") == WRITERS * times

    @only("async")
    @needs(PROCESSES)
    async def test_a_lease_keeps_other_processes_out(self, place: Place, db: Backend) -> None:
        """CC-PROC-004: A lease that one process holds excludes all others: none undoes what another does while holding it.

        The others learn who holds it; once released, it passes to them, each time with a greater token.
        """
        times = 6 * place.rounds
        lease = await db.leases.acquire("job", "ann", 60.0)
        workers = [place.spawn(guarded, process=process, times=times) for process in range(WRITERS)]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.tell()
        assert await db.leases.release(lease)
        told = [worker.hear() for worker in workers]
        for worker in workers:
            worker.finish()
        tokens = [token for some, _ in told for token in some]
        assert len(set(tokens)) == len(tokens) == WRITERS * times
        assert min(tokens) > lease.token
        assert all(some == sorted(some) for some, _ in told)
        for process, (_, owners) in enumerate(told):
            assert set(owners) <= {"ann", *(f"owner-{n}" for n in range(WRITERS))} - {f"owner-{process}"}
        record = await db.models.get("c", "1")
        assert record is not None
        assert int(record.data) == WRITERS * times
