"""What the class statement of an aggregate defines, checked and resolved once per class.

The name, the schema of its snapshots, which method applies which event, which events delete and restore it. Mistakes in
such a class are found when it is defined, or at the latest when its first event is applied.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, get_origin, get_type_hints, overload

from goes_lite.errors import RegistrationError, UnregisteredTypeError
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name
from goes_lite.events.marks import EventKind, check_kinds, mark, marked_methods
from goes_lite.events.registry import Registry

D = TypeVar("D")
S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., None])

Applier = Callable[[Any, Event[Any]], object]

_MARK = "__goes_applies__"
_COROUTINE = 0x80  # inspect.CO_COROUTINE: importing inspect would double the import time of goes_lite
_CONSTANT = re.compile(r"(^|\.)(ClassVar|Final)\b")


@overload
def applies(event: type[D], /) -> Callable[[Callable[[S, Event[D]], None]], Callable[[S, Event[D]], None]]: ...
@overload
def applies(event: str, /) -> Callable[[F], F]: ...
@overload
def applies(event: EventKind, another: EventKind, /, *more: EventKind) -> Callable[[F], F]: ...
def applies(*events: Any) -> Callable[[Any], Any]:
    """Mark a method of an Aggregate as the applier of these events: registered types, or registered names.

        @goes.applies(OrderPlaced)
        def _placed(self, event: goes.Event[OrderPlaced]) -> None:
            self.items = tuple(event.data.items)

    It runs when the event is recorded and whenever the aggregate is loaded, so it must only change the state of `self`: it
    decides nothing, records nothing and waits for nothing. While it runs, `self.version` is still the version before the
    event. A subclass overrides it with a method of the same name, or with another applier of the same event.
    RegistrationError for anything that cannot be an applier.
    """
    kinds = check_kinds("applies", events)

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType) or function.__code__.co_flags & _COROUTINE:
            raise RegistrationError(
                f"an applier must be a plain method, not async, static or anything else: {function!r}"
            )
        mark(function, _MARK, kinds)
        return function

    return decorate


class Appliers(dict[str, Applier]):
    """The appliers of a class by the stored name of the event.

    Filled on demand, so that the loop over the events of an aggregate costs one lookup per event. A name that the registry
    does not know yet is not cached: it may be registered later.
    """

    def __init__(self, registry: Registry, methods: Mapping[EventKind, Applier]) -> None:
        self._registry = registry
        self._by_name: dict[str, Applier] = {}
        self._unresolved = dict(methods)
        self._resolve()

    def _resolve(self) -> None:
        # By name, not by class: a reloaded module registers a new class under the same name, and it must still apply.
        names: dict[Any, list[str]] = {}
        for name in self._registry.names():
            names.setdefault(_hashable(self._registry.type_of(name)), []).append(name)
        unresolved: dict[EventKind, Applier] = {}
        by_name: dict[str, Applier] = {}
        for kind, method in self._unresolved.items():
            found = [self._registry.canonical(kind)] if isinstance(kind, str) else names.get(kind)
            if found is None:
                unresolved[kind] = method
            else:
                by_name.update(dict.fromkeys(found, method))
        self._by_name = {**self._by_name, **by_name}
        self._unresolved = unresolved

    def __missing__(self, name: str) -> Applier:
        if self._unresolved:
            self._resolve()
            for kind in self._unresolved:
                if isinstance(kind, type):
                    raise UnregisteredTypeError(kind)
        # The name of an applier may have become an alias of another name since, and then counts as that.
        found = self._by_name.get(name) or self._by_name.get(self._registry.canonical(name), _nothing)
        if name in self._registry:
            self[name] = found
        return found


def _nothing(aggregate: Any, event: Event[Any]) -> None:
    """The applier of events that do not change the state."""


def _hashable(kind: Any) -> Any:
    try:
        hash(kind)
    except TypeError:  # Annotated with unhashable metadata: it can only be applied by name
        return None
    return kind


class Definition(NamedTuple):
    """What an aggregate class defines. `name` is "" for a class that is only a base of others."""

    name: str
    schema: int
    registry: Registry
    deleted_by: tuple[EventKind, ...]
    restored_by: tuple[EventKind, ...]
    appliers: Appliers

    @classmethod
    def of(
        cls,
        aggregate: type[Any],
        base: Definition | None,
        switch: Callable[[Any, bool], None],
        *,
        name: str | None,
        schema: int | None,
        registry: Registry,
        deleted_by: EventKind | Iterable[EventKind],
        restored_by: EventKind | Iterable[EventKind],
    ) -> Definition:
        """Return the definition of a new class; what it leaves out is inherited. `switch` sets `deleted`."""
        if name is not None:
            check_name(name, "an aggregate name")
        if schema is not None and (type(schema) is not int or schema < 1):
            raise RegistrationError(
                f"{aggregate.__qualname__}: the schema of snapshots must be an int ≥ 1, not {schema!r}"
            )
        deleting = (*(base.deleted_by if base else ()), *_kinds(deleted_by))
        restoring = (*(base.restored_by if base else ()), *_kinds(restored_by))
        for kind in deleting:
            if kind in restoring:
                raise RegistrationError(f"{aggregate.__qualname__}: {kind!r} cannot both delete and restore it")
        methods: dict[EventKind, Applier] = {
            kind: getattr(aggregate, method.attribute) for kind, method in marked_methods(aggregate, _MARK).items()
        }
        for kinds, deleted in ((deleting, True), (restoring, False)):
            for kind in kinds:
                methods[kind] = _switching(methods.get(kind, _nothing), switch, deleted)
        return cls(
            name if name is not None else base.name if base else "",
            schema if schema is not None else base.schema if base else 1,
            registry,
            deleting,
            restoring,
            Appliers(registry, methods),
        )


def definition_of(aggregate: type[Any]) -> Definition:
    """Return what the class statement says; RegistrationError for a class that is only a base, without a name."""
    definition: Definition | None = aggregate._goes_definition
    if definition is None or not definition.name:
        raise RegistrationError(
            f"{aggregate.__qualname__} has no aggregate name: write class {aggregate.__name__}(…, name='some-name')"
        )
    return definition


def _own_slots(aggregate: type[Any], base: type[Any]) -> tuple[str, ...]:
    found: list[str] = []
    for owner in aggregate.__mro__:
        slots: str | Iterable[str] = () if owner is base else vars(owner).get("__slots__", ())
        found.extend((slots,) if isinstance(slots, str) else slots)
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


own_slots: Callable[..., tuple[str, ...]] = lru_cache(maxsize=256)(_own_slots)
"""The slots that a class and its bases declare, without those of the base of all aggregates."""


def _switching(apply: Applier, switch: Callable[[Any, bool], None], deleted: bool) -> Applier:
    def apply_and_switch(aggregate: Any, event: Event[Any]) -> None:
        apply(aggregate, event)
        switch(aggregate, deleted)

    return apply_and_switch


def _kinds(kinds: EventKind | Iterable[EventKind]) -> tuple[EventKind, ...]:
    return (kinds,) if isinstance(kinds, str | type) else tuple(kinds)


def check_attributes(aggregate: type[Any], reserved: Iterable[str]) -> None:
    """Refuse a class body that would fail later: a default shared by all instances, a reserved name."""
    annotations = _annotations(aggregate)
    for name in reserved:
        if name in vars(aggregate) or name in annotations:
            raise RegistrationError(
                f"{aggregate.__qualname__}.{name}: every aggregate already has a {name!r}: choose another name"
            )
    for name, annotation in annotations.items():
        value = vars(aggregate).get(name)
        # Unhashable is how dataclasses recognise a mutable default, too.
        if type(value).__hash__ is None and not _is_constant(annotation):
            raise RegistrationError(
                f"{aggregate.__qualname__}.{name}: the {type(value).__name__} would be shared by all instances. Use an "
                f"immutable default such as a tuple, set it in __init__ after super().__init__(id), or annotate it "
                "as ClassVar if it is a constant"
            )


def state_hints(aggregate: type[Any], internal: type[Any]) -> dict[str, Any]:
    """Return the annotated attributes that hold the state of an aggregate, with their types, bases first.

    Without those of `internal` and constants (ClassVar, a Final with a value). RegistrationError for an annotation that
    cannot be resolved.
    """
    try:
        hints = get_type_hints(aggregate, include_extras=True)
    except NameError as exc:
        raise RegistrationError(
            f"{aggregate.__qualname__}: {exc} (in an annotation): annotate with types that the module can see, or "
            "override snapshot_state() and restore_state()"
        ) from exc
    own = get_type_hints(internal, include_extras=True)
    found: dict[str, Any] = {}
    for name, hint in hints.items():
        origin = get_origin(hint) or hint
        if name not in own and origin is not ClassVar and not (origin is Final and hasattr(aggregate, name)):
            found[name] = hint
    return found


def _annotations(cls: type[Any]) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.STRING)
    own: Mapping[str, Any] = vars(cls).get("__annotations__", {})
    return own


def _is_constant(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return _CONSTANT.search(annotation) is not None
    return (get_origin(annotation) or annotation) in (ClassVar, Final)
