"""What the program says: its aggregates, projections and workflows, by the names under which they store.

Only what was imported is known: by `--app`, or by the program that the explorer is part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from goes_lite.operations.today import aggregate_classes, subclasses

if TYPE_CHECKING:
    from goes_lite.aggregate import Aggregate
    from goes_lite.explorer.source import Source
    from goes_lite.projection import ModelProjection, Projection
    from goes_lite.workflow import Workflow

T = TypeVar("T")


def aggregate_class(source: Source, name: str) -> type[Aggregate] | None:
    """Return the class of the aggregates of a name."""
    found = [one for one in aggregate_classes().get(name, ()) if _registry_of(one) is source.db.registry]
    return _nearest(source, found)


def personal_state(source: Source, aggregate: type[Aggregate]) -> bool:
    """Whether an event of an aggregate declares a field personal: then its state may hold it under any name."""
    from goes_lite.aggregate import definition_of
    from goes_lite.explorer.disclosure import is_personal

    registry = source.db.registry
    return any(name in registry and is_personal(registry.type_of(name)) for name in definition_of(aggregate).appliers)


def projections(source: Source) -> dict[str, Projection]:
    """Return the projections of the program, by name: those that need no arguments, and handle events of this registry."""
    from goes_lite.projection import Projection

    def fits(one: Projection) -> bool:
        return bool(one.name and one.methods(source.db.registry))

    return {one.name: one for one in _made(source, Projection, fits)}


def folding(projection: Projection | None) -> ModelProjection[Any] | None:
    """Return the projection if it keeps documents by id, so that it can be folded in memory."""
    from goes_lite.projection import ModelProjection

    models: type[Any] = ModelProjection  # the generic class itself makes the type of its models unknown
    return cast("ModelProjection[Any]", projection) if isinstance(projection, models) else None


def workflows(source: Source) -> dict[str, list[Workflow[Any]]]:
    """Return the workflows of the program by name: the definitions of each, the newest version first."""
    from goes_lite.workflow import Definition, Workflow

    def fits(one: Workflow[Any]) -> bool:
        return bool(one.name and Definition(one, source.db.registry))

    base: type[Workflow[Any]] = Workflow
    found: dict[str, dict[int, Workflow[Any]]] = {}
    for one in _made(source, base, fits):
        found.setdefault(one.name, {})[one.version] = one
    return {name: [versions[number] for number in sorted(versions, reverse=True)] for name, versions in found.items()}


def _made(source: Source, base: type[T], fits: Callable[[T], bool]) -> Iterator[T]:
    """Yield one of each class, those in the module of the program last: they replace others of the same name."""
    classes = sorted(subclasses(base), key=lambda cls: _is_near(source, cls))
    for cls in classes:
        if cls.__module__.partition(".")[0] == "goes_lite":
            continue
        try:
            one = cls()
            if fits(one):
                yield one
        except Exception:  # noqa: S112, BLE001 - it needs arguments, or other types: it is not one of this store
            continue
    for one in vars(source.app).values() if source.app is not None else ():
        try:
            if isinstance(one, base) and fits(one):
                yield one
        except Exception:  # noqa: S112, BLE001 - see above
            continue


def _registry_of(cls: type[Aggregate]) -> object:
    definition = cls._goes_definition
    return None if definition is None else definition.registry


def _nearest(source: Source, classes: list[type[Any]]) -> type[Any] | None:
    return max(classes, key=lambda cls: _is_near(source, cls), default=None)


def _is_near(source: Source, cls: type[Any]) -> bool:
    return source.app is not None and cls.__module__ == source.app.__name__
