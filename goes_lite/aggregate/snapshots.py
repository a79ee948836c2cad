"""How the state of an aggregate becomes a snapshot, and when a snapshot fits.

A snapshot is a cache that may be wrong: computed by other appliers, of attributes that the class has changed since, or of a
history that was deleted and started again. So it names the event that it was taken after, the attributes that were not
set, and the code that computed it (unless the class gives a `schema`, which then says that), and all are compared before
its state is used.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from goes_lite.aggregate._aggregate import Aggregate
from goes_lite.aggregate._definition import definition_of
from goes_lite.aggregate._fingerprint import fingerprint
from goes_lite.aggregate._state import state_type
from goes_lite.contract.snapshot_store import Snapshot
from goes_lite.errors.functions import check_result


class Unpacked(NamedTuple):
    """The content of a snapshot: the state right after the event with this id."""

    event: UUID
    state: Any


def check_state(aggregate: type[Aggregate]) -> None:
    """RegistrationError if the state of a class cannot be encoded."""
    definition_of(aggregate).registry.codec.check(state_type(aggregate, Aggregate).envelope)


def pack(aggregate: Aggregate, time: datetime) -> Snapshot:
    """Return a snapshot of an aggregate that has events, none pending; EncodeError if its state does not fit its types."""
    definition = definition_of(type(aggregate))
    names, envelope = state_type(type(aggregate), Aggregate)
    state = aggregate.snapshot_state()
    check_result("snapshot_state()", state)
    unset = [name for name in names if name not in state] if names is not None else []
    content = {"event": aggregate.last_event_id, "unset": unset, "state": state}
    if not definition.versioned:
        content["code"] = fingerprint(type(aggregate), Aggregate, definition)
    encoded = definition.registry.encode_value(envelope, content)
    return Snapshot(
        aggregate.ref, aggregate.version, time, definition.schema, encoded.encoding, encoded.payload, aggregate.deleted
    )


def unpack(snapshot: Snapshot, aggregate: type[Aggregate]) -> Unpacked | None:
    """Return the content of a snapshot; None if its schema, code or attributes are outdated. CodecError if it is unreadable."""
    definition = definition_of(aggregate)
    if snapshot.schema != definition.schema:
        return None
    names, envelope = state_type(aggregate, Aggregate)
    found = definition.registry.decode_value(envelope, snapshot.encoding, snapshot.state)
    if not definition.versioned and found.get("code") != fingerprint(aggregate, Aggregate, definition):
        return None  # other code computed it
    if names is not None and not names.keys() <= found["state"].keys() | set(found["unset"]):
        return None  # an attribute is new: events before the snapshot may affect it
    return Unpacked(found["event"], found["state"])
