"""What the class statement of an aggregate may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar, cast
from uuid import UUID

import pytest

import goes_lite as goes
from goes_lite.aggregate import Aggregate, applies
from goes_lite.errors import RegistrationError
from goes_lite.events.event import Event
from tests.aggregate.aggregate_kit import Barked, TrickAdded, made


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
        with pytest.raises(RegistrationError, match=f"Bad.{name}: every aggregate already has"):
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


def test_a_dataclass_is_refused() -> None:
    """As is a class that mixes one in: its __init__ would replace that of Aggregate. At the repository, and at first use."""

    @dataclass
    class Cart(Aggregate, name="cart"):
        items: tuple[str, ...] = ()

    @dataclass
    class Counting:
        count: int = 0

    class Counted(Counting, Aggregate, name="counted"):
        pass

    with goes.blocking.connect("sqlite:///:memory:") as db:
        for cls in (Cart, Counted):
            with pytest.raises(RegistrationError, match=f"{cls.__name__}: @dataclass .* remove the decorator"):
                db.repository(cls)
            for use in ("id", "ref"):
                with pytest.raises(RegistrationError, match="remove the decorator"):
                    getattr(cast(Any, cls)("1"), use)
            with pytest.raises(RegistrationError, match="remove the decorator"):
                cast(Any, cls)("1").record(Barked())


def test_a_dataclass_with_an_init_of_its_own_works() -> None:
    """@dataclass leaves an __init__ alone that the class defines."""

    @dataclass(eq=False)
    class Cart(Aggregate, name="cart"):
        total: int = 0

        def __init__(self, id: str | UUID | None = None) -> None:
            super().__init__(id)

    with goes.blocking.connect("sqlite:///:memory:") as db:
        assert db.repository(Cart).new("1").total == 0


def test_an_init_that_does_not_call_that_of_aggregate_is_said() -> None:
    class Silent(Aggregate, name="silent"):
        def __init__(self, id: str | UUID | None = None) -> None:
            pass

    with pytest.raises(RegistrationError, match=r"Silent: .* call super\(\).__init__\(id\) first"):
        Silent("1").record(Barked())


def test_a_repository_needs_a_class_that_it_can_instantiate() -> None:
    class Owned(Aggregate, name="owned"):
        def __init__(self, id: str | UUID | None, owner: str) -> None:
            super().__init__(id)

    class Keyword(Aggregate, name="keyword"):
        def __init__(self, id: str | UUID | None = None, *, owner: str) -> None:
            super().__init__(id)

    with goes.blocking.connect("sqlite:///:memory:") as db:
        for cls in (Owned, Keyword):
            with pytest.raises(RegistrationError, match=rf"{cls.__name__}.__init__ must work with the id alone"):
                db.repository(cls)
        for wrong in (None, 7, "order", Owned.__init__, int):
            with pytest.raises(RegistrationError, match="must be a subclass of Aggregate"):
                db.repository(cast(Any, wrong))


S = TypeVar("S")


def test_the_state_of_a_generic_base_has_the_types_of_the_subclass() -> None:
    """Snapshots encode it, through any number of generic bases, in either order of the bases."""

    class Stack(Generic[S], Aggregate):  # noqa: PYI059 - users write it
        items: tuple[S, ...] = ()

    class Named(Stack[S]):
        top: S | None = None

        @applies(TrickAdded)
        def _pushed(self, event: Event[TrickAdded]) -> None:
            self.items = cast(Any, (*self.items, event.data.trick))
            self.top = self.items[-1]

    class Words(Named[str], name="words"):
        pass

    with goes.blocking.connect("sqlite:///:memory:") as db:
        stacks = db.repository(Words, snapshots=goes.Every(1))
        stacks.use("1", lambda stack: stack.record(TrickAdded("sit")), create=True)
        stacks.use("1", lambda stack: stack.record(TrickAdded("roll")))
        snapshot = db.snapshots.latest(goes.AggregateRef("words", "1"))
        assert snapshot is not None
        assert '"items":["sit","roll"]' in str(snapshot.state)
        assert (stacks.fetch("1").items, stacks.fetch("1").top) == (("sit", "roll"), "roll")
