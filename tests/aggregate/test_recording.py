"""An aggregate in memory: identity, recording, captured data, copies and text."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from goes_lite.aggregate import Aggregate, applies, mark_committed
from goes_lite.errors import AggregateError, EncodeError, InvalidEventError, UnregisteredTypeError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from tests.aggregate.aggregate_kit import NOON, Barked, Dog, Failing, Left, Registered, TrickAdded, reloaded

# --- identity and versions --------------------------------------------------------------------------------------------


def test_a_new_aggregate_is_empty_and_has_an_id_of_its_own() -> None:
    """Version 0, nothing pending, not deleted; the id is the text of a new UUIDv7."""
    first, second = Dog(), Dog()
    assert UUID(first.id).version == 7
    assert first.id != second.id
    assert (first.version, first.committed_version, first.pending) == (0, 0, ())
    assert first.is_new
    assert not first.deleted
    assert first.last_event_id is None
    assert first.last_event_time is None


def test_the_id_may_be_given_as_text_or_uuid() -> None:
    """A UUID becomes its canonical text; what cannot be an id is InvalidEventError."""
    assert Dog("rex").ref == AggregateRef("dog", "rex")
    assert Dog(UUID(int=7)).id == "00000000-0000-0000-0000-000000000007"
    for wrong in ("", "a\0b", 7):
        with pytest.raises(InvalidEventError):
            Dog(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_record_makes_the_next_event_applies_it_and_keeps_it_pending() -> None:
    """Versions count on, the arguments reach the event, and the event is answered."""
    dog = Dog("rex")
    first = dog.record(Registered("Rex", []))
    second = dog.record(TrickAdded("roll"), time=NOON, metadata={"actor": "tom"}, tags=["show:7"])
    assert dog.pending == (first, second)
    assert [(event.aggregate, event.version) for event in dog.pending] == [(dog.ref, 1), (dog.ref, 2)]
    assert (second.time, dict(second.metadata), set(second.tags)) == (NOON, {"actor": "tom"}, {"show:7"})
    assert (dog.name, dog.tricks) == ("Rex", ["roll"])
    assert (dog.version, dog.committed_version, dog.is_new) == (2, 0, True)
    assert (dog.last_event_id, dog.last_event_time) == (second.id, NOON)


def test_an_event_that_changes_nothing_still_counts() -> None:
    dog = Dog("rex")
    dog.record(Barked())
    assert (dog.version, len(dog.pending)) == (1, 1)


def test_settled_events_are_pending_no_longer_and_the_later_ones_stay() -> None:
    """Events that are recorded while others are being saved are not lost when those are settled, however often."""
    dog = Dog("rex")
    dog.register("Rex", [])
    late = dog.record(TrickAdded("roll"))
    for _ in range(2):
        mark_committed(dog, 1)
        assert dog.pending == (late,)
        assert (dog.version, dog.committed_version, dog.is_new) == (2, 1, False)


# --- errors while recording -------------------------------------------------------------------------------------------


def test_an_applier_that_raises_keeps_the_event_out() -> None:
    """Its error comes through as itself; version, pending events and the next version are as before."""
    dog = Dog("rex")
    dog.register("Rex", [])
    before = (dog.version, dog.pending, dog.last_event_id)
    with pytest.raises(LookupError, match="no such thing"):
        dog.record(Failing())
    assert (dog.version, dog.pending, dog.last_event_id) == before
    assert dog.record(TrickAdded("roll")).version == 2


def test_data_that_cannot_be_an_event_changes_nothing() -> None:
    """An unregistered type and a value that does not fit its type are refused before anything is applied."""
    dog = Dog("rex")
    with pytest.raises(UnregisteredTypeError):
        dog.record(object())
    with pytest.raises(EncodeError):
        dog.record(TrickAdded(7))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (dog.version, dog.pending, dog.tricks) == (0, (), [])


def test_an_applier_must_not_record() -> None:
    """It would record again at every load: AggregateError, in record and in replay."""

    class Chatty(Aggregate, name="chatty", ignores=TrickAdded):
        @applies(Barked)
        def _barked(self, event: Event[Barked]) -> None:
            self.record(TrickAdded("bark"))

    chatty = Chatty("c")
    with pytest.raises(AggregateError, match="applier must not record"):
        chatty.record(Barked())
    with pytest.raises(AggregateError, match="applier must not record"):
        chatty.replay([Event(Barked(), aggregate=chatty.ref, version=1)])
    assert (chatty.version, chatty.pending) == (0, ())
    chatty.record(TrickAdded("sit"))  # outside of an applier it goes on working
    assert chatty.version == 1


# --- captured data ----------------------------------------------------------------------------------------------------


def test_mutating_the_data_after_record_changes_nothing() -> None:
    """Neither the pending event, nor the state, nor what is stored."""
    tricks = ["roll"]
    dog = Dog("rex")
    dog.register("Rex", tricks)
    tricks.append("mutated")
    assert dog.tricks == ["roll"]
    assert dog.pending[0].data.tricks == ["roll"]
    assert reloaded(dog).tricks == ["roll"]


def test_state_that_shares_a_list_with_its_event_does_not_change_the_event() -> None:
    """One applier keeps the list of its event, another appends to it: memory and reload agree all the same."""
    dog = Dog("rex")
    dog.register("Rex", ["roll"])
    dog.record(TrickAdded("sit"))
    dog.tricks.append("by hand")
    dog.tricks.remove("by hand")
    assert dog.tricks == ["roll", "sit"]
    assert dog.pending[0].data.tricks == ["roll"]
    assert reloaded(dog).tricks == ["roll", "sit"]


# --- copies and text --------------------------------------------------------------------------------------------------


def test_a_deep_copy_is_independent() -> None:
    """State, pending events and version of the copy go their own way; events are shared, also those in the state."""

    class Slotted(Dog, name="slotted"):
        __slots__ = ("mood",)
        mood: list[str]
        first: Event[Registered]

    dog = Slotted("rex")
    dog.mood = ["calm"]
    dog.first = dog.record(Registered("Rex", []), metadata={"actor": "tom"})
    twin = copy.deepcopy(dog)
    assert twin.first is dog.first
    assert twin.pending == dog.pending
    assert twin.pending[0] is dog.pending[0]
    twin.record(TrickAdded("roll"))
    twin.mood.append("wild")
    assert (twin.version, twin.tricks, len(twin.pending), twin.mood) == (2, ["roll"], 2, ["calm", "wild"])
    assert (dog.version, dog.tricks, len(dog.pending), dog.mood) == (1, [], 1, ["calm"])
    assert twin.ref == dog.ref


def test_repr_shows_what_matters_and_stays_short() -> None:
    dog = Dog("rex")
    dog.register("Rex", [])
    assert repr(dog) == "<Dog dog(rex) v1, 1 pending: tricks=[], name='Rex'>"
    dog.record(Left())
    assert "v2, 2 pending, deleted" in repr(dog)
    dog.name = "x" * 10_000
    assert len(repr(dog)) < 300


def test_time_is_the_clock_and_nothing_else() -> None:
    """Recording never waits for the clock and never invents a time: an event may be older than the one before it."""
    dog = Dog("rex")
    dog.record(Barked(), time=NOON)
    earlier = dog.record(Barked(), time=NOON - timedelta(days=1))
    before = datetime.now(timezone.utc)
    now = dog.record(Barked())
    assert earlier.time == NOON - timedelta(days=1)
    assert before <= now.time <= datetime.now(timezone.utc)
    assert [event.version for event in dog.pending] == [1, 2, 3]
