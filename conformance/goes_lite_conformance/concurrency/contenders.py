"""Contending writers: all of them succeed, nothing is lost, and every refusal is correct."""

from __future__ import annotations

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.contract.checkpoints import Lease
from goes_lite.contract.event_store import Appended
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import ConcurrencyError, DuplicateEventError, LeaseHeld
from goes_lite.events.fields import AggregateRef
from goes_lite.events.ids import new_id
from goes_lite_conformance.concurrency._given import CONTENDERS, insist, log, succeeded
from goes_lite_conformance.harness.asserts import refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, B, note, snapshot, story
from goes_lite_conformance.rule import needs, only


class ContenderRules(Contract):
    """Rules CC-CONTEND."""

    async def test_every_contender_succeeds(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-001: Of 64 writers that load an aggregate, append to it and retry after a conflict, all succeed.

        Each event is stored once, at the position that was returned, and the versions have no gap. Every conflict has the
        expected version and a version that the aggregate had reached by then.
        """
        texts = [str(number) for number in range(CONTENDERS)]
        for number in range(place.rounds):
            ref = AggregateRef("order", str(number))
            outcomes = succeeded(await place.together(*(insist(db, text, ref) for text in texts)))
            stored = {event.position: event for event in await log(db)}
            assert [stored[appended.position].data.text for appended, _ in outcomes] == texts
            assert len(await db.events.load(ref)) == len(texts)
            assert len(stored) == len(texts) * (number + 1)
            for _, conflicts in outcomes:
                assert all(conflict.expected < conflict.actual <= len(texts) for conflict in conflicts), conflicts

    async def test_one_of_many_begins_an_aggregate(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-002: Of 64 writers that begin the same aggregate, one batch is stored whole, and nothing of the others.

        Their batches have several events, and include a further aggregate that no other writer uses.
        """
        for number in range(place.rounds):
            ref = AggregateRef("order", str(number))
            own = [AggregateRef("own", f"{number}-{contender}") for contender in range(CONTENDERS)]
            batches = [[*story(one, 1), *story(ref, 3)] for one in own]
            answers = await place.together(*(db.events.append(batch) for batch in batches))
            won = [batch for batch, answer in zip(batches, answers, strict=True) if isinstance(answer, Appended)]
            assert len(won) == 1, f"{len(won)} writers have begun it"
            for answer in answers:
                if not isinstance(answer, Appended):
                    with refused(ConcurrencyError, aggregate=ref, expected=0, actual=3):
                        raise answer
            same(await db.events.load(ref), won[0][1:])
            assert len(await log(db)) == 4 * (number + 1)

    async def test_batches_over_the_same_aggregates(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-003: Batches over the same aggregates in opposite orders all succeed, without deadlocks or torn batches."""
        orders = [(A, B), (B, A)] * (CONTENDERS // 4)
        for done in range(place.rounds):
            outcomes = succeeded(await place.together(*(insist(db, str(n), *refs) for n, refs in enumerate(orders))))
            stored = {event.position: event for event in await log(db)}
            for number, ((appended, _), refs) in enumerate(zip(outcomes, orders, strict=True)):
                batch = [stored[position] for position in appended.positions]
                assert [(event.aggregate, event.data.text) for event in batch] == [(ref, str(number)) for ref in refs]
            assert len(stored) == 2 * len(orders) * (done + 1)

    async def test_positions_tell_who_came_first(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-004: An append that begins after another was acknowledged gets the higher position, on any handle."""
        acknowledged = 0

        async def work(number: int) -> None:
            nonlocal acknowledged
            for version in range(1, 13):
                before = acknowledged
                position = (await db.events.append([note("x", ("own", str(number)), version)])).position
                assert position > before, f"appended after {before}, but stored at {position}"
                acknowledged = max(acknowledged, position)

        succeeded(await place.together(*(work(number) for number in range(8 * place.rounds))))

    async def test_every_writer_reads_its_own_writes(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-005: Writers read their own acknowledged writes at once, however many others write.

        This holds for every way of reading, and the head is never below them.
        """

        async def work(number: int) -> None:
            ref = AggregateRef("own", str(number))
            for version in (1, 2):
                (event,) = story(ref, 1, after=version - 1)
                position = (await db.events.append([event])).position
                assert await db.events.head() >= position
                found = await db.events.find(event.id)
                assert found is not None
                assert (found, found.position) == (event, position)
                assert [one.version for one in await db.events.load(ref)] == list(range(1, version + 1))
                same(await db.events.query(after=position - 1, upto=position).list(), [event])

        succeeded(await place.together(*(work(number) for number in range(CONTENDERS // 2 * place.rounds))))

    async def test_a_storm_of_retries(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-006: Concurrent retries of the same series of appends all get the same results, in any interleaving.

        Some are ahead, and have advanced the aggregates by then; still each append is stored once.
        """
        batches = [[*story(A, 2, after=2 * number), note(f"loose {number}")] for number in range(6)]

        async def repeat() -> list[Appended]:
            return [await db.events.append(batch) for batch in batches]

        answers = succeeded(await place.together(*(repeat() for _ in range(16 * place.rounds))))
        for batch, answered in zip(batches, zip(*answers, strict=True), strict=True):
            assert len({answer.positions for answer in answered}) == 1
            assert sum(not answer.already_committed for answer in answered) == 1, f"stored by several: {batch}"
        same(await log(db), [event for batch in batches for event in batch])

    async def test_one_of_many_gets_an_id(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-007: Of 64 different events with one id, exactly one is stored; the others raise DuplicateEventError.

        The errors have its position, even if all of the events claim the same version of one aggregate.
        """
        for ref in (None, A):
            id = new_id()
            events = [note(str(number), ref, 1 if ref else 0, id=id) for number in range(CONTENDERS)]
            answers = await place.together(*(db.events.append([event]) for event in events))
            won = [n for n, answer in enumerate(answers) if isinstance(answer, Appended)]
            assert len(won) == 1, f"stored by {len(won)}"
            for answer in answers:
                if not isinstance(answer, Appended):
                    with refused(DuplicateEventError, event_id=id, position=answers[won[0]].position):
                        raise answer
            assert await db.events.find(id) == events[won[0]]
        assert len(await log(db)) == 2

    async def test_deleting_while_appending(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-008: Each event that is stored while others delete its aggregate is counted by one deletion, or remains."""

        async def erase() -> int:
            return sum([await db.events.delete(A) for _ in range(4)])

        for _ in range(place.rounds):
            erasing = [place.alongside(erase()) for _ in range(4)]
            succeeded(await place.together(*(insist(db, str(number), A) for number in range(CONTENDERS // 2))))
            erased = sum([await one.result() for one in erasing])
            left = len(await log(db))
            assert erased + left == CONTENDERS // 2
            assert await db.events.count() == left
            await db.events.delete(A)

    async def test_a_lease_keeps_others_out(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-009: The holder of a lease is alone: of many that take turns, none undoes what another does.

        Each reads and writes a model without checking its version. Tokens grow from holder to holder.
        """
        tokens: list[int] = []

        async def work(owner: str) -> None:
            lease: Lease | None = None
            while lease is None:
                try:
                    lease = await db.leases.acquire("job", owner, 60.0)
                except LeaseHeld as error:
                    assert error.owner != owner
            record = await db.models.get("c", "1")
            await db.models.put("c", "1", str(int(record.data) + 1 if record else 1))
            tokens.append(lease.token)
            assert await db.leases.release(lease)

        owners = [f"owner-{number}" for number in range(8 * place.rounds)]
        succeeded(await place.together(*(work(owner) for owner in owners)))
        record = await db.models.get("c", "1")
        assert record is not None
        assert int(record.data) == len(owners)
        assert tokens == sorted(set(tokens))

    async def test_concurrent_snapshots(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-010: Of snapshots saved concurrently, one of each version is kept, exactly as it was saved."""
        versions = [version for version in range(1, 9) for _ in range(4)]
        saved = [snapshot(A, version, f'{{"by":{n}}}') for n, version in enumerate(versions)]
        succeeded(await place.together(*(db.snapshots.save(one) for one in saved)))
        kept = await db.snapshots.query().list()
        assert [one.version for one in kept] == list(range(1, 9))
        assert set(kept) <= set(saved)
        assert await db.snapshots.latest(A) == kept[-1]

    async def test_pruning_while_saving(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-011: However many prune while snapshots are saved, the latest is the one saved last."""

        async def save() -> None:
            for version in range(1, 25):
                await db.snapshots.save(snapshot(A, version))
                latest: Snapshot | None = await db.snapshots.latest(A)
                assert latest is not None
                assert latest.version == version

        async def prune() -> None:
            for _ in range(24):
                await db.snapshots.prune(keep=1)

        succeeded(await place.together(save(), *(prune() for _ in range(3))))
        await db.snapshots.prune(keep=1)
        assert [one.version for one in await db.snapshots.query().list()] == [24]

    @needs(PROCESSES)
    async def test_contenders_with_handles_of_their_own(self, place: Place, db: Backend) -> None:
        """CC-CONTEND-012: Contenders on several handles all succeed, and no event is lost."""
        async with place.open() as second, place.open() as third:
            handles = [db, second, third] * 8 * place.rounds
            work = [insist(handle, str(n), *((A, B) if n % 2 else (B,))) for n, handle in enumerate(handles)]
            outcomes = succeeded(await place.together(*work))
            stored = {event.position: event for event in await log(third)}
            found = [stored[appended.position].data.text for appended, _ in outcomes]
            assert found == [str(number) for number in range(len(handles))]
            assert len(stored) == sum(len(appended.positions) for appended, _ in outcomes)

    @only("blocking")
    async def test_threads_share_a_handle_on_a_loop_thread(self, place: Place) -> None:
        """CC-CONTEND-013: Threads that share one blocking handle on a loop thread all succeed, and no event is lost."""
        async with place.open(face="loop") as db:
            texts = [str(number) for number in range(CONTENDERS // 4 * place.rounds)]
            outcomes = succeeded(await place.together(*(insist(db, text, A, B) for text in texts)))
            stored = {event.position: event for event in await log(db)}
            assert [stored[appended.position].data.text for appended, _ in outcomes] == texts
            assert len(stored) == 2 * len(texts)
