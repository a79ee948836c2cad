"""The history of an instance, with the state after each input: computed from the log, without doing anything again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from goes_lite.contract.backend import Stores
from goes_lite.errors import CodecError, UnknownEventError
from goes_lite.errors.functions import error_text, failure
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, from_micros
from goes_lite.events.workflow import InputRef, WorkflowHandled, WorkflowStarted
from goes_lite.workflow.definition import AGGREGATE, Definition
from goes_lite.workflow.inputs import Input, TimerFired


class Moment(NamedTuple):
    """One event in the history of an instance."""

    version: int
    """Of the instance as an aggregate, after it."""
    position: int
    """In the log."""
    time: datetime
    data: Any
    """What happened: a `WorkflowStarted`, a `WorkflowHandled` with the effects, an event of its own, and so on."""
    state: Any = None
    """The state after it, of the type of the definition; None where that is not known."""
    problem: str = ""
    """Why the state is not known, if it was asked for."""


async def read_input(store: Stores, ref: InputRef) -> Input | None:
    """Return an input of a history; None if its event was erased. CodecError, UnknownEventError if it cannot be read."""
    if ref.kind == "timer":
        return TimerFired(ref.name, from_micros(ref.due), from_micros(ref.time))
    found = await store.events.query(after=ref.position - 1, upto=ref.position).list()
    return found[0] if found and str(found[0].id) == ref.id else None


class Replay:
    """Computes the states of an instance from its history. It calls `initial` and `evolve` alone."""

    def __init__(self, definitions: Mapping[int, Definition]) -> None:
        self._definitions = definitions
        self.definition: Definition | None = None
        self.plain: Any = None
        """The state as plain values."""
        self.problem = "" if definitions else "no definition was given"

    def started(self, key: str, data: WorkflowStarted) -> None:
        """Begin with a new run."""
        self.problem = ""
        self.definition = self._definitions.get(data.version)
        if self.definition is None:
            self.problem = f"there is no definition of version {data.version}"
            return
        try:
            self.plain = self.definition.plain(self.definition.initial(key))
        except BaseException as exc:  # noqa: BLE001 - a function of the program
            self.failed(exc)

    def told(self, input: Input | None) -> None:
        """Go on after an input."""
        if self.problem or self.definition is None:
            return
        if input is None:
            self.problem = "an input was erased"
            return
        try:
            self.plain = self.definition.plain(self.definition.evolved(self.state, input))
        except BaseException as exc:  # noqa: BLE001 - see above
            self.failed(exc)

    @property
    def state(self) -> Any:
        """The state, a fresh one; None if it is not known."""
        return None if self.problem or self.definition is None else self.definition.restored(self.plain)

    def failed(self, exc: BaseException) -> None:
        """Note why the states are not known from here on."""
        self.problem = error_text(failure(exc), 500)


async def history_of(store: Stores, name: str, key: str, definitions: Mapping[int, Definition]) -> list[Moment]:
    """Return the history of an instance, in order; with definitions, and the state after each event."""
    replay = Replay(definitions)
    found: list[Moment] = []
    for event in await store.events.load(AggregateRef(AGGREGATE + name, key)):
        if isinstance(event.data, WorkflowStarted):
            replay.started(key, event.data)
        elif isinstance(event.data, WorkflowHandled) and definitions and not replay.problem:
            try:
                replay.told(await read_input(store, event.data.input))
            except (CodecError, UnknownEventError) as exc:
                replay.failed(exc)
        found.append(_moment(event, replay))
    return found


def _moment(event: Event[Any], replay: Replay) -> Moment:
    return Moment(event.version, event.position, event.time, event.data, replay.state, replay.problem)
