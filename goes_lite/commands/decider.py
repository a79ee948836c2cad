"""Deciders: aggregates as functions instead of classes.

    def decide(account: Account, command: Deposit | Withdraw) -> list[object]: ...
    def evolve(account: Account, event: Deposited | Withdrawn) -> Account: ...

    accounts = goes.Decider(
        "account", initial=Account(0), decide=decide, evolve=evolve,
        events=[Deposited, Withdrawn], commands=[Deposit, Withdraw], id="account",
    )
    db.commands.serve(accounts.aggregate)
    await db.repository(accounts.aggregate).use("1", lambda account: account.decide(Deposit("1", 5)), create=True)

The functions are pure, so they can be tested directly; `accounts.aggregate` is an aggregate class, so repositories,
snapshots, commands and projections work with it as with any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Generic, TypeVar, cast

from goes_lite.aggregate import Aggregate, applies
from goes_lite.commands._handlers import Key, handles
from goes_lite.errors import ConfigError, RegistrationError
from goes_lite.errors.functions import LAZY, check_function, check_result, form_of
from goes_lite.errors.options import check_flag
from goes_lite.events.event import Event
from goes_lite.events.fields import check_name
from goes_lite.events.marks import EventKind
from goes_lite.events.registry import Registry

S = TypeVar("S")


class DecidedAggregate(Aggregate):
    """Base of the aggregates of deciders: `state` is the initial state, evolved by each event."""

    decider: ClassVar[Decider[Any]]
    initial: ClassVar[Any]
    state: Any

    def decide(self, command: object) -> None:
        """Record what the decider decides on this state and the command. Its exceptions propagate."""
        made: Any = self.decider.decide_on(self.state, command)
        if not isinstance(made, Iterable):
            check_result("decide", made)
        if isinstance(made, str | bytes | dict) or not isinstance(made, Iterable):
            raise ConfigError(f"decide must return a list of events, not {made!r:.80}: return [] for none")
        for data in made:  # pyright: ignore[reportUnknownVariableType]
            self.record(data)  # pyright: ignore[reportUnknownArgumentType]

    def __init__(self, id: Any = None) -> None:
        super().__init__(id)
        self.state = deepcopy(self.decider.initial)


class Decider(Generic[S]):
    """An aggregate as two functions: `decide` returns events, `evolve` the next state.

    Arguments
      name       of these aggregates in every store.
      initial    the state before the first event.
      decide     (state, command) → the data of the events, in order, possibly none. Raise to refuse the command.
      evolve     (state, data of an event) → the new state. It must not decide: it runs whenever the aggregate is loaded.
      events     the registered types of the events. `evolve` is called only for these.
      commands   the types of the commands that `CommandBus.serve(decider.aggregate)` handles; none by default.
      id         which aggregate a command is for: an attribute of the command, or a function of it.
      create     whether a command may create an aggregate, from the initial state: yes by default.
      state      the type of the state, for snapshots; by default that of `initial`.
      schema, deleted_by, restored_by, registry    as for `Aggregate`.

    RegistrationError for a name, event or command that would fail later.
    """

    def __init__(
        self,
        name: str,
        *,
        initial: S,
        decide: Callable[[S, Any], Iterable[object]],
        evolve: Callable[[S, Any], S],
        events: Sequence[EventKind],
        commands: Sequence[type[Any] | str] = (),
        id: Key = "id",
        create: bool = True,
        state: Any = None,
        schema: int | None = None,
        deleted_by: EventKind | Iterable[EventKind] = (),
        restored_by: EventKind | Iterable[EventKind] = (),
        registry: Registry | None = None,
    ) -> None:
        check_name(name, "the name of a decider")
        for option, given in (("events", events), ("commands", commands)):
            if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
                raise ConfigError(f"{option} of a Decider are a collection of types, not {given!r:.80}")
        if not (callable(decide) and form_of(decide) == "a generator"):  # its events are iterated over
            check_function("decide", decide, error=RegistrationError)
        check_function("evolve", evolve, error=RegistrationError)
        check_flag("create", create)
        self.name = name
        self.initial = initial
        self.decide_on = decide
        self.evolve = evolve

        def apply(self: DecidedAggregate, event: Event[Any]) -> None:
            state = evolve(self.state, event.data)
            if isinstance(state, LAZY):
                check_result("evolve", state)
            self.state = state

        def handle(self: DecidedAggregate, command: Any) -> None:
            self.decide(command)

        for command in commands:
            handles(command, id=id, create=create)(handle)
        members: dict[str, Any] = {
            "__module__": getattr(decide, "__module__", __name__),
            "__annotations__": {"state": type(initial) if state is None else state},
            "decider": self,
            "initial": initial,
            "apply": cast("Any", applies)(*events)(apply),
            "handle": handle,
        }
        made: Any = type(Aggregate)
        self.aggregate: type[DecidedAggregate] = made(
            name.title().replace(" ", ""), (DecidedAggregate,), members, name=name, schema=schema,
            deleted_by=deleted_by, restored_by=restored_by, registry=registry,
        )  # fmt: skip
        """The aggregate class."""

    def __repr__(self) -> str:
        return f"<Decider {self.name!r}>"

    def fold(self, events: Iterable[object]) -> S:
        """Return the state after events (their data), from the initial one."""
        state = deepcopy(self.initial)
        for data in events:
            state = self.evolve(state, data)
        return state
