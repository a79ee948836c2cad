"""What one event makes of the read models of a projection, computed without writing anything to the store.

Belongs here: folding events in memory up to one of them, then that one. How much is folded is bounded by the caller: where the
read models of an event follow from the events of its aggregate alone, that is little, however long the log is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from goes_lite.contract.backend import Backend, Stores, Transaction
from goes_lite.errors import ConfigError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite.projection._models import Fold, ModelProjection, check_made
from goes_lite.projection._parity import RowReader
from goes_lite.projection._projection import Projection
from goes_lite.runtime.face import Face, contained

ROWS = 1_000
"""How many rows of a projection that writes by itself are compared."""


class Stepped(NamedTuple):
    """The read models that an event is about, as text by id; None for one that does not exist."""

    before: Mapping[str, str | None]
    after: Mapping[str, str | None]
    folded: int
    """How many events were handled to know what was before."""


class TooManyEvents(ConfigError):
    """More events than allowed would have to be handled."""


async def step(
    store: Stores,
    projection: ModelProjection[Any],
    registry: Registry,
    event: Event[Any],
    *,
    most: int,
    names: Sequence[str] = (),
) -> Stepped | None:
    """Return what a stored event makes of the read models that it is about; None if it is about none.

    `names` are the names of the aggregates of the store: with them, only the events of these aggregates are read where that is
    enough. Raises TooManyEvents if more than `most` events would have to be folded; what the projection raises propagates.
    """  # fmt: skip
    fold: Fold[Any] = Fold(projection, registry)
    ids = fold.ids(event)
    if not ids:
        return None
    models, number = await _folded(store, fold, registry, ids, event.position - 1, most, names)
    before = _texts(fold, ids, models)
    fold.apply(event, ids, models)
    check_made(projection, models)
    return Stepped(before, _texts(fold, ids, models), number)


async def folded(
    store: Stores,
    projection: ModelProjection[Any],
    registry: Registry,
    ids: Sequence[str],
    upto: int,
    *,
    most: int,
    names: Sequence[str] = (),
) -> Mapping[str, str | None]:
    """Return read models as the projection makes them of the events up to a position. Arguments and errors as of `step`."""
    fold: Fold[Any] = Fold(projection, registry)
    models, _ = await _folded(store, fold, registry, ids, upto, most, names)
    check_made(projection, models)
    return _texts(fold, ids, models)  # fmt: skip


async def step_in_memory(
    memory: Backend, projection: Projection, face: Face, before: Sequence[Event[Any]], event: Event[Any]
) -> Stepped | None:
    """Return what an event makes of the rows of a projection that writes by itself; None if it does not define `rows`.

    `memory` is an empty store, into which it writes what it makes of the events before and of this one; nothing is committed.
    ConfigError if it cannot run on this face, or has more than `ROWS` rows.
    """
    projection.check_functions(face)
    target = projection.target(memory.registry, face)
    found: list[dict[str, str]] = []

    async def call(method: Callable[[Any], object], tx: Transaction) -> None:
        await contained(face.function(method, f"{method.__name__}()"), face.transaction(tx))

    try:
        async with memory.transaction() as tx:
            await call(projection.create, tx)
            for events in (before, [event]):
                if events:
                    await target.apply(events, tx)
                rows = await _rows(projection, face, tx)
                if rows is None:
                    return None
                found.append(rows)
            raise _NothingIsKept
    except _NothingIsKept:
        pass
    old, new = found
    changed = [id for id in dict.fromkeys([*old, *new]) if old.get(id) != new.get(id)]
    return Stepped({id: old.get(id) for id in changed}, {id: new.get(id) for id in changed}, len(before))


class _NothingIsKept(Exception):
    """Ends a transaction."""


async def _rows(projection: Projection, face: Face, tx: Transaction) -> dict[str, str] | None:
    reader = RowReader(projection, face)
    if not await reader.begin(tx):
        return None
    found: dict[str, str] = {}
    while (row := await reader.next()) is not None:
        if len(found) == ROWS:
            raise TooManyEvents(f"{projection!r:.80} has more than {ROWS:,} rows by then: choose an earlier event")
        found[row[0]] = row[1]
    return found


def narrowed(
    projection: ModelProjection[Any], registry: Registry, ids: Iterable[str], names: Iterable[str]
) -> EventQuery:
    """Return which events the read models of some ids follow from: of aggregates with these ids, unless keys say otherwise."""
    by_aggregate = cast("Any", type(projection)).key is cast("Any", ModelProjection).key
    refs = [AggregateRef(name, id) for name in names for id in ids]
    if not by_aggregate or projection.keys(registry) or not refs:
        return projection.query(registry)
    return EventQuery(sorted(projection.methods(registry)), aggregates=refs)


async def _folded(
    store: Stores, fold: Fold[Any], registry: Registry, ids: Sequence[str], upto: int, most: int, names: Sequence[str]
) -> tuple[dict[str, Any], int]:
    wanted, number = frozenset(ids), 0
    models: dict[str, Any] = {}
    if upto < 1:
        return models, 0
    pages = store.events.query(narrowed(fold.projection, registry, ids, names), upto=upto, limit=most + 1)
    while page := await pages.next_page():
        for event in page:
            number += 1
            if number > most:
                raise TooManyEvents(f"more than {most:,} events up to position {upto:,} would have to be folded")
            if about := [id for id in fold.ids(event) if id in wanted]:
                fold.apply(event, about, models)
    return models, number


def _texts(fold: Fold[Any], ids: Sequence[str], models: Mapping[str, Any]) -> dict[str, str | None]:
    found = {id: models.get(id) for id in ids}
    return {id: None if model is None else fold.encode(model) for id, model in found.items()}
