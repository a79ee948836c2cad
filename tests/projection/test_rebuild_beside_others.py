"""Read models made anew while others append, project and rebuild, and events that cannot be handled then."""

from __future__ import annotations

from typing import Any

import pytest
from goes_lite_conformance.harness import until

import goes_lite as goes
from goes_lite.errors import CheckpointMismatch, DecodeError, LeaseHeld, LeaseLost, ProcessorStopped, ProjectionOutdated
from goes_lite.projection import Progress
from tests.conftest_kit import SQLitePlace
from tests.projection.projection_kit import (
    PATIENCE,
    Bill,
    Bills,
    DoubleBills,
    Failing,
    Paid,
    Placed,
    at_once,
    bills,
    caught_up,
    failed,
    filled,
    folded,
    log,
    story,
)

LEFT = (["bills"], ["bills", "goes:processors", "goes:projections"], set[str]())
"""What is stored of a projection, and of nothing else."""


def no(parity: goes.Parity) -> bool:
    return False


# --- beside others ----------------------------------------------------------------------------------------------------


async def test_two_rebuilds_at_once(db: Any, place: SQLitePlace) -> None:
    """The second is LeaseHeld, whichever versions the two are of, and does no harm to the first."""
    await filled(db)
    held: list[str] = []

    async def progress(one: Progress) -> None:
        async with place.open() as other:
            for projection in (Bills(), DoubleBills()):
                with pytest.raises(LeaseHeld) as error:
                    await other.projection(projection).rebuild()
                held.append(error.value.name)

    parity = await db.projection(DoubleBills(), batch=100).rebuild(progress=place.function(progress))

    assert held == ["goes:rebuild:bills"] * 2
    assert parity.switched
    assert await bills(db) == folded(await log(db), factor=2)


async def test_one_that_was_overtaken_by_a_higher_version(db: Any, place: SQLitePlace) -> None:
    """ProjectionOutdated, and what the other has put in the place stays there."""
    await filled(db)

    async def progress(one: Progress) -> None:
        if one.position == 4:  # as if its lease had been lost for a while, and were its own again
            await db.models.put("goes:projections", "bills", '{"version": 3, "replay_until": 0}')

    for batch in (4, 10):
        with pytest.raises(ProjectionOutdated) as outdated:
            await db.projection(DoubleBills(), batch=batch).rebuild(progress=place.function(progress))
        assert (outdated.value.stored, outdated.value.version) == (3, 2)
    assert await bills(db) == folded(await log(db))


@pytest.mark.parametrize("position", [2, 10])
async def test_one_whose_lease_was_taken(db: Any, place: SQLitePlace, position: int) -> None:
    """It was taken for dead. What it still wants to write is refused: the one behind it makes the same read model."""
    await filled(db)

    async def progress(one: Progress) -> None:
        if one.position == position:
            async with place.open() as other:
                await other.leases.release(await other.leases.get("goes:rebuild:bills"))
                lease = await other.leases.acquire("goes:rebuild:bills", "thief", 1000.0)
                await other.checkpoints.save("goes:rebuild:bills", 1, lease=lease)
                await other.models.put("goes:projections", "goes:rebuild:bills", '{"version": 3, "replay_until": 0}')
                await other.models.put("goes:rebuild:bills", "its own", "{}")

    with pytest.raises(LeaseLost):
        await db.projection(DoubleBills(), batch=2).rebuild(progress=place.function(progress))
    assert await bills(db) == folded(await log(db))
    assert (await db.checkpoints.get("goes:rebuild:bills")).position == 1
    assert await db.models.get("goes:rebuild:bills", "its own") is not None


