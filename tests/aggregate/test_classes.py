"""What the class statement of an aggregate may say."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import pytest

from goes_lite.aggregate import Aggregate
from goes_lite.errors import RegistrationError
from tests.aggregate.aggregate_kit import made


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
