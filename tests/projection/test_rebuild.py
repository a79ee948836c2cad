"""`rebuild`: a read model made anew beside the live one, while that goes on, compared with it, and put in its place."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from goes_lite_conformance.harness import until

import goes_lite as goes
from goes_lite.errors import ProcessorStopped
from goes_lite.projection import Progress
from goes_lite.testing import FakeClock
from tests.conftest_kit import SQLitePlace
from tests.projection.projection_kit import (
    Bill,
    Bills,
    Days,
    DoubleBills,
    Enough,
    Few,
    Ignored,
    Placed,
    WordAdded,
    bills,
    caught_up,
    days,
    event,
    failed,
    filled,
    folded,
    log,
    story,
    traces,
)

LEFT = (["bills"], ["bills", "goes:processors", "goes:projections"], set[str]())
"""What is stored of a projection, and of nothing else."""


def no(parity: goes.Parity) -> bool:
    return False


# --- what it answers --------------------------------------------------------------------------------------------------


async def test_a_rebuild_of_the_same_version(db: Any) -> None:
    """The same, and it is put in the place of the live one all the same; nothing else of it is left."""
    await filled(db)

    parity = await db.projection(Bills()).rebuild()

    digest = hashlib.sha256("".join(f'{n}\0{{"cents":5,"paid":2,"words":[]}}\n' for n in range(5)).encode()).hexdigest()
    assert parity == (10, 5, 5, digest, digest, 0, (), True, True)
    assert parity.same
    assert str(parity) == "at position 10: live 5 rows, new 5 rows: the same"
    assert await bills(db) == folded(await log(db))
    assert await traces(db) == LEFT


async def test_what_a_comparison_finds(db: Any) -> None:
    """How many rows there are of each, how many are not the same, and which: changed, missing, too many."""
    await filled(db, 3)
    for id, data in (("1", '{"cents":9,"paid":2,"words":[]}'), ("0", None), ("9", '{"cents":0,"paid":0,"words":[]}')):
        await db.models.put_many("bills", {id: data})
    asked: list[goes.Parity] = []

    def accept(parity: goes.Parity) -> bool:
        asked.append(parity)
        return True

    parity = await db.projection(Bills()).rebuild(accept=accept)

    assert asked == [parity._replace(switched=False)]
    assert (parity.live_rows, parity.new_rows, parity.different, parity.same) == (3, 3, 3, False)
    assert parity.live_hash != parity.new_hash
    assert [difference.key for difference in parity.differences] == ["0", "1", "9"]
    assert str(parity).splitlines() == [
        "at position 6: live 3 rows, new 3 rows: 3 rows differ",
        '  0: none -> {"cents":5,"paid":2,"words":[]}',
        '  1: {"cents":9,"paid":2,"words":[]} -> {"cents":5,"paid":2,"words":[]}',
        '  9: {"cents":0,"paid":0,"words":[]} -> none',
    ]
    assert await bills(db) == folded(await log(db))


async def test_not_all_differences_are_kept(db: Any) -> None:
    """Twenty of them; a long content is cut short in the text."""
    await filled(db, 30)
    await db.events.append(story("0", WordAdded("x" * 100), after=2))
    await caught_up(db, Bills())

    parity = await db.projection(DoubleBills()).rebuild()

    assert (parity.different, len(parity.differences)) == (30, 20)
    lines = str(parity).splitlines()
    assert len(lines) == 22
    assert lines[1].endswith("… -> " + '{"cents":10,"paid":2,"words":["xxxxxxxxxxxxxxxxxxxxxxxxxxxx…')
    assert lines[-1] == "  and 10 more"


async def test_what_is_not_accepted_leaves_nothing(db: Any) -> None:
    """The live one is untouched, and goes on; no collection, no checkpoint, no table, no lease of the new one is left."""
    await filled(db)
    await caught_up(db, Days())
    records = await db.models.query("bills").list()
    before = await traces(db), await days(db)

    for projection in (DoubleBills(), Days()):
        parity = await db.projection(projection).rebuild(accept=no)
        assert not parity.switched

    assert await db.models.query("bills").list() == records
    assert (await traces(db), await days(db)) == before
    assert await db.leases.get("goes:rebuild:bills") is None
    await db.events.append(story("0", Placed("ann", 1), after=2))
    await caught_up(db, Bills())
    await caught_up(db, Days())
    assert await bills(db) == folded(await log(db))
    assert await days(db) == {"ann": 26}


async def test_accept_that_raises_ends_it(db: Any) -> None:
    """What was made is kept: called again, it has only to compare and to switch."""
    await filled(db)
    told: list[Progress] = []

    def accept(parity: goes.Parity) -> bool:
        raise Enough

    with pytest.raises(Enough):
        await db.projection(DoubleBills()).rebuild(accept=accept)
    assert await bills(db) == folded(await log(db))
    assert (await db.projection(DoubleBills()).rebuild(progress=told.append)).switched
    assert told == []
    assert await bills(db) == folded(await log(db), factor=2)


async def test_accept_may_look_at_both(db: Any, place: SQLitePlace) -> None:
    """While it is asked, everybody still sees the live one."""
    await filled(db)
    seen: list[Any] = []
    async with place.open() as reader:

        async def accept(parity: goes.Parity) -> bool:
            seen.append(await bills(reader))
            return True

        await db.projection(DoubleBills()).rebuild(accept=place.function(accept))
        assert seen == [folded(await log(db))]
        assert await bills(reader) == folded(await log(db), factor=2)


# --- progress, and going on -------------------------------------------------------------------------------------------


async def test_progress_is_told_after_each_batch(place: SQLitePlace) -> None:
    """Where it is, where the live one is, how many events it has handled, how fast, and how long it may take still."""
    clock, told = FakeClock(), list[Progress]()
    async with place.open(clock=clock) as db:
        await db.events.append([event(Ignored()) for _ in range(10)])
        await filled(db)

        def progress(one: Progress) -> None:
            told.append(one)
            clock.advance(2)

        await db.projection(Bills(), batch=4).rebuild(progress=progress)

    assert told == [(14, 20, 4, 0.0, None), (18, 20, 8, 4.0, 2 / 9), (20, 20, 10, 2.5, 0.0)]


async def test_progress_that_raises_ends_it_and_it_goes_on_later(db: Any) -> None:
    """Not from the beginning: what was committed is not done again, and the numbers are of the second run."""
    await filled(db)
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        await db.projection(DoubleBills(), batch=4).rebuild(progress=stop)
    assert await bills(db) == folded(await log(db))
    assert await db.leases.get("goes:rebuild:bills") is None
    stats = {one.name: one.position for one in await db.processors()}
    assert stats == {"bills": 10, "goes:rebuild:bills": 4}
    await db.projection(DoubleBills(), batch=3).rebuild(progress=told.append)

    assert [(one.position, one.events) for one in told] == [(7, 3), (10, 6)]
    assert await bills(db) == folded(await log(db), factor=2)
    assert await traces(db) == LEFT


async def test_a_cancelled_rebuild_goes_on_later(loop_place: SQLitePlace) -> None:
    async with loop_place.open() as db:
        await filled(db)
        reached = asyncio.Event()

        async def wait(progress: Progress) -> None:
            reached.set()
            await asyncio.Event().wait()

        rebuild = asyncio.create_task(db.projection(DoubleBills(), batch=4).rebuild(progress=wait))
        await reached.wait()
        rebuild.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rebuild
        told: list[Progress] = []
        await db.projection(DoubleBills()).rebuild(progress=told.append)
        assert [one.events for one in told] == [6]
        assert await bills(db) == folded(await log(db), factor=2)


async def test_what_another_version_has_begun_is_not_gone_on_with(db: Any) -> None:
    """It is removed, whichever of the two is the higher."""

    class Triple(DoubleBills, version=3):
        @goes.projects(Placed)
        def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
            return Bill(bill.cents + 3 * event.data.cents, bill.paid, bill.words)

    await filled(db)

    def stop(progress: Progress) -> None:
        raise Enough

    for first, second, factor in ((DoubleBills(), Triple(), 3), (Quadruple(), Triple(), 3)):
        with pytest.raises(Enough):
            await db.projection(first, batch=4).rebuild(progress=stop)
        await db.projection(second).rebuild()
        assert await bills(db) == folded(await log(db), factor=factor)
        assert await traces(db) == LEFT


class Quadruple(DoubleBills, version=4):
    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        return Bill(bill.cents + 4 * event.data.cents, bill.paid, bill.words)


async def test_one_that_was_made_further_than_the_live_one(db: Any) -> None:
    """The live one was reset since, and has only just begun: then the new one begins again, too, and does not wait for it."""
    await filled(db)

    def stop(progress: Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        await db.projection(DoubleBills(), batch=8).rebuild(progress=stop)
    await db.projection(Bills()).reset()
    with pytest.raises(ProcessorStopped):
        await db.projection(Few(4), batch=1, retry=goes.Retry(1)).run()

    parity = await db.projection(DoubleBills()).rebuild()

    assert (parity.position, parity.switched) == (4, True)
    assert await bills(db) == folded((await log(db))[:4], factor=2)
    await caught_up(db, DoubleBills())
    assert await bills(db) == folded(await log(db), factor=2)


async def test_a_live_one_that_begins_again_meanwhile(db: Any, place: SQLitePlace) -> None:
    """The new one begins again as well: it never gets ahead of the live one."""
    await filled(db)
    async with place.open() as other, other.projection(Few(4), batch=1, retry=goes.Retry(1)) as few:

        async def progress(one: Progress) -> None:
            if one.position == 8:
                await few.reset()
                await until(place, lambda: failed(few))

        rebuilt = await db.projection(Bills(), batch=4).rebuild(progress=place.function(progress))
    assert (rebuilt.position, rebuilt.same, rebuilt.switched) == (4, True, True)
    await caught_up(db, Bills())
    assert await bills(db) == folded(await log(db))
