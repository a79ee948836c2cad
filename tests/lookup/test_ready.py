"""When the maps are ready, and how they are made anew."""

from __future__ import annotations

import json

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import ProcessorBehind, ProjectionOutdated
from tests.conftest_kit import SQLitePlace
from tests.lookup.lookup_kit import KEYS, PATIENCE, A, B, C, Greeted, History, Joined, Left, emails


def test_ready_means_caught_up(world: SQLitePlace) -> None:
    """Not begun: to wait is in vain while nobody runs it, and in order as soon as it has come to what was stored."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)
        await bound.wait_ready(0)  # nothing is stored
        await db.events.append(history.events((None, Greeted())))
        await bound.wait_ready(0)  # nothing that it is about
        await db.events.append(
            history.events(*[(goes.AggregateRef("customer", str(n)), Joined("x")) for n in range(25)])
        )
        with pytest.raises(ProcessorBehind) as behind:
            await bound.wait_ready(0.01)
        assert (behind.value.processor, behind.value.position, behind.value.reached) == ("emails", 26, 0)
        waiting = world.alongside(bound.wait_ready(PATIENCE))
        async with db.projection(emails, batch=3):
            await waiting.result()
            assert len(await bound.all("x")) == 25
        with pytest.raises(ProcessorBehind) as behind:
            await db.events.append(history.events((A, Joined("x"))))
            await bound.wait_ready(0)
        assert (behind.value.position, behind.value.reached) == (27, 26)

    world.with_handle(test)


def test_ready_is_of_this_version(world: SQLitePlace) -> None:
    """Maps that another version made are not ready, until they are made anew; those of a higher one never will be."""
    loud = goes.Lookup("emails", {**KEYS, Joined: lambda event: event.data.email.upper()}, version=2)

    async def test(db: Database) -> None:
        history = History()
        await db.events.append(history.events((A, Joined("x")), (B, Joined("y"))))
        async with db.projection(emails):
            await db.lookup(emails).wait_ready(PATIENCE)
        with pytest.raises(ProcessorBehind):
            await db.lookup(loud).wait_ready(0.01)
        async with db.projection(loud):
            await db.lookup(loud).wait_ready(PATIENCE)
        assert [await db.lookup(emails).find(key) for key in ("x", "X", "Y")] == [None, A, B]
        with pytest.raises(ProjectionOutdated) as outdated:
            await db.lookup(emails).wait_ready(PATIENCE)
        assert (outdated.value.stored, outdated.value.version) == (2, 1)

    world.with_handle(test)


def test_it_is_reset_and_made_anew_beside(world: SQLitePlace) -> None:
    """Both maps, as one: compared row by row, and switched at once."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)
        await db.events.append(history.events((A, Joined("x")), (B, Joined("x")), (C, Joined("z")), (C, Left("z"))))
        async with db.projection(emails) as projection:
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

    world.with_handle(test)
