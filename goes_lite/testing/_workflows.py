"""Given some inputs, when a workflow is told another, then these are the effects.

Nothing is mocked but time: the tests use a store in memory and the same processor as a program. Each step runs the whole
script in a store of its own. So one beginning can be continued in several ways, and again under every misfortune.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import unified_diff
from pprint import pformat
from typing import Any, TypeAlias
from uuid import UUID

from goes_lite.errors import ConfigError
from goes_lite.events.event import Event
from goes_lite.events.outcome import CommandOutcome
from goes_lite.testing._scripts import NEVER, Misfortune, Ran, Script, Settled, play
from goes_lite.workflow import Dispatch, Effect, Instance, SetTimer

Input: TypeAlias = "Event[Any] | Iterable[Event[Any]] | Settled"
"""What a workflow is told: events, such as `history` returns, or the outcome of a command."""


def done(command: object, result: str | None = None) -> Settled:
    """Make an input of the outcome of a command that the workflow dispatched: it was handled, with this result as JSON."""
    return Settled(command, CommandOutcome(NEVER, "", "done", result))


def rejected(command: object, code: str = "", message: str = "") -> Settled:
    """Make an input of the outcome of a command that the workflow dispatched: its handler rejected it."""
    return Settled(command, CommandOutcome(NEVER, "", "rejected", None, code, message))


def failed(command: object, message: str = "", code: str = "") -> Settled:
    """Make an input of the outcome of a command that the workflow dispatched: it was tried in vain, and given up."""
    return Settled(command, CommandOutcome(NEVER, "", "failed", None, code, message))


@dataclass(frozen=True)
class GivenWorkflow:
    """A workflow and what it was told so far: see `Given.workflow`. Each step returns another one."""

    _script: Script
    _ran: Ran

    def __repr__(self) -> str:
        return f"<GivenWorkflow {self._script.workflow!r}, {len(self._script.steps)} steps>"

    # --- when -------------------------------------------------------------------------------------------------------

    def when(self, *inputs: Input) -> GivenWorkflow:
        """Tell it events, such as `history` makes, or the outcome of a command: `done(Charge("1", 450))`.

        Events get the time of the clock, and the next versions of their aggregates. AssertionError if it has not dispatched
        the command, or if its outcome is known already.
        """
        flat: list[Event[Any] | Settled] = []
        for one in inputs:
            flat += [one] if isinstance(one, Event | Settled) else one
        for one in flat:
            if not isinstance(one, Event | Settled):
                raise ConfigError(
                    f"an input must be an event, or the outcome of a command such as done(…), not {one!r:.80}"
                )
        return self._with(tuple(flat))

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> GivenWorkflow:
        """Let time pass: timers fire one after the other, each when it is due, and may set others."""
        time = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if time < timedelta():
            raise ConfigError(f"time only advances, by ≥ 0, not by {time}")
        return self._with(time)

    def _with(self, step: tuple[Event[Any] | Settled, ...] | timedelta) -> GivenWorkflow:
        return begun(replace(self._script, steps=(*self._script.steps, step)))

    # --- then -------------------------------------------------------------------------------------------------------

    def then(self, *effects: Effect | Any) -> GivenWorkflow:
        """Assert that the last step had these effects, in this order, and no others. Without any: that it had none.

        Matchers such as `like(…)` stand for commands and events. `SetTimer(…, after=…)` counts from the input. In a
        compensation, the commands of `Undo` appear as `Dispatch`.
        """
        self._check_failing()
        found = [
            _said_as(effect, after, effects[number] if number < len(effects) else None)
            for number, (effect, after) in enumerate(self._ran.last)
        ]
        wanted = [replace(one, key=None) if isinstance(one, Dispatch) else one for one in effects]
        if wanted != found:
            text = _differences(wanted, found, 100)
            raise AssertionError(
                f"the last step of {self._script.workflow!r} had other effects:\n  - expected, + found\n{text}"
            )
        return self

    def _check_failing(self) -> None:
        for key, one in self._ran.instances.items():
            if one.failing is not None:
                raise AssertionError(f"the instance {key!r} cannot handle {one.failing.input!r}: {one.failing.error}")

    def then_nothing(self) -> GivenWorkflow:
        """Assert that the last step had no effect."""
        return self.then()

    def then_instance(
        self, key: str | UUID, status: str | None = None, *, state: Any = None, **fields: Any
    ) -> GivenWorkflow:
        """Assert that the instance with this key exists, and its status, its state, or other fields of `Instance`.

        .then_instance("1", "completed")
        .then_instance("1", state=Progress("1", total=450))
        """
        instance = self.instance(key)
        expected = {**fields, **({} if status is None else {"status": status})}
        for name, value in expected.items():
            if (found := getattr(instance, name)) != value:
                raise AssertionError(f"{name} of the instance {key!r} is {found!r}, not {value!r}")
        if state is not None and (found := self._ran.state(instance)) != state:
            raise AssertionError(f"the state of the instance {key!r} is {found!r}, not {state!r}")
        return self

    def then_no_instance(self, key: str | UUID) -> GivenWorkflow:
        """Assert that there is no instance with this key."""
        if str(key) in self._ran.instances:
            raise AssertionError(f"there is an instance {key!r}: {self._ran.instances[str(key)]!r}")
        return self

    def instance(self, key: str | UUID) -> Instance:
        """Return the instance with this key; AssertionError if there is none."""
        found = self._ran.instances.get(str(key))
        if found is None:
            raise AssertionError(f"there is no instance {key!r}, only {sorted(self._ran.instances)!r}")
        return found

    @property
    def effects(self) -> list[Effect]:
        """The effects of the last step; a timer with the time at which it is due."""
        return [effect for effect, _ in self._ran.last]


def begun(script: Script) -> GivenWorkflow:
    """Run a script, as it is and under its misfortunes; AssertionError if one of these makes a difference."""
    ran = play(script, None)
    for misfortune in script.misfortunes:
        other = play(script, misfortune)
        if ran.comparable() != other.comparable():
            shown = _differences([ran.comparable()], [other.comparable()], 3)
            raise AssertionError(f"{script.workflow!r} differs if {_SENTENCES[misfortune]}:\n{shown}")
    return GivenWorkflow(script, ran)


def _differences(one: Sequence[Any], other: Sequence[Any], around: int) -> str:
    """Return two sequences of values line by line, as far as they differ, with so many lines around."""
    before, after = (
        [line for value in side for line in pformat(value, width=100).splitlines()] for side in (one, other)
    )
    return "\n".join(f"  {line}" for line in [*unified_diff(before, after, n=around, lineterm="")][3:])


_SENTENCES: dict[Misfortune, str] = {
    "deliver twice": "each input is delivered twice",
    "crash before commit": "it crashes before each commit",
    "reorder unrelated": "inputs of different instances come in another order",
}


def _said_as(effect: Effect, after: timedelta | None, wanted: object) -> Effect:
    """Return an effect, a timer as the expected one tells it: by its time, or as counted from the input."""
    if (
        isinstance(effect, SetTimer)
        and after is not None
        and not (isinstance(wanted, SetTimer) and wanted.at is not None)
    ):
        return SetTimer(effect.name, after=after)
    return effect
