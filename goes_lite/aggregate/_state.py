"""The state of an aggregate that snapshots keep: the annotated attributes of its class, or what the class says itself."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict
from uuid import UUID
from weakref import WeakKeyDictionary

from goes_lite.aggregate._definition import own_slots, state_hints
from goes_lite.errors import AggregateError


class StateType(NamedTuple):
    """What the snapshots of a class are encoded as. `attributes` is None if the class keeps something of its own."""

    attributes: dict[str, Any] | None
    envelope: Any


_known: WeakKeyDictionary[type[Any], StateType] = WeakKeyDictionary()


def state_type(aggregate: type[Any], base: type[Any]) -> StateType:
    """How to encode the state of a class; RegistrationError if an annotation cannot be resolved."""
    found = _known.get(aggregate)
    if found is None:
        typed_dict: Any = TypedDict
        hints: dict[str, Any] | None = None
        state = aggregate.snapshot_type
        if state is None and aggregate.snapshot_state is base.snapshot_state:
            hints = state_hints(aggregate, base)
            state = typed_dict(f"{aggregate.__name__}State", hints, total=False)
        elif state is None:
            state = Any
        fields = {"event": UUID, "unset": list[str], "state": state}
        found = _known[aggregate] = StateType(hints, typed_dict(f"{aggregate.__name__}Snapshot", fields))
    return found


def attributes(aggregate: Any, base: type[Any]) -> dict[str, Any]:
    """The annotated attributes that are set.

    AggregateError if the instance has others: a snapshot would lose them, and the state with them.
    """
    names = state_type(type(aggregate), base).attributes
    if names is None:  # asked for by an override that adds to it
        names = state_hints(type(aggregate), base)
    for name in (*vars(aggregate), *own_slots(type(aggregate), base)):
        if name not in names:
            raise AggregateError(
                aggregate.ref,
                f"{type(aggregate).__qualname__}.{name} is not annotated in the class, so a snapshot would lose it: "
                "annotate it there, or override snapshot_state() and restore_state()",
            )
    return {name: getattr(aggregate, name) for name in names if hasattr(aggregate, name)}
