"""The cache of a repository: copies, and only what is new is loaded."""

from __future__ import annotations

import threading
from uuid import UUID

from goes_lite.aggregate import Aggregate
from goes_lite.repository import Repository
from goes_lite.repository._history import PAGE
from tests.repository.repository_kit import Account, Moved, Noted, filled, memory, spied, state


async def test_the_cache_never_hands_out_one_instance_twice() -> None:
    """Neither the caller's changes nor a nested list of the state reach anybody else."""
    async with memory() as db:
        accounts = Repository(db, Account, cache=5)
        await accounts.use("a", lambda account: account.record(Noted(["one"])), create=True)
        first = await accounts.fetch("a")
        second = await accounts.fetch("a")
        assert first is not second
        assert first.words is not second.words
        first.words.append("mine alone")
        first.move(5)
        second.words.append("mine, too")
        assert state(await accounts.fetch("a")) == (1, False, 0, ["one"], None)


async def test_the_cache_loads_only_what_is_new() -> None:
    """Its own last event (to know that it is still the one) and those after it, whoever wrote them."""
    async with memory() as db:
        backend, spy = spied(db)
        others = Repository(db, Account)
        accounts = Repository(backend, Account, cache=5)
        await filled(others, "a", 9)
        for loads in ([(0, PAGE, 10)], [(9, None, 1)], [(9, None, 1)]):
            assert (await accounts.fetch("a")).balance == 45
            assert spy.taken() == loads
        await others.use("a", lambda account: account.move(55))
        for loads in ([(9, None, 2)], [(10, None, 1)]):
            assert (await accounts.fetch("a")).balance == 100
            assert spy.taken() == loads


async def test_the_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, cache=2)
        for id in "abc":
            await filled(Repository(db, Account), id, 1)
        for id in "abac":  # c pushes out b, which was used before a
            await accounts.fetch(id)
        spy.taken()
        for id in "acb":
            await accounts.fetch(id)
        assert spy.taken() == [(1, None, 1), (1, None, 1), (0, PAGE, 2)]
        assert "2 of at most 2" in repr(accounts)
        await accounts.fetch_version("c", 1)
        assert "2 of at most 2" in repr(accounts)


async def test_an_aggregate_that_cannot_be_copied_is_fetched_all_the_same() -> None:
    """It is not cached, and that is reported once."""
    reports: list[str] = []

    class Locked(Aggregate, name="locked", ignores=Moved):
        def __init__(self, id: str | UUID | None = None) -> None:
            super().__init__(id)
            self.lock = threading.Lock()

    async with memory() as db:
        things = Repository(db, Locked, cache=5, on_error=lambda what, error: reports.append(what))
        await things.use("l", lambda thing: thing.record(Moved(1)), create=True)
        for _ in range(3):
            assert (await things.fetch("l")).version == 1
        assert reports == ["locked(l) cannot be cached because it cannot be copied"]
