"""Errors about events and aggregates: appending, loading, names, types and encodings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.errors._base import GoesError, Refused, plain, shown


class ConcurrencyError(Refused):
    """The aggregate is not at the version that the append builds on; nothing was written.

    Attributes: `aggregate` (AggregateRef), `expected` (the version that the append builds on),
    `actual` (the version that is stored; 0 if the aggregate does not exist), `tries` (how many were made).
    """

    def __init__(self, aggregate: Any, expected: int, actual: int) -> None:
        self.aggregate = aggregate
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{aggregate} is at version {actual}, but the append builds on version {expected}: "
            "load it and decide again (Repository.use does both)"
        )


class AppendConditionFailed(Refused):
    """An event that matches the condition's query was appended after its position; nothing was written.

    Attributes: `condition` (AppendCondition), `position` (of an event that matched, > condition.after), `tries` (how many
    were made).
    """

    def __init__(self, condition: Any, position: int) -> None:
        self.condition = condition
        self.position = position
        super().__init__(
            f"the event at position {position} matches the append condition, which allows none after position "
            f"{condition.after}: read the decision model and decide again"
        )


class KeyTaken(GoesError, ValueError):
    """An aggregate has the key that was claimed. Attributes: `lookup` (its name), `key`, `aggregate` (AggregateRef)."""

    def __init__(self, lookup: str, key: str, aggregate: Any) -> None:
        self.lookup = lookup
        self.key = key
        self.aggregate = aggregate
        super().__init__(
            f"{aggregate} has the key {shown(key)} of {lookup!r}: claim another key, or release that one first"
        )


class DuplicateEventError(GoesError, ValueError):
    """An event id is already used by a different event; nothing was written.

    Attributes: `event_id` (UUID), `position` (of the stored event; 0 if both are in the same batch).
    """

    def __init__(self, event_id: Any, position: int, reason: str) -> None:
        self.event_id = event_id
        self.position = position
        where = f"the event at position {position}" if position else "another event of the same batch"
        super().__init__(
            f"event id {str(event_id)!r} is already used by {where} ({reason}): use a new id for a new event; "
            "a retry must repeat exactly the same events"
        )


class ImportConflict(GoesError, ValueError):
    """Events of another store do not fit the log that they are imported into; nothing was written.

    Attribute: `position` (of the event that does not fit).
    """

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(
            f"the event of position {position} cannot be imported: {reason}; import into an empty store, or into one that "
            "holds the same events so far"
        )


class AppendInDoubtError(GoesError):
    """The store became unreachable during the append and stayed so: the events may or may not have been written.

    Appending exactly the same events again is safe at any time and determines the outcome. Attribute: `events` (the batch).
    """

    def __init__(self, events: Sequence[Any]) -> None:
        self.events = tuple(events)
        super().__init__(
            f"the store became unreachable while appending {len(self.events)} event(s), so the outcome is unknown: "
            "append the same events again once it is back, which is safe"
        )


class InvalidEventError(GoesError, ValueError):
    """A field of an event, or a batch of events, breaks a rule that holds on every backend."""


class InvalidQueryError(GoesError, ValueError):
    """A field of a query has a wrong type or value."""


class AggregateError(GoesError):
    """Base of errors about one aggregate. Attribute: `aggregate` (AggregateRef)."""

    def __init__(self, aggregate: Any, message: str) -> None:
        self.aggregate = aggregate
        super().__init__(message)


class AggregateNotFound(AggregateError, LookupError):
    """No event of this aggregate is stored."""

    def __init__(self, aggregate: Any, *, past: bool = False) -> None:
        way = "so it has no past version: check its id" if past else "pass create=True to create it"
        super().__init__(aggregate, f"{aggregate} does not exist: {way}")


class AggregateDeleted(AggregateError, LookupError):
    """The aggregate was soft-deleted. Attribute: `version` (of the aggregate)."""

    def __init__(self, aggregate: Any, version: int) -> None:
        self.version = version
        super().__init__(
            aggregate, f"{aggregate} is deleted (at version {version}): pass deleted=True to fetch it anyway"
        )


class VersionNotFound(AggregateError, LookupError):
    """The aggregate never reached the version, or did not exist yet at the time. Attributes: `wanted`, `version`."""

    def __init__(self, aggregate: Any, wanted: object, version: int) -> None:
        self.wanted = wanted
        self.version = version
        if isinstance(wanted, int):
            text = f"{aggregate} has no version {wanted}: it is at version {version}"
        else:
            text = f"{aggregate} did not exist as of {wanted}: ask for a later time (it is at version {version})"
        super().__init__(aggregate, text)


class RegistryError(GoesError):
    """Base of errors about names and types."""


class UnknownEventError(RegistryError, LookupError):
    """A stored event whose name has no registered type.

    Attributes: `name`, `position` (0 if not stored), `aggregate` (AggregateRef; None if it has none, or is not known).
    """

    def __init__(self, name: str, position: int = 0, aggregate: Any = None) -> None:
        self.name = name
        self.position = position
        self.aggregate = aggregate
        where = f" at position {position}" if position else ""
        super().__init__(
            f"no type is registered for the event {name!r}{where}: register one, add {name!r} to the aliases of the "
            'event it became, or read with unknown="skip" or unknown="raw"'
        )


class UnregisteredTypeError(RegistryError, TypeError):
    """A value whose type has no (single) registered name. Attributes: `type`, `kind` ("event" or "command")."""

    def __init__(self, value_type: Any, names: Sequence[str] = (), kind: str = "event") -> None:
        self.type = value_type
        self.kind = kind
        what = value_type.__qualname__ if isinstance(value_type, type) else shown(value_type)
        if names:
            way = f"is registered under several names ({', '.join(map(repr, names))}): choose one with name=…"
        else:
            way = (
                f"is not registered as {'an' if kind == 'event' else 'a'} {kind}: decorate the class with "
                f"@{kind}('some.name'), call registry.register('some.name', …), or pass name=… (if it is registered in another "
                "Registry, pass that one)"
            )
        super().__init__(f"{what} {way}")


class RegistrationError(RegistryError, ValueError):
    """A name, alias, schema version or upcaster contradicts an earlier registration."""


class CodecError(GoesError):
    """Base of errors about turning values into bytes and back.

    Attributes: `path` (where in the value, such as `$.items[2].price`), `problem` (what is wrong there),
    `name` (of the event, if known), `position` (of the stored event, 0 if not stored), `aggregate` (its AggregateRef;
    None if it has none, or is not known).
    """

    def __init__(
        self, path: str, problem: str, *, name: str | None = None, position: int = 0, aggregate: Any = None
    ) -> None:
        self.path = path
        self.problem = problem
        self.name = name
        self.position = position
        self.aggregate = aggregate
        super().__init__(self._message())

    def _message(self) -> str:
        where = f" at position {self.position}" if self.position else ""
        about = f" (event {self.name!r}{where})" if self.name is not None else ""
        return plain(f"{self.path}: {self.problem}{about}")

    def about(self, name: str, position: int = 0, aggregate: Any = None) -> CodecError:
        """Return the same error, naming the event in which it was found."""
        return type(self)(self.path, self.problem, name=name, position=position, aggregate=aggregate)


class EncodeError(CodecError, TypeError):
    """A value does not fit the type that is registered for its event."""


class DecodeError(CodecError, ValueError):
    """Stored bytes do not fit the type that is registered for their event, or a stored value cannot be in its column."""
