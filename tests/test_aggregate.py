"""What an aggregate promises without any store: recording, applying, versions, and what its class may say."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Final, TypedDict, cast
from uuid import UUID

import pytest

from goes_lite.aggregate import Aggregate, applies, settle
from goes_lite.errors import (
    AggregateError,
    EncodeError,
    InvalidEventError,
    RegistrationError,
    UnregisteredTypeError,
)
from goes_lite.event import AggregateRef, Event, restore
from goes_lite.registry import Raw, Registry, default_registry, event

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@event("test.aggregate.registered")
@dataclass(frozen=True)
class Registered:
    name: str
    tricks: list[str]


@event("test.aggregate.trick-added")
@dataclass(frozen=True)
class TrickAdded:
    trick: str


@event("test.aggregate.barked")
@dataclass(frozen=True)
class Barked:
    """Changes no state: nothing applies it."""


@event("test.aggregate.left")
@dataclass(frozen=True)
class Left:
    pass


@event("test.aggregate.returned")
@dataclass(frozen=True)
class Returned:
    pass


@event("test.aggregate.failed")
@dataclass(frozen=True)
class Failing:
    pass


class Dog(Aggregate, name="dog", deleted_by=Left, restored_by=Returned):
    name: str = ""
    tricks: list[str]

    def __init__(self, id: str | UUID | None = None) -> None:
        super().__init__(id)
        self.tricks = []

    def register(self, name: str, tricks: list[str]) -> None:
        self.record(Registered(name, tricks))

    @applies(Registered)
    def _registered(self, event: Event[Registered]) -> None:
        self.name = event.data.name
        self.tricks = event.data.tricks  # on purpose: state and event share the list

    @applies(TrickAdded)
    def _trick_added(self, event: Event[TrickAdded]) -> None:
        self.tricks.append(event.data.trick)

    @applies(Failing)
    def _failing(self, event: Event[Failing]) -> None:
        raise LookupError("no such thing")


def stored(events: tuple[Event[Any], ...]) -> list[Event[Any]]:
    """The events as a store gives them back: decoded from what was encoded."""
    return [
        restore(
            event.id, event.name, default_registry.decode(event.name, *event.encoded), event.time, event.aggregate,
            event.version, event.metadata, event.tags, event.version, *event.encoded,
        )
        for event in events
    ]  # fmt: skip


def made(body: dict[str, Any], **arguments: Any) -> Any:
    """A class statement whose parts a test puts together."""
    return cast(Any, type)("Bad", (Aggregate,), body, **arguments)


def reloaded(dog: Dog) -> Dog:
    fresh = Dog(dog.id)
    fresh.replay(stored(dog.pending))
    return fresh


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


def test_an_event_that_nothing_applies_still_counts() -> None:
    dog = Dog("rex")
    dog.record(Barked())
    assert (dog.version, len(dog.pending)) == (1, 1)


def test_settled_events_are_pending_no_longer_and_the_later_ones_stay() -> None:
    """Events that are recorded while others are being saved are not lost when those are settled, however often."""
    dog = Dog("rex")
    dog.register("Rex", [])
    late = dog.record(TrickAdded("roll"))
    for _ in range(2):
        settle(dog, 1)
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

    class Chatty(Aggregate, name="chatty"):
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


# --- appliers ---------------------------------------------------------------------------------------------------------


def test_appliers_are_inherited_and_overridden_like_methods() -> None:
    """An override without a decorator keeps the events of its base, one with it has exactly its own.

    Another method for the same event takes over, and mixins count.
    """

    class Heard:
        heard: int = 0

        @applies(Barked)
        def _heard(self, event: Event[Barked]) -> None:
            self.heard += 1

    class Base(Heard, Aggregate, name="base"):
        log: tuple[str, ...] = ()

        @applies(TrickAdded)
        def _one(self, event: Event[TrickAdded]) -> None:
            self.log += ("base one",)

        @applies(Registered, Left)
        def _two(self, event: Event[Registered | Left]) -> None:
            self.log += ("base two",)

        @applies(Returned)
        def _three(self, event: Event[Returned]) -> None:
            self.log += ("base three",)

    class Derived(Base):
        def _one(self, event: Event[TrickAdded]) -> None:
            self.log += ("derived one",)

        @applies("test.aggregate.registered")
        def _two(self, event: Event[Registered | Left]) -> None:
            self.log += ("derived two",)

        @applies("test.aggregate.returned")
        def _other(self, event: Event[Returned]) -> None:
            self.log += ("derived other",)

    data = (TrickAdded("x"), Registered("Rex", []), Left(), Returned(), Barked())
    logs: list[tuple[str, ...]] = []
    for cls in (Base, Derived):
        made = cls("x")
        for each in data:
            made.record(each)
        logs.append(made.log)
        assert made.heard == 1
        assert made.ref.name == "base"
    assert logs == [
        ("base one", "base two", "base two", "base three"),
        ("derived one", "derived two", "derived other"),
    ]


class Payload(TypedDict):
    size: int


def test_appliers_by_name_serve_types_that_do_not_tell_their_name() -> None:
    """A TypedDict, an int: `record(…, name=…)` says which, `@applies("…")` finds it; aliases count as today's name."""
    registry = Registry()
    registry.register("parcel.packed", Payload, aliases=["parcel.boxed"])
    registry.register("parcel.weighed", int)
    registry.register("parcel.counted", int)

    class Parcel(Aggregate, name="parcel", registry=registry):
        size: int = 0
        weight: int = 0
        count: int = 0

        @applies("parcel.boxed")
        def _packed(self, event: Event[Payload]) -> None:
            self.size = event.data["size"]

        @applies("parcel.weighed")
        def _weighed(self, event: Event[int]) -> None:
            self.weight = event.data

        @applies("parcel.counted")
        def _counted(self, event: Event[int]) -> None:
            self.count = event.data

    parcel = Parcel("p")
    parcel.record({"size": 3}, name="parcel.packed")
    parcel.record(70, name="parcel.weighed")
    parcel.record(2, name="parcel.counted")
    assert (parcel.size, parcel.weight, parcel.count) == (3, 70, 2)
    with pytest.raises(UnregisteredTypeError, match="several names"):
        parcel.record(1)