async def test_while_the_live_one_and_writers_go_on(db: Any, place: SQLitePlace) -> None:
    """At the end the read model is what a plain fold of the log makes: no gap, and nothing counts twice."""
    await filled(db, 30)
    async with place.open() as other, place.open() as third:
        writing = True

        async def write(handle: Any, writer: int) -> int:
            version = 0
            while writing or version < 100:
                order = f"{writer}-{version // 10}"
                await handle.events.append(story(order, Placed("ann", 1), Paid(version), after=version % 10))
                version += 2
            return version

        async with other.projection(Bills(), batch=3) as live:
            writers = [place.alongside(write(handle, writer)) for writer, handle in enumerate((other, third))]
            parities = [await db.projection(Bills(), batch=5).rebuild() for _ in range(3)]
            writing = False
            written = [await writer.result() for writer in writers]
            await live.wait_for(await db.events.head(), PATIENCE)
            assert (await live.stats()).state == "active"
    assert [(parity.same, parity.switched) for parity in parities] == [(True, True)] * 3
    assert await bills(db) == folded(await log(db))
    assert await db.events.head() == 60 + sum(written)


async def test_a_new_version_while_writers_go_on(db: Any, place: SQLitePlace) -> None:
    """The old instance ends, the new one goes on where the rebuild has come to."""
    await filled(db, 30)
    async with place.open() as other, db.projection(Bills(), batch=3) as old:
        writing = True

        async def write() -> None:
            version = 0
            while writing:
                await other.events.append(story(f"w{version // 10}", Placed("ann", 1), Paid(1), after=version % 10))
                version += 2

        writer = place.alongside(write())
        parity = await other.projection(DoubleBills(), batch=5).rebuild()
        await until(place, lambda: failed(old))
        async with other.projection(DoubleBills(), on_new_version="stop") as new:
            await new.wait_for(parity.position + 20, PATIENCE)
            writing = False
            await writer.result()
            await new.wait_for(await db.events.head(), PATIENCE)
    assert parity.switched
    assert await bills(db) == folded(await log(db), factor=2)


async def test_a_live_one_that_never_rests_is_caught_up_with(db: Any, place: SQLitePlace) -> None:
    """What it does between two looks at it is done in the transaction of the switch, which keeps it from doing more."""
    await filled(db)
    ahead = 10
    told: list[int] = []

    async def progress(one: Progress) -> None:
        nonlocal ahead
        told.append(one.position)
        assert len(told) < 10, "it runs after the live one for ever"
        async with place.open() as other:
            ahead = (await other.events.append(story(f"m{ahead}", Placed("ann", 1), Paid(1)))).position
            await caught_up(other, Bills())

    parity = await db.projection(Bills()).rebuild(progress=place.function(progress))

    assert (parity.position, parity.same, parity.switched) == (12, True, True)
    assert await bills(db) == folded(await log(db))


# --- events that fail -------------------------------------------------------------------------------------------------


class Failed(Bills):
    """Fails on some events, so many times."""

    def __init__(self, fails: int) -> None:
        self.fails = {"left": fails}  # which the copy that makes the new one has, too

    @goes.projects(Failing)
    def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
        if self.fails["left"]:
            self.fails["left"] -= 1
            raise ValueError(event.data.number)
        bill.cents += 1000


async def test_an_event_that_fails_is_tried_again(db: Any) -> None:
    """As `retry` says. When it is given up, the rebuild ends with ProcessorStopped, and the live one is as it was."""
    await db.events.append(story("1", Placed("ann", 5), Failing(1), Paid(2)))
    await caught_up(db, Failed(0))
    retry = goes.Retry(2, backoff=at_once)

    with pytest.raises(ProcessorStopped) as stopped:
        await db.projection(Failed(2), retry=retry).rebuild()
    assert (stopped.value.position, stopped.value.name, stopped.value.attempts) == (2, "shop.failed", 2)
    assert isinstance(stopped.value.__cause__, ValueError)
    assert await bills(db) == {"1": Bill(1005, 2)}
    assert (await db.projection(Failed(1), retry=retry).rebuild()).same


