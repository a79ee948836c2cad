"""Events that a projection is given for the second time: it can tell, and what it does after the commit is not repeated."""

from __future__ import annotations

from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import ProcessorStopped
from tests.projection.projection_kit import Failing, Placed, act, caught_up, event


class Bell(goes.Projection, name="bell"):
    """Remembers what it was told, and rings after the commit."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.rung: list[str] = []
        self.fails: set[str] = set()

    @goes.projects(Placed)
    def placed(self, event: goes.Event[Placed], tx: Any) -> None:
        self.told.append((event.data.customer, self.replaying))
        act(tx, lambda: self.rung.append(event.data.customer))
        if event.data.customer in self.fails:
            raise ValueError(event.data.customer)

    def clear(self, tx: Any) -> None: ...

    def switch(self, tx: Any) -> None: ...


class NewBell(Bell, version=2):
    pass


def orders(*customers: str) -> list[goes.Event[Any]]:
    return [event(Placed(customer, 1)) for customer in customers]


async def test_nothing_is_a_replay_at_first(db: Any) -> None:
    bell = Bell()
    assert bell.replaying is False
    await db.events.append(orders("a", "b"))
    await caught_up(db, bell)

    assert (bell.told, bell.rung, bell.replaying) == ([("a", False), ("b", False)], ["a", "b"], False)


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
async def test_after_a_reset_it_is_until_where_it_stood(db: Any, batch: int) -> None:
    """The boundary lies in the middle of a batch as well as between two. Actions are done for what is new."""
    await db.events.append(orders("a", "b", "c"))
    await caught_up(db, Bell())
    bell = Bell()
    await db.projection(bell).reset()
    await db.events.append(orders("d", "e"))

    await caught_up(db, bell, batch=batch)

    assert bell.told == [("a", True), ("b", True), ("c", True), ("d", False), ("e", False)]
    assert (bell.rung, bell.replaying) == (["d", "e"], False)


async def test_it_is_remembered_over_resets_and_instances(db: Any) -> None:
    """One that is reset again half-way was still told of all of that before."""
    await db.events.append(orders("a", "b", "c"))
    await caught_up(db, Bell())
    await db.projection(Bell()).reset()
    async with db.projection(Bell(), batch=1, schedule=goes.OnDemand()) as processor:
        await processor.trigger()
        await processor.wait_for(1, 30)
    await db.projection(Bell()).reset()
    bell = Bell()

    await caught_up(db, bell)

    assert (bell.told, bell.rung) == ([("a", True), ("b", True), ("c", True)], [])


@pytest.mark.parametrize("policy", ["rebuild", "beside"])
async def test_a_new_version_replays_what_the_old_one_was_told(db: Any, policy: str) -> None:
    await db.events.append(orders("a", "b"))
    await caught_up(db, Bell())
    await db.events.append(orders("c"))
    bell = NewBell()

    await caught_up(db, bell, on_new_version=policy)

    assert bell.told == [("a", True), ("b", True), ("c", False)]
    assert bell.rung == ["c"]


async def test_a_rebuild_is_a_replay_of_everything(db: Any) -> None:
    """And what comes behind it is none."""
    bell = Bell()
    await db.events.append(orders("a", "b"))
    await caught_up(db, bell)
    bell.told.clear()
    await db.projection(bell).rebuild()
    assert (bell.told, bell.rung, bell.replaying) == ([("a", True), ("b", True)], ["a", "b"], False)
    await db.events.append(orders("c"))
    await caught_up(db, bell)
    assert (bell.told[2:], bell.rung) == ([("c", False)], ["a", "b", "c"])


async def half_way(db: Any, projection: goes.Projection, **options: Any) -> None:
    """Reset, and handled again up to the event that fails."""
    await db.projection(projection).reset()
    with pytest.raises(ProcessorStopped):
        await db.projection(projection, retry=goes.Retry(1), batch=1, **options).run()


async def test_a_rebuild_of_one_that_is_half_way_through_a_replay(db: Any) -> None:
    """What the live one was told of before is no news for the one that takes its place, either."""
    await db.events.append(orders("a", "b", "c"))
    await caught_up(db, Bell())
    failing = Bell()
    failing.fails = {"c"}
    await half_way(db, failing)
    bell = Bell()
    assert (await db.projection(bell).rebuild()).position == 2
    await caught_up(db, bell)

    assert bell.told == [("a", True), ("b", True), ("c", True)]
    assert bell.rung == []


async def test_a_version_that_is_kept_goes_on_with_the_replay(db: Any) -> None:
    await db.events.append(orders("a", "b", "c"))
    await caught_up(db, Bell())
    failing = Bell()
    failing.fails = {"c"}
    await half_way(db, failing)
    bell = NewBell()
    await caught_up(db, bell, on_new_version="keep")

    assert (bell.told, bell.rung) == ([("c", True)], [])


async def test_a_reset_forgets_dead_letters(db: Any) -> None:
    """Their events have their turn with all the others, and do not count a second time when somebody re-drives all."""
    bell = Bell()
    bell.fails = {"b"}
    await db.events.append(orders("a", "b"))
    async with db.projection(bell, retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(2, 30)
        assert [letter.position for letter in await processor.parked()] == [2]
        bell.fails = set()
        await processor.reset()
        await processor.wait_for(2, 30)
        assert await processor.parked() == []


async def test_an_inline_append_after_a_reset_is_a_replay_of_what_was_handled(db: Any) -> None:
    """The read model was emptied by one that stopped before it was done; whoever catches up repeats no action."""
    await db.events.append(orders("a", "b"))
    await caught_up(db, Bell())
    await db.projection(Bell()).reset()
    async with db.projection(Bell(), schedule=goes.OnDemand()) as processor:
        while (await db.checkpoints.get("bell")).position:
            await db.commits.wait(db.commits.count, 0.01)
        assert (await processor.stats()).position == 0
    bell = Bell()

    await db.inline(bell).events.append(orders("c"))

    assert bell.told == [("a", True), ("b", True), ("c", False)]
    assert bell.rung == ["c"]


@pytest.mark.parametrize("bad", ["a", "b", "c", "d"])
@pytest.mark.parametrize("batch", [1, 100])
async def test_the_event_on_which_it_raises_is_found_on_either_side(db: Any, bad: str, batch: int) -> None:
    """Of a batch that has events on both sides of the boundary, the right one is blamed, and told right what it is."""
    await db.events.append(orders("a", "b"))
    await caught_up(db, Bell())
    bell = Bell()
    bell.fails = {bad}
    await db.projection(bell).reset()
    await db.events.append(orders("c", "d"))

    with pytest.raises(ProcessorStopped) as stopped:
        await db.projection(bell, retry=goes.Retry(1), batch=batch).run()
    assert stopped.value.position == "abcd".index(bad) + 1
    assert bell.replaying is False
    bell.fails, bell.told = set(), []
    await caught_up(db, bell, batch=batch)
    assert bell.told == [(customer, customer < "c") for customer in "abcd"["abcd".index(bad) :]]
    assert bell.rung == ["c", "d"]


async def test_a_batch_that_fails_as_a_whole_at_the_boundary(db: Any) -> None:
    """Where nobody knows which event it was, each has its turn."""

    class Wrong(goes.ModelProjection[int], name="wrong"):
        @goes.projects(Placed, key=lambda event: event.data.customer)
        def placed(self, count: int, event: goes.Event[Placed]) -> Any:
            return "many" if event.data.cents == 5 else count + 1

        @goes.projects(Failing)
        def failing(self, count: int, event: goes.Event[Failing]) -> int:
            return count

    await db.events.append([*orders("a", "b"), event(Failing())])
    await caught_up(db, Wrong())
    await db.projection(Wrong()).reset()
    await db.events.append([*orders("a"), event(Placed("b", 5)), *orders("c")])
    async with db.projection(Wrong(), retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(6, 30)
        assert [letter.position for letter in await processor.parked()] == [5]
    counts = db.models_of("wrong", int)
    assert [await counts.find(name) for name in "abc"] == [2, 1, 1]
