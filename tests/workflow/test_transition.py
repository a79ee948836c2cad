"""The pure core: what inputs make of an instance, without a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import goes_lite as goes
from goes_lite.errors import EncodeError, InvalidEffect, TooManyEffects, UnknownStep
from goes_lite.events.fields import to_micros
from goes_lite.events.outcome import REPORT
from goes_lite.events.workflow import (
    EffectRecord,
    InputRef,
    WorkflowEnded,
    WorkflowHandled,
    WorkflowStarted,
    WorkflowSuspended,
)
from goes_lite.workflow import Definition, Instance, Step, start, transition
from tests.workflow.workflow_kit import (
    NOON,
    Cancelled,
    Charge,
    Delivered,
    Late,
    Placed,
    Progress,
    Recall,
    Refund,
    Ship,
    definition,
    happened,
    outcome,
    registry,
)

LATER = NOON + timedelta(hours=1)


def started(total: int = 450, position: int = 7) -> Step:
    return start(definition(), "1", happened(Placed(total), position), LATER)


def dispatched(step: Step) -> list[object]:
    return [accepted.command.data for accepted in step.commands]


def shipping() -> Step:
    """An instance that was charged, and has dispatched Ship."""
    first = started()
    return transition(definition(), first.instance, outcome(first.commands[0].command.id, "charge", 8), LATER)


def delivering() -> Step:
    before = shipping()
    return transition(definition(), before.instance, outcome(before.commands[0].command.id, "ship", 9), LATER)


def test_a_start_makes_an_instance_its_effects_and_its_history() -> None:
    event = happened(Placed(450), 7)

    step = start(definition(), "1", event, LATER)

    instance = step.instance
    assert (instance.key, instance.status, instance.version, instance.run) == ("1", "running", 1, 1)
    assert instance.state == {"order": "1", "total": 450, "seen": ["order.placed"]}
    assert (instance.position, instance.inputs, instance.events) == (7, 1, 2)
    assert instance.timers == {
        "payment": to_micros(NOON + timedelta(days=2))
    }  # after the event, not after its handling
    assert (instance.started, instance.updated) == (LATER, LATER)
    assert dispatched(step) == [Charge("1", 450)]
    began, handled = (recorded.data for recorded in step.events)
    assert began == WorkflowStarted(1, 1)
    assert handled.input == InputRef("event", "order.placed", 7, str(event.id))
    assert [effect.effect for effect in handled.effects] == ["dispatch", "timer"]


def test_its_commands_ask_for_their_outcome_and_belong_to_what_started_it() -> None:
    event = happened(Placed(450), 7, metadata={"correlation": "request-1"})

    (accepted,) = start(definition(), "1", event, LATER).commands

    metadata = accepted.command.metadata
    assert (metadata["correlation"], metadata["causation"]) == ("request-1", str(event.id))
    assert metadata[REPORT] == '["instance:1", "workflow:fulfilment"]'
    assert accepted.due is None


def test_the_same_input_dispatches_the_same_command_and_another_does_not() -> None:
    event = happened(Placed(450), 7)
    one, again = (start(definition(), "1", event, LATER + timedelta(days=n)).commands[0].command.id for n in (0, 1))
    others = {
        started().commands[0].command.id,  # another event
        start(definition(), "2", event, LATER).commands[0].command.id,  # another instance
        start(definition(), "1", event, LATER, replace(started().instance, status="failed")).commands[0].command.id,
    }

    assert one == again
    assert len(others | {one}) == 4


def test_an_outcome_is_an_input() -> None:
    step = shipping()

    assert step.instance.timers == {}
    assert dispatched(step) == [Ship("1")]
    assert [stored.command for stored in step.instance.undo] == ["refund"]
    (handled,) = (recorded.data for recorded in step.events)
    assert [effect.effect for effect in handled.effects] == ["cancel", "undo", "dispatch"]


def test_a_rejected_command_calls_the_method_for_that() -> None:
    first = started()
    id = first.commands[0].command.id
    for kind in ("rejected", "failed"):
        step = transition(definition(), first.instance, outcome(id, "charge", 8, kind, message="no money"), LATER)

        assert (step.instance.status, step.instance.reason) == ("failed", "no money")
        assert step.events[-1].data == WorkflowEnded("failed", "no money")
        assert (step.instance.timers, step.instance.undo) == ({}, [])


def test_a_timer_that_fired_is_an_input_and_is_gone() -> None:
    first = started()
    due = NOON + timedelta(days=2)

    step = transition(definition(), first.instance, goes.TimerFired("payment", due, due + timedelta(seconds=3)), LATER)

    handled, published, ended = (recorded.data for recorded in step.events)
    assert handled.input.kind == "timer"
    assert (handled.input.due, handled.input.time) == (to_micros(due), to_micros(due) + 3_000_000)
    assert published == Late("1")
    assert ended == WorkflowEnded("failed", "no payment in time")
    assert (step.instance.timers, step.instance.position) == ({}, 7)
    assert step.instance.events == first.instance.events + 3


def test_associations_are_in_the_record_until_it_ends() -> None:
    step = delivering()
    assert step.instance.associations == ["parcel-1"]

    end = transition(definition(), step.instance, happened(Delivered("parcel-1"), 10), LATER)

    assert (end.instance.status, end.instance.associations) == ("completed", [])


def test_an_input_without_a_method_changes_the_state_alone() -> None:
    step = transition(definition(), shipping().instance, outcome(UUID(int=5), "refund", 9), LATER)

    assert step.instance.state["seen"] == ["order.placed", "goes.command.outcome", "goes.command.outcome"]
    assert step.effects == ()


def test_a_timer_that_the_definition_does_not_have_any_more_is_an_unknown_step() -> None:
    with pytest.raises(UnknownStep, match="needs \"the timer 'gone'\".* version 1 are \\['payment'\\]") as caught:
        transition(definition(), started().instance, goes.TimerFired("gone", NOON, NOON), LATER)
    assert caught.value.step == "the timer 'gone'"


def test_compensation_undoes_in_reverse_one_after_another_and_then_fails() -> None:
    step = transition(definition(), delivering().instance, happened(Cancelled(), 10), LATER)
    assert (step.instance.status, dispatched(step)) == ("compensating", [Recall("1")])
    recall = step.commands[0].command.id
    assert step.instance.undoing == recall

    other = transition(definition(), step.instance, outcome(UUID(int=1), "recall", 11), LATER)
    assert (other.instance.undoing, other.commands) == (recall, ())  # that of something else

    step = transition(definition(), step.instance, outcome(recall, "recall", 11), LATER)
    assert dispatched(step) == [Refund("1")]
    assert step.effects[0] == EffectRecord("undone", "recall", str(recall))

    step = transition(definition(), step.instance, outcome(step.commands[0].command.id, "refund", 12), LATER)
    assert (step.instance.status, step.instance.reason) == ("failed", "cancelled by the customer")
    assert step.events[-1].data == WorkflowEnded("failed", "cancelled by the customer")


def test_an_undo_that_fails_suspends_with_what_is_left() -> None:
    step = transition(definition(), delivering().instance, happened(Cancelled(), 10), LATER)
    told = outcome(step.commands[0].command.id, "recall", 11, "rejected", message="delivered")

    step = transition(definition(), step.instance, told, LATER)

    assert step.instance.status == "suspended"
    assert [stored.command for stored in step.instance.undo] == ["refund", "recall"]
    assert isinstance(step.events[-1].data, WorkflowSuspended)
    assert "recall undoes a step, and was rejected: delivered" in step.events[-1].data.error


def test_compensation_with_nothing_to_undo_fails_at_once() -> None:
    step = transition(definition(), started().instance, happened(Cancelled(), 10), LATER)

    assert (step.instance.status, step.instance.timers, step.commands) == ("failed", {}, ())


def test_another_run_of_a_key_continues_the_history() -> None:
    ended = transition(definition(), started().instance, happened(Cancelled(), 10), LATER).instance

    step = start(definition(), "1", happened(Placed(5), 11), LATER, ended)

    assert (step.instance.run, step.instance.inputs, step.instance.events) == (2, 1, ended.events + 2)
    assert step.events[0].data == WorkflowStarted(1, 2)
    assert step.instance.state == {"order": "1", "total": 5, "seen": ["order.placed"]}


# --- effects that cannot be done ------------------------------------------------------------------------------------------


def reacting(reaction: Any) -> Step:
    """What a reaction to the start makes of an instance."""

    class Odd(goes.Workflow[Progress], name="odd"):
        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> Any:
            return reaction() if callable(reaction) else reaction

    return start(Definition(Odd(), registry), "1", happened(Placed(1), 1), LATER)


def endless() -> Iterator[goes.Effect]:
    while True:
        yield goes.Dispatch(Ship("1"))


async def later() -> None:
    pass


@pytest.mark.parametrize(
    ("reaction", "problem"),
    [
        ("complete", "must return effects"),
        ({"complete": 1}, "must return effects"),
        ([Ship("1")], "is no effect"),
        ([goes.Complete(), goes.Dispatch(Ship("1"))], "after the end of the instance"),
        ([goes.Compensate(), goes.CancelTimer("a")], "after the end of the instance"),
        ([goes.Dispatch(Placed(1))], "cannot be dispatched"),
        ([goes.Dispatch(Ship("1"), at=datetime(2026, 1, 1))], "needs a zone"),
        ([goes.Dispatch(Ship("1"), key="a"), goes.Dispatch(Ship("2"), key="a")], "have the key"),
        ([goes.Publish(Ship("1"))], "Publish"),
        ([goes.Publish(WorkflowStarted(1))], "cannot be published"),
        ([goes.Publish(Late("1"), tags=("a",))], "a tag must"),
        ([goes.SetTimer("a")], "give either"),
        ([goes.SetTimer("a", at=NOON, after=timedelta(1))], "give either"),
        ([goes.SetTimer("a", at=datetime(2026, 1, 1))], "needs a zone"),
        ([goes.SetTimer("a", after=timedelta.max)], "SetTimer"),
        ([goes.SetTimer("", at=NOON)], "must not be empty"),
        ([goes.Associate("")], "non-empty"),
        ([goes.Fail(5)], "a reason must be a str"),  # type: ignore[arg-type]
    ],
)
def test_an_effect_that_cannot_be_done_is_refused(reaction: Any, problem: str) -> None:
    with pytest.raises(InvalidEffect, match=problem) as caught:
        reacting(reaction)
    assert (caught.value.workflow, caught.value.key) == ("odd", "1")


def test_a_reaction_that_is_a_coroutine_is_refused() -> None:
    with pytest.raises(goes.errors.ConfigError, match="a reaction returned a coroutine"):
        reacting(later)


def test_a_command_that_does_not_fit_its_type_is_refused() -> None:
    with pytest.raises(EncodeError):
        reacting([goes.Dispatch(Ship(5))])  # type: ignore[arg-type]


def test_effects_are_bounded() -> None:
    with pytest.raises(TooManyEffects, match="more than 1000 effects"):
        reacting(endless)
    with pytest.raises(TooManyEffects, match="bytes of commands") as caught:
        reacting(lambda: (goes.Dispatch(Ship("x" * 1_000_000)) for _ in range(10)))
    assert caught.value.limit == 4 * 1024 * 1024


def test_a_timer_in_the_past_is_due_at_once() -> None:
    step = reacting([goes.SetTimer("a", at=datetime(1900, 1, 1, tzinfo=NOON.tzinfo)), goes.SetTimer("a", at=NOON)])

    assert step.instance.timers == {"a": to_micros(NOON)}


def test_a_state_that_is_changed_in_place_is_the_next_one_and_leaks_nowhere() -> None:
    class Counting(goes.Workflow[dict[str, int]], name="counting"):
        def evolve(self, state: dict[str, int], input: Any) -> None:
            state[input.name] = state.get(input.name, 0) + 1

        @goes.starts(Placed)
        def placed(self, state: dict[str, int], event: goes.Event[Placed]) -> Iterable[goes.Effect]:
            state["ignored"] = 1
            return ()

        @goes.on_timer("a")
        def fired(self, state: dict[str, int], timer: goes.TimerFired) -> None: ...

    counting = Definition(Counting(), registry)
    first = start(counting, "1", happened(Placed(1), 1), LATER).instance
    second = transition(counting, first, goes.TimerFired("a", NOON, NOON), LATER).instance

    assert (first.state, second.state) == ({"order.placed": 1}, {"order.placed": 1, "a": 1})


def test_what_a_reaction_raises_propagates() -> None:
    def broken() -> Iterator[goes.Effect]:
        yield goes.Complete()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reacting(broken)


def test_a_record_can_be_stored_as_json() -> None:
    from goes_lite.codec import codec

    instance, json = delivering().instance, codec("json")
    assert json.decoder(Instance)(json.encoder(Instance)(instance)) == instance


def test_the_history_can_be_read_by_every_program() -> None:
    step = started()
    handled = goes.Event(step.events[1].data, aggregate=("workflow:fulfilment", "1"), version=2)

    assert isinstance(handled.data, WorkflowHandled)
    assert goes.default_registry.decode(handled.name, *handled.encoded) == handled.data
