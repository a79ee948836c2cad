"""Appliers: how they are found, inherited and overridden, and what cannot be one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict, cast

import pytest

from goes_lite.aggregate import Aggregate, applies
from goes_lite.errors import AggregateError, RegistrationError, UnregisteredTypeError
from goes_lite.events.event import Event
from goes_lite.events.registry import Registry
from tests.aggregate.aggregate_kit import Barked, Left, Registered, Returned, TrickAdded, made


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

    class Derived(Base, ignores=Left):  # which its applier is not for any more
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


# --- forgotten appliers -----------------------------------------------------------------------------------------------


def test_an_event_that_the_class_does_not_apply_is_not_recorded() -> None:
    """Its applier was forgotten, or it is another aggregate's: the message has both ways out, and nothing is pending."""

    class Parcel(Aggregate, name="parcel"):
        depot: str = ""

        def scan(self) -> None:
            self.record(TrickAdded("scan"))

    parcel = Parcel("p")
    with pytest.raises(AggregateError, match=r"no applier for .*@applies\(TrickAdded\).*ignores=TrickAdded"):
        parcel.scan()
    assert (parcel.version, parcel.pending) == (0, ())

    class Ready(Parcel, ignores=(TrickAdded, "test.aggregate.left")):
        pass

    class Child(Ready, ignores=Barked):
        pass

    for data in (TrickAdded("scan"), Left(), Barked()):
        child = Child("p")
        child.record(data)
        assert (child.version, child.depot) == (1, "")
    with pytest.raises(AggregateError, match="Ready has no applier"):
        Ready("p").record(Barked())


def test_an_applier_counts_before_ignores() -> None:
    class Counter(Aggregate, name="counter", ignores=Barked):
        barks: int = 0

        @applies(Barked)
        def _barked(self, event: Event[Barked]) -> None:
            self.barks += 1

    counter = Counter("c")
    counter.record(Barked())
    assert counter.barks == 1


def test_state_may_be_declared_in_the_instance() -> None:
    """What __init__ sets is state, too; a class that keeps nothing cannot have forgotten an applier."""

    class Journal(Aggregate, name="journal"):
        KINDS: ClassVar[tuple[str, ...]] = ()

    class Diary(Journal):
        def __init__(self, id: Any = None) -> None:
            super().__init__(id)
            self.pages = 0

    journal = Journal("j")
    journal.record(Barked())
    assert journal.version == 1
    with pytest.raises(AggregateError, match="Diary has no applier"):
        Diary("d").record(Barked())


def test_old_events_load_without_an_applier() -> None:
    """Their appliers may be gone: a class need not apply for ever what it no longer records."""
    old = Event(Barked(), aggregate=("dog", "rex"), version=1)
    dog = cast(Any, type)("Cat", (Aggregate,), {"__annotations__": {"name": "str"}, "name": ""}, name="dog")("rex")
    dog.replay([old])
    assert dog.version == 1


@pytest.mark.parametrize("option", ["deleted_by", "restored_by", "ignores"])
def test_options_that_name_events_take_events(option: str) -> None:
    for wrong in (5, [5], Barked(), [Barked()]):
        with pytest.raises(RegistrationError, match=rf"{option}\(\) takes events"):
            made({}, **{"name": "bad", option: wrong})


def test_an_instance_instead_of_its_class_is_refused() -> None:
    """@applies(Barked()) would never apply anything."""
    with pytest.raises(RegistrationError, match="takes events as registered types or names"):
        cast(Any, applies)(Barked())
