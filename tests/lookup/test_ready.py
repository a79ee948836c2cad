"""When the maps are ready, and how they are made anew."""

from __future__ import annotations

import json

import pytest

import goes_lite as goes
from goes_lite.contract.backend import Backend
from goes_lite.errors import ProcessorBehind, ProjectionOutdated
from tests.lookup.lookup_kit import KEYS, PATIENCE, A, B, C, Greeted, History, Joined, Left, World, emails


def test_ready_means_caught_up(world: World) -> None:
    """Not begun: to wait is in vain while nobody runs it, and in order as soon as it has come to what was stored."""

    async def test(db: Backend) -> None:
        history, bound = History(), world.bound(db)
        await bound.wait_ready(0)  # nothing is stored
        await db.events.append(history.events((None, Greeted())))
        await bound.wait_ready(0)  # nothing that it is about
        await db.events.append(
            history.events(*[(goes.AggregateRef("customer", str(n)), Joined("x")) for n in range(25)])
        )
        with pytest.raises(ProcessorBehind) as behind:
            await bound.wait_ready(0.01)
        assert (behind.value.processor, behind.value.position, behind.value.reached) == ("emails", 26, 0)
        waiting = world.beside(bound.wait_ready(PATIENCE))
        async with world.projection(db, batch=3):
            await waiting.result()
            assert len(await bound.all("x")) == 25
        with pytest.raises(ProcessorBehind) as behind:
            await db.events.append(history.events((A, Joined("x"))))
            await bound.wait_ready(0)
        assert (behind.value.position, behind.value.reached) == (27, 26)

    world.run(test)


def test_ready_is_of_this_version(world: World) -> None:
    """Maps that another version made are not ready, until they are made anew; those of a higher one never will be."""
    loud = goes.Lookup("emails", {**KEYS, Joined: lambda event: event.data.email.upper()}, version=2)

    async def test(db: Backend) -> None:
        history = History()
        await db.events.append(history.events((A, Joined("x")), (B, Joined("y"))))
        async with world.projection(db):
            await world.bound(db).wait_ready(PATIENCE)
        with pytest.raises(ProcessorBehind):
            await world.bound(db, loud).wait_ready(0.01)
        async with world.projection(db, loud):
            await world.bound(db, loud).wait_ready(PATIENCE)
        assert [await world.bound(db).find(key) for key in ("x", "X", "Y")] == [None, A, B]
        with pytest.raises(ProjectionOutdated) as outdated:
            await world.bound(db).wait_ready(PATIENCE)
        assert (outdated.value.stored, outdated.value.version) == (2, 1)

    world.run(test)


def test_it_is_reset_and_made_anew_beside(world: World) -> None:
    """Both maps, as one: compared row by row, and switched at once."""

    async def test(db: Backend) -> None:
        history, bound = History(), world.bound(db)
        await db.events.append(history.events((A, Joined("x")), (B, Joined("x")), (C, Joined("z")), (C, Left("z"))))
        async with world.projection(db) as projection:
            await bound.wait_ready(PATIENCE)
            for place in emails.places:  # somebody meddles
                await db.models.put(place, "odd", json.dumps({}))
            parity = await projection.rebuild()
            assert (parity.live_rows, parity.new_rows, parity.different, parity.switched) == (5, 3, 2, True)
            assert [difference.key for difference in parity.differences] == ["aggregates: odd", "keys: odd"]
            assert await bound.all("x") == [A, B]
            assert (await projection.rebuild()).same
            await db.models.clear(emails.places[1])
            assert await bound.find("x") is None
            await projection.reset()
            await bound.wait_ready(PATIENCE)
            assert await bound.all("x") == [A, B]
            assert await bound.key_of(B) == "x"

    world.run(test)
