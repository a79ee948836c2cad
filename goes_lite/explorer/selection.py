"""Which events a page shows: what its address says, and reading them in bounded steps.

A backend finds events by name, aggregate, tag and time. What it cannot (all but some names, a value in the payload) is
compared here, for a bounded number of events at a time: the page says how far it has looked, and goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from goes_lite.explorer.exchange import Refused, Request
from goes_lite.explorer.shown import MOST, event_shown, row_of
from goes_lite.operations.selecting import moment_of, query_by

if TYPE_CHECKING:
    from goes_lite.events.event import Event
    from goes_lite.events.query import EventQuery
    from goes_lite.explorer.source import Source

LOOKED_AT = 500
"""How many events one page compares itself."""
BYTES = 4_000_000
"""How much of payloads one page reads: with large ones, it shows fewer events."""

FIELDS = ("name", "not", "aggregate", "tag", "where", "since", "until")
"""The parameters that select."""


class Found(NamedTuple):
    """A part of the selected events."""

    events: list[dict[str, Any]]
    """As `row_of` has them."""
    reached: int
    """The position up to which was looked."""
    ended: bool
    """Whether nothing is left in the range."""
    looked_at: int


@dataclass(frozen=True)
class Selection:
    """Selected events."""

    query: EventQuery
    stored: EventQuery
    """The same by the names under which events are stored, former ones included."""
    excluded: frozenset[str]
    """Names of events that are left out."""
    where: tuple[tuple[tuple[str, ...], str], ...]
    """Paths into the payload, as it may be shown, and the values there."""

    @classmethod
    def of(cls, request: Request, source: Source) -> Selection:
        """Return the selection that an address asks for; Refused, or InvalidQueryError, for what cannot be."""
        now = source.db.runtime.clock.now()
        times = {}
        for bound, name in (("min_time", "since"), ("max_time", "until")):
            if text := request.one(name):
                try:
                    times[bound] = moment_of(text, now)
                except ValueError as exc:
                    raise Refused(400, str(exc)) from None
        where: list[tuple[tuple[str, ...], str]] = []
        for text in request.all("where"):
            path, equals, value = text.partition("=")
            if not equals or not path.strip():
                raise Refused(
                    400, f"{text!r:.80} is no filter of payloads: write a path and a value, as in customer.city=Bonn"
                )
            where.append((tuple(path.strip().split(".")), value.strip()))
        registry = source.db.registry
        # Pages link to the names that they show: former ones, where an event is shown as it is stored.
        names, excluded = ([registry.canonical(name) for name in request.all(one)] for one in ("name", "not"))
        spellings = registry.spellings
        query, stored = (
            query_by(asked, request.all_exact("aggregate"), tags=request.all_exact("tag"), **times)
            for asked in (names, [old for name in names for old in spellings(name)])
        )
        left_out = frozenset(old for name in excluded for old in (name, *spellings(name)))
        return cls(query, stored, left_out, tuple(where))

    def read(
        self, source: Source, *, after: int, upto: int, limit: int, reverse: bool = False, looked_at: int = LOOKED_AT
    ) -> Found:
        """Return up to `limit` events with after < position ≤ upto, having looked at `looked_at`, or at BYTES, at most."""
        compared = bool(self.excluded or self.where)
        # One more than is shown tells whether anything is left.
        most = looked_at if compared else limit + 1
        events = source.events(self.query, self.stored, after=after, upto=upto, reverse=reverse, limit=most)
        found: list[dict[str, Any]] = []
        looked, reached, size = 0, upto if reverse else after, 0
        for event in events:
            if len(found) == limit or size > BYTES:
                return Found(found, reached, False, looked)
            looked, reached, size = looked + 1, event.position, size + len(event.encoded.payload)
            if event.name not in self.excluded and self._matches(source, event):
                found.append(row_of(source, event))
        if compared and looked == most:
            return Found(found, reached, False, looked)
        return Found(found, after if reverse else upto, True, looked)

    def _matches(self, source: Source, event: Event[Any]) -> bool:
        if not self.where:
            return True
        data = event_shown(source, event, MOST)["data"]
        return all(_has(data, path, value) for path, value in self.where)


def _has(data: object, path: Sequence[str], text: str) -> bool:
    """Whether there is a value at a path that is written like this; of a list, any of its values is meant."""
    if isinstance(data, list):
        items = cast("list[object]", data)
        if path and path[0].isascii() and path[0].isdigit():
            return int(path[0]) < len(items) and _has(items[int(path[0])], path[1:], text)
        return any(_has(one, path, text) for one in items)
    if path:
        if not isinstance(data, dict):
            return False
        inside = cast("Mapping[str, object]", data)
        return path[0] in inside and _has(inside[path[0]], path[1:], text)
    return data == text if isinstance(data, str) else json.dumps(data) == text
