"""From what a backend has stored to events: names of today, data, and what a reader does with names that it does not know.

An event is stored under the name that it had then, and read under today's. So this is between every backend and its
readers, whatever it stores events in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goes_lite.contract.backend import Unknown
from goes_lite.errors import CodecError, GoesError, UnknownEventError
from goes_lite.events.event import Event, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery, check_query
from goes_lite.events.registry import Raw, Registry


class EventReader:
    """Reads stored events under one registry and one policy for unknown names."""

    def __init__(self, registry: Registry, unknown: Unknown) -> None:
        self.registry = registry
        self.unknown: Unknown = unknown

    def check(self, query: EventQuery) -> None:
        """InvalidQueryError unless it is a query, and every name in it one of today."""
        check_query(query)
        for item in query.items:
            for name in item.names:
                self.registry.spellings(name)

    def matches(self, query: EventQuery, stored: Event[Any]) -> bool:
        """Whether a stored event is asked for, as it is named today. Its data is not looked at."""
        return query.is_everything or query.matches(self._today(stored, None))

    def read(self, stored: Event[Any], *, whole: bool = False) -> Event[Any] | None:
        """The event as readers see it, its data decoded; None if its name is unknown, and such are to be left out.

        With `whole`, none is left out whatever the policy: an aggregate with a hole in its versions could not be saved
        again, so "skip" gives such events with Raw data.
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
        return self._today(stored, data)

    def page(
        self, stored: Sequence[Event[Any]], seen: int, query: EventQuery, limit: int
    ) -> tuple[list[Event[Any]], int]:
        """Up to `limit` events that match, of the stored ones behind the first `seen`, and how many are seen then.

        Where pages begin and end is nobody's business: what lies before an event that cannot be read is given out first.
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
        """Today's name of an event that is stored so, and how its payload is read; None for an unknown name.

        UnknownEventError, if that is the policy. For backends that read many events in one go, each in parts.
        """
        try:
            return self.registry.canonical(name), self.registry.decoder(name, encoding, schema)
        except UnknownEventError:
            if self.unknown == "error":
                raise UnknownEventError(name, position, aggregate) from None
            return name, None

    def _today(self, stored: Event[Any], data: object) -> Event[Any]:
        return restore(
            id_bytes(stored), self.registry.canonical(stored.name), data, time_micros(stored), stored.aggregate,
            stored.version, metadata_json(stored), tags_json(stored), stored.position, *stored.encoded,
        )  # fmt: skip
