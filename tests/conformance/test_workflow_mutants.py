"""Engines of workflows that are broken in one way each: the rules find every one of them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from goes_lite.processor.target import HandlerFailed
from tests import shares
from tests.conformance.test_mutants import Sound, fault


def module(name: str) -> Any:
    """Return a module of the engine, to be broken."""
    return import_module(f"goes_lite.workflow.{name}")


due, stored, telling, transition, work = map(module, ("due", "stored", "telling", "transition", "work"))

Patch = Callable[[pytest.MonkeyPatch], None]

MUTANTS: dict[str, tuple[Patch, tuple[str, ...]]] = {}


def mutant(*killers: str) -> Callable[[Patch], Patch]:
    def add(patch: Patch) -> Patch:
        MUTANTS[patch.__name__] = patch, killers
        return patch

    return add


async def nothing(*arguments: Any) -> None: ...


@mutant("WF-TELL-003")
def forgets_which_inputs_it_was_told(patch: pytest.MonkeyPatch) -> None:
    original = telling.transition

    def told(*given: Any) -> Any:
        step = original(*given)
        return step._replace(instance=replace(step.instance, position=0))

    patch.setattr(telling, "transition", told)


@mutant("WF-TELL-002", "WF-TELL-003", "WF-TELL-008")
def accepts_no_command(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(work, "accept_all", nothing)


@mutant("WF-TELL-004")
def asks_for_no_outcome(patch: pytest.MonkeyPatch) -> None:
    def report_to(tags: Any) -> str:
        return "[]"

    patch.setattr(transition, "report_to", report_to)


@mutant("WF-TELL-005")
def stores_no_association(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(work.Work, "_save_associations", nothing)


@mutant("WF-TELL-005")
def does_not_see_associations_of_the_same_batch(patch: pytest.MonkeyPatch) -> None:
    def put(self: Any, instance: Any) -> None:
        self._instances[instance.key] = instance

    patch.setattr(work.Work, "put", put)


@mutant("WF-TELL-007")
def undoes_the_first_step_first(patch: pytest.MonkeyPatch) -> None:
    original: Any = transition._Made.undo_next

    def undo_next(self: Any) -> None:
        self._change(undo=self.instance.undo[::-1])
        original(self)

    patch.setattr(transition._Made, "undo_next", undo_next)


@mutant("WF-TELL-006", "WF-ALONE-004")
def tells_an_instance_that_has_ended(patch: pytest.MonkeyPatch) -> None:
    def react(self: Any, work: Any, key: str, event: Any, *, own: bool) -> None:
        if (instance := work.get(key)) is not None:
            self._tell(work, instance, event)

    patch.setattr(telling.Teller, "_react", react)


@mutant("WF-TIMER-002", "WF-TIMER-004")
def fires_whatever_the_time_is(patch: pytest.MonkeyPatch) -> None:
    def is_later(id: str, now: int) -> bool:
        return False

    patch.setattr(due, "_is_later", is_later)


@mutant("WF-TIMER-002")
def keeps_a_timer_that_is_cancelled(patch: pytest.MonkeyPatch) -> None:
    original: Any = transition._Made._carry_out

    def carry_out(self: Any, effect: Any) -> None:
        if not isinstance(effect, transition.CancelTimer):
            original(self, effect)

    patch.setattr(transition._Made, "_carry_out", carry_out)


@mutant("WF-TIMER-002", "WF-TIMER-005")
def fires_in_no_order(patch: pytest.MonkeyPatch) -> None:
    original: Any = due.DueWork._fire

    async def fire(self: Any, tx: Any, records: Any) -> None:
        await original(self, tx, records[::-1])

    patch.setattr(due.DueWork, "_fire", fire)


@mutant("WF-TIMER-006")
def leaves_the_timers_of_the_ended(patch: pytest.MonkeyPatch) -> None:
    def end(self: Any, status: Any, reason: str) -> None:
        self._change(status=status, reason=reason)
        self.events.append(transition.Recorded(transition.WorkflowEnded(status, reason)))

    original = stored.rows_of
    patch.setattr(transition._Made, "end", end)

    def rows_of(one: Any) -> Any:
        return original(one and replace(one, status="running"))

    patch.setattr(work, "rows_of", rows_of)


@mutant("WF-TIMER-001")
def sleeps_over_its_timers(patch: pytest.MonkeyPatch) -> None:
    def now(self: Any) -> int:
        return 0

    patch.setattr(due.DueWork, "_now", now)


@mutant("WF-TIMER-003")
def fires_again_when_the_clock_was_set_back(patch: pytest.MonkeyPatch) -> None:
    original = telling.transition

    def told(definition: Any, instance: Any, input: Any, now: Any) -> Any:
        step = original(definition, instance, input, now)
        if isinstance(input, due.TimerFired) and input.name == "first":
            return step._replace(instance=replace(step.instance, timers=instance.timers))
        return step

    patch.setattr(due, "BATCH", 1)
    patch.setattr(telling, "transition", told)


@mutant("WF-ALONE-001", "WF-ALONE-002")
def lets_an_instance_fail_with_all_others(patch: pytest.MonkeyPatch) -> None:
    def failed(self: Any, work: Any, instance: Any, input: Any, error: Exception) -> None:
        raise HandlerFailed(error, None)

    patch.setattr(telling.Teller, "failed", failed)


@mutant("WF-ALONE-001", "WF-ALONE-002")
def loses_what_waits(patch: pytest.MonkeyPatch) -> None:
    def wait(self: Any, key: str, event: Any) -> None: ...

    patch.setattr(work.Work, "wait", wait)


@mutant("WF-ALONE-001")
def tells_newer_inputs_while_others_wait(patch: pytest.MonkeyPatch) -> None:
    def tell(self: Any, work: Any, instance: Any, event: Any) -> None:
        if not self.attempt(work, instance, event):
            work.wait(instance.key, event)

    patch.setattr(telling.Teller, "_tell", tell)


@mutant("WF-ALONE-002")
def has_endless_patience(patch: pytest.MonkeyPatch) -> None:
    original: Any = telling.Teller.__init__

    def init(self: Any, *given: Any, **options: Any) -> None:
        original(self, *given, **options)
        self._patience *= 1_000_000_000

    patch.setattr(telling.Teller, "__init__", init)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that waits for ever is found out sooner than a slow backend would deserve."""
    from goes_lite_conformance.harness import contract, place

    monkeypatch.setattr(place, "PATIENCE", 1.0)
    monkeypatch.setattr(contract, "PATIENCE", 2.5)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_found_out(name: str, share: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, killers = MUTANTS[name]
    if share is not None:
        killers = tuple(killer for (killer,) in shares.choose(name, [(killer,) for killer in killers], share))
    patch(monkeypatch)
    for killer in killers:
        error = fault(Sound, "", killer)
        assert error is not None, f"{name} passes {killer}"
        assert any(note.startswith(killer) for note in error.__notes__)
        assert not isinstance(error, (TypeError, AttributeError, NameError)), f"{name} is broken otherwise: {error!r}"
