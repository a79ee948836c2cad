"""Projections in the append's own transaction: they are right when it returns, or nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import (
    AppendConditionFailed,
    ConcurrencyError,
    DecodeError,
    EncodeError,
    TransactionError,
    UnknownEventError,
)
from tests.conftest_kit import SQLitePlace
from tests.projection.projection_kit import (
    Bill,
    Bills,
    Days,
    Failing,
    Paid,
    Placed,
    bills,
    days,
    folded,
    log,
    registry,
    story,
    traces,
)


class Order(goes.Aggregate, name="order", registry=registry, ignores=Failing):
    cents: int = 0

    def place(self, cents: int) -> None:
        self.record(Placed("ann", cents))

    def fail(self) -> None:
        self.record(Failing(1))

    @goes.applies(Placed)
    def _placed(self, event: goes.Event[Placed]) -> None:
        self.cents += event.data.cents


def placing(cents: int) -> Callable[[Order], None]:
    return lambda order: order.place(cents)


class Choosy(Bills):
    """Raises on some events."""

    @goes.projects(Failing)
    def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
        bill.cents += 1000
        if event.data.number:
            raise LookupError("no") from OSError("why")


# --- in the transaction of the append ---------------------------------------------------------------------------------


async def test_the_read_model_is_right_when_the_append_returns(db: Any, place: SQLitePlace) -> None:
    """For every reader, of whatever handle; the handle it was made of is as it was."""
    inline = db.inline(Bills(), Days())
    async with place.open() as other:
        appended = await inline.events.append(story("1", Placed("ann", 5), Paid(2)))
        assert await bills(other) == {"1": Bill(5, 2)}
        assert await days(other) == {"ann": 5}
        assert (await other.checkpoints.get("bills")).position == appended.position
        await db.events.append(story("1", Paid(2), after=2))
        assert await bills(other) == {"1": Bill(5, 2)}


async def test_what_others_have_appended_counts_with_the_next_append(db: Any) -> None:
    """In the same transaction; an append of nothing is one, too."""
    await db.events.append([one for n in range(1100) for one in story(str(n), Placed("ann", 1), Paid(1))])
    inline = db.inline(Bills())
    await inline.events.append(story("x", Placed("bob", 7)))
    assert await bills(db) == folded(await log(db))
    await db.events.append(story("y", Placed("bob", 7)))
    await inline.events.append([])
    assert await bills(db) == folded(await log(db))


async def test_a_repository_of_the_handle(db: Any) -> None:
    """What it saves is in the read models; what is refused is pending still, and the aggregate can be saved again."""
    orders = db.inline(Choosy()).repository(Order)
    await orders.use("1", placing(5), create=True)
    order = await orders.fetch("1")
    order.place(2)
    order.fail()
    with pytest.raises(LookupError, match="no"):
        await orders.save(order)
    assert (len(order.pending), await db.events.head()) == (2, 1)
    assert await bills(db) == {"1": Bill(5)}
    await orders.use("1", placing(2))
    assert await bills(db) == {"1": Bill(7)}


async def test_a_transaction_of_the_handle(db: Any) -> None:
    """Inside it the read model is right after each append; it commits with the rest, or leaves no trace."""
    inline = db.inline(Bills())
    async with inline.transaction() as tx:
        await tx.events.append(story("1", Placed("ann", 5)))
        record = await tx.models.get("bills", "1")
        assert record.data == '{"cents":5,"paid":0,"words":[]}'
        assert await bills(db) == {}
        await tx.events.append(story("1", Paid(2), after=1))
        await tx.models.put("mine", "1", "1")
        assert len(await tx.events.load(("order", "1"))) == 2
    assert await bills(db) == {"1": Bill(5, 2)}
    with pytest.raises(ZeroDivisionError):
        async with inline.transaction() as tx:
            await tx.events.append(story("1", Paid(2), after=2))
            raise ZeroDivisionError
    assert await bills(db) == {"1": Bill(5, 2)}
    assert await db.events.head() == 2


async def test_repositories_within_a_transaction(db: Any) -> None:
    inline = db.inline(Bills())
    orders = inline.repository(Order)
    async with inline.transaction() as tx:
        within = orders.within(tx)
        for id, cents in (("1", 5), ("2", 7)):
            await within.use(id, placing(cents), create=True)
    assert await bills(db) == {"1": Bill(5), "2": Bill(7)}


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_what_the_projection_raises_the_append_raises(db: Any) -> None:
    """The very exception, with its cause, and a note on the event it was about. Nothing is stored, of events or else."""
    inline = db.inline(Choosy())
    await inline.events.append(story("1", Placed("ann", 5)))
    before = await traces(db)

    with pytest.raises(LookupError, match="no") as refused:
        await inline.events.append(story("1", Paid(2), Failing(1), Paid(3), after=1))

    assert isinstance(refused.value.__cause__, OSError)
    (note,) = refused.value.__notes__
    assert note.startswith("while <Choosy 'bills', version 1> handled <Event shop.failed v3 of order(1) at position 3:")
    assert await db.events.head() == 1
    assert await bills(db) == {"1": Bill(5)}
    assert await traces(db) == before
    await inline.events.append(story("1", Paid(2), Failing(0), after=1))
    assert await bills(db) == {"1": Bill(1005, 2)}


async def test_a_read_model_that_cannot_be_kept_refuses_the_append(db: Any) -> None:
    class Wrong(Bills):
        @goes.projects(Failing)
        def failing(self, bill: Bill, event: goes.Event[Failing]) -> Any:
            return "no bill"

    inline = db.inline(Wrong())
    with pytest.raises(EncodeError):
        await inline.events.append(story("1", Placed("ann", 5), Failing(1)))
    assert (await db.events.head(), await bills(db)) == (0, {})


async def test_an_event_of_others_on_which_it_raises(db: Any) -> None:
    """Refuses whatever is appended: it can neither be passed over nor left out."""
    await db.events.append(story("1", Placed("ann", 5), Failing(1)))
    inline = db.inline(Choosy())
    for _ in range(2):
        with pytest.raises(LookupError, match="no"):
            await inline.events.append(story("2", Placed("ann", 5)))
    assert (await db.events.head(), await bills(db)) == (2, {})


async def test_an_event_of_others_that_cannot_be_read(db: Any) -> None:
    """The append raises what reading it raises, not something that only processors know."""
    await db.events.append(story("1", Placed("ann", 5), Paid(2)))
    async with db.transaction() as tx:
        await tx.execute("UPDATE events SET data = '{}' WHERE position = 1")
    inline = db.inline(Bills())
    with pytest.raises(DecodeError) as damaged:
        await inline.events.append(story("1", Paid(2), after=2))
    assert damaged.value.position == 1

    class Everything(Bills):
        def query(self, registry: goes.Registry) -> goes.EventQuery:
            return goes.EventQuery()

    async with db.transaction() as tx:
        await tx.execute("UPDATE event_names SET name = 'shop.unknown' WHERE name = 'shop.placed'")
    with pytest.raises(UnknownEventError):
        await db.inline(Everything()).events.append(story("1", Paid(2), after=2))
    assert await db.events.head() == 2


async def test_what_the_store_refuses_the_append_refuses(db: Any) -> None:
    """A version, a condition: the projection is not told, and nothing is stored."""
    inline = db.inline(Bills())
    await inline.events.append(story("1", Placed("ann", 5)))
    with pytest.raises(ConcurrencyError):
        await inline.events.append(story("1", Paid(1)))
    with pytest.raises(AppendConditionFailed):
        await inline.events.append(
            story("1", Paid(1), after=1), condition=goes.AppendCondition(goes.EventQuery(["shop.placed"]), 0)
        )
    assert await bills(db) == {"1": Bill(5)}
    await inline.events.append(
        story("1", Paid(1), after=1), condition=goes.AppendCondition(goes.EventQuery(["shop.placed"]), 1)
    )
    assert await bills(db) == {"1": Bill(5, 1)}


async def test_a_refused_append_in_a_transaction_can_be_passed_over(db: Any) -> None:
    """What the store refuses has written nothing, so the transaction goes on, and its other appends count."""
    inline = db.inline(Bills())
    async with inline.transaction() as tx:
        await tx.events.append(story("1", Placed("ann", 5)))
        with pytest.raises(ConcurrencyError):
            await tx.events.append(story("1", Paid(1)))
        await tx.events.append(story("1", Paid(2), after=1))
    assert await bills(db) == {"1": Bill(5, 2)}


async def test_what_a_projection_refuses_in_a_transaction_cannot_be_passed_over(db: Any) -> None:
    """Else the events would be stored without their read model: TransactionError, at the latest when the block ends."""
    inline = db.inline(Choosy())
    with pytest.raises(TransactionError, match="a projection failed on an append .*LookupError") as refused:
        async with inline.transaction() as tx:
            await tx.events.append(story("1", Placed("ann", 5)))
            with pytest.raises(LookupError):
                await tx.events.append(story("1", Failing(1), after=1))
            with pytest.raises(TransactionError, match="start another"):
                await tx.events.append(story("2", Placed("ann", 5)))
    assert isinstance(refused.value.__cause__, LookupError)
    assert (await db.events.head(), await bills(db)) == (0, {})
    async with inline.transaction() as tx:
        await tx.events.append(story("1", Placed("ann", 5)))
    assert await bills(db) == {"1": Bill(5)}


async def test_a_retry_of_the_same_append(db: Any) -> None:
    """It answers the positions of the first one, and counts nothing twice."""
    inline = db.inline(Bills())
    events = story("1", Placed("ann", 5), Paid(2))
    first = await inline.events.append(events)
    again = await inline.events.append(events)

    assert (again.positions, again.already_committed) == (first.positions, True)
    assert await bills(db) == {"1": Bill(5, 2)}
