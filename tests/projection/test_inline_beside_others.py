"""Inline projections beside handles without them, processors of the same ones, and several of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from goes_lite_conformance.harness import until

import goes_lite as goes
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.database import Database
from goes_lite.errors import (
    CheckpointMismatch,
    ProjectionOutdated,
)
from goes_lite.projection import InlineBackend
from goes_lite.testing import FakeClock
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
    act,
    bills,
    caught_up,
    days,
    event,
    folded,
    log,
    registry,
    statements,
    story,
)


class Order(goes.Aggregate, name="order", registry=registry):
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


# --- beside others ----------------------------------------------------------------------------------------------------


async def test_tables_are_made_with_the_first_append_that_is_stored(db: Any) -> None:
    """One that was refused made none: the next one has to."""

    class Refusing(Days):
        @goes.projects(Failing)
        def failing(self, event: goes.Event[Failing], tx: Any) -> Any:
            raise LookupError("no")

    inline = db.inline(Refusing())
    with pytest.raises(LookupError):
        await inline.events.append([event(Failing())])
    await inline.events.append([event(Placed("ann", 5))])
    await inline.events.append([event(Placed("ann", 5))])

    assert await days(db) == {"ann": 10}


async def test_actions_after_the_commit_are_done_once(db: Any) -> None:
    """Not if the append is refused."""

    class Bell(Days):
        def __init__(self) -> None:
            self.rung: list[str] = []

        @goes.projects(Placed)
        def placed(self, event: goes.Event[Placed], tx: Any) -> Any:
            act(tx, lambda: self.rung.append(event.data.customer))
            return super().placed(event, tx)

        @goes.projects(Failing)
        def failing(self, event: goes.Event[Failing], tx: Any) -> Any:
            return statements(tx, "nonsense")

    bell = Bell()
    inline = db.inline(bell)
    await inline.events.append([event(Placed("ann", 1))])
    with pytest.raises(goes.errors.StoreError):
        await inline.events.append([event(Placed("bob", 1)), event(Failing())])
    async with inline.transaction() as tx:
        await tx.events.append([event(Placed("eve", 1))])
        assert bell.rung == ["ann"]
    assert bell.rung == ["ann", "eve"]


async def test_several_projections_succeed_together_or_not_at_all(db: Any) -> None:
    """In one handle, or in a handle made of another."""
    for inline in (db.inline(Days(), Choosy()), db.inline(Days()).inline(Choosy()), db.inline(Choosy()).inline(Days())):
        before = await bills(db), (await db.events.head())
        appended = await inline.events.append([event(Placed("ann", 5)), *story(f"{before[1]}", Placed("ann", 5))])
        assert (await days(db))["ann"] == (appended.position) * 5
        with pytest.raises(LookupError):
            await inline.events.append([event(Placed("ann", 5)), *story("x", Failing(1))])
        assert (await days(db))["ann"] == (appended.position) * 5
        assert await bills(db) == folded(await log(db))


async def test_another_version_of_the_read_model(db: Any) -> None:
    """ProjectionOutdated, whichever is the higher, and nothing is stored: an append has no time to make one anew."""
    await db.inline(Bills()).events.append(story("1", Placed("ann", 5)))
    with pytest.raises(ProjectionOutdated) as outdated:
        await db.inline(DoubleBills()).events.append(story("1", Paid(1), after=1))
    assert (outdated.value.stored, outdated.value.version) == (1, 2)
    await db.projection(DoubleBills()).rebuild()
    inline = db.inline(Bills())
    with pytest.raises(ProjectionOutdated) as outdated:
        await inline.events.append(story("1", Paid(1), after=1))
    assert (outdated.value.stored, outdated.value.version) == (2, 1)
    assert await db.events.head() == 1
    await db.inline(DoubleBills()).events.append(story("1", Paid(1), after=1))
    assert await bills(db) == {"1": Bill(10, 1)}


async def test_a_checkpoint_of_another_store(db: Any) -> None:
    """CheckpointMismatch: what the read model was made of is not what is in this log."""
    await db.inline(Bills()).events.append(story("1", Placed("ann", 5)))
    await db.checkpoints.save("bills", 7)
    with pytest.raises(CheckpointMismatch):
        await db.inline(Bills()).events.append(story("1", Paid(1), after=1))
    async with db.transaction() as tx:
        await tx.execute("UPDATE checkpoints SET position = 1, store = 'another'")
    with pytest.raises(CheckpointMismatch):
        await db.inline(Bills()).events.append(story("1", Paid(1), after=1))
    assert await db.events.head() == 1


async def test_a_processor_of_the_same_projection(db: Any, place: SQLitePlace) -> None:
    """Whoever comes first counts an event, and the other does not: whatever it is that both have to pass over."""
    writing = 60

    async def write(handle: Any, writer: int) -> None:
        for n in range(writing):
            order = f"{writer}-{n // 3}"
            data = (Placed("ann", 1), Paid(1), Ignored())[n % 3]
            await handle.events.append(story(order, data, after=n % 3))

    async with place.open() as other, other.projection(Bills(), batch=2) as processor:
        writers = [place.alongside(write(handle, n)) for n, handle in enumerate((db.inline(Bills()), db, other))]
        for writer in writers:
            await writer.result()
        await processor.wait_for(3 * writing, PATIENCE)
        assert (await processor.stats()).state == "active"
    assert await bills(db) == folded(await log(db))
    assert (await db.checkpoints.get("bills")).position == 3 * writing


async def test_a_processor_that_has_passed_over_less(place: SQLitePlace) -> None:
    """What it has yet to save, of events that are for nobody, does not bring the checkpoint back."""
    async with place.open(clock=FakeClock()) as db:  # so that it saves nothing before it is stopped
        async with db.projection(Bills(), schedule=goes.Continuously(debounce=10)) as processor:
            first = await db.events.append([event(Ignored())])
            await processor.wait_for(first.position)  # which it knows, and has not saved yet
            await db.inline(Bills()).events.append(story("1", Placed("ann", 5)))
        assert (await processor.stats()).state == "stopped"
        assert (await db.checkpoints.get("bills")).position == 2
        await caught_up(db, Bills())
        assert await bills(db) == {"1": Bill(5)}


async def test_a_processor_that_has_passed_over_more(place: SQLitePlace) -> None:
    """An inline projection moved the checkpoint in the meantime, but not as far: it is saved where the processor is."""
    async with place.open(clock=FakeClock()) as db:  # so that it saves nothing before it is stopped
        async with db.projection(Bills(), schedule=goes.Continuously(debounce=10)) as processor:
            first = await db.events.append([event(Ignored())])
            await processor.wait_for(first.position)
            await db.inline(Bills()).events.append([event(Ignored())])
            last = await db.events.append([event(Ignored())])
            await processor.wait_for(last.position)
        assert (await db.checkpoints.get("bills")).position == last.position == 3


async def handled(db: Database) -> bool:
    found = await db.checkpoints.get("bills")
    return found is not None and found.position == 1


async def test_an_append_while_a_processor_begins(loop_place: SQLitePlace) -> None:
    """It has seen that there is no checkpoint yet, and must not put one at the beginning over the one that is there now."""

    class Meddling(Checkpoints):
        async def get(self, name: str) -> Checkpoint | None:
            found = await super().get(name)
            begun = await self.backend.leases.get(name) is not None
            if name == "bills" and begun and not await self.backend.events.head():
                await self.backend.inline(Bills()).events.append(story("1", Placed("ann", 5)))
            return found

    async with loop_place.open() as db:
        meddled = WrappedBackend(db)
        meddled.checkpoints = cast(Any, Meddling(db))
        async with Database(meddled).projection(Bills()):
            await until(loop_place, lambda: handled(db))
        await caught_up(db, Bills())
        assert await bills(db) == {"1": Bill(5)}


class Checkpoints:
    """Those of another backend."""

    def __init__(self, backend: Database) -> None:
        self.backend = backend

    async def get(self, name: str) -> Checkpoint | None:
        return await self.backend.checkpoints.get(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend.checkpoints, name)


def test_an_append_while_a_processor_gives_up(tmp_path: Path) -> None:
    """What the append has counted meanwhile is no dead letter, and the checkpoint does not go back."""

    class Raising(Choosy):
        @goes.projects(Placed)
        def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
            raise LookupError("not here")

    class Meddling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.removeHandler(self)
            other.inline(Choosy()).events.append(story("2", Placed("bob", 7)))

    logger = logging.getLogger("goes_lite.processor")
    with (
        goes.blocking.connect(tmp_path / "app.db", registry=registry) as db,
        goes.blocking.connect(tmp_path / "app.db", registry=registry) as other,
    ):
        db.events.append(story("1", Placed("ann", 5)))
        logger.addHandler(Meddling())
        with db.projection(Raising(), retry=goes.Retry(1, then="park")) as processor:
            processor.wait_for(2, PATIENCE)
        assert processor.parked() == []
        assert db.models_of("bills", Bill).find_many(["1", "2"]) == {"1": Bill(5), "2": Bill(7)}
        checkpoint = db.checkpoints.get("bills")
        assert checkpoint is not None
        assert checkpoint.position == 2


async def test_nothing_is_written_where_there_is_nothing_new(db: Any) -> None:
    inline = db.inline(Bills())
    events = story("1", Placed("ann", 5))
    await inline.events.append(events)
    checkpoint = await db.checkpoints.get("bills")
    await inline.events.append(events)

    assert await db.checkpoints.get("bills") == checkpoint


# --- the handle -------------------------------------------------------------------------------------------------------


async def test_it_is_the_same_handle_in_another_guise(loop_place: SQLitePlace) -> None:
    """All but appending is as it was, on the same connections."""
    async with loop_place.open() as db:
        inline: Database = db.inline(Bills())
        assert isinstance(inline.backend, InlineBackend)
        assert repr(inline) == f"<Database <InlineBackend over {db.backend!r}>>"
        assert repr(inline.events) == f"<_Events over {db.events!r}>"
        for name in (
            "location", "identity", "registry", "runtime", "snapshots", "models", "checkpoints", "leases", "bus", "commits",
            "abilities", "durability",
        ):  # fmt: skip
            assert getattr(inline, name) == getattr(db, name)
        await inline.events.append(story("1", Placed("ann", 5), Paid(2)))
        stored = await inline.events.query().list()
        assert stored == await db.events.query().list()
        assert await inline.events.load(goes.AggregateRef("order", "1"), after=1) == stored[1:]
        assert await inline.events.find(stored[0].id) == stored[0]
        assert (await inline.events.head(), await inline.events.count()) == (2, 2)
        assert [info.version for info in await inline.events.aggregates().list()] == [2]
        assert await anext(inline.events.follow(after=1)) == stored[1]
        assert await inline.select("SELECT count(*) FROM events") == [(2,)]
        await inline.backup(loop_place.url + ".copy")
        assert await inline.events.delete(goes.AggregateRef("order", "1")) == 2
        await inline.close()
        await inline.close()


def test_both_guises_may_be_closed(place: SQLitePlace) -> None:
    """They are one handle: the second time is fine, in either order."""
    for face in (True, False):
        with goes.blocking.connect(place.url, registry=registry, inline=face) as db, db.inline(Bills()) as inline:
            inline.events.append([event(Ignored())])
        with pytest.raises(goes.errors.StoreClosed):
            inline.events.head()
        db = goes.blocking.connect(place.url, registry=registry, inline=face)
        inline = db.inline(Bills())
        db.close()
        inline.close()
