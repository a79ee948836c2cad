"""What a page reads from: the handle, what the program says about its types, and how much of a payload may be shown."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors import CodecError, UnknownEventError
from goes_lite.explorer.disclosure import Disclosure
from goes_lite.explorer.tally import Tally
from goes_lite.operations.forms import event_data, iso, printable

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.events.event import Event
    from goes_lite.events.query import EventQuery

T = TypeVar("T")

FIRST, LARGEST = 16, 128
"""Events that are read at once: at first, and while payloads are small."""
SMALL = 1_000_000
"""Bytes of payloads that a piece has at most if the next one may be larger."""


@dataclass(frozen=True)
class Source:
    """What a page reads from. Any thread may use it."""

    db: BlockingDatabase
    disclosure: Disclosure
    app: ModuleType | None = None
    """The module of the program that `--app` names: its types, aggregates and projections; None if it is not known."""
    tally: Tally = field(default_factory=Tally)
    """Counts of the log that were made for earlier requests."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that uses `db.backend`, such as one of `goes_lite.operations`, and return its result."""
        return self.db._portal.run(coroutine)

    def events(
        self, query: EventQuery, stored: EventQuery, *, after: int, upto: int, limit: int, reverse: bool = False
    ) -> Iterator[Event[Any]]:
        """Yield events as the program reads them; where it cannot read one, as they are stored.

        `stored` is the query that selects the same by the names under which events are stored, former ones included. They
        are read piece by piece, as they are taken: of large ones, few are held at once.
        """
        most = FIRST
        while limit > 0 and after < upto:
            asked = min(most, limit)
            piece = self._piece(query, stored, after=after, upto=upto, limit=asked, reverse=reverse)
            yield from piece
            if len(piece) < asked:
                return
            limit -= asked
            last = piece[-1].position
            after, upto = (after, last - 1) if reverse else (last, upto)
            small = sum(len(event.encoded.payload) for event in piece) <= SMALL
            most = min(most * 2, LARGEST) if small else max(most // 4, 1)

    def _piece(self, query: EventQuery, stored: EventQuery, **window: Any) -> Sequence[Event[Any]]:
        try:
            return self.db.events.query(query, **window).list()
        except (UnknownEventError, CodecError):
            with self.db.view() as view:
                return view.events.query(stored, **window).list()

    def event(self, event: Event[Any]) -> dict[str, Any]:
        """Return an event as data for JSON, with as much of its payload as may be shown."""
        found = self.disclosure.event(event_data(event), self.db.registry)
        return {**found, "time": iso(event.time), "id": str(event.id)}


def line(text: str, length: int = 200) -> str:
    """Return text as one line of at most so many characters."""
    text = printable(text)
    return text if len(text) <= length else text[: length - 1] + "…"
