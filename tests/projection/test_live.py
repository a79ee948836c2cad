"""Read models that are folded from the events when somebody asks, and stored nowhere."""

from __future__ import annotations

from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import DecodeError, InvalidQueryError
from tests.conftest_kit import SQLitePlace
from tests.projection.projection_kit import (
    Bill,
    Bills,
    Cancelled,
    Failing,
    Ignored,
    Paid,
    Placed,
    Tagged,
    WordAdded,
    bills,
    caught_up,
    event,
    folded,
    log,
    story,
    traces,
)


async def filled(db: Any) -> None:
    await db.events.append([
        *story("1", Placed("ann", 5), Paid(2), WordAdded("x")),
        *story("2", Placed("bob", 7), Cancelled()),
        event(Ignored()),
        *story("3", Placed("ann", 1)),
        event(Tagged(["1", "4"], ["tagged"])),
    ])  # fmt: skip


async def test_all_that_the_projection_is_told_of(db: Any) -> None:
    """As it would be stored, and nothing is stored; events that are appended later change what is answered the next time."""
    await filled(db)
    expected = {"1": Bill(5, 2, ["tagged"]), "3": Bill(1), "4": Bill(words=["tagged"])}

    assert await db.live(Bills()) == expected == folded(await log(db))
    assert await traces(db) == ([], [], set())
    await db.events.append(story("3", Cancelled(), after=1))
    assert set(await db.live(Bills())) == {"1", "4"}
    await caught_up(db, Bills())
    assert await bills(db) == await db.live(Bills())


async def test_of_one_aggregate(db: Any) -> None:
    """Of its events alone: what others say of its read model does not count."""
    await filled(db)

    assert await db.live(Bills(), aggregate=goes.AggregateRef("order", "1")) == {"1": Bill(5, 2, ["x"])}
    assert await db.live(Bills(), aggregate=("order", "2")) == {}
    assert await db.live(Bills(), aggregate=goes.AggregateRef("order", "9")) == {}


async def test_of_a_query(db: Any) -> None:
    """What matches, also if it matches what the projection is not told of."""
    await filled(db)

    assert await db.live(Bills(), goes.EventQuery(["shop.placed"])) == {"1": Bill(5), "2": Bill(7), "3": Bill(1)}
    assert await db.live(Bills(), goes.EventQuery()) == await db.live(Bills())
    assert await db.live(Bills(), goes.EventQuery(["shop.ignored"])) == {}
    with pytest.raises(InvalidQueryError):
        await db.live(Bills(), "shop.placed")


async def test_of_more_events_than_a_page(db: Any) -> None:
    await db.events.append([one for n in range(700) for one in story(str(n), Placed("ann", n), Paid(1))])

    assert await db.live(Bills()) == folded(await log(db))


async def test_whoever_narrows_its_query_is_told_of_no_more(db: Any) -> None:
    class Fewer(Bills):
        def query(self, registry: goes.Registry) -> goes.EventQuery:
            return goes.EventQuery(["shop.paid"])

    await filled(db)

    assert await db.live(Fewer()) == {"1": Bill(0, 2)}


async def test_what_a_method_raises_is_raised(db: Any) -> None:
    """As it is; and so is what is wrong with an event."""

    class Raising(Bills):
        @goes.projects(Failing)
        def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
            raise LookupError("no") from OSError("why")

    await db.events.append([event(Failing()), *story("1", Failing(), Paid(1))])
    with pytest.raises(LookupError, match="no") as raised:
        await db.live(Raising())
    assert isinstance(raised.value.__cause__, OSError)
    async with db.transaction() as tx:
        await tx.execute("UPDATE events SET data = '{}' WHERE position = 3")
    with pytest.raises(DecodeError):
        await db.live(Bills())


async def test_what_is_answered_is_the_caller_s_own(db: Any) -> None:
    """Changing it changes nothing that is answered later."""
    await filled(db)
    first = await db.live(Bills())
    first["1"].words.append("mine")

    assert await db.live(Bills()) == folded(await log(db))


async def test_of_a_handle_that_only_reads(place: SQLitePlace) -> None:
    async with place.open() as db:
        await filled(db)
    async with place.open(read_only=True) as db:
        assert await db.live(Bills()) == folded(await log(db))
