"""The base class of projections: name and version, methods by event, and the read model as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, overload

from goes_lite.contract.own_collections import REBUILD
from goes_lite.errors import ConfigError, RegistrationError
from goes_lite.errors.functions import check_function, form_of
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name
from goes_lite.events.marks import EventKind, Marked, check_kinds, check_takes, mark, marked_methods
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite.processor import MAX_NAME

if TYPE_CHECKING:
    from goes_lite.processor import Target
    from goes_lite.runtime.face import Face

D = TypeVar("D")
F = TypeVar("F", bound=Callable[..., object])

SUFFIX = "_rebuild"
_MARK = "__goes_projects__"

Ids: TypeAlias = str | Iterable[str] | None
Key = Callable[[Event[Any]], Ids]
"""Which read models an event updates: the id of one, the ids of several, None for none."""

Rows: TypeAlias = AsyncIterator[tuple[str, str]] | Iterable[tuple[str, str]] | None


@overload
def projects(event: type[D], /, *, key: Callable[[Event[D]], Ids] | None = None) -> Callable[[F], F]: ...
@overload
def projects(event: str, /, *more: EventKind, key: Key | None = None) -> Callable[[F], F]: ...
@overload
def projects(event: type[Any], another: EventKind, /, *more: EventKind, key: Key | None = None) -> Callable[[F], F]: ...
def projects(*events: Any, key: Any = None) -> Any:
    """Mark a method of a projection as the handler of these events: registered types, or registered names.

    `key` tells which read models these events of a `ModelProjection` update; by default its method `key` does.
    RegistrationError for anything that cannot be such a method.
    """
    kinds = check_kinds("projects", events)
    if key is not None and not callable(key):
        raise RegistrationError(f"projects(key=…) takes a function of the event, not {key!r:.80}")
    if form_of(key) in ("a coroutine", "an async generator"):
        check_function("key", key, error=RegistrationError)

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            raise RegistrationError(f"projects() decorates a method, not {function!r:.80}")
        check_function("a method of a projection", function, awaited=True, error=RegistrationError)
        check_takes("projects", function, "self", "…", "…")
        mark(function, _MARK, kinds, key)
        return function

    return decorate


class Projection:
    """Base class of projections that write anything, in the transaction that is passed to them.

        class Revenue(goes.Projection, name="revenue", version=2):
            async def create(self, tx: goes.Transaction) -> None:
                await tx.execute(f"CREATE TABLE IF NOT EXISTS revenue{self.suffix} (day TEXT PRIMARY KEY, cents INTEGER)")

            @goes.projects(OrderPlaced)
            async def placed(self, event: goes.Event[OrderPlaced], tx: goes.Transaction) -> None:
                await tx.execute(f"INSERT INTO revenue{self.suffix} …", …)

    Class arguments
      name       its name in the store; required unless the class is only a base of others.
      version    an int ≥ 1; raise it to rebuild the read model, see `Database.projection`.

    Methods may be coroutine functions; on the blocking face all are plain functions, and `tx` is a blocking transaction.
    A subclass overrides a method with one of the same name, or with another one for the same event.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    _methods: ClassVar[Mapping[EventKind, Marked]] = {}

    suffix: str = ""
    """Empty for the live read model. In the copy of the projection that builds a new one next to it, `_rebuild`: the names of
    everything that it writes must end with it."""

    replaying: bool = False
    """Whether the current event was handled before, by this projection or an earlier version. `tx.on_commit` does nothing
    then, so that side effects are not repeated; check this before any other effect that must not happen twice."""

    def __init_subclass__(cls, *, name: str | None = None, version: int | None = None, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._methods = marked_methods(cls, _MARK)
        for method, _ in cls._methods.values():
            if any(method in vars(base) for base in cls.__mro__ if base.__module__.startswith(__package__ or __name__)):
                raise RegistrationError(
                    f"{cls.__qualname__}.{method}: every projection already has a {method!r}: choose another name"
                )
        if name is not None:
            check_name(name, "the name of a projection")
            if len(name.encode()) > MAX_NAME - len(REBUILD):
                raise RegistrationError(
                    f"the name of a projection must have at most {MAX_NAME - len(REBUILD)} bytes: {name!r:.80}"
                )
            cls.name = name
        if version is not None:
            if type(version) is not int or version < 1:
                raise RegistrationError(f"{cls.__qualname__}: a version must be an int ≥ 1, not {version!r:.80}")
            cls.version = version

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, version {self.version}{self.suffix and ', ' + self.suffix}>"

    def query(self, registry: Registry) -> EventQuery:
        """Return which events it receives: those of its methods. Override it to receive fewer."""
        return EventQuery(sorted(self.methods(registry)))

    def methods(self, registry: Registry) -> dict[str, Callable[..., Any]]:
        """Return its methods, by the names of their events. RegistrationError if there are none, UnregisteredTypeError."""
        if not self.name:
            raise RegistrationError(f"{type(self).__qualname__} has no name: write name='…' after its base class")
        if not self._methods:
            raise RegistrationError(f"{type(self).__qualname__} handles no event: mark its methods with @projects(…)")
        return {name: getattr(self, method) for name, (method, _) in self._handled(registry).items()}

    def keys(self, registry: Registry) -> dict[str, Key]:
        """Return the keys that its decorators define, by the names of their events."""
        handled = self._handled(registry)
        return {name: key for name, (_, kind) in handled.items() if (key := self._methods[kind].value) is not None}

    def _handled(self, registry: Registry) -> dict[str, tuple[str, EventKind]]:
        """Return which method handles which event, by its name, and the kind with which it was marked."""
        handled: dict[str, tuple[str, EventKind]] = {}
        for kind, (method, _) in self._methods.items():  # bases first, so that subclasses override them
            for name in registry.names_of(kind):
                other, as_kind = handled.get(name, (method, kind))
                if other != method and self._marked(other) is self._marked(method):
                    raise RegistrationError(
                        f"{type(self).__qualname__} handles {name!r} twice, as {as_kind!r} in {other}() and as "
                        f"{kind!r} in {method}(): keep one of them"
                    )
                handled[name] = method, kind
        return handled

    def _marked(self, method: str) -> type[Any]:
        """Return the class that marks the method; an override need not be marked again."""
        return next(cls for cls in type(self).__mro__ if hasattr(vars(cls).get(method), _MARK))

    def target(self, registry: Registry, face: Face) -> Target:
        """Return what handles its events in a transaction, for any way to run it."""
        from goes_lite.projection._methods import MethodTarget

        methods = {
            name: face.function(method, f"{type(self).__qualname__}.{method.__name__}()")
            for name, method in self.methods(registry).items()
        }
        return MethodTarget(methods, face)

    def check_functions(self, face: Face) -> None:
        """ConfigError if the methods for its read model as a whole cannot run on this face."""
        for method in (self.create, self.clear, self.switch):
            face.function(method, f"{type(self).__qualname__}.{method.__name__}()")
        face.function(self.rows, f"{type(self).__qualname__}.rows()", iterated=True)

    def check_replaces(self, other: type[Projection]) -> None:
        """ConfigError for another class with its name and version, unless one is a variant of the other, or both of a third."""
        own = type(self)
        variants = any(self.name == getattr(base, "name", "") for base in own.__mro__ if base in other.__mro__)
        if not variants and (own.__module__, own.__qualname__) != (other.__module__, other.__qualname__):
            raise ConfigError(
                f"this handle has another projection of the name {self.name!r} and version {self.version} "
                f"({other.__qualname__}), and both would write one read model: choose another name, or a higher version if "
                f"{own.__qualname__} replaces it"
            )

    # --- its read model as a whole --------------------------------------------------------------------------------------

    def create(self, tx: Any) -> Awaitable[object] | object:
        """Create what its methods write to, if it does not exist yet. Called each time before it starts to work."""

    def clear(self, tx: Any) -> Awaitable[object] | object:
        """Remove everything that its methods wrote. Required to rebuild the read model.

        `create` is called again afterwards: drop the tables if another version had different ones.
        """

    def switch(self, tx: Any) -> Awaitable[object] | object:
        """Replace the live read model with what is written under `suffix`. Required to rebuild it next to the live one."""

    def rows(self, tx: Any) -> Rows | Awaitable[Rows]:
        """Return what its methods wrote, as (key, content) in the order of keys, to compare two; None if unsupported.

        Two versions are compared by the method of the newer one.
        """
        return None

    def check_defines(self, *methods: str) -> None:
        """RegistrationError unless it defines the methods that a rebuild needs."""
        for method in methods:
            if getattr(type(self), method) is getattr(Projection, method):
                raise RegistrationError(f"{type(self).__qualname__} cannot be rebuilt this way: define {method}(tx)")
