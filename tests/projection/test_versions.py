"""A projection whose version was raised: what becomes of the read model that the older one has made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from goes_lite_conformance.harness import until

import goes_lite as goes
from goes_lite.errors import ProcessorBehind, ProcessorStopped, ProjectionOutdated
from tests.conftest_kit import SQLitePlace
from tests.projection.projection_kit import (
    PATIENCE,
    Bill,
    Bills,
    Days,
    DoubleBills,
    Failing,
    Ignored,
    Paid,
    Placed,
    at_once,
    bills,
    caught_up,
    event,
    filled,
    folded,
    log,
    story,
    traces,
)

# --- what becomes of it -----------------------------------------------------------------------------------------------


async def test_rebuild_empties_it_and_makes_it_anew(db: Any, place: SQLitePlace) -> None:
    """In place: what readers of another handle see is half-made, until it is whole."""
    await filled(db)
    async with place.open() as reader:
        stopped = db.projection(Stopping(after=3), batch=1, retry=goes.Retry(1))
        with pytest.raises(ProcessorStopped):
            await stopped.run()
        assert await bills(reader) == {"0": Bill(10, 2), "1": Bill(10)}
        await caught_up(db, DoubleBills())
        assert await bills(reader) == folded(await log(db), factor=2)


class Stopping(DoubleBills):
    """Raises after some events."""

    def __init__(self, after: int) -> None:
        self.left = after

    def key(self, event: goes.Event[Any]) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("that is enough")
        return super().key(event)


async def test_beside_leaves_it_until_the_new_one_is_made(db: Any, place: SQLitePlace) -> None:
    """Readers see the old one whatever happens to the new one, then the new one as a whole; and it goes on from there."""
    await filled(db)
    old = await bills(db)
    async with place.open() as reader:
        with pytest.raises(ProcessorStopped):
            await db.projection(Stopping(after=3), batch=1, retry=goes.Retry(1), on_new_version="beside").run()
        assert await bills(reader) == old
        await caught_up(db, DoubleBills(), on_new_version="beside")
        assert await bills(reader) == folded(await log(db), factor=2)
        assert await traces(db) == (["bills"], ["bills", "goes:processors", "goes:projections"], set())
    await db.events.append(story("0", Placed("ann", 1), after=2))
    await caught_up(db, DoubleBills())
    assert await bills(db) == folded(await log(db), factor=2)


async def test_keep_goes_on_with_it(db: Any) -> None:
    """What it has is as the old version made it, what comes is as the new one does."""
    await filled(db, 1)
    await caught_up(db, DoubleBills(), on_new_version="keep")
    assert await bills(db) == {"0": Bill(5, 2)}
    await db.events.append(story("0", Placed("ann", 5), after=2))
    await caught_up(db, DoubleBills(), on_new_version="stop")

    assert await bills(db) == {"0": Bill(15, 2)}


async def test_stop_has_somebody_decide(db: Any) -> None:
    """ProjectionOutdated, and nothing is changed."""
    await filled(db)
    before = await bills(db), await traces(db)

    with pytest.raises(ProjectionOutdated) as outdated:
        await db.projection(DoubleBills(), on_new_version="stop").run()

    assert (outdated.value.processor, outdated.value.stored, outdated.value.version) == ("bills", 1, 2)
    assert "rebuild it with" in str(outdated.value)
    assert (await bills(db), await traces(db)) == before
    await db.events.append(story("9", Placed("ann", 1)))
    await caught_up(db, Bills())  # the old one can go on


@pytest.mark.parametrize("policy", ["rebuild", "beside", "keep", "stop"])
async def test_a_lower_version_is_refused(db: Any, policy: Any) -> None:
    """Whatever is to become of new versions: an old program does not spoil what a new one has made."""
    await db.events.append(story("1", Placed("ann", 5)))
    await caught_up(db, DoubleBills())
    before = await bills(db), await traces(db)
    old = db.projection(Bills(), on_new_version=policy)

    with pytest.raises(ProjectionOutdated, match="update the program") as outdated:
        await old.run()
    assert (outdated.value.stored, outdated.value.version) == (2, 1)
    with pytest.raises(ProjectionOutdated, match="update the program"):
        await old.rebuild()
    assert (await bills(db), await traces(db)) == before


async def test_a_lower_version_makes_nothing(db: Any) -> None:
    """Not even the tables that it would write to."""

    class NewDays(Days, version=2):
        def create(self, tx: Any) -> Any:
            return tx.execute("CREATE TABLE IF NOT EXISTS days_of_2 (customer TEXT)")

        @goes.projects(Placed)
        def placed(self, event: goes.Event[Placed], tx: Any) -> None: ...

    await db.events.append([event(Placed("ann", 5))])
    await caught_up(db, NewDays())
    with pytest.raises(ProjectionOutdated):
        await db.projection(Days()).run()

    assert (await traces(db))[2] == {"days_of_2"}


async def test_a_reset_by_an_old_program_does_not_bring_its_version_back(db: Any) -> None:
    """It is the new one that begins again, when its turn comes."""
    await filled(db)
    async with db.projection(Bills(), schedule=goes.OnDemand()) as old:
        await active(db, old)
        await db.projection(DoubleBills()).rebuild()
        await old.reset()
        with pytest.raises(ProjectionOutdated):
            await old.wait_for(1, PATIENCE)
    assert await bills(db) == folded(await log(db), factor=2)
    await caught_up(db, DoubleBills())
    assert await bills(db) == folded(await log(db), factor=2)


# --- instances of two versions ----------------------------------------------------------------------------------------


async def active(db: Any, processor: Any) -> None:
    """Until it is at work, and has found nothing to do."""
    seen = db.commits.count
    while (await processor.stats()).state != "active" or (await processor.stats()).lag:
        await db.commits.wait(seen, 0.01)
        seen = db.commits.count


async def test_an_old_instance_stops_when_a_new_version_took_over(db: Any, place: SQLitePlace) -> None:
    """As soon as it wants to write: with an event that is for it. What comes is the new one's, and counts once."""
    await filled(db)
    async with place.open() as other, db.projection(Bills()) as old:
        await active(db, old)
        assert (await other.projection(DoubleBills()).rebuild()).switched
        appended = await other.events.append(story("7", Placed("ann", 1)))
        with pytest.raises(ProjectionOutdated) as outdated:
            await old.wait_for(appended.position, PATIENCE)
        assert (outdated.value.stored, outdated.value.version) == (2, 1)
        assert (await old.stats()).state == "failed"
        await caught_up(other, DoubleBills())
        assert await bills(db) == folded(await log(db), factor=2)


