"""The state of an aggregate that snapshots store: its annotated attributes, or what the class defines itself."""

from __future__ import annotations

from typing import Any, NamedTuple, NotRequired, TypedDict
from uuid import UUID
from weakref import WeakKeyDictionary

from goes_lite.aggregate._definition import own_slots, state_hints
from goes_lite.errors import AggregateError


class StateType(NamedTuple):
    """The type of the snapshots of a class. `attributes` is None if the class defines its own state."""

    attributes: dict[str, Any] | None
    envelope: Any


_known: WeakKeyDictionary[type[Any], StateType] = WeakKeyDictionary()


def state_type(aggregate: type[Any], base: type[Any]) -> StateType:
    """Return how to encode the state of a class; RegistrationError if an annotation cannot be resolved."""
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
        fields = {"event": UUID, "unset": list[str], "code": NotRequired[str], "state": state}
        found = _known[aggregate] = StateType(hints, typed_dict(f"{aggregate.__name__}Snapshot", fields))
    return found


def attributes(aggregate: Any, cls: type[Any], base: type[Any]) -> dict[str, Any]:
    """Return the annotated attributes of an instance of `cls` that are set.

    AggregateError if the instance has other attributes, which a snapshot would lose.
    """
    names = state_type(cls, base).attributes
    if names is None:  # called by an override that extends it
        names = state_hints(cls, base)
    for name in (*aggregate.__dict__, *own_slots(cls, base)):
        if name not in names:
            raise AggregateError(
                aggregate.ref,
                f"{cls.__qualname__}.{name} is not annotated in the class, so a snapshot would lose it: "
                "annotate it there, or override snapshot_state() and restore_state()",
            )
    return {name: getattr(aggregate, name) for name in names if hasattr(aggregate, name)}
