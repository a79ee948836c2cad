"""An aggregate with many events is loaded in pages, and still as of one moment of one history."""

from __future__ import annotations

from typing import Any

import pytest

from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.repository import Repository
from goes_lite.repository import _history as history
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, Spied, filled, memory, spied, state


@pytest.mark.parametrize("page", [1, 2, 3, 7, 8, 9])
@pytest.mark.parametrize("snapshots", [None, Every(3)])
async def test_pages_make_no_difference(page: int, snapshots: Every | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any size, from the first event or from a snapshot, up to now or to a version."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=snapshots)
        account = await filled(accounts, "a", 7)
        versions = [await accounts.fetch_version("a", version) for version in range(1, 9)]
        monkeypatch.setattr(history, "PAGE", page)
        assert state(await accounts.fetch("a")) == state(account)
        assert [state(await accounts.fetch_version("a", version)) for version in range(1, 9)] == [*map(state, versions)]


async def test_a_short_aggregate_is_loaded_at_once() -> None:
    async with memory() as db:
        backend, spy = spied(db)
        await filled(Repository(db, Account), "a", 9)
        await Repository(backend, Account).fetch("a")
        assert len(spy.taken()) == 1


class Interfering(Spied):
    """Erases the aggregate after the first page, and lets it begin anew."""

    other: Repository[Account]
    moves: int

    async def load(self, aggregate: AggregateRef, *, after: int = 0, upto: int | None = None) -> list[Event[Any]]:
        found = await super().load(aggregate, after=after, upto=upto)
        if len(self.loads) == 1:
            await self.other.delete(aggregate.id)
            if self.moves:
                await filled(self.other, aggregate.id, self.moves)
        return found


@pytest.mark.parametrize("moves", [0, 1, 9])
@pytest.mark.parametrize("snapshots", [None, Every(3)])
async def test_two_histories_are_never_mixed(
    moves: int, snapshots: Every | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the aggregate is erased between two pages, what began after it is loaded from its beginning."""
    monkeypatch.setattr(history, "PAGE", 2)
    async with memory() as db:
        plain = Repository(db, Account)
        await filled(Repository(db, Account, snapshots=snapshots) if snapshots else plain, "a", 4)
        backend, _ = spied(db)
        backend.events = spy = Interfering(db.events)
        spy.other, spy.moves = plain, moves
        found = await Repository(backend, Account, snapshots=snapshots).fetch("a", create=True)
        assert state(found) == state(await plain.fetch("a", create=True))
