"""Given events, when they are projected, then …: what it says of projections that are right, and of those that are not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.testing import given, history

registry = goes.Registry()


@registry.event("cup.filled")
@dataclass(frozen=True)
class Filled:
    amount: int


@registry.event("cup.broken")
@dataclass(frozen=True)
class Broken:
    by: str


@dataclass(frozen=True)
class Cup:
    content: int = 0


class Cups(goes.ModelProjection[Cup], name="cups"):
    @goes.projects(Filled)
    def filled(self, cup: Cup, event: goes.Event[Filled]) -> Cup:
        if event.data.amount < 0:
            raise ValueError("a cup cannot be filled with less than nothing")
        return replace(cup, content=cup.content + event.data.amount)

    @goes.projects(Broken)
    def broken(self, cup: Cup, event: goes.Event[Broken]) -> Any:
        return goes.REMOVED


class Breakages(goes.Projection, name="breakages"):
    def create(self, tx: Any) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS breakages (by TEXT)")

    @goes.projects(Broken)
    def broken(self, event: goes.Event[Broken], tx: Any) -> None:
        tx.execute("INSERT INTO breakages VALUES (?)", (event.data.by,))


class Forgetful(Cups, name="forgetful"):
    """Keeps something in itself, so it is another one when it is told of the same events in other batches."""

    def __init__(self) -> None:
        self.calls = 0

    @goes.projects(Filled)
    def filled(self, cup: Cup, event: goes.Event[Filled]) -> Cup:
        self.calls += 1
        return Cup(self.calls)


EVENTS = [
    *history(("cup", "red"), Filled(1), Filled(2), registry=registry),
    *history(("cup", "blue"), Filled(5), Broken("cat"), registry=registry),
]


def test_what_is_as_it_should_be() -> None:
    projected = given(EVENTS, registry=registry).project(Cups())

    projected.then({"red": Cup(3)}).then_model("red", Cup(3)).then_no_model("blue")
    assert projected.models == {"red": Cup(3)}


def test_events_and_lists_of_them() -> None:
    one = goes.Event(Filled(7), aggregate=("cup", "white"), version=1, registry=registry)

    given(EVENTS[:1], one, registry=registry).project(Cups()).then({"red": Cup(1), "white": Cup(7)})
    given(registry=registry).project(Cups()).then({})


def test_rows_of_your_own_tables() -> None:
    projected = given(EVENTS, registry=registry).project(Breakages(), select="SELECT by FROM breakages")

    projected.then_rows([("cat",)])
    with pytest.raises(AssertionError, match=r"makes the rows \[\('cat',\)\], not \[\('dog',\)\]"):
        projected.then_rows([("dog",)])


def test_what_is_not_the_same_is_said() -> None:
    projected = given(EVENTS, registry=registry).project(Cups())

    with pytest.raises(AssertionError) as caught:
        projected.then({"red": Cup(4), "green": Cup(1)})
    assert str(caught.value).splitlines() == [
        "<Cups 'cups', version 1> makes",
        "  green: 'missing', not Cup(content=1)",
        "  red: Cup(content=3), not Cup(content=4)",
    ]
    with pytest.raises(AssertionError, match="makes 'nothing' of 'green', not Cup"):
        projected.then_model("green", Cup(1))
    with pytest.raises(AssertionError, match="of 'red', not nothing"):
        projected.then_no_model("red")
    with pytest.raises(AssertionError, match="red"):
        projected.then({})


def test_batches_make_no_difference() -> None:
    with pytest.raises(AssertionError, match="one by one"):
        given(EVENTS, registry=registry).project(Forgetful())


def test_what_a_method_raises_comes_through() -> None:
    with pytest.raises(ValueError, match="less than nothing"):
        given(history(("cup", "red"), Filled(-1), registry=registry), registry=registry).project(Cups())
