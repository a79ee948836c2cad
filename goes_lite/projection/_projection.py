"""What a projection is: its name and version, its methods by event, its read model as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from goes_lite.errors import RegistrationError
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name
from goes_lite.events.marks import EventKind, Marked, check_kinds, mark, marked_methods
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite.processor import MAX_NAME

if TYPE_CHECKING:
    from goes_lite.processor import Target
    from goes_lite.runtime.face import Face

F = TypeVar("F", bound=Callable[..., object])

SUFFIX = "_rebuild"
PREFIX = "goes:rebuild:"
"""Before names in the store that belong to a read model while it is made beside another: nobody else has such names."""

_MARK = "__goes_projects__"

Key = Callable[[Event[Any]], str | Iterable[str] | None]
"""Which read models an event is about: the id of one, the ids of several, None for none."""

Rows: TypeAlias = AsyncIterator[tuple[str, str]] | Iterable[tuple[str, str]] | None


def projects(
    *events: EventKind, key: Callable[[Event[Any]], str | Iterable[str] | None] | None = None
) -> Callable[[F], F]:
    """Let the decorated method of a projection handle these events: registered types, or registered names.

    `key` says for these events of a `ModelProjection` which read models they are about; its method `key` by default.
    RegistrationError for anything that cannot be such a method.
    """
    kinds = check_kinds("projects", events)
    if key is not None and not callable(key):
        raise RegistrationError(f"projects(key=…) takes a function of the event, not {key!r:.80}")

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            raise RegistrationError(f"projects() decorates a method, not {function!r:.80}")
        mark(function, _MARK, kinds, key)
        return function

    return decorate


class Projection:
    """Base of projections that write whatever they like, in the transaction that they are given.

        class Revenue(goes.Projection, name="revenue", version=2):
            async def create(self, tx: goes.Transaction) -> None:
                await tx.execute(f"CREATE TABLE IF NOT EXISTS revenue{self.suffix} (day TEXT PRIMARY KEY, cents INTEGER)")

            @goes.projects(OrderPlaced)
            async def placed(self, event: goes.Event[OrderPlaced], tx: goes.Transaction) -> None:
                await tx.execute(f"INSERT INTO revenue{self.suffix} …", …)

    Class arguments
      name       what it is called in the store; needed, but for a class that is only a base of others.
      version    an int ≥ 1; a higher one than that of the read model has it made anew, see `Backend.projection`.

    Methods may be coroutine functions; on the blocking face all are plain functions, and `tx` is a blocking transaction.
    In a subclass, a method of the same name takes the place of the one of its base, and so does one for the same event.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    _methods: ClassVar[Mapping[EventKind, Marked]] = {}

    suffix: str = ""
    """Empty for the read model that everybody reads. In the projection that makes another one beside it, a copy of this
    one, it is what the names of all that it writes have to end in: `_rebuild`."""

    replaying: bool = False
    """Whether the event at hand was handled before, by this projection or an earlier version. `tx.on_commit` does nothing
    then, so that side effects are not repeated; whatever else must not happen twice can ask this."""

    def __init_subclass__(cls, *, name: str | None = None, version: int | None = None, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._methods = marked_methods(cls, _MARK)
        for method, _ in cls._methods.values():
            if any(method in vars(base) for base in cls.__mro__ if base.__module__.startswith(__package__ or __name__)):
                raise RegistrationError(
                    f"{cls.__qualname__}.{method}: every projection has a {method!r} already: choose another name"
                )
        if name is not None:
            check_name(name, "the name of a projection")
            if len(name.encode()) > MAX_NAME - len(PREFIX):
                raise RegistrationError(
                    f"the name of a projection has at most {MAX_NAME - len(PREFIX)} bytes: {name!r:.80}"
                )
            cls.name = name
        if version is not None:
            if type(version) is not int or version < 1:
                raise RegistrationError(f"{cls.__qualname__}: a version is an int ≥ 1, not {version!r:.80}")
            cls.version = version

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, version {self.version}{self.suffix and ', ' + self.suffix}>"

    def query(self, registry: Registry) -> EventQuery:
        """Which events it is told of: those that its methods are for. Override it to be told of fewer."""
        return EventQuery(sorted(self.methods(registry)))

    def methods(self, registry: Registry) -> dict[str, Callable[..., Any]]:
        """Its methods, by the names of their events. RegistrationError if there is none, UnregisteredTypeError."""
        if not self.name:
            raise RegistrationError(f"{type(self).__qualname__} has no name: write name='…' behind its base class")
        if not self._methods:
            raise RegistrationError(f"{type(self).__qualname__} projects nothing: mark its methods with @projects(…)")
        return {name: getattr(self, method) for name, (method, _) in self._handled(registry).items()}

    def keys(self, registry: Registry) -> dict[str, Key]:
        """What its decorators say that events are about, by the names of those events for which one says so."""
        handled = self._handled(registry)
        return {name: key for name, (_, kind) in handled.items() if (key := self._methods[kind].value) is not None}

    def _handled(self, registry: Registry) -> dict[str, tuple[str, EventKind]]:
        """Which method is for which event, by its name, and what it was marked with."""
        handled: dict[str, tuple[str, EventKind]] = {}
        for kind, (method, _) in self._methods.items():  # bases first: the last word is the subclass's
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
        """The class that says which events the method is for; one that overrides it need not say so again."""
        return next(cls for cls in type(self).__mro__ if hasattr(vars(cls).get(method), _MARK))

    def target(self, registry: Registry, face: Face) -> Target:
        """What handles its events in a transaction, for whatever runs it."""
        from goes_lite.projection._methods import MethodTarget

        methods = {name: face.function(method) for name, method in self.methods(registry).items()}
        return MethodTarget(methods, face)

    # --- its read model as a whole --------------------------------------------------------------------------------------

    def create(self, tx: Any) -> Awaitable[object] | object:
        """Make what its methods write to, where it is not there yet. Called each time before it begins to work."""

    def clear(self, tx: Any) -> Awaitable[object] | object:
        """Remove everything that its methods have written. Needed to make the read model anew.

        `create` is called again behind it: drop the tables if another version has had others.
        """

    def switch(self, tx: Any) -> Awaitable[object] | object:
        """Put what is written under `suffix` in the place of what everybody reads. Needed to be made beside that."""

    def rows(self, tx: Any) -> Rows | Awaitable[Rows]:
        """What its methods have written, as (key, content) in the order of keys, to compare two; None if it cannot tell.

        Two versions of it are compared by the method of the newer one.
        """
        return None

    def check_defines(self, *methods: str) -> None:
        """RegistrationError unless it defines the methods that it takes to make the read model anew."""
        for method in methods:
            if getattr(type(self), method) is getattr(Projection, method):
                raise RegistrationError(f"{type(self).__qualname__} cannot be made anew like this: define {method}(tx)")
