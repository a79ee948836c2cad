"""How the state of an aggregate becomes a snapshot, and when a snapshot fits.

A snapshot is a cache that may be wrong: of another schema, of attributes that the class has changed since, or of a
history that was deleted and begun again. So it names the event that it was taken after and the attributes that were
not set, and whoever reads it compares both before believing a word of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, TypedDict
from uuid import UUID
from weakref import WeakKeyDictionary

from goes_lite.aggregate import Aggregate, definition_of, own_slots
from goes_lite.aggregate._definition import state_hints
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors import AggregateError


class Unpacked(NamedTuple):
    """What a snapshot says: its state is the one right after the event with this id."""

    event: UUID
    state: Any


class StateType(NamedTuple):
    """What the snapshots of a class are encoded as. `attributes` is None if the class keeps something of its own."""

    attributes: dict[str, Any] | None
    envelope: Any


_known: WeakKeyDictionary[type[Aggregate], StateType] = WeakKeyDictionary()


def state_type(aggregate: type[Aggregate]) -> StateType:
    """How to encode the state of a class; RegistrationError if an annotation cannot be resolved."""
    found = _known.get(aggregate)
    if found is None:
        typed_dict: Any = TypedDict
        hints: dict[str, Any] | None = None
        state = aggregate.snapshot_type
        if state is None and aggregate.snapshot_state is Aggregate.snapshot_state:
            hints = state_hints(aggregate, Aggregate)
            state = typed_dict(f"{aggregate.__name__}State", hints, total=False)
        elif state is None:
            state = Any
        fields = {"event": UUID, "unset": list[str], "state": state}
        found = _known[aggregate] = StateType(hints, typed_dict(f"{aggregate.__name__}Snapshot", fields))
    return found


def check_state(aggregate: type[Aggregate]) -> None:
    """RegistrationError if the state of a class cannot be encoded."""
    definition_of(aggregate).registry.codec.check(state_type(aggregate).envelope)


def attributes(aggregate: Aggregate) -> dict[str, Any]:
    """The annotated attributes that are set.

    AggregateError if the instance has others: a snapshot would lose them, and the state with them.
    """
    names = state_type(type(aggregate)).attributes
    if names is None:  # asked for by an override that adds to it
        names = state_hints(type(aggregate), Aggregate)
    for name in (*vars(aggregate), *own_slots(type(aggregate))):
        if name not in names:
            raise AggregateError(
                aggregate.ref,
                f"{type(aggregate).__qualname__}.{name} is not annotated in the class, so a snapshot would lose it: "
                "annotate it there, or override snapshot_state() and restore_state()",
            )
    return {name: getattr(aggregate, name) for name in names if hasattr(aggregate, name)}


def pack(aggregate: Aggregate, time: datetime) -> Snapshot:
    """A snapshot of an aggregate that has events and none pending; EncodeError if its state does not fit its types."""
    definition = definition_of(type(aggregate))
    names, envelope = state_type(type(aggregate))
    state = aggregate.snapshot_state()
    unset = [name for name in names if name not in state] if names is not None else []
    encoded = definition.registry.encode_value(
        envelope, {"event": aggregate.last_event_id, "unset": unset, "state": state}
    )
    return Snapshot(
        aggregate.ref, aggregate.version, time, definition.schema, encoded.encoding, encoded.payload, aggregate.deleted
    )


def unpack(snapshot: Snapshot, aggregate: type[Aggregate]) -> Unpacked | None:
    """What the snapshot says, if it is of today's schema and attributes; CodecError if it cannot be decoded."""
    definition = definition_of(aggregate)
    if snapshot.schema != definition.schema:
        return None
    names, envelope = state_type(aggregate)
    found = definition.registry.decode_value(envelope, snapshot.encoding, snapshot.state)
    if names is not None and not names.keys() <= found["state"].keys() | set(found["unset"]):
        return None  # an attribute is new: the events before the snapshot may have something to say about it
    return Unpacked(found["event"], found["state"])
