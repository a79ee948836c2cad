"""Replaying stored events: versions without a gap, unknown names, and deletion."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from goes_lite.aggregate import Aggregate, applies
from goes_lite.errors import AggregateError, InvalidEventError, RegistrationError
from goes_lite.events.event import Event, restore
from goes_lite.events.fields import AggregateRef
from goes_lite.events.registry import Raw, Registry
from tests.aggregate.aggregate_kit import (
    NOON,
    Barked,
    Dog,
    Failing,
    Left,
    Registered,
    Returned,
    TrickAdded,
    reloaded,
)

# --- replay -----------------------------------------------------------------------------------------------------------


def test_replay_applies_stored_events_and_leaves_nothing_pending() -> None:
    dog = Dog("rex")
    dog.register("Rex", [])
    dog.record(TrickAdded("roll"))
    again = reloaded(dog)
    assert (again.name, again.tricks, again.version, again.pending) == ("Rex", ["roll"], 2, ())
    assert again.committed_version == 2
    assert again.last_event_id == dog.last_event_id


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_gap_or_repetition_in_the_history_is_refused(version: int) -> None:
    """Expected is exactly the next version; what was applied before the misfit stays applied, and only that."""
    dog = Dog("rex")
    good = [Event(TrickAdded(str(n)), aggregate=dog.ref, version=n) for n in (1, 2)]
    bad = Event(TrickAdded("bad"), aggregate=dog.ref, version=version)
    with pytest.raises(InvalidEventError, match=f"expected its event of version 3, got version {version}"):
        dog.replay([*good, bad])
    assert (dog.version, dog.tricks, dog.last_event_id) == (2, ["1", "2"], good[1].id)


def test_an_event_of_another_aggregate_is_refused() -> None:
    dog = Dog("rex")
    for ref in (AggregateRef("dog", "max"), AggregateRef("cat", "rex")):
        with pytest.raises(InvalidEventError, match="is not an event of dog"):
            dog.replay([Event(TrickAdded("x"), aggregate=ref, version=1)])
    with pytest.raises(InvalidEventError, match="is not an event of dog"):
        dog.replay([Event(TrickAdded("x"))])
    assert dog.version == 0


def test_replay_over_pending_events_is_refused() -> None:
    """Applying newer events must not drop or renumber what is not saved: the caller is told to fetch afresh."""
    dog = Dog("rex")
    dog.register("Rex", [])
    with pytest.raises(AggregateError, match="1 pending"):
        dog.replay([Event(TrickAdded("x"), aggregate=dog.ref, version=1)])
    assert (dog.version, len(dog.pending)) == (1, 1)


def test_an_event_of_an_unknown_name_counts_and_changes_nothing() -> None:
    """That is what a reader with unknown="raw" gets. The name may be registered later, and applies from then on."""
    registry = Registry()

    class Seen(Aggregate, name="seen", registry=registry):
        count: int = 0

        @applies("late.event")
        def _late(self, event: Event[Any]) -> None:
            self.count += 1

    registry.register("early.event", int, aliases=["former.event"])

    def raw(name: str, version: int) -> Event[Any]:
        data = Raw(name, "json", 1, "{}")
        return restore(
            UUID(int=version), name, data, NOON, AggregateRef("seen", "s"), version, None, None, 1, *data_of(data)
        )

    def data_of(data: Raw) -> tuple[str, int, str | bytes]:
        return data.encoding, data.schema, data.payload

    seen = Seen("s")
    seen.replay([raw("mystery", 1), raw("former.event", 2)])
    assert (seen.version, seen.count) == (2, 0)
    registry.register("late.event", str, aliases=["mystery"])
    seen.replay([raw("late.event", 3), raw("mystery", 4)])
    assert (seen.version, seen.count) == (4, 2)


# --- deletion ---------------------------------------------------------------------------------------------------------


def test_deleted_follows_the_last_event_that_deletes_or_restores() -> None:
    """While recording and after a reload alike; events in between do not touch it."""
    dog = Dog("rex")
    seen: list[bool] = []
    for data in (Registered("Rex", []), Left(), Barked(), Returned(), Barked(), Left()):
        dog.record(data)
        seen.append(dog.deleted)
        assert reloaded(dog).deleted is dog.deleted
    assert seen == [False, True, True, False, False, True]


def test_an_event_that_deletes_is_applied_as_well() -> None:
    """Several types may delete, by type or by name; a subclass adds to those of its base; appliers still run."""

    class Cat(Aggregate, name="cat", deleted_by=(Left, "test.aggregate.barked")):
        where: str = "home"

        @applies(Left)
        def _left(self, event: Event[Left]) -> None:
            self.where = "away"

    class Kitten(Cat, deleted_by=Failing, restored_by=Returned):
        pass

    for deleting in (Left(), Barked(), Failing()):
        kitten = Kitten("k")
        kitten.record(deleting)
        assert kitten.deleted
        assert kitten.where == ("away" if isinstance(deleting, Left) else "home")
        kitten.record(Returned())
        assert not kitten.deleted
    assert not Cat("c").deleted


def test_one_event_cannot_delete_and_restore() -> None:
    with pytest.raises(RegistrationError, match="both delete and restore"):

        class Odd(Aggregate, name="odd", deleted_by=Left, restored_by=(Returned, Left)):  # pyright: ignore[reportUnusedClass]
            pass