class Wider(Bills, version=2):
    """The next version handles an event that the first one passes over."""

    @goes.projects(Failing)
    def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
        bill.cents += 1000


async def test_an_old_instance_does_not_pass_over_what_is_for_the_new_version(db: Any, place: SQLitePlace) -> None:
    """An event that only the new version has a method for: the old one must not put the checkpoint behind it."""
    await filled(db)
    async with place.open() as other, db.projection(Bills()) as old:
        await active(db, old)
        assert (await other.projection(Wider()).rebuild()).switched
        await other.events.append(story("7", Failing()))
        await until(place, lambda: ended(old))
        assert type((await old.stats()).error) is ProjectionOutdated
    await caught_up(db, Wider())
    assert (await bills(db))["7"] == Bill(1000)


async def ended(processor: Any) -> bool:
    return (await processor.stats()).state not in ("standby", "active")


async def test_the_new_version_waits_for_the_old_one_to_end(db: Any, place: SQLitePlace) -> None:
    """While an old instance is active the new one stands by; then it takes over and makes the read model anew."""
    await filled(db)
    async with place.open() as other:
        async with db.projection(Bills()) as old:
            await active(db, old)
            async with other.projection(DoubleBills()) as new:
                appended = await db.events.append(story("7", Placed("ann", 1)))
                await new.wait_for(appended.position, PATIENCE)  # whoever has handled it
                assert await bills(db) == folded(await log(db))
                await old.stop()
                await until(place, lambda: made_anew(db))
        assert await bills(db) == folded(await log(db), factor=2)


async def made_anew(db: Any) -> bool:
    return bool(await bills(db) == folded(await log(db), factor=2))


@pytest.mark.parametrize("policy", ["rebuild", "beside"])
async def test_waiting_for_a_new_version_waits_for_what_it_makes(db: Any, policy: Any) -> None:
    """The checkpoint that the old version left says nothing of the new one."""
    await filled(db)
    async with db.projection(DoubleBills(), on_new_version=policy) as new:
        await new.wait_for(await db.events.head(), PATIENCE)
        assert await bills(db) == folded(await log(db), factor=2)


async def test_whoever_does_not_run_it_waits_for_whichever_version_does(db: Any) -> None:
    await filled(db)
    head = await db.events.head()

    await db.projection(DoubleBills()).wait_for(head, 0)

    with pytest.raises(ProcessorBehind):
        await db.projection(DoubleBills()).wait_for(head + 1, 0)


# --- beside, while it starts ------------------------------------------------------------------------------------------


class Halting(DoubleBills):
    """Has something done at the second order."""

    def __init__(self) -> None:
        self.halt: Callable[[], object] = lambda: None

    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        if event.aggregate and event.aggregate.id == "1":
            self.halt()
        return super().placed(bill, event)


