"""Repository.query: the aggregates of a class, filtered and in order."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from goes_lite.aggregate import Aggregate, applies
from goes_lite.errors import InvalidEventError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import NOON, Account, Closed, Moved, filled, memory, spied


async def test_query_gives_the_aggregates_of_the_class_by_id() -> None:
    """Each complete, without those of other classes and those deleted; ids are ordered by code point."""

    class Other(Account, name="account-other"):
        pass

    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(2), cache=2)
        others = Repository(db, Other)
        for number, id in enumerate(("b", "é", "a", "B", "😀")):
            await filled(accounts, id, number)
            await others.use(id, lambda other: other.open("X"), create=True)
        await accounts.use("a", lambda account: account.record(Closed()))
        found = await accounts.query().list()
        assert [account.id for account in found] == ["B", "b", "é", "😀"]
        assert [account.version for account in found] == [4, 1, 2, 5]
        assert all(type(account) is Account for account in found)
        everything = [account.id async for account in accounts.query(deleted=True)]
        assert everything == ["B", "a", "b", "é", "😀"]


async def test_query_filters() -> None:
    """By ids (unknown ones are left out), behind an id, by the time of the last event, up to a limit; together."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account)
        for hour, id in enumerate("abcde"):
            account = accounts.new(id)
            account.record(Moved(1), time=NOON)
            account.record(Moved(1), time=NOON + timedelta(hours=hour))
            await accounts.save(account)

        async def ids(**filters: Any) -> str:
            return "".join([account.id async for account in accounts.query(**filters)])

        since = NOON + timedelta(hours=2)
        assert await ids() == "abcde"
        assert await ids(ids=["d", "x", "b", "d"]) == "bd"
        assert await ids(ids=[]) == ""
        assert await ids(after="b") == "cde"
        assert await ids(after="bb", limit=1) == "c"
        assert await ids(limit=0) == ""
        spy.taken()
        assert await ids(updated_since=since) == "cde"
        assert len(spy.taken()) == 3  # the others were not even loaded
        assert await ids(updated_since=since, ids=["d", "a", "c"]) == "cd"
        assert await ids(updated_since=since, ids=["a", "c", "d"], after="c", limit=5) == "d"
        for wrong in ({"ids": "abc"}, {"limit": -1}, {"limit": True}):
            with pytest.raises(InvalidQueryError):
                accounts.query(**cast("Any", wrong))
        with pytest.raises(InvalidEventError):
            accounts.query(updated_since=datetime(2026, 3, 1))


async def test_query_loads_one_at_a_time_and_can_go_on_after_an_error() -> None:
    """Nothing before it is asked for; nothing that was loaded is lost to an aggregate that cannot be."""

    class Picky(Aggregate, name="picky"):
        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            if event.data.amount == 13:
                raise ValueError("bad luck")

    async with memory() as db:
        backend, spy = spied(db)
        events = [Event(Moved(n), aggregate=("picky", id), version=1) for id, n in (("a", 1), ("b", 13), ("c", 2))]
        await db.events.append(events)
        pages = Repository(backend, Picky).query()
        assert spy.taken() == []
        assert (await anext(pages)).id == "a"
        assert len(spy.taken()) == 1
        with pytest.raises(ValueError, match="bad luck"):
            await anext(pages)
        assert [thing.id async for thing in pages] == ["c"]