def test_a_type_may_be_registered_after_the_aggregate_class() -> None:
    """It is looked up when the first event is applied; one that is not registered by then is an error, not silence."""
    registry = Registry()
    registry.register("known", int)

    @dataclass(frozen=True)
    class Later:
        pass

    class Waiting(Aggregate, name="waiting", registry=registry):
        seen: bool = False

        @applies(Later)
        def _later(self, event: Event[Later]) -> None:
            self.seen = True

    with pytest.raises(UnregisteredTypeError, match="Later"):
        Waiting("w").record(1, name="known")
    registry.register("later", Later)
    waiting = Waiting("w")
    waiting.record(Later())
    assert waiting.seen


def test_the_registry_is_inherited() -> None:
    registry = Registry()
    registry.register("only.here", float)

    class Base(Aggregate, registry=registry):
        pass

    class Derived(Base, name="derived"):
        pass

    assert Derived("d").record(1.5).name == "only.here"


def test_an_event_class_that_is_reloaded_still_applies() -> None:
    """A notebook cell that is run again makes a new class under the old name."""
    registry = Registry()

    def define() -> type[Any]:
        @dataclass(frozen=True)
        class Moved:
            by: int

        Moved.__qualname__ = "Moved"
        registry.register("moved", Moved)
        return Moved

    first = define()

    class Thing(Aggregate, name="thing", registry=registry):
        at: int = 0

        @applies(first)
        def _moved(self, event: Event[Any]) -> None:
            self.at += event.data.by

    second = define()
    assert second is not first
    thing = Thing("t")
    thing.record(second(4))
    assert thing.at == 4


def _applier(self: Any, event: Event[Any]) -> None: ...


async def _asynchronous(self: Any, event: Event[Any]) -> None: ...


@pytest.mark.parametrize(
    ("events", "function", "message"),
    [
        ((), _applier, "at least one event"),
        ((_applier,), _applier, "needs the events"),
        ((Barked,), _asynchronous, "plain method"),
        ((Barked,), staticmethod(_applier), "plain method"),
        (("no spaces please",), _applier, "must not contain ' '"),
    ],
)
def test_what_cannot_be_an_applier_is_refused_at_once(events: Any, function: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        cast(Any, applies)(*events)(function)


def test_two_methods_of_one_class_cannot_apply_the_same_event() -> None:
    with pytest.raises(RegistrationError, match="twice"):

        class Twice(Aggregate, name="twice"):  # pyright: ignore[reportUnusedClass]
            @applies(Barked)
            def _one(self, event: Event[Barked]) -> None: ...

            @applies(Barked)
            def _two(self, event: Event[Barked]) -> None: ...


# --- class statements -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("default", [[], {}, set[str](), bytearray()])
def test_a_mutable_default_is_refused(default: Any) -> None:
    """All instances would share it; the message says so and names three ways out."""
    with pytest.raises(RegistrationError, match=r"Bad\.items: the \w+ would be shared.*tuple.*__init__.*ClassVar"):
        made({"__annotations__": {"items": "list[str]"}, "items": default}, name="bad")


def test_constants_may_be_mutable() -> None:
    """ClassVar and Final are not state, annotated as text or not; an attribute without annotation is the author's."""

    class Fine(Aggregate, name="fine"):
        RATES: ClassVar[dict[str, int]] = {"a": 1}
        NAMES: Final = ["a"]
        _table = {"x": 1}  # noqa: RUF012
        total: int = 0

    annotations = {"a": ClassVar[list[int]], "b": "typing.ClassVar[list[int]]", "c": "t.Final"}
    body = {"__annotations__": annotations, "a": [1], "b": [1], "c": [1]}
    made(body, name="dynamic")
    assert Fine("f").RATES == {"a": 1}


@pytest.mark.parametrize("name", ["id", "version", "pending", "deleted", "record", "_goes_version"])
def test_a_name_that_every_aggregate_has_cannot_be_redefined(name: str) -> None:
    """As a value or as a bare annotation: it would break the aggregate or the snapshot much later."""
    for body in ({name: 1}, {"__annotations__": {name: "int"}}):
        with pytest.raises(RegistrationError, match=f"Bad.{name}: every aggregate has"):
            made({**body}, name="bad")


def test_a_class_without_a_name_is_a_base_only() -> None:
    """It cannot be instantiated; a subclass gets its name from its own statement or from its base."""

    class Pet(Aggregate):
        pass

    class Fish(Pet, name="fish"):
        pass

    class Goldfish(Fish):
        pass

    with pytest.raises(RegistrationError, match="has no aggregate name"):
        Pet()
    with pytest.raises(RegistrationError, match="has no aggregate name"):
        Aggregate()
    assert (Fish().ref.name, Goldfish().ref.name) == ("fish", "fish")


@pytest.mark.parametrize("arguments", [{"name": "no spaces"}, {"name": ""}, {"name": "x", "schema": 0}])
def test_a_wrong_class_argument_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError):
        made({}, **arguments)


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
