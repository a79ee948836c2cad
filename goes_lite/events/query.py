"""Event queries: `EventQuery.matches` defines their meaning, and every backend's translation is tested against it.

AND across the fields of a query, OR within one field, except tags: an event must have all of them. `|` unites two queries.
An empty field matches anything; the empty query matches every event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

from goes_lite.errors import InvalidEventError, InvalidQueryError, RegistrationError, RegistryError
from goes_lite.events.event import Event
from goes_lite.events.fields import (
    AggregateRef,
    aggregate_id,
    aggregate_ref,
    check_name,
    check_tag,
    from_micros,
    to_micros,
)
from goes_lite.events.registry import Registry, default_registry

B = TypeVar("B", int, datetime)
P = ParamSpec("P")
T = TypeVar("T")


class Between(Generic[B]):
    """A range of versions or times, both ends included; None for an open end."""

    __slots__ = ("first", "last")

    def __init__(self, first: B | None, last: B | None) -> None:
        try:
            if first is not None and last is not None and _comparable(first) > _comparable(last):
                raise InvalidQueryError(
                    f"Between({first!r}, {last!r}) is empty: the first end is greater than the last"
                )
        except (TypeError, ArithmeticError, InvalidEventError) as exc:
            raise InvalidQueryError(f"Between({first!r:.80}, {last!r:.80}): {exc}") from None
        self.first: B | None = first
        self.last: B | None = last

    def __repr__(self) -> str:
        return f"Between({self.first!r}, {self.last!r})"


def _comparable(end: Any) -> Any:
    # Python compares two times of one zone as its clocks show them, which go back at the end of summer time.
    return to_micros(end) if isinstance(end, datetime) else end


class Span(NamedTuple):
    """A range of integers for backends, both ends included, None for an open end; times are in microseconds."""

    first: int | None
    last: int | None

    def holds(self, value: int) -> bool:
        return (self.first is None or value >= self.first) and (self.last is None or value <= self.last)


class QueryItem(NamedTuple):
    """One alternative of a query: all of its fields must match. Plain sorted values, for backends to translate."""

    names: tuple[str, ...] = ()
    aggregates: tuple[AggregateRef, ...] = ()
    aggregate_names: tuple[str, ...] = ()
    aggregate_ids: tuple[str, ...] = ()
    versions: tuple[Span, ...] = ()
    times: tuple[Span, ...] = ()
    tags: tuple[str, ...] = ()
    ids: tuple[UUID, ...] = ()

    def matches(self, event: Event[Any]) -> bool:
        ref = event.aggregate
        if self.names and event.name not in self.names:
            return False
        if self.aggregates and ref not in self.aggregates:
            return False
        if self.aggregate_names and (ref is None or ref.name not in self.aggregate_names):
            return False
        if self.aggregate_ids and (ref is None or ref.id not in self.aggregate_ids):
            return False
        if self.versions and not any(span.holds(event.version) for span in self.versions):
            return False
        if self.times:
            micros = to_micros(event.time)
            if not any(span.holds(micros) for span in self.times):
                return False
        if self.tags and not event.tags.issuperset(self.tags):
            return False
        return not (self.ids and event.id not in self.ids)


class EventQuery:
    """Selects events: immutable, hashable, comparable.

        EventQuery([OrderPlaced], tags=["customer:7"]) | EventQuery(aggregates=[("invoice", "R-1")])

    Fields (each a collection of alternatives; an empty one matches anything)
      names             event names, exact, or registered types, which stand for their names in the `registry`
      aggregates        (name, id) pairs or AggregateRefs
      aggregate_names   names of aggregates
      aggregate_ids     ids of aggregates of any name; a UUID becomes its text. Together with aggregate_names it uses an
                        index; alone it scans the whole log
      versions          ints or `Between(first, last)`; an event without an aggregate has version 0
      times             aware datetimes or `Between(first, last)`
      tags              `key:value` strings; an event must have **all** of them
      ids               event ids (UUID)
    `min_version`, `max_version`, `min_time`, `max_time` bound the version and time from both sides, ends included,
    in addition to `versions` and `times`.

    Raises InvalidQueryError for a wrong type or value, including a single string in place of a collection.
    """

    __slots__ = ("items",)
    items: tuple[QueryItem, ...]

    def __init__(
        self,
        names: Iterable[str | type[Any]] = (),
        *,
        aggregates: Iterable[AggregateRef | tuple[str, str | UUID]] = (),
        aggregate_names: Iterable[str] = (),
        aggregate_ids: Iterable[str | UUID] = (),
        versions: Iterable[int | Between[int]] = (),
        times: Iterable[datetime | Between[datetime]] = (),
        tags: Iterable[str] = (),
        ids: Iterable[UUID] = (),
        min_version: int | None = None,
        max_version: int | None = None,
        min_time: datetime | None = None,
        max_time: datetime | None = None,
        registry: Registry = default_registry,
    ) -> None:
        try:
            item = QueryItem(
                names=_names(names, registry),
                aggregates=_values("aggregates", aggregates, aggregate_ref),
                aggregate_names=_values("aggregate_names", aggregate_names, _aggregate_name),
                aggregate_ids=_values("aggregate_ids", aggregate_ids, aggregate_id),
                versions=_spans("versions", versions, _version, min_version, max_version),
                times=_spans("times", times, to_micros, min_time, max_time),
                tags=_values("tags", tags, check_tag),
                ids=_values("ids", ids, _uuid),
            )
        except (InvalidEventError, RegistryError) as exc:
            raise InvalidQueryError(str(exc)) from None
        object.__setattr__(self, "items", (item,))

    @classmethod
    def any_of(cls, *queries: EventQuery) -> EventQuery:
        """Return a query for events that match at least one of the queries; the same as joining them with `|`."""
        if not queries:
            raise InvalidQueryError("any_of() needs at least one query; EventQuery() matches everything")
        for query in queries:
            if not isinstance(query, EventQuery):
                raise InvalidQueryError(f"any_of() unites EventQueries, not {query!r:.80}")
        return _of_items(tuple(dict.fromkeys(item for query in queries for item in query.items)))

    def __or__(self, other: EventQuery) -> EventQuery:
        return EventQuery.any_of(self, other) if isinstance(other, EventQuery) else NotImplemented

    def matches(self, event: Event[Any]) -> bool:
        """Whether the event matches. This defines the meaning; backends only translate it."""
        return any(item.matches(event) for item in self.items)

    @property
    def is_everything(self) -> bool:
        """Whether the query matches every event."""
        return _EVERYTHING in self.items

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"EventQuery is immutable: build a new one instead of setting {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_items, (self.items,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventQuery) and set(self.items) == set(other.items)

    def __hash__(self) -> int:
        return hash(frozenset(self.items))

    def __repr__(self) -> str:
        return " | ".join(f"EventQuery({_shown(item)})" for item in self.items)


_EVERYTHING = QueryItem()


def _of_items(items: tuple[QueryItem, ...]) -> EventQuery:
    query = EventQuery.__new__(EventQuery)
    object.__setattr__(query, "items", items)
    return query


def _values(field: str, values: Iterable[Any], check: Any) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidQueryError(f"{field} must be a collection of values, not {values!r:.80}: write [{values!r:.80}]")
    return tuple(sorted({check(value) for value in values}))


def _names(values: Iterable[Any], registry: Registry) -> tuple[str, ...]:
    # A registered type stands for its names.
    if isinstance(values, type):
        raise InvalidQueryError(f"names must be a collection of events, not one: write [{values.__qualname__}]")
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        values = [
            name for value in values for name in (registry.names_of(value) if isinstance(value, type) else [value])
        ]
    return _values("names", values, _event_name)


def _event_name(value: object) -> str:
    return check_name(value, "event name")


def _aggregate_name(value: object) -> str:
    return check_name(value, "aggregate name")


def _uuid(value: Any) -> UUID:
    if not isinstance(value, UUID):
        raise InvalidQueryError(f"ids must be event ids, which are UUIDs, not {type(value).__name__}: {value!r:.80}")
    return value


def _version(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise InvalidQueryError(f"a version must be an int from 0 to 2**63 - 1, not {value!r:.80}")
    return value


def _spans(field: str, values: Iterable[Any], check: Any, low: Any, high: Any) -> tuple[Span, ...]:
    """Return the alternatives of `values`, each narrowed to low…high; an impossible combination is an error."""

    def end(value: Any) -> int | None:
        return None if value is None else check(value)

    def span(value: Any) -> Span:
        if isinstance(value, Between):
            between: Between[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return Span(end(between.first), end(between.last))
        return Span(check(value), check(value))

    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidQueryError(f"{field} must be a collection of values, not {values!r:.80}: write [{values!r:.80}]")
    given = [span(value) for value in values]
    first, last = end(low), end(high)
    if first is None and last is None:
        return tuple(sorted(set(given), key=_span_key))
    narrowed: set[Span] = set()
    for low_end, high_end in given or [Span(None, None)]:
        left = first if low_end is None else low_end if first is None else max(first, low_end)
        right = last if high_end is None else high_end if last is None else min(last, high_end)
        if left is None or right is None or left <= right:
            narrowed.add(Span(left, right))
    if not narrowed:
        raise InvalidQueryError(f"{field} and its minimum and maximum exclude each other: no event can match")
    return tuple(sorted(narrowed, key=_span_key))


def _span_key(span: Span) -> tuple[float, float]:
    return (
        float("-inf") if span.first is None else span.first,
        float("inf") if span.last is None else span.last,
    )


def _shown(item: QueryItem) -> str:
    parts = [
        f"{field}={[_shown_span(field, value) if isinstance(value, Span) else value for value in values]!r}"
        for field, values in zip(item._fields, item, strict=True)
        if values
    ]
    return ", ".join(parts)


def _shown_span(field: str, span: Span) -> object:
    if field == "versions":
        return span.first if span.first is not None and span.first == span.last else Between(span.first, span.last)
    first, last = (None if end is None else from_micros(end) for end in span)
    return first if first is not None and first == last else Between(first, last)


EVERYTHING = EventQuery()
"""The query that matches every event."""


def check_for_query(check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a check of names or ids for a query rather than a recorded event: failures become InvalidQueryError."""
    try:
        return check(*args, **kwargs)
    except (InvalidEventError, RegistrationError) as exc:
        raise InvalidQueryError(str(exc)) from None


def check_query(query: object) -> None:
    """InvalidQueryError unless it is an EventQuery."""
    if not isinstance(query, EventQuery):
        raise InvalidQueryError(f"a query must be an EventQuery, not {query!r:.80}: EventQuery() matches everything")
