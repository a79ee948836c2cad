"""Snapshots of aggregates: when they are taken, what they save, and when they do not fit."""

from __future__ import annotations

import functools
import threading
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

import pytest

from goes_lite.aggregate import Aggregate, applies
from goes_lite.contract.backend import Backend
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import AggregateError, RegistrationError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.repository import Repository
from goes_lite.repository._history import PAGE
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, Moved, filled, memory, spied, state


async def test_a_snapshot_shortens_the_load() -> None:
    """The events up to the snapshot are not loaded, but for its own one; the state is the same."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(5))
        account = await filled(accounts, "a", 11)
        snapshot = await db.snapshots.latest(account.ref)
        assert snapshot is not None
        assert (snapshot.version, snapshot.schema, snapshot.deleted) == (10, 1, False)
        spy.taken()
        fetched = await accounts.fetch("a")
        assert spy.taken() == [(9, 10 + PAGE, 3)]
        assert state(fetched) == state(await Repository(db, Account).fetch("a"))
        assert fetched.last_event_id == account.last_event_id


async def test_one_snapshot_per_save_and_only_when_due() -> None:
    """A save that passes a multiple takes one, at the version that it reached; other saves take none."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(3))
        account = accounts.new("a")
        versions: list[int] = []
        for batch in (2, 5, 1, 1):
            for _ in range(batch):
                account.move(1)
            await accounts.save(account)
        async for snapshot in db.snapshots.query(aggregate=account.ref):
            versions.append(snapshot.version)
        assert versions == [7, 9]


async def test_old_snapshots_are_pruned_when_one_is_taken() -> None:
    """The newest `keep_snapshots` of that aggregate stay, and all of the others'."""
    async with memory() as db:
        keeping = Repository(db, Account, snapshots=Every(1))
        await filled(keeping, "b", 3)
        accounts = Repository(db, Account, snapshots=Every(1), keep_snapshots=2)
        await filled(accounts, "a", 5)
        found = [(snapshot.aggregate.id, snapshot.version) async for snapshot in db.snapshots.query()]
        assert found == [("a", 5), ("a", 6), ("b", 1), ("b", 2), ("b", 3), ("b", 4)]


async def _replaced(db: Backend, snapshot: Snapshot, **changes: Any) -> None:
    await db.snapshots.delete(snapshot.aggregate)
    await db.snapshots.save(snapshot._replace(**changes))


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"schema": 2, "state": "anything"}, False),
        ({"state": "not json at all"}, True),
        ({"state": '{"event":"00000000-0000-0000-0000-000000000000","unset":[],"state":{}}'}, False),
        ({"encoding": "rot13"}, True),
        ({"version": 7}, False),
        ({"version": 2}, False),
    ],
    ids=["another schema", "damaged", "foreign", "unknown encoding", "ahead of the history", "of another version"],
)
async def test_a_snapshot_that_does_not_fit_is_ignored(changes: dict[str, Any], reported: bool) -> None:
    """The events are replayed; nothing is raised. Only what cannot be explained by an older program is reported."""
    errors: list[str] = []
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(4), on_error=lambda what, error: errors.append(what))
        account = await filled(accounts, "a", 3)
        snapshot = await db.snapshots.latest(account.ref)
        assert snapshot is not None
        await _replaced(db, snapshot, **changes)
        fetched = await accounts.fetch("a")
        assert state(fetched) == (4, False, 6, [], "Ann")
        assert ["does not fit" in error for error in errors] == [True] * reported