async def test_dead_letters_go_with_the_read_model(db: Any) -> None:
    """What the new one has handled is no dead letter any more, and does not count twice when somebody re-drives all."""
    park = goes.Retry(1, then="park", order="strict")
    await db.events.append([*story("1", Placed("ann", 5), Failing(1), Paid(2)), *story("2", Failing(2), Paid(3))])
    async with db.projection(Failed(2), retry=park) as live:
        await live.wait_for(5, PATIENCE)
        assert [letter.position for letter in await live.parked()] == [2, 3, 4, 5]
        assert await bills(db) == {"1": Bill(5)}

        parity = await db.projection(Failed(1), retry=park).rebuild()

        assert [one.key for one in parity.differences] == ["2"]
        letters = await live.parked()
        assert [(one.position, one.behind, one.processor) for one in letters] == [(2, 0, "bills"), (3, 2, "bills")]
        assert await bills(db) == {"1": Bill(5), "2": Bill(1000, 3)}
        appended = await db.events.append([*story("1", Paid(1), after=3), *story("2", Paid(1), after=2)])
        await live.wait_for(appended.position, PATIENCE)
        assert await bills(db) == {"1": Bill(5), "2": Bill(1000, 4)}
        await live.redrive()
        while await live.parked():
            await db.commits.wait(db.commits.count, 0.01)
    assert await bills(db) == {"1": Bill(1005, 3), "2": Bill(1000, 4)}


async def test_strict_order_is_kept_while_it_is_switched(db: Any, place: SQLitePlace) -> None:
    """What the live one does meanwhile is held back by the new one, if that has parked an event of the aggregate."""
    park = goes.Retry(1, then="park", order="strict")
    await db.events.append(story("1", Placed("ann", 5), Failing(1)))
    await caught_up(db, Failed(0))

    async def progress(one: Progress) -> None:
        if one.position == 2:
            async with place.open() as other:
                await other.events.append([*story("1", Paid(1), after=2), *story("2", Paid(1))])
                await caught_up(other, Failed(0))

    processor = db.projection(Failed(1), retry=park)
    assert (await processor.rebuild(progress=place.function(progress))).switched
    assert [(letter.position, letter.behind) for letter in await processor.parked()] == [(2, 0), (3, 2)]
    assert await bills(db) == {"1": Bill(5), "2": Bill(0, 1)}


async def test_a_live_one_of_another_store(db: Any) -> None:
    """CheckpointMismatch: a position of another log says nothing of how far to go in this one."""
    await filled(db)
    async with db.transaction() as tx:
        await tx.execute("UPDATE checkpoints SET store = 'another'")

    with pytest.raises(CheckpointMismatch):
        await db.projection(DoubleBills()).rebuild()
    assert await bills(db) == folded(await log(db))


async def test_an_event_that_cannot_be_read(db: Any) -> None:
    """It is given up like any other: stopped at, or parked."""
    await db.events.append(story("1", Placed("ann", 5), Placed("bob", 6), Paid(2)))
    await caught_up(db, Bills())
    async with db.transaction() as tx:
        await tx.execute("UPDATE events SET data = '{}' WHERE position = 2")

    with pytest.raises(ProcessorStopped) as stopped:
        await db.projection(Bills()).rebuild()
    assert stopped.value.position == 2
    assert isinstance(stopped.value.__cause__, DecodeError)
    processor = db.projection(Bills(), retry=goes.Retry(1, then="park"))
    assert (await processor.rebuild()).switched
    assert [letter.position for letter in await processor.parked()] == [2]
    assert await bills(db) == {"1": Bill(5, 2)}


async def test_an_event_that_fails_while_it_is_switched(db: Any, place: SQLitePlace) -> None:
    """What is done in the transaction of the switch is undone with it, tried again, and given up as `retry` says."""
    await filled(db)
    asked: list[goes.Parity] = []

    async def progress(one: Progress) -> None:
        if one.position == 10:
            async with place.open() as other:
                await other.events.append(story("0", Failing(1), Paid(1), after=2))
                await caught_up(other, Failed(0))

    def accept(parity: goes.Parity) -> bool:
        asked.append(parity)
        return True

    processor = db.projection(Failed(2), retry=goes.Retry(2, backoff=at_once, then="park"))
    await processor.rebuild(progress=place.function(progress), accept=accept)

    assert [(one.position, one.same) for one in asked] == [(12, True)]
    assert await processor.parked() == []
    assert (await bills(db))["0"] == Bill(1005, 3)
