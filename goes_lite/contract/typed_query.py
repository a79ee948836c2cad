"""Queries for read models of one type: fields are those of the type, and values compare as such, whatever the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import ModelQuery, ModelRecord, ModelStore, field_path, value_at

Found = tuple[tuple[Any, ...], str, ModelRecord]


def typed_query(
    store: ModelStore,
    collection: str,
    type: Any,
    where: Mapping[str, Any] | None,
    order_by: str | None,
    limit: int | None,
    *,
    reverse: bool,
) -> Pages[ModelRecord]:
    """Return the records of a collection of models of this type; see `Models.query`.

    What JSON compares differently from the type is left to this process: those conditions, and the order with the limit.
    """
    from goes_lite.codec.fields import field_of

    ModelQuery(dict.fromkeys(where) if isinstance(where, Mapping) else where, order_by, limit)
    equal: dict[str, Any] = {}
    tests: list[Callable[[Any], bool]] = []
    for name, value in (where or {}).items():
        field = field_of(type, field_path(name))
        plain = field.stored(value)
        if plain is not None and field.found_by_value:
            tests.append(_test(field.path, field.value, field.value(plain)))
        else:
            equal[".".join(field.path)] = plain
    key: Callable[[Any], tuple[Any, ...]] | None = None
    if order_by is not None:
        field = field_of(type, field_path(order_by))
        order_by = ".".join(field.path)
        if field.ordered_by_value:
            key = _key(field.path, field.sort_key)
    if key is None:
        rest = None if tests else limit
        records = store.query(collection, where=equal, order_by=order_by, reverse=reverse, limit=rest)
        return _passing(records, tests, limit) if tests else records
    return _ordered(store.query(collection, where=equal), tests, key, limit, reverse=reverse)


def _test(path: tuple[str, ...], value_of: Callable[[Any], Any], wanted: Any) -> Callable[[Any], bool]:
    return lambda document: bool(value_of(value_at(document, path)) == wanted)


def _key(path: tuple[str, ...], key_of: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda document: key_of(value_at(document, path))


def _passing(records: Pages[ModelRecord], tests: list[Callable[[Any], bool]], limit: int | None) -> Pages[ModelRecord]:
    left = limit

    async def fetch() -> Sequence[ModelRecord]:
        nonlocal left
        while left != 0 and (page := await records.next_page()):
            found = [record for record in page if _passes(json.loads(record.data), tests)][:left]
            left = None if left is None else left - len(found)
            if found:
                return found
        return ()

    return Pages(fetch)


def _passes(document: Any, tests: list[Callable[[Any], bool]]) -> bool:
    return all(test(document) for test in tests)


def _ordered(
    records: Pages[ModelRecord],
    tests: list[Callable[[Any], bool]],
    key: Callable[[Any], tuple[Any, ...]],
    limit: int | None,
    *,
    reverse: bool,
) -> Pages[ModelRecord]:
    async def fetch() -> Sequence[ModelRecord]:
        found: list[Found] = []
        while page := await records.next_page():  # the second time, there is none left
            for record in page:
                document = json.loads(record.data)
                if _passes(document, tests):
                    found.append((key(document), record.id, record))  # ids differ, so records are never compared
            if limit is not None and len(found) > 2 * limit + 1000:
                found = _first(found, limit, reverse=reverse)
        return [record for _, _, record in _first(found, limit, reverse=reverse)]

    return Pages(fetch)


def _first(found: list[Found], limit: int | None, *, reverse: bool) -> list[Found]:
    if limit is None:
        return sorted(found, reverse=reverse)
    import heapq

    return heapq.nlargest(limit, found) if reverse else heapq.nsmallest(limit, found)
