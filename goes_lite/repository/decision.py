"""Decisions across aggregates: read the events that matter, decide, append on condition that nothing changed.

A rule needs no lock, and no aggregate that holds everything it depends on: a query selects the events that matter, and the
append is refused if another matching one was appended in between. Then the decision is made again.

    taken = goes.DecisionModel(EventQuery(names=["user.named"], tags=["name:ada"]), False, lambda taken, event: True)

    def claim(taken: bool) -> list[goes.Event[Any]]:
        if taken:
            raise NameTaken("ada")
        return [goes.Event(UserNamed("ada"), tags=["name:ada"])]

    await db.decide(taken, decide=claim)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConfigError, InvalidEventError
from goes_lite.errors.functions import check_function, check_result
from goes_lite.events.context import in_context
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery, check_query
from goes_lite.repository._queues import queues_of
from goes_lite.repository._tries import Refusal, repeated
from goes_lite.runtime.face import call

if TYPE_CHECKING:
    from goes_lite.contract.backend import Backend, Transaction

S = TypeVar("S")


class DecisionModel(Generic[S]):
    """What a decision depends on: a query, and a fold of the events that it finds.

    `evolve(state, event)` returns the new state, or None after changing the given one in place. It is called in position
    order with whole events, including their tags and aggregates. Keep the query narrow: every matching event that is
    appended in between repeats the decision.
    """

    def __init__(self, query: EventQuery, initial: S, evolve: Callable[[S, Event[Any]], S | None]) -> None:
        check_query(query)
        if not callable(evolve):
            raise ConfigError(f"evolve must be a function of a state and an event, not {evolve!r:.80}")
        check_function("evolve", evolve)
        self.query = query
        self.initial = initial
        self.evolve = evolve

    def __repr__(self) -> str:
        return f"<DecisionModel of {self.query!r}>"

    def fold(self, events: Iterable[Event[Any]]) -> S:
        """Return the state after those of the events that match."""
        state = deepcopy(self.initial)
        for event in events:
            if self.query.matches(event):
                changed = self.evolve(state, event)
                state = state if changed is None else changed
        check_result("evolve", state)
        return state


async def decide(
    backend: Backend,
    models: tuple[DecisionModel[Any], ...],
    function: Callable[..., object],
    tries: int,
) -> Appended:
    """See `Database.decide`."""
    if not models or not all(isinstance(model, DecisionModel) for model in models):
        raise ConfigError("a decision needs at least one DecisionModel: pass what it depends on")
    if type(tries) is not int or tries < 1:
        raise ConfigError(f"tries must be an int ≥ 1, not {tries!r:.80}")
    query = EventQuery.any_of(*(model.query for model in models))
    took = 0.0

    async def attempt(tx: Transaction | None) -> Appended | Refusal:
        nonlocal took
        store = (tx or backend).events
        head = await store.head()
        states = [deepcopy(model.initial) for model in models]
        async for event in store.query(query, upto=head):
            for number, model in enumerate(models):
                if len(models) == 1 or model.query.matches(event):
                    changed = model.evolve(states[number], event)
                    states[number] = states[number] if changed is None else changed
        for state in states:
            check_result("evolve", state)
        begun = perf_counter()
        made = await call(function, *states, iterated=True)
        took = perf_counter() - begun
        if not isinstance(made, Iterable) or isinstance(made, str | bytes | dict):
            raise InvalidEventError(f"a decision must return a list of events, not {made!r:.80}: return [] for none")
        events = [in_context(_event(event)) for event in cast("Iterable[object]", made)]
        try:
            return await store.append(events, condition=AppendCondition(query, after=head))
        except AppendConditionFailed as exc:
            return exc

    return await repeated(backend, queues_of(backend), query, attempt, lambda: took, tries=tries)


def _event(made: object) -> Event[Any]:
    if not isinstance(made, Event):
        raise InvalidEventError(f"a decision must return events, not {made!r:.80}: write Event(…, tags=[…])")
    return made  # pyright: ignore[reportUnknownVariableType]
