"""Every error that goes_lite raises on purpose.

    GoesError
    ├── ConcurrencyError              an aggregate is at another version than the append expected
    ├── AppendConditionFailed         an event that the decision did not see matches its condition
    ├── KeyTaken                      an aggregate has the key that was claimed             (ValueError)
    ├── DuplicateEventError           an event id is already used by a different event      (ValueError)
    ├── AppendInDoubtError            the store became unreachable and never said what happened
    ├── InvalidEventError             an event cannot be recorded as it is                  (ValueError)
    ├── InvalidQueryError             a query contradicts itself or has a wrong value       (ValueError)
    ├── AggregateError
    │   ├── AggregateNotFound         no event of this aggregate is stored                  (LookupError)
    │   ├── AggregateDeleted          the aggregate was soft-deleted                        (LookupError)
    │   └── VersionNotFound           the aggregate never reached that version or time      (LookupError)
    ├── RegistryError
    │   ├── UnknownEventError         a stored event name that no type is registered for    (LookupError)
    │   ├── UnregisteredTypeError     a value whose type has no registered name             (TypeError)
    │   └── RegistrationError         a registration contradicts an earlier one             (ValueError)
    ├── CodecError
    │   ├── EncodeError               a value does not fit its registered type              (TypeError)
    │   └── DecodeError               stored bytes do not fit the registered type           (ValueError)
    ├── ModelError
    │   ├── ModelNotFound             no read model has this id                             (LookupError)
    │   └── ModelConflict             a read model is at another version than expected
    ├── LeaseError
    │   ├── LeaseHeld                 another owner holds the lease
    │   └── LeaseLost                 the lease moved on; the late write was refused
    ├── ProcessorError
    │   ├── ProcessorStopped          an event could not be handled, and that is to stop it
    │   ├── ProcessorBehind           it did not come so far in the time given             (TimeoutError)
    │   ├── ProjectionOutdated        a read model is of another version than the program
    │   └── CheckpointMismatch        a checkpoint is of another store, or of another life of it
    ├── TransactionError              a transaction was used in a way that cannot work
    ├── BusError
    │   └── DeliveryError             a delivery was settled twice, or after its bus closed
    ├── StoreError
    │   ├── StoreClosed               used after close
    │   ├── StoreForked               used in a child process that inherited it
    │   ├── StoreLocked               another program keeps the store locked                (TimeoutError)
    │   ├── StoreReadOnly             a write to a store that can only be read              (PermissionError)
    │   ├── StoreFull                 no room left on the disk                              (OSError)
    │   ├── StoreUnavailable          it cannot be opened or reached                        (OSError)
    │   ├── StoreDamaged              the file is damaged
    │   ├── ForeignFile               the file belongs to another program
    │   ├── StoreTooNew               the file was written by a newer goes_lite
    │   ├── NetworkFilesystem         the file lies where file locks cannot be trusted
    │   └── UnsafeAccess              the live file was about to be opened behind the store's back
    └── BackendError
        ├── UnknownBackend            no installed backend serves this URL scheme           (LookupError)
        ├── DriverMissing             the backend's driver package is not installed         (ImportError)
        ├── ConfigError               a URL, option or configuration file is wrong          (ValueError)
        └── AbilityMissing            the backend cannot do what was asked of it

A class in parentheses is a built-in that the error also is, so `except LookupError` works as one would expect.
Each message states the fact, the value, and the way out; the values are attributes, so no program has to read text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def _shown(value: object, limit: int = 120) -> str:
    """repr, cut short: an error about a 50 MB payload must not be a 50 MB message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _rebuild(cls: type[GoesError], args: tuple[Any, ...], attributes: dict[str, Any]) -> GoesError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class GoesError(Exception):
    """Base of every error that goes_lite raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (multiprocessing, a command handled elsewhere); the default would call
        # the constructor with the finished message.
        return _rebuild, (type(self), self.args, self.__dict__)


# --- appending ------------------------------------------------------------------------------------------------------


class ConcurrencyError(GoesError):
    """The aggregate is not at the version that the append builds on; nothing was written.

    Attributes: `aggregate` (AggregateRef), `expected` (the version that the append builds on),
    `actual` (the version that is stored; 0 if the aggregate does not exist).
    """

    def __init__(self, aggregate: Any, expected: int, actual: int) -> None:
        self.aggregate = aggregate
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{aggregate} is at version {actual}, the append builds on version {expected}: "
            "load it again and decide again (Repository.use does both)"
        )


class AppendConditionFailed(GoesError):
    """An event that matches the condition's query lies behind its position; nothing was written.

    Attributes: `condition` (AppendCondition), `position` (of an event that matched, > condition.after).
    """

    def __init__(self, condition: Any, position: int) -> None:
        self.condition = condition
        self.position = position
        super().__init__(
            f"the event at position {position} matches the append condition, which allows none after position "
            f"{condition.after}: read the decision model again and decide again"
        )


class KeyTaken(GoesError, ValueError):
    """An aggregate has the key that was claimed. Attributes: `lookup` (its name), `key`, `aggregate` (AggregateRef)."""

    def __init__(self, lookup: str, key: str, aggregate: Any) -> None:
        self.lookup = lookup
        self.key = key
        self.aggregate = aggregate
        super().__init__(
            f"{aggregate} has the key {_shown(key)} of {lookup!r}: claim another, or have it give that one up"
        )


class DuplicateEventError(GoesError, ValueError):
    """An event id that is already used, by an event that differs; nothing was written.

    Attributes: `event_id` (UUID), `position` (of the stored event; 0 if both are in the same batch).
    """

    def __init__(self, event_id: Any, position: int, reason: str) -> None:
        self.event_id = event_id
        self.position = position
        where = f"the event at position {position}" if position else "another event of the same batch"
        super().__init__(
            f"event id {str(event_id)!r} is already used by {where} ({reason}): give a new event a new id; "
            "a retry must repeat the very same events"
        )


class AppendInDoubtError(GoesError):
    """The store became unreachable during the append and stayed so: it may or may not have been written.

    Appending the very same events again is safe at any time and tells which. Attribute: `events` (the batch).
    """

    def __init__(self, events: Sequence[Any]) -> None:
        self.events = tuple(events)
        super().__init__(
            f"the store became unreachable while appending {len(self.events)} event(s), so the outcome is unknown: "
            "append the same events again once it is back, that is safe"
        )


class InvalidEventError(GoesError, ValueError):
    """A field of an event, or a batch of events, breaks a rule that holds on every backend."""


class InvalidQueryError(GoesError, ValueError):
    """A field of a query has a wrong type or value."""


# --- aggregates -----------------------------------------------------------------------------------------------------


class AggregateError(GoesError):
    """Base of errors about one aggregate. Attribute: `aggregate` (AggregateRef)."""

    def __init__(self, aggregate: Any, message: str) -> None:
        self.aggregate = aggregate
        super().__init__(message)


class AggregateNotFound(AggregateError, LookupError):
    """No event of this aggregate is stored."""

    def __init__(self, aggregate: Any) -> None:
        super().__init__(aggregate, f"{aggregate} does not exist: pass create=True where it may begin")


class AggregateDeleted(AggregateError, LookupError):
    """The aggregate was soft-deleted. Attribute: `version` (of the aggregate)."""

    def __init__(self, aggregate: Any, version: int) -> None:
        self.version = version
        super().__init__(
            aggregate, f"{aggregate} was deleted (it is at version {version}): pass deleted=True to fetch it anyway"
        )


class VersionNotFound(AggregateError, LookupError):
    """The aggregate never reached the version, or did not exist yet at the time. Attributes: `wanted`, `version`."""

    def __init__(self, aggregate: Any, wanted: object, version: int) -> None:
        self.wanted = wanted
        self.version = version
        what = f"version {wanted}" if isinstance(wanted, int) else f"anything as of {wanted}"
        super().__init__(aggregate, f"{aggregate} has no {what} (it is at version {version})")


# --- registry and codec ---------------------------------------------------------------------------------------------


class RegistryError(GoesError):
    """Base of errors about names and types."""


class UnknownEventError(RegistryError, LookupError):
    """A stored event whose name no type is registered for. Attributes: `name`, `position` (0 if not stored)."""

    def __init__(self, name: str, position: int = 0) -> None:
        self.name = name
        self.position = position
        where = f" at position {position}" if position else ""
        super().__init__(
            f"no type is registered for the event {name!r}{where}: register one, add {name!r} to the aliases of the "
            'event it became, or read with unknown="skip" or unknown="raw"'
        )


class UnregisteredTypeError(RegistryError, TypeError):
    """A value whose type has no (single) registered event name. Attribute: `type`."""

    def __init__(self, value_type: type, names: Sequence[str] = ()) -> None:
        self.type = value_type
        shown = value_type.__qualname__
        if names:
            way = f"is registered under several names ({', '.join(map(repr, names))}): say which with name=…"
        else:
            way = (
                "is not registered as an event: decorate the class with @event('some.name'), call "
                "registry.register('some.name', …), or say under which name with name=…"
            )
        super().__init__(f"{shown} {way}")


class RegistrationError(RegistryError, ValueError):
    """A name, alias, schema version or upcaster contradicts an earlier registration."""


class CodecError(GoesError):
    """Base of errors about turning values into bytes and back.

    Attributes: `path` (where in the value, such as `$.items[2].price`), `problem` (what is wrong there),
    `name` (of the event, if known), `position` (of the stored event, 0 if not stored).
    """

    def __init__(self, path: str, problem: str, *, name: str | None = None, position: int = 0) -> None:
        self.path = path
        self.problem = problem
        self.name = name
        self.position = position
        super().__init__(self._message())

    def _message(self) -> str:
        where = f" at position {self.position}" if self.position else ""
        about = f" (event {self.name!r}{where})" if self.name is not None else ""
        return f"{self.path}: {self.problem}{about}"

    def about(self, name: str, position: int = 0) -> CodecError:
        """The same error, naming the event that it was found in."""
        return type(self)(self.path, self.problem, name=name, position=position)


class EncodeError(CodecError, TypeError):
    """A value does not fit the type that is registered for its event."""


class DecodeError(CodecError, ValueError):
    """Stored bytes do not fit the type that is registered for their event."""


# --- read models, leases, transactions, bus -------------------------------------------------------------------------


class ModelError(GoesError):
    """Base of errors about one read model. Attributes: `collection`, `id`."""

    def __init__(self, collection: str, id: str, message: str) -> None:
        self.collection = collection
        self.id = id
        super().__init__(message)


class ModelNotFound(ModelError, LookupError):
    """No read model of that collection has this id."""

    def __init__(self, collection: str, id: str) -> None:
        super().__init__(collection, id, f"{collection!r} has no model with the id {_shown(id)}")


class ModelConflict(ModelError):
    """The read model is at another version than the write expected. Attributes: `expected`, `actual` (0: absent)."""

    def __init__(self, collection: str, id: str, expected: int, actual: int) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(
            collection,
            id,
            f"the model {_shown(id)} of {collection!r} is at version {actual}, the write expects {expected}: "
            "get it again, or let use() do that",
        )


class LeaseError(GoesError):
    """Base of errors about leases. Attributes: `name` (of the lease), `owner` (who holds it now, if known)."""

    def __init__(self, name: str, owner: str | None, message: str) -> None:
        self.name = name
        self.owner = owner
        super().__init__(message)


class LeaseHeld(LeaseError):
    """Another owner holds the lease. Attribute: `expires` (datetime)."""

    def __init__(self, name: str, owner: str | None, expires: Any) -> None:
        self.expires = expires
        super().__init__(
            name, owner, f"the lease {name!r} is held by {owner!r} until {expires}: stand by and try again"
        )


class LeaseLost(LeaseError):
    """The lease moved on, so what its former owner tried to write was refused. Attributes: `token`, `current`."""

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
    """An event could not be handled, and the processor is to stop then; what was raised is the cause of this error.

    Attributes: `position` and `name` (of the event), `attempts`.
    """

    def __init__(self, processor: str, position: int, name: str, attempts: int) -> None:
        self.position = position
        self.name = name
        self.attempts = attempts
        super().__init__(
            processor,
            f"the processor {processor!r} stopped at the event {name!r} at position {position}, after {attempts} attempts: "
            "mend the cause and start it again, or give it Retry(then='park')",
        )


class ProcessorBehind(ProcessorError, TimeoutError):
    """A processor has not come to a position in the time given. Attributes: `position` (wanted), `reached`."""

    def __init__(self, processor: str, position: int, reached: int) -> None:
        self.position = position
        self.reached = reached
        super().__init__(
            processor,
            f"the processor {processor!r} has come to position {reached}, not to {position}: is it running anywhere?",
        )


class ProjectionOutdated(ProcessorError):
    """A read model was made by another version of its projection. Attributes: `stored` and `version` (the program's)."""

    def __init__(self, processor: str, stored: int, version: int) -> None:
        self.stored = stored
        self.version = version
        way = (
            "update the program" if stored > version else "have it made anew with on_new_version='rebuild' or 'beside'"
        )
        super().__init__(
            processor,
            f"the read model of {processor!r} is of version {stored}, the program's projection of {version}: {way}",
        )


class CheckpointMismatch(ProcessorError):
    """A checkpoint says where in another store a processor stands, or lies behind the end of this one.

    Attributes: `checkpoint`, `store` (the identity of this one), `head`.
    """

    def __init__(self, checkpoint: Any, store: str, head: int) -> None:
        self.checkpoint = checkpoint
        self.store = store
        self.head = head
        super().__init__(
            checkpoint.name,
            f"the checkpoint of {checkpoint.name!r} is position {checkpoint.position} of the store {checkpoint.store!r}, "
            f"and this is {store!r}, whose head is {head}: it was restored, or put together of several. Have the processor "
            "begin again with reset()",
        )


class TransactionError(GoesError):
    """A transaction was used in a way that cannot work (nested, after its end, from another thread)."""


class BusError(GoesError):
    """Base of errors about the event bus."""


class DeliveryError(BusError):
    """A delivery was settled twice, or after its subscription ended."""


# --- stores ---------------------------------------------------------------------------------------------------------


class StoreError(GoesError):
    """Base of errors about a store as a whole. Attribute: `location` (a path or URL, never with a password)."""

    def __init__(self, location: str, message: str) -> None:
        self.location = location
        super().__init__(f"{location}: {message}")


class StoreClosed(StoreError):
    """The store was used after it was closed."""

    def __init__(self, location: str) -> None:
        super().__init__(location, "the store is closed: connect again")


class StoreForked(StoreError):
    """The file was open when this process was forked; SQLite's locks do not survive that, so it cannot be used here."""

    def __init__(self, location: str) -> None:
        super().__init__(
            location,
            "the store was open when this process was forked, and SQLite's locks do not survive a fork: fork before you "
            "connect (or after closing), or start the process with spawn, and connect in it",
        )


class StoreLocked(StoreError, TimeoutError):
    """The store stayed locked for longer than the lock timeout. Attribute: `waited` (seconds)."""

    def __init__(self, location: str, waited: float) -> None:
        self.waited = waited
        super().__init__(
            location,
            f"locked by another connection for more than {waited:g} s: find the program that holds it "
            "(an open transaction in a database browser does), or raise lock_timeout",
        )


class StoreReadOnly(StoreError, PermissionError):
    """A write was asked of a store that can only be read."""

    def __init__(self, location: str, reason: str, way_out: str) -> None:
        super().__init__(location, f"{reason}, so nothing can be written: {way_out}")


class StoreFull(StoreError, OSError):
    """There is no room for more; the transaction was rolled back and what was stored before is intact."""

    def __init__(self, location: str) -> None:
        super().__init__(
            location, "no room left on the disk (or a quota is reached), nothing was written: make room and retry"
        )


class StoreUnavailable(StoreError, OSError):
    """The store cannot be opened or reached."""


class StoreDamaged(StoreError):
    """The file is damaged; it was not changed."""

    def __init__(self, location: str, detail: str) -> None:
        super().__init__(
            location,
            f"the file is damaged ({detail}): restore a backup, or save what is readable with `sqlite3 FILE .recover`",
        )


class ForeignFile(StoreError):
    """The file is not a goes_lite store; it was not changed."""

    def __init__(self, location: str, detail: str) -> None:
        super().__init__(location, f"not a goes_lite store ({detail}), it was left alone: choose another path")


class StoreTooNew(StoreError):
    """The file was written by a newer goes_lite; it was not changed. Attributes: `found`, `supported` (schema)."""

    def __init__(self, location: str, found: int, supported: int) -> None:
        self.found = found
        self.supported = supported
        super().__init__(
            location,
            f"written by a newer goes_lite (schema {found}, this one knows up to {supported}): upgrade goes-lite",
        )


class NetworkFilesystem(StoreError):
    """The file lies on a network or shared-folder file system. Attribute: `filesystem` (its type)."""

    def __init__(self, location: str, filesystem: str) -> None:
        self.filesystem = filesystem
        super().__init__(
            location,
            f"lies on a network file system ({filesystem}), where the shared memory and locks of SQLite's WAL mode do "
            "not work and committed events could be lost: use a local disk",
        )


class UnsafeAccess(StoreError):
    """The live file was about to be opened behind the store's back, which would silently drop its locks."""

    def __init__(self, location: str, how: str) -> None:
        super().__init__(
            location,
            f"{how} while the store is open in this process would silently drop its file locks and can lose committed "
            "events: close the store first, or copy it with backup()",
        )


# --- backends -------------------------------------------------------------------------------------------------------


class BackendError(GoesError):
    """Base of errors about finding and configuring a backend."""


class UnknownBackend(BackendError, LookupError):
    """No installed backend serves this URL scheme. Attributes: `scheme`, `installed`."""

    def __init__(self, scheme: str, installed: Sequence[str], hint: str = "") -> None:
        self.scheme = scheme
        self.installed = tuple(installed)
        listed = ", ".join(installed) or "none"
        super().__init__(f"no backend for {scheme!r} URLs is installed (installed: {listed}){hint}")


class DriverMissing(BackendError, ImportError):
    """The backend's driver package is not installed. Attributes: `backend`, `driver`, `extra`."""

    def __init__(self, backend: str, driver: str, extra: str) -> None:
        self.backend = backend
        self.driver = driver
        self.extra = extra
        super().__init__(f"{backend} needs {driver}: pip install 'goes-lite[{extra}]'")


class ConfigError(BackendError, ValueError):
    """A URL, an option, an environment variable or a configuration file is wrong."""


class AbilityMissing(BackendError):
    """The backend cannot do what was asked of it. Attributes: `ability`, `backend`."""

    def __init__(self, ability: str, backend: str) -> None:
        self.ability = ability
        self.backend = backend
        super().__init__(
            f"{backend} has not the ability {ability!r}, which is needed here: choose a backend that has it"
        )
