"""Definitions: the class of a workflow, and what the engine makes of it with a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

from goes_lite.codec import codec
from goes_lite.codec.generics import bindings
from goes_lite.errors import InvalidEventError, InvalidQueryError, RegistrationError
from goes_lite.errors.functions import check_function, check_result
from goes_lite.events.event import Event
from goes_lite.events.fields import OF_WORKFLOWS, aggregate_id, check_name
from goes_lite.events.marks import Marked, marked_methods
from goes_lite.events.outcome import COMMAND_OUTCOME, CommandOutcome
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry
from goes_lite.workflow.inputs import Input, TimerFired
from goes_lite.workflow.marks import DONE, EVOLVES, REACTS, REJECTED, STARTS, TIMERS, Key, Keys

S = TypeVar("S")

AGGREGATE = OF_WORKFLOWS
"""Begins the names of the aggregates, processors and tags of workflows."""
MAX_NAME = 150
"""The maximum length of the name of a workflow, in bytes: it is part of other names."""
MAX_KEY = 900
"""The maximum length of the key of an instance, in bytes: it is part of tags."""

Reaction = Callable[[Any, Any], object]


class Workflow(Generic[S]):
    """Base class of workflows: processes that react to events of many aggregates, and dispatch commands.

        class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
            @goes.starts(OrderPlaced)
            def placed(self, state: Progress, event: goes.Event[OrderPlaced]) -> Iterable[goes.Effect]:
                yield goes.Dispatch(Charge(event.aggregate.id, event.data.total))
                yield goes.SetTimer("payment", after=timedelta(days=2))

            @goes.on_done(Charge)
            def paid(self, state: Progress, event: goes.Event[goes.CommandOutcome]) -> Iterable[goes.Effect]: ...

    Class arguments
      name       its name in the store; required unless the class is only a base of others.
      version    an int ≥ 1, 1 by default: an instance keeps the version under which it started.

    - An instance has a key and a state of the type `S`, which has to be one that read models may have.
    - For each input, `evolve` (or a method marked with `evolves`) returns the state after it; then the method that is marked for
      the input is called with that state, and returns effects, or yields them, or returns None.
    - Methods are plain functions that depend on the state and the input alone: no I/O, no clock. `event.time` and
      `TimerFired.time` tell the time.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    state: ClassVar[Any] = None
    every: ClassVar[str] = ""
    """The name of a method that is the reaction to every input, instead of those that are marked."""
    _marked: ClassVar[Mapping[str, Mapping[Any, Marked]]] = {}

    def __init_subclass__(cls, *, name: str | None = None, version: int | None = None, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.state is None or isinstance(cls.state, TypeVar):
            for state in bindings(cls).get(Workflow, {}).values():
                cls.state = state
        cls._marked = {one: marked_methods(cls, one) for one in (STARTS, REACTS, EVOLVES, TIMERS, DONE, REJECTED)}
        for attribute in {marked.attribute for methods in cls._marked.values() for marked in methods.values()}:
            if attribute in vars(Workflow):
                raise RegistrationError(
                    f"{cls.__qualname__}.{attribute}: every workflow already has a {attribute!r}: choose another name"
                )
        if name is not None:
            check_name(name, "the name of a workflow")
            if len(name.encode()) > MAX_NAME:
                raise RegistrationError(f"the name of a workflow must have at most {MAX_NAME} bytes: {name!r:.80}")
            cls.name = name
        if version is not None:
            if type(version) is not int or version < 1:
                raise RegistrationError(f"{cls.__qualname__}: a version must be an int ≥ 1, not {version!r:.80}")
            cls.version = version

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, version {self.version}>"

    def bound(self, registry: Registry) -> Workflow[S]:
        """Return the workflow as it runs with a registry: itself, unless a subclass needs to know that."""
        return self

    def initial(self, key: str) -> S:
        """Return the state of a new instance; by default its type called without arguments."""
        make: Any = self.state
        return cast("S", make())

    def key(self, event: Event[Any]) -> Keys:
        """Return which instances an event concerns: a key, several, or None for none. By default the id of its aggregate."""
        return event.aggregate.id if event.aggregate is not None else None

    def evolve(self, state: S, input: Any) -> S | None:
        """Return the state after an input, an event or a `TimerFired`; None after changing the given one in place, or not."""
        return state


class Concerns(NamedTuple):
    """Which instances an event concerns, by their keys."""

    starts: tuple[str, ...]
    reacts: tuple[str, ...]


class Definition:
    """A workflow with its names resolved: what the engine works with. RegistrationError for anything that would fail later."""

    def __init__(self, workflow: Workflow[Any], registry: Registry) -> None:
        if not isinstance(workflow, Workflow):
            raise RegistrationError(
                f"a workflow must be an instance of a Workflow subclass, not {workflow!r:.80}: did you forget to call it?"
            )
        kind = type(workflow).__qualname__
        if not workflow.name:
            raise RegistrationError(f"{kind} has no name: write name='…' after its base class")
        if workflow.state is None or isinstance(workflow.state, TypeVar):
            raise RegistrationError(f"{kind} does not define the type of its state: write Workflow[…]")
        workflow = workflow.bound(registry)
        self.workflow = workflow
        self.registry = registry
        self.name: str = workflow.name
        self.version: int = workflow.version
        self.starts, self.start_keys = self._events(STARTS)
        self.reacts, self.react_keys = self._events(REACTS)
        if not self.starts:
            raise RegistrationError(f"{kind} has no start: mark a method with @starts(SomeEvent)")
        self.timers: dict[str, Reaction] = self._methods(TIMERS, lambda name: (name,))
        self.done: dict[str, Reaction] = self._methods(DONE, self._commands)
        self.rejected: dict[str, Reaction] = self._methods(REJECTED, self._commands)
        self._evolvers: dict[str, Reaction] = self._methods(EVOLVES, registry.names_of)
        for name in self._evolvers:
            if name not in self.starts and name not in self.reacts:
                raise RegistrationError(f"{kind} evolves by {name!r}, but neither starts with it nor reacts to it")
        for method in (workflow.initial, workflow.evolve):
            check_function(f"{kind}.{method.__name__}()", method, error=RegistrationError)
        check_function(f"{kind}.key()", workflow.key, iterated=True, error=RegistrationError)
        json = codec("json")
        json.check(workflow.state)
        self._encode = json.encoder(workflow.state)
        self._plain = json.plain
        self._from_plain = json.from_plain(workflow.state)

    def __repr__(self) -> str:
        return f"<Definition of {self.workflow!r}>"

    @property
    def tag(self) -> str:
        """The tag of everything that is dispatched for this workflow, and of the outcomes of that."""
        return AGGREGATE + self.name

    @property
    def query(self) -> EventQuery:
        """The events that concern it: those that it is marked for, and the outcomes of its commands."""
        own = EventQuery(sorted({*self.starts, *self.reacts}))
        return own | EventQuery([COMMAND_OUTCOME], tags=[self.tag])

    # --- which instances, which methods -----------------------------------------------------------------------------

    def concerns(self, event: Event[Any]) -> Concerns:
        """Return the keys of the instances that an event starts or concerns. What a key function raises propagates.

        InvalidQueryError if it returns something that cannot be a key.
        """
        if event.name == COMMAND_OUTCOME:
            keys = tuple(tag.removeprefix(INSTANCE) for tag in event.tags if tag.startswith(INSTANCE))
            return Concerns((), keys)
        starting, concerned = self.start_keys.get(event.name), self.react_keys.get(event.name)
        return Concerns(
            () if starting is None else keys_of(self.name, starting, event),
            () if concerned is None else keys_of(self.name, concerned, event),
        )

    def reaction(self, input: Input, *, starting: bool = False) -> Reaction | None:
        """Return the method that is marked for an input; None if there is none."""
        if self.workflow.every:
            return cast("Reaction", getattr(self.workflow, self.workflow.every))
        if isinstance(input, TimerFired):
            return self.timers.get(input.name)
        if input.name == COMMAND_OUTCOME:
            outcome: CommandOutcome = input.data
            methods = self.done if outcome.outcome == "done" else self.rejected
            return methods.get(self.registry.commands.canonical(outcome.command))
        return (self.starts if starting else self.reacts).get(input.name)

    # --- state ------------------------------------------------------------------------------------------------------

    def initial(self, key: str) -> Any:
        """Return the state of a new instance."""
        state = self.workflow.initial(key)
        check_result(f"{self.workflow!r}.initial()", state)
        return state

    def evolved(self, state: Any, input: Input) -> Any:
        """Return the state after an input."""
        evolve: Reaction = self.workflow.evolve
        if not isinstance(input, TimerFired):
            evolve = self._evolvers.get(input.name, evolve)
        found = evolve(state, input)
        check_result(f"{self.workflow!r}.evolve()", found)
        return state if found is None else found

    def plain(self, state: Any) -> Any:
        """Return a state as plain values, as they are stored. EncodeError if it does not fit its type."""
        return self._plain(self._encode(state))

    def restored(self, plain: Any) -> Any:
        """Return the state of plain values, a fresh one. DecodeError if they do not fit its type."""
        return self._from_plain(plain)

    # --- registration -----------------------------------------------------------------------------------------------

    def _events(self, mark: str) -> tuple[dict[str, Reaction], dict[str, Key]]:
        methods: dict[str, Reaction] = self._methods(mark, self.registry.names_of)
        keys: dict[str, Key] = {}
        for kind, (_, key) in self.workflow._marked[mark].items():
            for name in self.registry.names_of(kind):
                if name not in self.registry:
                    raise RegistrationError(
                        f"no event is registered as {name!r}: decorate its class with @event({name!r})"
                    )
                keys[name] = key or self.workflow.key
        return methods, keys

    def _commands(self, kind: Any) -> tuple[str, ...]:
        names = self.registry.commands.names_of(kind)
        for name in names:
            if name not in self.registry.commands:
                raise RegistrationError(
                    f"no command is registered as {name!r}: decorate its class with @command({name!r})"
                )
        return names

    def _methods(self, mark: str, names_of: Callable[[Any], tuple[str, ...]]) -> dict[str, Reaction]:
        found: dict[str, tuple[str, Any]] = {}
        for kind, (method, _) in self.workflow._marked[mark].items():
            for name in names_of(kind):
                other = found.get(name)
                if other is not None and other[0] != method:
                    raise RegistrationError(
                        f"{type(self.workflow).__qualname__} handles {name!r} twice, as {other[1]!r} in {other[0]}() and as "
                        f"{kind!r} in {method}(): keep one of them"
                    )
                found[name] = method, kind
        return {name: getattr(self.workflow, method) for name, (method, _) in found.items()}


INSTANCE = "instance:"
"""Begins the tag of the outcomes of commands that says which instance dispatched them."""
RUN = "workflow-run:"
"""Begins the tag that says which of its runs did, for all but the first."""


def keys_of(workflow: str, key: Key, event: Event[Any]) -> tuple[str, ...]:
    """Return the keys that a function of a workflow finds in an event, each once. What it raises propagates.

    InvalidQueryError if it returns something that cannot be a key.
    """
    found: Any = key(event)
    if found is None:
        return ()
    if isinstance(found, str | UUID):
        return (_checked(workflow, found),)
    if isinstance(found, bytes | Mapping) or not isinstance(found, Iterable):
        check_result("key", cast("object", found))
        raise InvalidQueryError(
            f"key of the workflow {workflow!r} must return a key (a str or UUID), several of them, or None, not {found!r:.80}"
        )
    return tuple(dict.fromkeys(_checked(workflow, one) for one in cast("Iterable[object]", found)))


def _checked(workflow: str, key: object) -> str:
    if not isinstance(key, str | UUID):
        raise InvalidQueryError(f"a key of the workflow {workflow!r} must be a str or a UUID, not {key!r:.80}")
    try:
        return check_key(key)
    except InvalidEventError as exc:
        raise InvalidQueryError(f"a key of the workflow {workflow!r}: {exc}") from None


def check_key(key: str | UUID) -> str:
    """Return the text of a key; InvalidEventError if it cannot be one."""
    text = aggregate_id(str.__str__(key) if isinstance(key, str) else key)
    if len(text.encode()) > MAX_KEY:
        raise InvalidEventError(
            f"it must have at most {MAX_KEY} bytes, this one has {len(text.encode())}: {text!r:.80}…"
        )
    return text