async def test_an_older_snapshot_serves_if_the_newest_does_not_fit() -> None:
    """As after a newer program wrote one: the next one down is taken, and the events after it are all applied."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(3))
        account = await filled(accounts, "a", 5)
        newest = await db.snapshots.latest(account.ref)
        assert newest is not None
        await db.snapshots.save(newest._replace(schema=99))
        spy.taken()
        assert state(await accounts.fetch("a")) == (6, False, 15, [], "Ann")
        assert spy.taken() == [(2, 3 + PAGE, 4)]


async def test_an_attribute_that_is_new_makes_a_snapshot_unfit() -> None:
    """Its default would hide what the events before the snapshot say about it; nobody has to raise the schema for it.

    An attribute that is gone does no harm.
    """

    class Old(Aggregate, name="growing", schema=1):  # so that the code of the appliers does not count
        total: int = 0
        gone: int = 0

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount

    class New(Aggregate, name="growing", schema=1):
        total: int = 0
        count: int = 0

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount
            self.count += 1

    class Less(Aggregate, name="growing", schema=1):
        total: int = 0

    async with memory() as db:
        old = Repository(db, Old, snapshots=Every(1))
        await old.use("g", lambda thing: thing.record(Moved(3)), create=True)
        new = await Repository(db, New, snapshots=Every(1)).fetch("g")
        assert (new.total, new.count) == (3, 1)
        less = await Repository(db, Less, snapshots=Every(1)).fetch("g")
        assert less.total == 3  # Less applies nothing, so this is the snapshot's


async def test_an_attribute_that_was_not_set_stays_so() -> None:
    """A snapshot is taken and fits although an annotated attribute has no value yet."""
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account, snapshots=Every(1))
        for _ in range(2):
            await accounts.use("a", lambda account: account.move(3), create=True)
        spy.taken()
        fetched = await accounts.fetch("a")
        assert spy.taken() == [(1, 2 + PAGE, 1)]
        assert state(fetched) == (2, False, 6, [], None)
        assert not hasattr(fetched, "owner")


async def test_state_that_a_snapshot_would_lose_is_reported_and_not_taken() -> None:
    """An attribute that the class does not annotate: the save succeeds, the way out is named, loading stays right."""
    errors: list[str] = []

    class Sloppy(Aggregate, name="sloppy"):
        total: int = 0

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount
            self.hidden = self.total  # pyright: ignore[reportUninitializedInstanceVariable]

    async with memory() as db:
        things = Repository(
            db, Sloppy, snapshots=Every(1), on_error=lambda what, error: errors.append(f"{what}: {error}")
        )
        await things.use("s", lambda thing: thing.record(Moved(3)), create=True)
        assert len(errors) == 1
        assert "Sloppy.hidden is not annotated" in errors[0]
        assert await db.snapshots.latest(AggregateRef("sloppy", "s")) is None
        assert (await things.fetch("s")).hidden == 3


async def test_a_snapshot_of_the_authors_own() -> None:
    """snapshot_state, restore_state and snapshot_type; without a type it is plain JSON.

    What restore_state raises makes the snapshot unfit, on an instance that nobody sees.
    """
    errors: list[str] = []

    class Typed(Aggregate, name="typed", schema=3):
        snapshot_type: ClassVar[Any] = tuple[int, frozenset[str]]

        def __init__(self, id: str | UUID | None = None) -> None:
            super().__init__(id)
            self.total = 0
            self.names: set[str] = set()

        @applies(Moved)
        def _moved(self, event: Event[Moved]) -> None:
            self.total += event.data.amount
            self.names.add(str(event.data.amount))

        def snapshot_state(self) -> tuple[int, frozenset[str]]:
            return self.total, frozenset(self.names)

        def restore_state(self, state: tuple[int, frozenset[str]]) -> None:
            self.total, names = state
            self.names = set(names)
            if self.total == 13:
                raise ValueError("bad luck")

    class Plain(Typed, name="plain"):
        snapshot_type = None

        def snapshot_state(self) -> Any:
            return {"total": self.total, "names": sorted(self.names)}

        def restore_state(self, state: Any) -> None:
            self.total, self.names = state["total"], set(state["names"])

    async with memory() as db:
        for cls in (Typed, Plain):
            backend, spy = spied(db)
            things = Repository(backend, cls, snapshots=Every(1), on_error=lambda what, error: errors.append(what))
            for amount in (5, 7):
                await things.use("t", functools.partial(_record, data=Moved(amount)), create=True)
            spy.taken()
            fetched = await things.fetch("t")
            assert spy.taken() == [(1, 2 + PAGE, 1)]
            assert (fetched.total, fetched.names) == (12, {"5", "7"})
            assert errors == []
        unlucky = Repository(db, Typed, snapshots=Every(1), on_error=lambda what, error: errors.append(what))
        await unlucky.use("t", lambda thing: thing.record(Moved(1)))
        fetched = await unlucky.fetch("t")
        assert (fetched.total, fetched.names, fetched.version) == (13, {"5", "7", "1"}, 3)
        assert len(errors) == 1


def _record(aggregate: Aggregate, data: object) -> None:
    aggregate.record(data)


async def test_a_state_that_snapshots_cannot_encode_is_found_at_construction() -> None:
    """Where the schedule and the class are put together, and not at the first save that is due."""

    class Opaque(Aggregate, name="opaque"):
        lock: threading.Event

    async with memory() as db:
        Repository(db, Opaque)
        with pytest.raises(RegistrationError, match="Event"):
            Repository(db, Opaque, snapshots=Every(1))


async def test_a_failing_snapshot_store_does_not_fail_the_save() -> None:
    """It is reported to on_error, and without that to the log; the save answers its positions."""
    errors: list[tuple[str, Exception]] = []

    async def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no room")

    async with memory() as db:
        backend, _ = spied(db, snapshots=SimpleNamespace(save=refuse, latest=db.snapshots.latest))
        accounts = Repository(
            backend, Account, snapshots=Every(1), on_error=lambda what, error: errors.append((what, error))
        )
        account = accounts.new("a")
        account.open("Ann")
        assert (await accounts.save(account)).position > 0
        assert account.pending == ()
        assert [str(error) for _, error in errors] == ["no room"]
        assert "account(a)" in errors[0][0]
        assert (await accounts.fetch("a")).version == 1


async def test_a_snapshot_can_be_taken_by_hand() -> None:
    """Of stored events only: AggregateError for a new aggregate and for one with pending events."""
    async with memory() as db:
        accounts = Repository(db, Account, snapshots=Every(1000))
        account = accounts.new("a")
        with pytest.raises(AggregateError):
            await accounts.snapshot(account)
        account.open("Ann")
        with pytest.raises(AggregateError):
            await accounts.snapshot(account)
        await accounts.save(account)
        snapshot = await accounts.snapshot(account)
        assert (snapshot.aggregate, snapshot.version) == (account.ref, 1)
        assert await db.snapshots.latest(account.ref) == snapshot
