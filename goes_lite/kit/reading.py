"""Turn stored events into the events that readers see: current names, decoded data, and a policy for unknown names.

An event is stored under the name that it had then, and read under its current one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Self

from goes_lite.contract.backend import Unknown
from goes_lite.errors import CodecError, GoesError, StoreDamaged, UnknownEventError
from goes_lite.events.event import Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery, check_query
from goes_lite.events.registry import Raw, Registry, nameless


class EventReader:
    """Reads stored events under one registry and one policy for unknown names."""

    def __init__(self, registry: Registry, unknown: Unknown, location: str = "the store") -> None:
        self.registry = registry
        self.unknown: Unknown = unknown
        self.location = location
        """Of the store, for errors about what is stored."""

    def as_stored(self) -> Self:
        """Return a reader that knows no names: it reads every event under its stored name, with Raw data."""
        reader = copy(self)
        reader.registry, reader.unknown = nameless(), "raw"
        return reader

    def check(self, query: EventQuery) -> None:
        """Raise InvalidQueryError unless it is a query in which every name is current."""
        check_query(query)
        for item in query.items:
            for name in item.names:
                self.registry.spellings(name)

    def matches(self, query: EventQuery, stored: Event[Any]) -> bool:
        """Return whether a stored event matches under its current name. Its data is not decoded."""
        return query.is_everything or query.matches(self._renamed(stored, None))

    def read(self, stored: Event[Any], *, whole: bool = False) -> Event[Any] | None:
        """Return the event with decoded data, or None if its name is unknown and the policy is "skip".

        With `whole`, "skip" returns Raw data instead: an aggregate with a gap in its versions could not be saved again.
        """
        encoding, schema, payload = stored.encoded
        name, decode = self.decoder(stored.name, encoding, schema, stored.position, stored.aggregate)
        if decode is not None:
            try:
                data = decode(payload)
            except CodecError as exc:
                raise exc.about(name, stored.position, stored.aggregate) from exc
        elif whole or self.unknown == "raw":
            data = Raw(name, encoding, schema, payload)
        else:
            return None
        return self._renamed(stored, data)

    def check_whole(
        self, ref: AggregateRef, events: Sequence[Event[Any]], after: int, upto: int, version: int | None = None
    ) -> None:
        """Raise StoreDamaged unless the events have all versions of the aggregate with after < version ≤ upto.

        `version` is the one of the aggregate, if it was read at the same moment; otherwise the last events may be missing.
        """
        if version is None:
            version = events[-1].version if events else 0
        number = len(events)
        last = min(version, upto) if type(version) is int else -1
        if last - after == number and (not events or (events[0].version == after + 1 and events[-1].version == last)):
            return  # the versions increase, so these two and their number are enough
        if not events and 0 <= last <= after:
            return
        missing = next((at for at, event in enumerate(events, after + 1) if event.version != at), after + number + 1)
        what = f"without its event of version {missing}" if missing <= last else f"with {number} events after {after}"
        raise StoreDamaged(
            self.location,
            f"the aggregate {ref.name!r}, id {ref.id!r}, is stored at version {version!r:.80}, but {what}",
        )

    def wrong(self, position: int, column: str, value: object) -> StoreDamaged:
        """Return the error for a stored value that cannot be right."""
        return StoreDamaged(self.location, f"{column} of the event at position {position}: {value!r:.80}")

    def lost_aggregate(self, position: int, version: object) -> StoreDamaged:
        """Return the error for an event without an aggregate whose version says that it had one."""
        return StoreDamaged(
            self.location, f"the event at position {position} has version {version!r:.80}, but its aggregate is gone"
        )

    def page(
        self, stored: Sequence[Event[Any]], seen: int, query: EventQuery, limit: int
    ) -> tuple[list[Event[Any]], int]:
        """Return up to `limit` matching events after the first `seen` stored ones, and the new value of `seen`.

        Events before an unreadable one are returned first, as a page of their own.
        """
        page: list[Event[Any]] = []
        for number in range(seen, len(stored)):
            if len(page) == limit:
                return page, number
            if self.matches(query, stored[number]):
                try:
                    event = self.read(stored[number])
                except GoesError:
                    if page:
                        return page, number
                    raise
                if event is not None:
                    page.append(event)
        return page, len(stored)

    def decoder(
        self, name: str, encoding: str, schema: int, position: int, aggregate: AggregateRef | None
    ) -> tuple[str, Callable[[Any], object] | None]:
        """Return the current name of a stored event and the decoder of its payload, which is None for an unknown name.

        Raise UnknownEventError if that is the policy. Backends call it to read many events at once, each in parts.
        """
        try:
            return self.registry.canonical(name), self.registry.decoder(name, encoding, schema)
        except UnknownEventError:
            if self.unknown == "error":
                raise UnknownEventError(name, position, aggregate) from None
            return name, None

    def _renamed(self, stored: Event[Any], data: object) -> Event[Any]:
        return restore(
            id_bytes(stored), self.registry.canonical(stored.name), data, time_micros(stored), stored.aggregate,
            stored.version, metadata_json(stored), tags_json(stored), stored.position, *stored.encoded,
        )  # fmt: skip
