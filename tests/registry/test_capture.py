"""Capturing data when an event is recorded, and decoding it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from goes_lite.errors import DecodeError, EncodeError
from goes_lite.events.registry import Encoded, Registry
from tests.registry.registry_kit import Note, Placed, Size, Status


def test_mutating_data_afterwards_does_not_change_history(registry: Registry) -> None:
    """The captured copy and its payload are as the data was at that moment."""
    registry.register("placed", Placed)
    data = Placed(["tea"], 450)
    name, copy, encoded = registry.capture(data)
    data.items.append("milk")

    assert name == "placed"
    assert copy == Placed(["tea"], 450)
    assert encoded == Encoded("json", 1, '{"items":["tea"],"total":450}')


def test_immutable_data_is_its_own_copy(registry: Registry) -> None:
    """A value that cannot change, going by its annotations, is not copied."""

    @dataclass(frozen=True)
    class Deep:
        notes: tuple[Note, ...]
        sizes: frozenset[Size]

    registry.register("deep", Deep)
    registry.register("status", Status)
    deep = Deep((Note("a", 1),), frozenset([Size(1, 2)]))

    assert registry.capture(deep)[1] is deep
    assert registry.capture(Status.OPEN)[1] is Status.OPEN


def test_frozen_class_with_a_list_is_copied(registry: Registry) -> None:
    """A frozen dataclass is only as immutable as its fields."""

    @dataclass(frozen=True)
    class Shallow:
        items: list[str] = field(default_factory=list[str])

    registry.register("shallow", Shallow)
    data = Shallow(["a"])
    copy = cast(Shallow, registry.capture(data)[1])
    data.items.append("b")

    assert copy.items == ["a"]


def test_wrong_data_is_refused_and_names_the_event(registry: Registry) -> None:
    """Data that does not fit never gets into the log, whether its type is immutable or not."""
    registry.register("note", Note)
    registry.register("placed", Placed)

    with pytest.raises(EncodeError, match=r"^\$\.amount: expected int, got str \(event 'note'\)$") as caught:
        registry.capture(Note("a", cast(Any, "1")))
    assert (caught.value.path, caught.value.name) == ("$.amount", "note")
    with pytest.raises(EncodeError, match=r"^\$\.items\[1\]: expected str, got int \(event 'placed'\)$"):
        registry.capture(Placed(["a", cast(Any, 5)]))
    with pytest.raises(EncodeError, match=r"^\$: expected Note, got Placed \(event 'note'\)$"):
        registry.capture(Placed([]), "note")


def test_data_that_cannot_be_read_back_is_refused(registry: Registry) -> None:
    """A class that would refuse its own stored form is found out when the event is recorded."""

    @dataclass
    class Moody:
        amount: int

        def __post_init__(self) -> None:
            if self.amount == 0:
                raise ValueError("no")

    registry.register("moody", Moody)
    data = Moody(1)
    data.amount = 0

    with pytest.raises(EncodeError, match="cannot be read back: .*Moody refused it: ValueError: no"):
        registry.capture(data)


def test_decode_errors_name_the_event_and_its_position(registry: Registry) -> None:
    """A damaged event is found by its position; a decoder alone does not know it."""
    registry.register("note", Note)

    with pytest.raises(DecodeError, match=r"^\$\.text: expected str, got int \(event 'note' at position 3\)$"):
        registry.decode("note", "json", 1, '{"text":1}', 3)
    with pytest.raises(DecodeError, match=r"^\$\.text: expected str, got int$"):
        registry.decoder("note", "json", 1)('{"text":1}')


def test_decoder_is_compiled_once(registry: Registry) -> None:
    """Asking again is one dict lookup."""
    registry.register("note", Note)

    assert registry.decoder("note", "json", 1) is registry.decoder("note", "json", 1)


def test_values_without_a_name(registry: Registry) -> None:
    """Snapshots and read models use the same codec without an event name."""
    encoded = registry.encode_value(dict[str, Note], {"a": Note("x", 1)})

    assert encoded == Encoded("json", 1, '{"a":{"text":"x","amount":1}}')
    assert registry.decode_value(dict[str, Note], "json", encoded.payload) == {"a": Note("x", 1)}
    with pytest.raises(DecodeError):
        registry.decode_value(int, "json", '"x"')
    with pytest.raises(EncodeError):
        registry.encode_value(int, "x")
