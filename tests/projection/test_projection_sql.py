"""Projections that write for themselves: into tables of their own, in the transaction of the batch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import ConfigError, ProcessorStopped
from tests.projection.projection_kit import (
    Days,
    Failing,
    Paid,
    Placed,
    act,
    at_once,
    caught_up,
    days,
    event,
    statements,
    story,
    traces,
)

EVENTS = [event(Placed("ann", 5)), event(Placed("bob", 7)), event(Paid(1)), event(Placed("ann", 2))]


async def test_a_table_of_its_own(db: Any) -> None:
    """It is made when the projection begins to work, and each event counts once, in batches of any size."""
    await db.events.append(EVENTS)
    await caught_up(db, Days(), batch=3)
    assert await days(db) == {"ann": 7, "bob": 7}
    await db.events.append([event(Placed("bob", 1))])
    await caught_up(db, Days(), batch=1)
    assert await days(db) == {"ann": 7, "bob": 8}


async def test_a_method_that_raises_leaves_nothing_half_done(db: Any) -> None:
    """What it has written before it raised is undone, what lies before its event counts."""

    class Failed(Days):
        @goes.projects(Failing)
        def failing(self, event: goes.Event[Failing], tx: Any) -> Any:
            if event.data.number:
                raise ValueError(event.data.number)
            return statements(tx, "UPDATE days SET cents = cents + 1", "UPDATE no_such_table SET cents = 1")

    await db.events.append([*EVENTS[:2], event(Failing(0)), event(Placed("eve", 1)), event(Failing(1)), *EVENTS[3:]])

    with pytest.raises(ProcessorStopped) as stopped:
        await db.projection(Failed(), retry=goes.Retry(2, backoff=at_once)).run()
    assert (stopped.value.position, stopped.value.attempts) == (3, 2)
    assert await days(db) == {"ann": 5, "bob": 7}
    async with db.projection(Failed(), retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(6, 30)
        assert [letter.position for letter in await processor.parked()] == [3, 5]
    assert await days(db) == {"ann": 7, "bob": 7, "eve": 1}


@pytest.mark.parametrize("sql", ["INSERT INTO days VALUES ('ann', 1)", "SELECT", "COMMIT"])
async def test_sql_that_fails_is_the_event_s_failure(db: Any, sql: str) -> None:
    """A constraint, a mistake, a statement that is refused: `retry` says what becomes of the event."""

    class Mistaken(Days):
        @goes.projects(Failing)
        def failing(self, event: goes.Event[Failing], tx: Any) -> Any:
            return tx.execute(sql)

    await db.events.append([EVENTS[0], event(Failing()), EVENTS[1]])

    with pytest.raises(ProcessorStopped) as stopped:
        await db.projection(Mistaken(), retry=goes.Retry(2, backoff=at_once)).run()
    assert (stopped.value.position, stopped.value.attempts) == (2, 2)
    async with db.projection(Mistaken(), retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(3, 30)
    assert await days(db) == {"ann": 5, "bob": 7}


async def test_a_method_sees_what_the_batch_has_written(db: Any) -> None:
    seen: list[list[Any]] = []

    class Looking(Days):
        @goes.projects(Paid)
        def paid(self, event: goes.Event[Paid], tx: Any) -> Any:
            rows = tx.execute("SELECT * FROM days ORDER BY customer")
            if isinstance(tx, goes.blocking.BlockingTransaction):
                seen.append(rows)
                return None

            async def look() -> None:
                seen.append(await rows)

            return look()

    await db.events.append(EVENTS)
    await caught_up(db, Looking())

    assert seen == [[("ann", 5), ("bob", 7)]]


# --- after the commit -------------------------------------------------------------------------------------------------


class Bell(Days):
    """Rings after the commit, but for what fails."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self.fails: set[str] = set()
        self.broken: set[str] = set()

    @goes.projects(Placed)
    def placed(self, event: goes.Event[Placed], tx: Any) -> Any:
        customer = event.data.customer

        def ring() -> None:
            if customer in self.broken:
                raise OSError(customer)
            self.rung.append(customer)

        act(tx, ring)
        if customer in self.fails:
            raise ValueError(customer)
        return super().placed(event, tx)


