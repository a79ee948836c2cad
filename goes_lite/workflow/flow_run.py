"""One run of a function that is a workflow: from its start, with the answers that it has so far, up to what it waits for.

Rule of this file: no I/O and no clock. What is asked for by name the first time becomes an effect; what was answered is
returned at once; anything else ends the run, until there is another input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn
from uuid import UUID, uuid5

from goes_lite.codec.json_of import json_of
from goes_lite.commands.results import ResultCodec
from goes_lite.errors import (
    CommandFailed,
    CommandRejected,
    ConfigError,
    DuplicateStep,
    InvalidEffect,
    ResultTooLarge,
    StepFailed,
    StepTimeout,
    TooManySteps,
)
from goes_lite.errors.options import check_number
from goes_lite.events.event import Event
from goes_lite.events.fields import check_text
from goes_lite.events.registry import Registry
from goes_lite.workflow.effects import Associate, Compensate, Dispatch, Effect, Fail, Publish, Undo
from goes_lite.workflow.flow_waits import Waits
from goes_lite.workflow.memory import Answer, Asked, Memory, restored_event

MAX_STEPS = 1000
"""How many steps, commands, waits and so on an instance may have."""
MAX_CALLS = 20_000
"""How often a function may ask in one run: more mean that it loops."""
MAX_RESULT = 256 * 1024
"""How large the result of a step may be, as JSON, in bytes."""
STEP = "step:"
"""Begins the tag of an outcome that says for what it was asked."""
TOO_LARGE = "result_too_large"
MISSING = "goes.missing_step"
"""The code of the outcome of a step that the program of a worker does not have: no answer to it."""


class Suspended(BaseException):
    """The function waits for something that has not happened yet. Not an Exception, so that the function does not catch it."""


class Ended(BaseException):
    """The function ends the instance with an effect."""

    def __init__(self, effect: Effect) -> None:
        self.effect = effect


class FlowRun:
    """What a function asks, and what it is answered, in one run."""

    def __init__(
        self,
        workflow: str,
        memory: Memory,
        registry: Registry,
        waits: Waits,
        step: Callable[[str, UUID, str], object],
        now: datetime,
    ) -> None:
        self.workflow = workflow
        self.memory = memory
        self.now_here = now
        self.effects: list[Effect] = []
        self.calls: dict[str, tuple[Callable[..., object], Any]] = {}
        """What the steps that were asked for call, by name, and what encodes the result."""
        self.looks: dict[str, tuple[tuple[str, ...], Callable[[Event[Any]], bool]]] = {}
        """Which events are looked for in the log, by the name of the wait: their names, and what they must match."""
        self.parked = False
        """Whether it waits, and its function has to end."""
        self.raised: list[Exception] = []
        """The failures that the function was told."""
        self._registry = registry
        self._waits = waits
        self._step = step
        self.seen: set[str] = set()
        """What was asked for in this run."""
        self.again: set[str] = set()
        """What a worker is to do again if it is asked for, although it was asked before."""
        self._count = 0

    # --- asking -----------------------------------------------------------------------------------------------------

    def name(self, kind: str, name: object) -> str:
        """Return what is asked under; DuplicateStep if it was asked in this run, TooManySteps if the function loops."""
        if self.parked:  # the function caught what should have ended it
            raise Suspended
        try:
            asked = f"{kind} {check_text(name, 'the name of a step')}"
        except ValueError as exc:
            raise ConfigError(str(exc)) from None
        if len(asked) > 200:
            raise ConfigError(f"the name of a step must have at most 190 characters: {asked!r:.80}…")
        self._count += 1
        if self._count > MAX_CALLS:
            raise TooManySteps(self.workflow, self.memory.key, asked, MAX_CALLS, "calls in one run")
        known = self.memory.asked.get(asked)
        if asked in self.seen or (known is not None and known.dropped):
            raise DuplicateStep(self.workflow, self.memory.key, asked)
        self.seen.add(asked)
        return asked

    def answer(self, asked: str, make: Callable[[], tuple[Asked, Sequence[Effect]]]) -> Answer:
        """Return the answer; without one, ask if that has not happened, and end the run."""
        answer = self.memory.answers.get(asked)
        if answer is not None:
            return answer
        if asked not in self.memory.asked:
            self._remember(asked, *make())
        elif asked in self.again:
            self.effects.append(self._by_worker(asked))
        return self.suspend()

    def note(self, asked: str, make: Callable[[], tuple[str | None, Sequence[Effect]]]) -> str | None:
        """Return the value that was noted the first time; nothing waits for it."""
        answer = self.memory.answers.get(asked)
        if answer is None:
            value, effects = make()
            self._remember(asked, Asked("note"), effects)
            answer = self.memory.answers[asked] = Answer("value", value)
        return answer.result

    def suspend(self) -> NoReturn:
        """End the run."""
        self.parked = True
        raise Suspended

    def _remember(self, asked: str, what: Asked, effects: Sequence[Effect]) -> None:
        if len(self.memory.asked) >= MAX_STEPS:
            raise TooManySteps(self.workflow, self.memory.key, asked, MAX_STEPS)
        what.number = len(self.memory.asked) + 1
        self.memory.asked[asked] = what
        self.effects += effects

    def told(self, error: Exception) -> Exception:
        """Return a failure that the function is told; if it does not catch it, the instance fails."""
        self.raised.append(error)
        return error

    # --- what a function asks for -----------------------------------------------------------------------------------

    def step(self, name: str, call: Callable[..., object], returns: Any) -> Any:
        """See `Flow.step`."""
        asked = self.name("step", name)
        if not callable(call):
            raise ConfigError(f"step() takes a function to call, not {call!r:.80}: write lambda: … around the call")
        codec = result_codec(call, returns)
        self.calls[asked] = call, codec
        answer = self.answer(asked, lambda: (Asked("step"), [self._by_worker(asked)]))
        if answer.kind == "done":
            return codec.decode(answer.result)
        if answer.kind == "rejected" and answer.code == TOO_LARGE:
            raise self.told(ResultTooLarge(self.workflow, self.memory.key, asked, MAX_RESULT))
        if answer.kind == "rejected":
            raise self.told(_rejection(answer))
        raise self.told(StepFailed(self.workflow, self.memory.key, asked, answer.message, answer.code))

    def command(self, command: object, name: str | None, returns: Any, at: datetime | None) -> Any:
        """See `Flow.command`."""
        asked = self.name("command", name or self._registry.commands.name_of(command))
        answer = self.answer(
            asked, lambda: (Asked("command"), [Dispatch(command, at=at, key=asked, tags=(STEP + asked,))])
        )
        if answer.kind == "done":
            return result_codec(_plain, returns).decode(answer.result)
        if answer.kind == "rejected":
            raise self.told(_rejection(answer))
        raise self.told(
            CommandFailed(
                answer.command, answer.id, answer.attempts, answer.message, code=answer.code,
                details=json.loads(answer.details),
            )
        )  # fmt: skip

    def wait_for(
        self,
        kind: Any,
        key: object,
        where: Callable[[Event[Any]], object] | None,
        timeout: timedelta | None,
        name: str | None,
    ) -> Event[Any]:
        """See `Flow.wait_for`."""
        names = self._waits.names(kind, self._registry)
        asked = self.name("wait", name or names[0])
        wanted = self.memory.key if key is None else self._waits.key(key)
        memory = self.memory

        def matches(event: Event[Any]) -> bool:
            return wanted in self._waits.keys(event) and (where is None or bool(where(event)))

        if asked not in memory.answers:
            for stored in memory.inbox:
                if stored.name in names and matches(restored_event(stored, self._registry)):
                    memory.inbox.remove(stored)
                    if asked not in memory.asked:
                        self._remember(asked, Asked("wait"), ())
                    memory.answers[asked] = Answer("event", event=stored)
                    break
        if wanted != memory.key:
            self.looks[asked] = names, matches

        def ask() -> tuple[Asked, Sequence[Effect]]:
            due = 0 if timeout is None else self._due(timeout)
            if wanted == memory.key:
                return Asked("wait", due=due), ()
            return Asked("wait", due=due, key=wanted), (Associate(wanted), self._by_worker(asked))

        answer = self.answer(asked, ask)
        if answer.kind == "event" and answer.event is not None:
            return restored_event(answer.event, self._registry)
        if answer.kind == "timeout":
            raise self.told(StepTimeout(self.workflow, memory.key, asked))
        raise self.told(StepFailed(self.workflow, memory.key, asked, answer.message, answer.code))

    def sleep(self, duration: timedelta, name: str) -> None:
        """See `Flow.sleep`."""
        asked = self.name("sleep", name)
        self.answer(asked, lambda: (Asked("sleep", due=self._due(duration)), ()))

    def now(self, name: str) -> datetime:
        """See `Flow.now`."""
        noted = self.note(self.name("now", name), lambda: (self.now_here.isoformat(), ()))
        return datetime.fromisoformat(str(noted))

    def changed(self, id: str) -> bool:
        """See `Flow.changed`."""
        asked = self.name("changed", id)
        known = self.memory.asked
        here = max((known[one].number for one in self.seen if one in known), default=0)
        old = any(what.number > here and not what.dropped for one, what in known.items() if one not in self.seen)
        return self.note(asked, lambda: ("" if old else "1", ())) == "1"

    def publish(self, data: object, tags: tuple[str, ...], name: str | None) -> None:
        """See `Flow.publish`."""
        asked = self.name("publish", name or self._registry.name_of(data))
        self.note(asked, lambda: (None, [Publish(data, tags)]))

    def undo(self, command: object, name: str | None) -> None:
        """See `Flow.undo`."""
        asked = self.name("undo", name or self._registry.commands.name_of(command))
        self.note(asked, lambda: (None, [Undo(command)]))

    def id(self, name: str) -> UUID:
        """See `Flow.id`."""
        return uuid5(self.memory.started_by.id, f"{self.workflow}\n{self.memory.key}\n{name}")

    @staticmethod
    def fail(reason: str) -> NoReturn:
        """See `Flow.fail`."""
        raise Ended(Fail(reason))

    @staticmethod
    def compensate(reason: str) -> NoReturn:
        """See `Flow.compensate`."""
        raise Ended(Compensate(reason))

    # --- several at a time ------------------------------------------------------------------------------------------

    def all(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """See `Flow.all`."""
        outcomes = [self._branch(branch) for branch in branches]
        for _, error in outcomes:
            if error is not None and not isinstance(error, Suspended):
                raise error
        if any(error is not None for _, error in outcomes):
            self.suspend()
        return [value for value, _ in outcomes]

    def any(self, branches: Sequence[Callable[[], Any]], name: str) -> tuple[int, Any]:
        """See `Flow.any`."""
        asked = self.name("any", name)
        check_number("any() takes a number of branches, which", len(branches), 1)
        won = self.memory.answers.get(asked)
        if won is not None:
            index = min(int(won.result or 0), len(branches) - 1)
            return index, branches[index]()
        before = set(self.seen)
        mine: list[set[str]] = []
        outcomes: list[tuple[Any, BaseException | None]] = []
        for branch in branches:
            outcomes.append(self._branch(branch))
            mine.append(self.seen - before)
            before |= self.seen
        for index, (value, error) in enumerate(outcomes):
            if isinstance(error, Suspended):
                continue
            self.note(asked, partial(_noted, str(index)))
            for other, names in enumerate(mine):
                if other != index:
                    self._give_up(names)
            if error is not None:
                raise error
            return index, value
        return self.suspend()

    def _branch(self, branch: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        try:
            value = branch()
        except Suspended as exc:
            self.parked = False
            return None, exc
        except Exception as exc:  # noqa: BLE001 - it is raised where the branches come together
            return None, exc
        if self.parked:  # it caught what should have ended it
            self.parked = False
            return None, Suspended()
        return value, None

    def _give_up(self, names: set[str]) -> None:
        """Do not wait any more for what the branches of `any` that were slower have asked for."""
        for name in names:
            asked = self.memory.asked.get(name)
            if asked is not None:
                asked.due, asked.dropped = 0, True

    # --- inside -----------------------------------------------------------------------------------------------------

    def _by_worker(self, asked: str) -> Dispatch:
        command = self._step(self.memory.key, self.memory.started_by.id, asked)
        return Dispatch(command, key=asked, tags=(STEP + asked,))

    def _due(self, duration: object) -> int:
        if not isinstance(duration, timedelta):
            raise ConfigError(f"a duration must be a timedelta, not {duration!r:.80}")
        try:
            return max(1, round((self.now_here + duration).timestamp() * 1_000_000))
        except OverflowError:
            raise ConfigError(f"{duration!r} from now lies after the year 9999") from None

    def invalid(self, problem: str) -> InvalidEffect:
        """Return the error for what a function must not do."""
        key = self.memory.key
        return InvalidEffect(self.workflow, key, f"workflow {self.workflow!r}, instance {key!r:.80}: {problem}")

    @property
    def next_due(self) -> int:
        """When the next wait or sleep ends (microseconds since 1970, UTC); 0 if none does by itself."""
        memory = self.memory
        dues = [one.due for name, one in memory.asked.items() if one.due and name not in memory.answers]
        return min(dues, default=0)


def _noted(value: str) -> tuple[str, Sequence[Effect]]:
    return value, ()


def result_codec(call: Callable[..., object], returns: Any) -> Any:
    """Return what encodes and decodes the result of a call: as `returns`, its annotation, or plain JSON."""
    return ResultCodec(call) if returns is None else _Typed(returns)


class _Typed:
    def __init__(self, type: Any) -> None:
        self._json = json_of(type)

    def encode(self, value: object) -> str | None:
        return None if value is None else self._json.encode(value)

    def decode(self, text: str | None) -> Any:
        return None if text is None else self._json.decode(text)


def _plain() -> Any:
    """Stands for a handler whose annotations are unknown here."""


def _rejection(answer: Answer) -> CommandRejected:
    error = CommandRejected(answer.code, answer.message, details=json.loads(answer.details))
    error.command, error.command_id = answer.command, answer.id
    return error