async def test_it_can_be_stopped_while_it_makes_a_new_one_beside(db: Any, place: SQLitePlace) -> None:
    """It ends after the batch at hand; the old one is as it was, and the next start goes on where it was."""
    await filled(db)
    old, halting = await bills(db), Halting()
    processor = db.projection(halting, batch=1, on_new_version="beside")
    stops: list[Any] = []
    if place.face == "async":
        halting.halt = lambda: stops.append(asyncio.ensure_future(processor.stop()))
    else:
        halting.halt = processor.target.stop
    await processor.run()

    assert [await stop for stop in stops] in ([], [None])
    assert (await processor.stats()).state == "stopped"
    assert await bills(db) == old
    assert (await traces(db))[0] == ["bills", "goes:rebuild:bills"]
    made = (await db.checkpoints.get("goes:rebuild:bills")).position
    assert made == 3
    counting = Counting()
    await caught_up(db, counting, on_new_version="beside")
    assert await bills(db) == folded(await log(db), factor=2)
    assert counting.positions == list(range(made + 1, await db.events.head() + 1))


class Counting(DoubleBills):
    """Remembers what it was told of."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    def key(self, event: goes.Event[Any]) -> Any:
        self.positions.append(event.position)
        return super().key(event)


async def test_beside_waits_for_another_rebuild(db: Any, place: SQLitePlace) -> None:
    """One that was called for, or of a program that was killed: when that is over it is looked at what there is to do."""
    await filled(db)
    lease = await db.leases.acquire("goes:rebuild:bills", "somebody", 1000.0)
    async with db.projection(DoubleBills(), on_new_version="beside") as processor:
        await until(place, lambda: holds(db, "bills"))
        with pytest.raises(ProcessorBehind):
            await processor.wait_for(1, 0.3)
        assert await bills(db) == folded(await log(db))
        await db.leases.release(lease)
        await processor.wait_for(await db.events.head(), PATIENCE)
    assert await bills(db) == folded(await log(db), factor=2)


async def holds(db: Any, name: str) -> bool:
    return await db.leases.get(name) is not None


async def test_an_event_that_fails_beside_is_tried_again_or_parked(db: Any) -> None:
    """As `retry` says: it is a failure like any other, and does not end the processor with what the method raised."""

    class Failed(DoubleBills):
        tries = 0

        @goes.projects(Paid)
        def paid(self, bill: Bill, event: goes.Event[Paid]) -> None:
            if event.position == 4:
                type(self).tries += 1
                if self.tries < 3:
                    raise ValueError(self.tries)
            super().paid(bill, event)

    await filled(db, 2)
    with pytest.raises(ProcessorStopped) as stopped:
        await db.projection(Failed(), retry=goes.Retry(1), on_new_version="beside").run()
    assert (stopped.value.position, str(stopped.value.__cause__)) == (4, "1")
    await caught_up(db, Failed(), retry=goes.Retry(2, backoff=at_once), on_new_version="beside")
    assert await bills(db) == folded(await log(db), factor=2)


async def test_what_is_parked_beside_is_a_dead_letter_of_the_projection(db: Any) -> None:
    """With the switch: those of the old read model are forgotten, and the new one's can be re-driven."""

    class Old(Bills):
        @goes.projects(Failing)
        def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
            raise ValueError("old")

    class New(DoubleBills):
        fails = True

        @goes.projects(Failing)
        def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
            if self.fails and event.data.number:
                raise ValueError("new")
            bill.cents += 1000

    park = goes.Retry(1, then="park")
    await db.events.append(story("1", Placed("ann", 5), Failing(0), Failing(1), Paid(2)))
    async with db.projection(Old(), retry=park) as processor:
        await processor.wait_for(4, PATIENCE)
        assert [letter.position for letter in await processor.parked()] == [2, 3]
    async with db.projection(New(), retry=park, on_new_version="beside") as processor:
        await processor.wait_for(4, PATIENCE)
        letters = await processor.parked()
        assert [(one.position, one.processor, one.error) for one in letters] == [(3, "bills", "ValueError: new")]
        assert await bills(db) == {"1": Bill(1010, 2)}
        New.fails = False
        await processor.redrive()
        while await processor.parked():
            await db.commits.wait(db.commits.count, 0.01)
    assert await bills(db) == {"1": Bill(2010, 2)}
    assert (await traces(db))[0] == ["bills"]


async def test_events_that_are_for_nobody_do_not_hinder_it(db: Any) -> None:
    """Whatever the log has besides, the new one comes to where the old one is."""
    await db.events.append([event(Ignored()), *story("1", Placed("ann", 5)), event(Ignored()), event(Ignored())])
    await caught_up(db, Bills())
    await caught_up(db, DoubleBills(), batch=1, on_new_version="beside")

    assert await bills(db) == {"1": Bill(10)}
    assert (await db.checkpoints.get("bills")).position == 4