async def test_actions_come_after_the_commit_and_once(db: Any) -> None:
    """In the order in which they were registered; what they do comes behind the read model, whatever the batch."""
    bell = Bell()
    await db.events.append(EVENTS)
    await caught_up(db, bell)
    await db.events.append([event(Placed("eve", 1))])
    await caught_up(db, bell, batch=1)

    assert bell.rung == ["ann", "bob", "ann", "eve"]


async def test_actions_of_a_batch_that_was_rolled_back_are_forgotten(db: Any) -> None:
    """Those of the events before the one that failed are registered anew with them, and so done once."""
    bell = Bell()
    bell.fails = {"bob"}
    await db.events.append(EVENTS)
    with pytest.raises(ProcessorStopped):
        await db.projection(bell, retry=goes.Retry(3, backoff=at_once)).run()
    assert bell.rung == ["ann"]
    bell.fails = set()
    await caught_up(db, bell)
    assert bell.rung == ["ann", "bob", "ann"]


async def test_an_action_that_raises_is_logged(db: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It makes neither the commit nor the other actions fail."""
    bell = Bell()
    bell.broken = {"bob"}
    await db.events.append(EVENTS)

    with caplog.at_level(logging.ERROR, "goes_lite"):
        await caught_up(db, bell)

    assert bell.rung == ["ann", "ann"]
    assert await days(db) == {"ann": 7, "bob": 7}
    assert [(record.name, record.message) for record in caplog.records] == [
        ("goes_lite", "an action after a commit failed")
    ]


# --- made anew --------------------------------------------------------------------------------------------------------


async def test_a_reset_makes_the_table_anew_in_place(db: Any) -> None:
    """Cleared, which may drop it, made again, filled from the first event on."""
    await db.events.append(EVENTS)
    await caught_up(db, Days())
    await damaged(db)
    await db.projection(Days()).reset()
    await caught_up(db, Days())

    assert await days(db) == {"ann": 7, "bob": 7}


async def damaged(db: Any) -> None:
    """Somebody has written what no event says."""
    async with db.transaction() as tx:
        await tx.execute("UPDATE days SET cents = 100 WHERE customer = 'bob'")
        await tx.execute("INSERT INTO days VALUES ('zoe', 1)")


async def test_a_rebuild_makes_another_table_and_renames_it(db: Any) -> None:
    """Compared row by row, then put in the place of the first; nothing of it is left under another name."""
    await db.events.append(EVENTS)
    await caught_up(db, Days())
    await damaged(db)

    parity = await db.projection(Days()).rebuild()

    assert (parity.live_rows, parity.new_rows, parity.different, parity.switched) == (3, 2, 2, True)
    assert parity.differences == (("bob", "100", "7"), ("zoe", "1", None))
    assert await days(db) == {"ann": 7, "bob": 7}
    assert await traces(db) == (["days"], ["goes:processors", "goes:projections"], {"days"})
    await db.events.append([event(Placed("bob", 1))])
    await caught_up(db, Days())
    assert await days(db) == {"ann": 7, "bob": 8}


async def test_a_rebuild_before_it_was_ever_run(db: Any) -> None:
    """There is nothing yet that could be compared, and nothing to be made: it is where the live one is, at 0."""
    await db.events.append(EVENTS)

    parity = await db.projection(Days()).rebuild()

    assert (parity.position, parity.same, parity.switched) == (0, True, True)
    assert await days(db) == {}
    await caught_up(db, Days())
    assert await days(db) == {"ann": 7, "bob": 7}


class WideDays(Days, version=2):
    """The next version has another table."""

    def create(self, tx: Any) -> Any:
        return tx.execute(
            f"CREATE TABLE IF NOT EXISTS days{self.suffix} (customer TEXT PRIMARY KEY, cents INTEGER, orders INTEGER)"
        )

    @goes.projects(Placed)
    def placed(self, event: goes.Event[Placed], tx: Any) -> Any:
        return tx.execute(
            f"INSERT INTO days{self.suffix} VALUES (?, ?, 1) ON CONFLICT (customer) "
            "DO UPDATE SET cents = cents + excluded.cents, orders = orders + 1",
            (event.data.customer, event.data.cents),
        )


@pytest.mark.parametrize("policy", ["rebuild", "beside"])
async def test_a_version_with_another_table(db: Any, policy: str) -> None:
    """`clear` drops it, and `create` is called again behind it; beside, the new one takes its place."""
    await db.events.append(EVENTS)
    await caught_up(db, Days())

    await caught_up(db, WideDays(), on_new_version=policy)

    assert await db.select("SELECT * FROM days ORDER BY customer") == [("ann", 7, 2), ("bob", 7, 1)]
    assert await traces(db) == (
        ["days"],
        ["goes:processors", "goes:projections"][-1 - (policy == "beside") :],
        {"days"},
    )


# --- what it can tell of its rows -------------------------------------------------------------------------------------


class Told(Days):
    """Tells its rows in another way."""

    def __init__(self, rows: Callable[[Days, Any], Any]) -> None:
        self.told = rows

    def rows(self, tx: Any) -> Any:
        return self.told(self, tx)


async def _later(tx: Any, sql: str) -> Any:
    for row in await tx.execute(sql):
        yield row


def _each(tx: Any, sql: str) -> Any:
    yield from tx.execute(sql)


async def test_rows_may_be_a_generator(db: Any) -> None:
    """Of the transaction's face; it is gone through little by little."""
    await db.events.append([event(Placed(f"{number:04d}", number)) for number in range(1200)])
    sql = "SELECT customer, CAST(cents AS TEXT) FROM days{} ORDER BY customer"

    def rows(self: Days, tx: Any) -> Any:
        generator = _each if isinstance(tx, goes.blocking.BlockingTransaction) else _later
        return generator(tx, sql.format(self.suffix))

    told = Told(rows)
    await caught_up(db, told)
    plain = await db.projection(Days()).rebuild()
    generated = await db.projection(told).rebuild()

    assert (generated.live_rows, generated.new_rows, generated.same) == (1200, 1200, True)
    assert generated.live_hash == generated.new_hash == plain.new_hash


def same(parity: goes.Parity) -> bool:
    return parity.same


async def test_rows_that_cannot_be_told_are_not_compared(db: Any) -> None:
    """Then nobody can say whether they are the same: `same` is False, and the text says why."""
    await db.events.append(EVENTS)
    await caught_up(db, Days())
    told = Told(lambda self, tx: None)

    refused = await db.projection(told).rebuild(accept=same)
    accepted = await db.projection(told).rebuild()

    assert (refused.compared, refused.same, refused.switched) == (False, False, False)
    assert str(refused) == "at position 4: not compared, because the projection does not define rows()"
    assert (accepted.compared, accepted.switched) == (False, True)
    assert await days(db) == {"ann": 7, "bob": 7}


@pytest.mark.parametrize("keys", ["ba", "aa"])
async def test_rows_out_of_order_are_refused(db: Any, keys: str) -> None:
    """They would make differences where there are none. ConfigError, and the live one stays as it is."""
    await db.events.append(EVENTS)
    await caught_up(db, Days())

    with pytest.raises(ConfigError, match=r"Told.rows\(\) returns the key 'a' after '.'"):
        await db.projection(Told(lambda self, tx: [(key, "") for key in keys])).rebuild()
    assert await days(db) == {"ann": 7, "bob": 7}


async def test_what_rows_raises_ends_the_rebuild(db: Any) -> None:
    def rows(self: Days, tx: Any) -> Any:
        raise LookupError("rows")

    await db.events.append(EVENTS)
    await caught_up(db, Days())
    with pytest.raises(LookupError, match="rows"):
        await db.projection(Told(rows)).rebuild()
    assert (await db.projection(Days()).rebuild()).switched


def more(count: int) -> int:
    return count + 1


async def test_a_projection_without_anything_to_make(db: Any) -> None:
    """`create` need not be there; the methods may write wherever they like."""

    class Counter(goes.Projection, name="counter"):
        @goes.projects(Placed)
        def placed(self, event: goes.Event[Placed], tx: Any) -> Any:
            return tx.models_of("counter", int).use("all", more, default=0)

    await db.events.append(story("1", Placed("ann", 1), Placed("ann", 2)))
    await caught_up(db, Counter())

    assert await db.models_of("counter", int).get("all") == 2
