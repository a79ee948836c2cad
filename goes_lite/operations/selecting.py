"""Selecting events by words, as people write them: for the options of commands, and for the addresses of pages."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from goes_lite.errors import InvalidEventError
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def query_by(names: Iterable[str], aggregates: Iterable[str], **fields: Any) -> EventQuery:
    """Return the query for events of these names, of aggregates given as NAME or NAME/ID, and with further fields.

    InvalidQueryError for what no event can have.
    """
    texts = list(aggregates)
    whole = [text for text in texts if "/" not in text]
    single = [ref for text in texts if "/" in text for ref in refs_of(text)]
    names = list(names)
    wanted = [EventQuery(names, aggregates=single, **fields)] if single or not whole else []
    if whole:
        wanted.append(EventQuery(names, aggregate_names=whole, **fields))
    return EventQuery.any_of(*wanted)


def refs_of(text: str) -> list[AggregateRef]:
    """Return the aggregates that NAME/ID may stand for; InvalidEventError if it can stand for none."""
    shortest, *others = splits(text) or [text.partition("/")[::2]]
    found = [AggregateRef(*shortest)]
    for name, id in others:
        with suppress(InvalidEventError):  # such as a name with a space
            found.append(AggregateRef(name, id))
    return found


def splits(text: str) -> list[tuple[str, str]]:
    """Return what NAME/ID may stand for: names and ids may have slashes themselves."""
    places = [index for index, letter in enumerate(text[:1000]) if letter == "/"]
    return [(text[:index], text[index + 1 :]) for index in places[:20] if index and text[index + 1 :]]


def moment_of(text: str, now: datetime) -> datetime:
    """Return the time that a text says: ISO 8601 (UTC unless it names a zone), or an age such as 90s, 30m, 2h, 7d or 4w.

    ValueError, with what to write, if it says none.
    """
    try:
        if text[-1:] in _UNITS and text[:-1].isascii() and text[:-1].isdigit():
            return now.astimezone(timezone.utc) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        time = datetime.fromisoformat(text)
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r:.80} is no time: write 2026-11-30, 2026-11-30T12:00, or an age such as 30m, 2h or 7d"
        ) from None
