"""Hypothesis strategies for what a store has to keep: awkward texts, aggregates, tags, metadata, events, batches, queries.

    from goes_lite_conformance.strategies import batches, queries

    @given(batches().flatmap(lambda events: st.tuples(st.just(events), queries(events))))
    def test_my_index(case): ...

The examples are valid everywhere, and as awkward as that allows: they resemble each other or syntax, or are as long
as permitted. They shrink to plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from goes_lite.events.event import Event
from goes_lite.events.fields import MAX_ID_BYTES, AggregateRef
from goes_lite.events.query import Between, EventQuery
from goes_lite.events.registry import Registry
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON, Closed, Counted, Noted, registry

NAMES = ("order", "Order", "order.line", "ordér")
"""Similar names of aggregates."""
EVENT_NAMES = ("sample.noted", "sample.counted", "other.closed")


def texts(*, max_size: int = 20) -> st.SearchStrategy[str]:
    """Non-empty texts that every backend can index: no NUL, no lone surrogates, at most 1024 bytes."""
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    some = st.text(alphabet, min_size=1, max_size=max_size).filter(lambda text: len(text.encode()) <= MAX_ID_BYTES)
    return st.sampled_from(["a", "b", *CONFUSABLE]) | some


def long_texts(prefix: str = "") -> st.SearchStrategy[str]:
    """Texts of the maximum number of bytes that a backend must index; they differ in the last place only."""
    return st.sampled_from("xy").map(lambda last: prefix + "x" * (MAX_ID_BYTES - len(prefix.encode()) - 1) + last)


def aggregate_refs() -> st.SearchStrategy[AggregateRef]:
    """Aggregates whose names and ids are easily confused."""
    return st.builds(AggregateRef, st.sampled_from(NAMES), texts() | long_texts())


def tags() -> st.SearchStrategy[str]:
    """Tags, some of which have the same prefix."""
    return st.builds("{}:{}".format, st.sampled_from(["t", "T", "tt", "a b"]), texts()) | long_texts("t:")


def metadata() -> st.SearchStrategy[dict[str, str]]:
    """Metadata with keys and values of every kind; values may be empty and may contain NUL."""
    value = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | texts()
    return st.dictionaries(texts(), value, max_size=3)


def times() -> st.SearchStrategy[datetime]:
    """Moments from the year 1 to 9999, to the microsecond, close to each other or far apart."""
    near = st.integers(-3, 3).map(lambda n: NOON + timedelta(microseconds=n))
    return near | st.datetimes().map(lambda time: time.replace(tzinfo=timezone.utc))


def data() -> st.SearchStrategy[Any]:
    """Instances of the three sample types."""
    note = st.builds(Noted, st.just("") | st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | texts())
    return note | st.builds(Counted, st.integers(-(2**63), 2**63 - 1)) | st.just(Closed())


class Draft(NamedTuple):
    """An event without id and version, which depend on the store."""

    aggregate: AggregateRef | None
    data: Any = Closed()
    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = {}
    time: datetime = NOON

    def __repr__(self) -> str:
        plain = Draft(None)
        told = [
            f"{name}={mine!r}" for name, mine, usual in zip(self._fields, self, plain, strict=True) if mine != usual
        ]
        return f"Draft({', '.join(told)})"

    def event(self, id: UUID | None, version: int, registry: Registry = registry) -> Event[Any]:
        """Return the event, with this version if it belongs to an aggregate."""
        return Event(
            self.data, aggregate=self.aggregate, version=version if self.aggregate else 0, id=id, time=self.time,
            metadata=self.metadata, tags=self.tags, registry=registry,
        )  # fmt: skip


def drafts(
    refs: st.SearchStrategy[AggregateRef] | None = None, labels: st.SearchStrategy[str] | None = None
) -> st.SearchStrategy[Draft]:
    """Drafts of events of these aggregates (or any), or of none, with these tags (or any)."""
    ref = st.none() | (aggregate_refs() if refs is None else refs)
    labelled = st.frozensets(tags() if labels is None else labels, max_size=2)
    return st.tuples(ref, data(), labelled, metadata(), times()).map(Draft._make)


def versioned(made: Sequence[Draft], versions: Mapping[AggregateRef, int] = {}, first_id: int = 1) -> list[Event[Any]]:
    """Return a batch of these drafts, contiguous after the given versions; ids are numbers, so that examples repeat."""
    reached = dict(versions)
    events: list[Event[Any]] = []
    for number, draft in enumerate(made, first_id):
        if draft.aggregate is not None:
            reached[draft.aggregate] = reached.get(draft.aggregate, 0) + 1
        events.append(draft.event(UUID(int=number), reached.get(draft.aggregate, 0) if draft.aggregate else 0))
    return events


def events() -> st.SearchStrategy[Event[Any]]:
    """Single events that begin an aggregate or belong to none."""
    return drafts().map(lambda draft: versioned([draft])[0])


def batches(*, max_size: int = 10) -> st.SearchStrategy[list[Event[Any]]]:
    """Batches for an empty store, over a few aggregates and tags, so that each of these has several events."""

    def over(few: tuple[list[AggregateRef], list[str]]) -> st.SearchStrategy[list[Event[Any]]]:
        refs, labels = few
        some = drafts(st.sampled_from(refs), st.sampled_from(labels))
        return st.lists(some, min_size=1, max_size=max_size).map(versioned)

    refs = st.lists(aggregate_refs(), min_size=1, max_size=3, unique=True)
    labels = st.lists(tags(), min_size=1, max_size=3, unique=True)
    return st.tuples(refs, labels).flatmap(over)


def queries(stored: Sequence[Event[Any]] = ()) -> st.SearchStrategy[EventQuery]:
    """Queries with any fields, alone or united, most of whose values are taken from the given events."""
    one = _one_query(stored)
    return st.one_of(st.just(EventQuery()), one, st.lists(one, min_size=2, max_size=3).map(_united))


def _united(alternatives: Sequence[EventQuery]) -> EventQuery:
    return EventQuery.any_of(*alternatives)


def _one_query(stored: Sequence[Event[Any]]) -> st.SearchStrategy[EventQuery]:
    """Queries with up to three fields: with more, hardly any event would match."""
    refs = [event.aggregate for event in stored if event.aggregate]
    moments = _either([event.time for event in stored], times())
    versions = st.integers(0, 4)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "names": _some(st.sampled_from([*EVENT_NAMES, "sample"])),
        "aggregates": _some(_either(refs, aggregate_refs())),
        "aggregate_names": _some(_either([ref.name for ref in refs], st.sampled_from(NAMES))),
        "aggregate_ids": _some(_either([ref.id for ref in refs], texts())),
        "versions": _some(versions | _between(versions)),
        "times": _some(moments | _between(moments)),
        "tags": _some(_either([tag for event in stored for tag in sorted(event.tags)], tags())),
        "ids": _some(_either([event.id for event in stored], st.uuids())),
        "min_version": versions,
        "min_time": moments,
        "max_time": moments,
    }
    names = st.lists(st.sampled_from([*fields]), min_size=1, max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen})).flatmap(
        _possible
    )


def _possible(fields: dict[str, Any]) -> st.SearchStrategy[EventQuery]:
    """Return the query, without fields that contradict each other."""
    if "times" in fields or fields.get("min_time", NOON) > fields.get("max_time", fields.get("min_time", NOON)):
        fields = {name: value for name, value in fields.items() if name not in ("min_time", "max_time")}
    if "versions" in fields:
        fields = {name: value for name, value in fields.items() if name != "min_version"}
    return st.just(EventQuery(**fields))


def _either(values: Sequence[Any], others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | others if values else others


def _some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=2)


def _between(ends: st.SearchStrategy[Any]) -> st.SearchStrategy[Between[Any]]:
    """Ranges, including open ones."""
    return st.tuples(ends, ends, st.sampled_from(["both", "first", "last"])).map(
        lambda drawn: Between(
            None if drawn[2] == "last" else min(drawn[:2]), None if drawn[2] == "first" else max(drawn[:2])
        )
    )
