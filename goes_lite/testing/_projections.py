"""Given some events, when they are projected, then these are the read models.

It is the real thing that is tested: a store in memory, and the processor that keeps a projection up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from uuid import UUID

from goes_lite import blocking
from goes_lite.errors import ProcessorStopped
from goes_lite.event import AggregateRef, Event, aggregate_ref
from goes_lite.processor import Retry
from goes_lite.projection import ModelProjection, Projection
from goes_lite.registry import Registry, default_registry

PATIENCE = 60.0
"""Seconds after which a projection is taken for stuck."""

Row = tuple[Any, ...]


def history(
    aggregate: AggregateRef | tuple[str, str | UUID], *data: Any, registry: Registry = default_registry
) -> list[Event[Any]]:
    """The events of an aggregate from version 1 on, of which only the data matters: `history(("order", "1"), Placed(3))`."""
    ref = aggregate_ref(aggregate)
    return [Event(one, aggregate=ref, version=version, registry=registry) for version, one in enumerate(data, start=1)]


def given(*events: Event[Any] | Iterable[Event[Any]], registry: Registry = default_registry) -> Given:
    """Some events, or lists of them such as those of `history`, in the order in which they are stored.

    given(history(("order", "1"), OrderPlaced(450))).project(Bills()).then({"1": Bill(450)})
    """
    flat: list[Event[Any]] = []
    for one in events:
        flat += [one] if isinstance(one, Event) else one
    return Given(flat, registry)


class Given:
    """Events that have happened: see `given`."""

    def __init__(self, events: Sequence[Event[Any]], registry: Registry) -> None:
        self._events = events
        self._registry = registry

    def __repr__(self) -> str:
        return f"<Given {len(self._events)} events>"

    def project(self, projection: Projection, *, select: str = "") -> Projected:
        """What a projection makes of them. `select` is a statement whose rows tell what it has written with SQL.

        It is told of them twice, one by one and all at once: AssertionError if that is not the same. What its methods
        raise is raised here.
        """
        one_by_one, at_once = (self._run(projection, select, batch) for batch in (1, max(1, len(self._events))))
        if one_by_one != at_once:
            raise AssertionError(
                f"{projection!r} makes {one_by_one!r} of the events one by one, and {at_once!r} of all at once"
            )
        return Projected(projection, *at_once)

    def _run(self, projection: Projection, select: str, batch: int) -> _Made:
        with blocking.connect("sqlite:///:memory:", registry=self._registry) as db:
            if self._events:
                db.events.append(self._events)
            with db.projection(projection, batch=batch, retry=Retry(1)) as processor:
                try:
                    processor.wait_for(db.events.head(), PATIENCE)
                except ProcessorStopped as exc:
                    raise (exc.__cause__ or exc) from None
            models: dict[str, Any] = {}
            if isinstance(projection, ModelProjection):
                typed = db.models_of(projection.place, projection.model)
                models = {record.id: typed.get(record.id) for record in db.models.query(projection.place)}
            return _Made(models, db.select(select) if select else [])


class _Made(NamedTuple):
    models: dict[str, Any]
    rows: list[Row]


class Projected:
    """What a projection has made: look at it, or say what it has to be."""

    def __init__(self, projection: Projection, models: dict[str, Any], rows: list[Row]) -> None:
        self._projection = projection
        self.models = models
        """The read models of a ModelProjection, by id."""
        self.rows = rows
        """What the `select` found."""

    def then(self, models: Mapping[str, Any]) -> Self:
        """These are the read models, and there are no others; else AssertionError, which says what is not the same."""
        wrong = [
            f"  {id}: {self.models.get(id, 'missing')!r}, not {models.get(id, 'none')!r}"
            for id in sorted({*self.models, *models})
            if (id in self.models, self.models.get(id)) != (id in models, models.get(id))
        ]
        if wrong:
            raise AssertionError("\n".join([f"{self._projection!r} makes", *wrong]))
        return self

    def then_model(self, id: str, model: Any) -> Self:
        """This is the read model with that id."""
        if id not in self.models or self.models[id] != model:
            raise AssertionError(
                f"{self._projection!r} makes {self.models.get(id, 'nothing')!r} of {id!r}, not {model!r}"
            )
        return self

    def then_no_model(self, id: str) -> Self:
        """There is no read model with that id."""
        if id in self.models:
            raise AssertionError(f"{self._projection!r} makes {self.models[id]!r} of {id!r}, which was to have none")
        return self

    def then_rows(self, rows: Iterable[Row]) -> Self:
        """This is what the `select` found, in this order."""
        expected = [*rows]
        if self.rows != expected:
            raise AssertionError(f"{self._projection!r} makes the rows {self.rows!r}, not {expected!r}")
        return self
