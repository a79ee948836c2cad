"""What a program makes of what is stored: an event as its type is today, the state of an aggregate.

Rule of this file: a payload that does not fit the type raises nothing; why it does not is part of what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from goes_lite.errors import AggregateError, GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.event import Event
from goes_lite.events.registry import Raw, Registry
from goes_lite.operations.forms import parsed_json

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate

T = TypeVar("T")


def today_of(event: Event[Any], registry: Registry) -> dict[str, Any] | None:
    """Return the event as its registered type is written today: renamed and upcast; None if its name is not registered.

    If its payload does not fit, `problem` says why.
    """
    if event.name not in registry:
        return None
    name = registry.canonical(event.name)
    type = registry.type_of(name)
    shown: dict[str, Any] = {"event": name, "type": getattr(type, "__qualname__", str(type))}
    try:
        data: Any = event.data
        if isinstance(data, Raw):
            data = registry.decode(event.name, *event.encoded, position=event.position)
        encoded = registry.encode_value(type, data)
    except (GoesError, ImportError) as exc:
        return {**shown, "data": None, "problem": error_text(exc)}
    if encoded.encoding == "json" and (parsed := parsed_json(encoded.payload)) is not None:
        return {**shown, "data": parsed[0]}
    return {**shown, "data": encoded.payload if isinstance(encoded.payload, str) else f"{data!r:.2000}"}


def state_of(aggregate: Aggregate) -> Any:
    """Return what a snapshot of an aggregate would have; of one that cannot have any, the attributes that are set."""
    try:
        return aggregate.snapshot_state()
    except AggregateError:
        return vars(aggregate)


def subclasses(base: type[T]) -> Iterator[type[T]]:
    """Yield the classes that derive from another, as far as they were imported, in the order of their definition."""
    seen: set[type[T]] = set()
    waiting = [base]
    while waiting:
        for cls in waiting.pop(0).__subclasses__():
            if cls not in seen:
                seen.add(cls)
                waiting.append(cls)
                yield cls


def aggregate_classes() -> dict[str, list[type[Aggregate]]]:
    """Return the aggregate classes that were imported, by the name of their aggregates."""
    from goes_lite.aggregate import Aggregate

    found: dict[str, list[type[Aggregate]]] = {}
    for cls in subclasses(Aggregate):
        definition = cls._goes_definition
        if definition is not None and definition.name:
            found.setdefault(definition.name, []).append(cls)
    return found
