"""Definitions of workflows: what is wrong with one is told when it is registered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

import goes_lite as goes
from goes_lite.errors import InvalidQueryError, RegistrationError, UnregisteredTypeError
from goes_lite.events.registry import Registry
from goes_lite.workflow import Definition, start
from tests.workflow.workflow_kit import (
    NOON,
    Charge,
    Delivered,
    Fulfilment,
    Placed,
    Progress,
    Ship,
    definition,
    happened,
    outcome,
    registry,
)


def test_a_definition_receives_its_events_and_the_outcomes_of_its_commands() -> None:
    query = definition().query

    assert query.matches(happened(Placed(1), 1))
    assert query.matches(outcome(UUID(int=1), "charge", 1))
    told = outcome(UUID(int=1), "charge", 1)
    assert not query.matches(goes.Event(told.data, tags=["workflow:other"], registry=registry))


def test_keys_say_which_instances_an_event_concerns() -> None:
    fulfilment = definition()

    assert fulfilment.concerns(happened(Placed(1), 1, order="7")) == (("7",), ())
    assert fulfilment.concerns(happened(Delivered("parcel-7"), 1)) == ((), ("parcel-7",))
    assert fulfilment.concerns(outcome(UUID(int=1), "charge", 1, order="a:b")) == ((), ("a:b",))
    assert fulfilment.concerns(goes.Event(Placed(1), registry=registry)) == ((), ())  # of no aggregate


@pytest.mark.parametrize(
    ("answer", "keys"),
    [
        (None, ()),
        ("a", ("a",)),
        (UUID(int=1), (str(UUID(int=1)),)),
        (["a", "b", "a"], ("a", "b")),
        ((), ()),
        ((key for key in "ab"), ("a", "b")),
    ],
)
def test_a_key_function_returns_a_key_or_several_or_none(answer: Any, keys: tuple[str, ...]) -> None:
    assert keyed(answer).concerns(happened(Placed(1), 1)).starts == keys


@pytest.mark.parametrize("answer", [5, b"a", {"a": 1}, [5], "", ["a", ""], "x" * 901, "a\0"])
def test_any_other_answer_is_refused(answer: Any) -> None:
    with pytest.raises(InvalidQueryError, match="keyed"):
        keyed(answer).concerns(happened(Placed(1), 1))


def keyed(answer: Any) -> Definition:
    class Keyed(goes.Workflow[Progress], name="keyed"):
        @goes.starts(Placed, key=lambda event: answer)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> None: ...

    return Definition(Keyed(), registry)


def test_a_workflow_may_be_functions() -> None:
    def react(state: Progress, input: Any) -> Iterable[goes.Effect]:
        if isinstance(input, goes.TimerFired):
            yield goes.Complete()
        elif isinstance(input.data, Placed):
            yield goes.Dispatch(Charge(state.order, input.data.total))

    made = goes.workflow_of(
        "made", state=Progress, initial=Progress, react=react, starts_with={Placed: None},
        inputs={Delivered: lambda event: event.data.parcel}, timers=["late"], commands=[Charge], version=3,
    )  # fmt: skip
    fulfilment = Definition(made, registry)

    step = start(fulfilment, "1", happened(Placed(5), 1), NOON)
    assert [accepted.command.data for accepted in step.commands] == [Charge("1", 5)]
    assert (fulfilment.name, fulfilment.version, step.instance.version) == ("made", 3, 3)
    assert fulfilment.concerns(happened(Delivered("p"), 1)).reacts == ("p",)
    assert (list(fulfilment.timers), list(fulfilment.done), list(fulfilment.rejected)) == (
        ["late"],
        ["charge"],
        ["charge"],
    )


# --- what is wrong is told at once --------------------------------------------------------------------------------------


def test_a_subclass_overrides_a_method_of_its_base() -> None:
    class Special(Fulfilment, name="special"):
        def placed(self, state: Progress, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
            return [goes.Complete()]

    assert start(Definition(Special(), registry), "1", happened(Placed(1), 1), NOON).instance.status == "completed"


def test_it_needs_a_name_a_state_and_a_start() -> None:
    class Nameless(goes.Workflow[Progress]):
        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> None: ...

    class Stateless(goes.Workflow, name="stateless"):  # type: ignore[type-arg]
        @goes.starts(Placed)
        def placed(self, state: Any, event: goes.Event[Placed]) -> None: ...

    class Startless(goes.Workflow[Progress], name="startless"):
        @goes.reacts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> None: ...

    for workflow, problem in (
        (Nameless(), "has no name"),
        (Stateless(), "type of its state"),
        (Startless(), "no start"),
    ):
        with pytest.raises(RegistrationError, match=problem):
            Definition(workflow, registry)
    with pytest.raises(RegistrationError, match="did you forget to call it"):
        Definition(Fulfilment, registry)  # type: ignore[arg-type]


def test_its_events_and_commands_are_registered_and_its_state_can_be_stored() -> None:
    @dataclass
    class Unknown:
        pass

    class OfEvent(goes.Workflow[Progress], name="of-event"):
        @goes.starts(Unknown)
        def placed(self, state: Progress, event: goes.Event[Any]) -> None: ...

    class OfName(goes.Workflow[Progress], name="of-name"):
        @goes.starts("order.unknown")
        def placed(self, state: Progress, event: goes.Event[Any]) -> None: ...

    class OfCommand(goes.Workflow[Progress], name="of-command"):
        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Any]) -> None: ...
        @goes.on_done(Unknown)
        def done(self, state: Progress, event: goes.Event[Any]) -> None: ...

    class OfState(goes.Workflow[complex], name="of-state"):
        @goes.starts(Placed)
        def placed(self, state: complex, event: goes.Event[Any]) -> None: ...

    for workflow in (OfEvent(), OfCommand()):
        with pytest.raises(UnregisteredTypeError, match="Unknown"):
            Definition(workflow, registry)
    with pytest.raises(RegistrationError, match="no event is registered as 'order.unknown'"):
        Definition(OfName(), registry)
    with pytest.raises(RegistrationError):
        Definition(OfState(), registry)
    with pytest.raises(UnregisteredTypeError):
        Definition(Fulfilment(), Registry())


def test_two_methods_for_one_input_are_refused() -> None:
    with pytest.raises(RegistrationError, match="twice"):

        class Twice(goes.Workflow[Progress], name="twice"):  # pyright: ignore[reportUnusedClass]
            @goes.starts(Placed)
            def one(self, state: Progress, event: goes.Event[Placed]) -> None: ...
            @goes.starts(Placed)
            def two(self, state: Progress, event: goes.Event[Placed]) -> None: ...

    class ByName(goes.Workflow[Progress], name="by-name"):
        @goes.starts(Placed)
        def one(self, state: Progress, event: goes.Event[Placed]) -> None: ...
        @goes.starts("order.placed")
        def two(self, state: Progress, event: goes.Event[Placed]) -> None: ...

    with pytest.raises(RegistrationError, match="handles 'order.placed' twice"):
        Definition(ByName(), registry)


def test_wrong_marks_are_refused() -> None:
    def method(self: Any, state: Any, input: Any) -> None: ...
    async def waiting(self: Any, state: Any, input: Any) -> None: ...
    async def key(event: Any) -> str:
        return "a"

    wrong: list[Any] = [
        lambda: goes.starts()(method),
        lambda: goes.starts(method),  # type: ignore[arg-type]
        lambda: goes.starts(5),  # type: ignore[arg-type]
        lambda: goes.starts(Placed, key="id"),  # type: ignore[arg-type]
        lambda: goes.reacts(Placed, key=key),  # type: ignore[arg-type]
        lambda: goes.reacts(Placed)(waiting),
        lambda: goes.evolves(Placed)(endless),
        goes.on_timer,
        lambda: goes.on_timer(method),  # type: ignore[arg-type]
        lambda: goes.on_timer("a b"),
        lambda: goes.on_done()(method),
        lambda: goes.on_rejected(Ship)(5),  # type: ignore[type-var]
    ]
    for act in wrong:
        with pytest.raises(RegistrationError):
            act()


def endless(self: Any, state: Any, input: Any) -> Iterable[int]:
    yield 1


@pytest.mark.parametrize(
    ("name", "version"), [("", 1), ("a b", 1), ("x" * 151, 1), ("fine", 0), ("fine", True), ("fine", "2")]
)
def test_wrong_names_and_versions_are_refused(name: Any, version: Any) -> None:
    with pytest.raises(RegistrationError):
        make: Any = type
        make("Odd", (Fulfilment,), {}, name=name, version=version)


def test_a_method_that_every_workflow_has_cannot_be_marked() -> None:
    with pytest.raises(RegistrationError, match="choose another name"):

        class Odd(goes.Workflow[Progress], name="odd"):  # pyright: ignore[reportUnusedClass]
            @goes.starts(Placed)
            def key(self, state: Any, event: Any) -> Any: ...  # type: ignore[override]


def test_a_method_that_waits_is_refused() -> None:
    class Waiting(goes.Workflow[Progress], name="waiting"):
        async def evolve(self, state: Progress, input: Any) -> Any: ...  # type: ignore[override]

        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> None: ...

    with pytest.raises(RegistrationError, match="coroutine"):
        Definition(Waiting(), registry)


def test_evolving_by_an_event_that_it_never_receives_is_refused() -> None:
    class Deaf(goes.Workflow[Progress], name="deaf"):
        @goes.starts(Placed)
        def placed(self, state: Progress, event: goes.Event[Placed]) -> None: ...
        @goes.evolves(Delivered)
        def delivered(self, state: Progress, event: goes.Event[Delivered]) -> Progress:
            return state

    with pytest.raises(RegistrationError, match="neither starts with it nor reacts to it"):
        Definition(Deaf(), registry)
