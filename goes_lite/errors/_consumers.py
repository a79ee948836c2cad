"""Errors about consumers of events: read models, leases, processors, transactions, the bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.errors._base import GoesError, Refused, shown


class ModelError(GoesError):
    """Base of errors about one read model. Attributes: `collection`, `id`."""

    def __init__(self, collection: str, id: str, message: str) -> None:
        self.collection = collection
        self.id = id
        super().__init__(message)


class ModelNotFound(ModelError, LookupError):
    """No read model of that collection has this id."""

    def __init__(self, collection: str, id: str) -> None:
        super().__init__(collection, id, f"{collection!r} has no model with the id {shown(id)}")


class ModelConflict(ModelError, Refused):
    """The read model is at another version than the write expected. Attributes: `expected`, `actual` (0: absent)."""

    def __init__(self, collection: str, id: str, expected: int, actual: int) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(
            collection,
            id,
            f"the model {shown(id)} of {collection!r} is at version {actual}, but the write expects {expected}: "
            "get it again, or use use(), which retries",
        )


class LeaseError(GoesError):
    """Base of errors about leases. Attributes: `name` (of the lease), `owner` (its current owner, if known)."""

    def __init__(self, name: str, owner: str | None, message: str) -> None:
        self.name = name
        self.owner = owner
        super().__init__(message)


class LeaseHeld(LeaseError):
    """Another owner holds the lease. Attribute: `expires` (datetime)."""

    def __init__(self, name: str, owner: str | None, expires: Any) -> None:
        self.expires = expires
        super().__init__(name, owner, f"the lease {name!r} is held by {owner!r} until {expires}: wait and try again")


class LeaseLost(LeaseError):
    """The lease moved on, so a write of its former owner was refused. Attributes: `token`, `current`."""

    def __init__(self, name: str, owner: str | None, token: int, current: int) -> None:
        self.token = token
        self.current = current
        super().__init__(
            name,
            owner,
            f"the lease {name!r} moved on (fencing token {token}, now {current}): stop working, another instance is active",
        )


class ProcessorError(GoesError):
    """Base of errors about processors. Attribute: `processor` (its name)."""

    def __init__(self, processor: str, message: str) -> None:
        self.processor = processor
        super().__init__(message)


class ProcessorStopped(ProcessorError):
    """An event could not be handled, so the processor stopped; the cause of this error is what the handler raised.

    Attributes: `position` and `name` (of the event), `attempts`.
    """

    def __init__(self, processor: str, position: int, name: str, attempts: int) -> None:
        self.position = position
        self.name = name
        self.attempts = attempts
        super().__init__(
            processor,
            f"the processor {processor!r} stopped at the event {name!r} at position {position}, after {attempts} attempts: "
            "fix the cause and start it again, or pass retry=Retry(then='park')",
        )


class ProcessorBehind(ProcessorError, TimeoutError):
    """A processor did not reach a position in the given time. Attributes: `position` (wanted), `reached`."""

    def __init__(self, processor: str, position: int, reached: int) -> None:
        self.position = position
        self.reached = reached
        super().__init__(
            processor,
            f"the processor {processor!r} is at position {reached}, not yet at {position}: is it running anywhere?",
        )


class ProjectionOutdated(ProcessorError):
    """A read model was built by another version of its projection. Attributes: `stored`, `version` (the program's)."""

    def __init__(self, processor: str, stored: int, version: int) -> None:
        self.stored = stored
        self.version = version
        way = "update the program" if stored > version else "rebuild it with on_new_version='rebuild' or 'beside'"
        super().__init__(
            processor,
            f"the read model of {processor!r} has version {stored}, the projection of this program {version}: {way}",
        )


class CheckpointMismatch(ProcessorError):
    """A checkpoint belongs to another store, or lies past the end of this one.

    Attributes: `checkpoint`, `store` (the identity of this one), `head`.
    """

    def __init__(self, checkpoint: Any, store: str, head: int) -> None:
        self.checkpoint = checkpoint
        self.store = store
        self.head = head
        super().__init__(
            checkpoint.name,
            f"the checkpoint of {checkpoint.name!r} is position {checkpoint.position} of the store {checkpoint.store!r}, but "
            f"this is {store!r} with head {head}: it was restored or assembled from several stores. Start the processor over "
            "with reset()",
        )


class TransactionError(GoesError):
    """A transaction was used in a way that cannot work (nested, after its end, from another thread)."""


class TransactionConflict(TransactionError):
    """The database rolled this transaction back because of a conflict with another: nothing is stored. Run it again."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the transaction was rolled back because of a conflict with another one ({detail}): nothing is stored, run it again"
        )


class BusError(GoesError):
    """Base of errors about the event bus."""


class DeliveryError(BusError):
    """A delivery was settled twice, or after its subscription ended."""


class StillRunning(GoesError, TimeoutError):
    """A handle was closed, but some of its background work did not stop in time. Attributes: `location`, `running`."""

    def __init__(self, location: str, running: Sequence[str]) -> None:
        self.location = location
        self.running = tuple(running)
        super().__init__(
            f"{location!r} is closed, but {len(self.running)} of its handlers did not return in time and will get StoreClosed: "
            f"{', '.join(self.running)}; allow more time, or let them give up sooner"
        )
