"""Decisions across aggregates: read what matters, decide, append under the condition that nothing of it has changed.

No lock and no aggregate has to hold everything that a rule is about: the events that matter are those that a query finds,
and the append is refused if another one came in between (an append condition, on every backend). Then it is decided anew.

    taken = goes.DecisionModel(EventQuery(names=["user.named"], tags=["name:ada"]), False, lambda taken, event: True)

    def claim(taken: bool) -> list[goes.Event[Any]]:
        if taken:
            raise NameTaken("ada")
        return [goes.Event(UserNamed("ada"), tags=["name:ada"])]

    await db.decide(taken, decide=claim)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from goes_lite.contract.event_store import AppendCondition, Appended
from goes_lite.errors import AppendConditionFailed, ConfigError, InvalidEventError
from goes_lite.events.context import in_context
from goes_lite.events.event import Event
from goes_lite.events.query import EventQuery, check_query
from goes_lite.runtime import call

if TYPE_CHECKING:
    from goes_lite.contract.backend import Backend

S = TypeVar("S")

MAX_WAIT = 0.25
"""The longest pause between two tries, in seconds."""


class DecisionModel(Generic[S]):
    """What a decision has to know: a query, and a fold of the events that it finds.

    `evolve(state, event)` answers the new state, or None after changing the given one in place. It is called in position
    order, and is given whole events, with their tags and aggregates. Ask for no more than matters: whatever the query
    matches and comes in between has the decision made anew.
    """

    def __init__(self, query: EventQuery, initial: S, evolve: Callable[[S, Event[Any]], S | None]) -> None:
        check_query(query)
        if not callable(evolve):
            raise ConfigError(f"evolve is a function of a state and an event, not {evolve!r:.80}")
        self.query = query
        self.initial = initial
        self.evolve = evolve

    def __repr__(self) -> str:
        return f"<DecisionModel of {self.query!r}>"

    def fold(self, events: Iterable[Event[Any]]) -> S:
        """The state after those of the events that match."""
        state = deepcopy(self.initial)
        for event in events:
            if self.query.matches(event):
                changed = self.evolve(state, event)
                state = state if changed is None else changed
        return state


async def decide(
    backend: Backend,
    models: tuple[DecisionModel[Any], ...],
    function: Callable[..., object],
    tries: int,
) -> Appended:
    """See `Backend.decide`."""
    if not models or not all(isinstance(model, DecisionModel) for model in models):
        raise ConfigError("a decision is about one DecisionModel or several: what it has to know")
    if type(tries) is not int or tries < 1:
        raise ConfigError(f"tries is an int ≥ 1, not {tries!r:.80}")
    query = EventQuery.any_of(*(model.query for model in models))
    attempt = 1
    while True:
        head = await backend.events.head()
        states = [deepcopy(model.initial) for model in models]
        async for event in backend.events.query(query, upto=head):
            for number, model in enumerate(models):
                if len(models) == 1 or model.query.matches(event):
                    changed = model.evolve(states[number], event)
                    states[number] = states[number] if changed is None else changed
        made = await call(function, *states)
        if not isinstance(made, Iterable) or isinstance(made, str | bytes | dict):
            raise InvalidEventError(f"a decision answers the events, as a list, not {made!r:.80}: [] for none")
        events = [in_context(_event(event)) for event in cast("Iterable[object]", made)]
        try:
            return await backend.events.append(events, condition=AppendCondition(query, after=head))
        except AppendConditionFailed as exc:
            if attempt == tries:
                exc.add_note(f"after {tries} tries")
                raise
            await backend.runtime.sleep(random.uniform(0, min(MAX_WAIT, 0.002 * 2**attempt)))
            attempt += 1


def _event(made: object) -> Event[Any]:
    if not isinstance(made, Event):
        raise InvalidEventError(f"a decision answers events, not {made!r:.80}: write Event(…, tags=[…])")
    return made  # pyright: ignore[reportUnknownVariableType]
