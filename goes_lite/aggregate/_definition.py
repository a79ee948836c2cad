"""What the class statement of an aggregate defines, checked and resolved once per class.

The name, the schema of its snapshots, which method applies which event, which events delete and restore it. Mistakes in
such a class are found when it is defined, or at the latest when its first event is applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, cast, get_origin, get_type_hints, overload

from goes_lite.codec.generics import annotations_of, bound_hints
from goes_lite.errors import AggregateError, RegistrationError, UnregisteredTypeError
from goes_lite.errors.functions import check_function, form_of
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name, check_not_of_workflows
from goes_lite.events.marks import EventKind, check_kinds, mark, marked_methods
from goes_lite.events.registry import Registry

D = TypeVar("D")
S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., None])

Applier = Callable[[Any, Event[Any]], object]

_MARK = "__goes_applies__"
_VARARGS = 0x04  # inspect.CO_VARARGS
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
        if not isinstance(function, FunctionType) or form_of(function):
            raise RegistrationError(
                f"an applier must be a plain method, not async, a generator, static or anything else: {function!r}"
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

    def by_name(self) -> Mapping[str, Applier]:
        """Return the appliers of all events that are registered by now."""
        self._resolve()
        return self._by_name

    def __missing__(self, name: str) -> Applier:
        if self._unresolved:
            self._resolve()
            for kind in self._unresolved:
                raise UnregisteredTypeError(kind)
        # The name of an applier may have become an alias of another name since, and then counts as that.
        found = self._by_name.get(name) or self._by_name.get(self._registry.canonical(name), unapplied)
        if name in self._registry:
            self[name] = found
        return found


def unapplied(aggregate: Any, event: Event[Any]) -> None:
    """Stands for the applier that a class does not have: old events load without one, new ones are not recorded."""


def _ignored(aggregate: Any, event: Event[Any]) -> None:
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
    ignores: tuple[EventKind, ...]
    appliers: Appliers
    versioned: bool
    """Whether the class or a base gives `schema`, and so decides itself which snapshots fit."""
    stateless: bool
    """Whether it declares neither appliers nor attributes: then nothing can have been forgotten."""

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
        ignores: EventKind | Iterable[EventKind],
    ) -> Definition:
        """Return the definition of a new class; what it leaves out is inherited. `switch` sets `deleted`."""
        if name is not None:
            check_not_of_workflows(check_name(name, "an aggregate name"), "the aggregate name")
        if not isinstance(registry, Registry):
            raise RegistrationError(f"{aggregate.__qualname__}: registry must be a Registry, not {registry!r:.80}")
        if schema is not None and (type(schema) is not int or schema < 1):
            raise RegistrationError(
                f"{aggregate.__qualname__}: the schema of snapshots must be an int ≥ 1, not {schema!r}"
            )
        deleting = (*(base.deleted_by if base else ()), *_kinds("deleted_by", deleted_by))
        restoring = (*(base.restored_by if base else ()), *_kinds("restored_by", restored_by))
        ignoring = (*(base.ignores if base else ()), *_kinds("ignores", ignores))
        for kind in deleting:
            if kind in restoring:
                raise RegistrationError(f"{aggregate.__qualname__}: {kind!r} cannot both delete and restore it")
        marked = marked_methods(aggregate, _MARK)
        methods: dict[EventKind, Applier] = {kind: getattr(aggregate, one.attribute) for kind, one in marked.items()}
        methods = dict.fromkeys(ignoring, _ignored) | methods
        for kinds, deleted in ((deleting, True), (restoring, False)):
            for kind in kinds:
                methods[kind] = _switching(methods.get(kind, _ignored), switch, deleted)
        return cls(
            name if name is not None else base.name if base else "",
            schema if schema is not None else base.schema if base else 1,
            registry,
            deleting,
            restoring,
            ignoring,
            Appliers(registry, methods),
            versioned=schema is not None or (base is not None and base.versioned),
            stateless=not marked and not _declares_state(aggregate),
        )


def definition_of(aggregate: type[Any]) -> Definition:
    """Return what the class statement says; RegistrationError for a class that is only a base, without a name."""
    definition: Definition | None = aggregate._goes_definition
    if definition is None or not definition.name:
        raise RegistrationError(
            f"{aggregate.__qualname__} has no aggregate name: write class {aggregate.__name__}(…, name='some-name')"
        )
    return definition


def check_class(aggregate: object) -> Definition:
    """Return the definition of a class; RegistrationError unless a repository can create its instances."""
    if not isinstance(aggregate, type) or not hasattr(aggregate, "_goes_definition"):
        kind = type(aggregate)
        meant = f": pass the class, {kind.__qualname__}" if hasattr(kind, "_goes_definition") else ""
        raise RegistrationError(f"an aggregate class must be a subclass of Aggregate, not {aggregate!r:.80}{meant}")
    definition = definition_of(aggregate)
    init: Any = getattr(aggregate, "__init__")  # noqa: B009 - mypy refuses it on an instance of type
    if not isinstance(init, FunctionType):
        return definition
    code = init.__code__
    if _is_generated(aggregate):
        raise uninitialised(aggregate)
    required = code.co_argcount - len(init.__defaults__ or ())
    if (
        required > 2
        or (code.co_argcount < 2 and not code.co_flags & _VARARGS)
        or code.co_kwonlyargcount > len(init.__kwdefaults__ or ())
    ):
        raise RegistrationError(
            f"{aggregate.__qualname__}.__init__ must work with the id alone: a repository creates instances with it. Write "
            "__init__(self, id=None), and set everything else in appliers"
        )
    return definition


def uninitialised(aggregate: type[Any]) -> RegistrationError:
    """Return the error of a class whose instances do not run the `__init__` of Aggregate."""
    if _is_generated(aggregate):
        return RegistrationError(
            f"{aggregate.__qualname__}: @dataclass (or attrs) replaces the __init__ that every aggregate needs: remove the "
            "decorator. Annotated attributes with immutable defaults need none; mutable ones belong in __init__(self, id=None)"
        )
    return RegistrationError(
        f"{aggregate.__qualname__}: the __init__ of Aggregate did not run: call super().__init__(id) first in its __init__"
    )


def _is_generated(aggregate: type[Any]) -> bool:
    """Whether @dataclass or attrs wrote the `__init__` of a class: then it is in no file."""
    owner = next(one for one in aggregate.__mro__ if "__init__" in vars(one))
    code: Any = getattr(vars(owner)["__init__"], "__code__", None)
    decorated = "__dataclass_fields__" in vars(owner) or "__attrs_attrs__" in vars(owner)
    return decorated and code is not None and code.co_filename.startswith("<")


def check_applied(aggregate: Any, event: Event[Any]) -> None:
    """AggregateError for a new event that the class does not apply: its applier was forgotten, or it is not its own."""
    cls: type[Any] = aggregate.__class__
    definition = definition_of(cls)
    if definition.stateless and not vars(aggregate):
        return
    kind = definition.registry.type_of(event.name)
    named = isinstance(kind, type) and kind.__module__ != "builtins"
    shown = kind.__qualname__.rpartition(".")[2] if named else repr(event.name)
    raise AggregateError(
        aggregate.ref,
        f"{aggregate.ref}: {cls.__qualname__} has no applier for {event.name!r}, so recording it would change nothing: "
        f"decorate the method that changes the state with @applies({shown}) (a Decider: add it to events), or write "
        f"class {cls.__name__}(…, ignores={shown}) if nothing changes",
    )


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


def _kinds(option: str, kinds: EventKind | Iterable[EventKind]) -> tuple[EventKind, ...]:
    several = not isinstance(kinds, str | type) and isinstance(kinds, Iterable)
    found = tuple(cast("Iterable[EventKind]", kinds)) if several else (cast("EventKind", kinds),)
    return check_kinds(option, found) if found else ()


def _declares_state(aggregate: type[Any]) -> bool:
    """Whether a class or one of its bases annotates an attribute that is no constant. The base of all has none."""
    return any(
        not name.startswith("_goes_") and name != "snapshot_type" and not _is_constant(annotation)
        for owner in aggregate.__mro__
        for name, annotation in annotations_of(owner).items()
    )


def check_attributes(aggregate: type[Any], reserved: Iterable[str]) -> None:
    """Refuse a class body that would fail later: a default shared by all instances, a reserved name, async methods."""
    for name in ("__init__", "snapshot_state", "restore_state"):
        if name in vars(aggregate):
            check_function(f"{aggregate.__qualname__}.{name}", vars(aggregate)[name], error=RegistrationError)
    annotations = annotations_of(aggregate)
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
        hints = bound_hints(aggregate)
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


def _is_constant(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return _CONSTANT.search(annotation) is not None
    return (get_origin(annotation) or annotation) in (ClassVar, Final)
