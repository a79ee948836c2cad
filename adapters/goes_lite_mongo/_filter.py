"""Translate an EventQuery to a MongoDB filter; `EventQuery.matches` is the definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.binary import Binary

from goes_lite.events.query import EventQuery, QueryItem, Span
from goes_lite.kit.branches import Spellings
from goes_lite_mongo._driver import Document


def window(query: EventQuery, spellings: Spellings, after: int, upto: int) -> Document:
    """Return the filter for matching events with after < position ≤ upto."""
    wanted = condition(query, spellings)
    return {"$and": [place(after, upto), wanted]} if wanted else place(after, upto)


def condition(query: EventQuery, spellings: Spellings) -> Document:
    """Return the filter for matching events, which is empty if all match."""
    if query.is_everything:
        return {}
    alternatives = [item_filter(item, spellings) for item in query.items]
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def place(after: int, upto: int) -> Document:
    """Return the filter for after < position ≤ upto."""
    return {"_id": {"$gt": after, "$lte": upto}}


def item_filter(item: QueryItem, spellings: Spellings) -> Document:
    """Return the filter for one alternative, which is empty if it demands nothing."""
    wanted: list[Document] = []
    if item.names:
        wanted.append(one_of("name", [old for name in item.names for old in spellings(name)]))
    if item.aggregates:
        pairs = [{"aggregate.name": ref.name, "aggregate.id": ref.id} for ref in item.aggregates]
        wanted.append(pairs[0] if len(pairs) == 1 else {"$or": pairs})
    if item.aggregate_names:
        wanted.append(one_of("aggregate.name", item.aggregate_names))
    if item.aggregate_ids:
        wanted.append(one_of("aggregate.id", item.aggregate_ids))
    if item.versions:
        wanted.append(_spans("version", item.versions))
    if item.times:
        wanted.append(_spans("time", item.times))
    if item.tags:
        wanted.append({"tags": item.tags[0]} if len(item.tags) == 1 else {"tags": {"$all": [*item.tags]}})
    if item.ids:
        wanted.append(one_of("id", [Binary(one.bytes, 4) for one in item.ids]))
    return wanted[0] if len(wanted) == 1 else {"$and": wanted} if wanted else {}


def one_of(field: str, values: Sequence[Any]) -> Document:
    return {field: values[0]} if len(values) == 1 else {field: {"$in": [*values]}}


def _spans(field: str, spans: Sequence[Span]) -> Document:
    alternatives: list[Document] = []
    for first, last in spans:
        ends: Document = {"$exists": True} if first is None and last is None else {}
        if first is not None:
            ends["$gte"] = first
        if last is not None:
            ends["$lte"] = last
        alternatives.append({field: ends})
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}
