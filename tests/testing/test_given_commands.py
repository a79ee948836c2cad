"""Given events, when a command comes, then …: what it says where that is right, and where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import CommandRejected
from goes_lite.testing import Outcome, given, history, like

registry = goes.Registry()


@registry.event("cup.filled")
@dataclass(frozen=True)
class Filled:
    amount: int
    by: str = "me"


@registry.event("cup.emptied")
@dataclass(frozen=True)
class Emptied:
    pass


@registry.commands.event("cup.fill")
@dataclass(frozen=True)
class Fill:
    id: str
    amount: int


@registry.commands.event("cup.spill")
@dataclass(frozen=True)
class Spill:
    id: str


class Cup(goes.Aggregate, name="cup", registry=registry):
    content: int = 0

    @goes.handles(Fill, create=True)
    def fill(self, command: Fill) -> int:
        if command.amount < 0:
            raise CommandRejected("too_little", "less than nothing", details={"amount": command.amount})
        for _ in range(command.amount):
            self.record(Filled(1))
        return self.content

    def spill(self) -> None:
        if not self.content:
            raise ValueError("it is empty")
        self.record(Emptied())

    @goes.applies(Filled)
    def _filled(self, event: goes.Event[Filled]) -> None:
        self.content += event.data.amount

    @goes.applies(Emptied)
    def _emptied(self, event: goes.Event[Emptied]) -> None:
        self.content = 0


def decide(content: int, command: Fill) -> list[object]:
    if command.amount < 0:
        raise CommandRejected("too_little", "less than nothing")
    return [Filled(command.amount)]


def evolve(content: int, event: Filled) -> int:
    return content + event.amount


jugs = goes.Decider("jug", initial=0, decide=decide, evolve=evolve, events=[Filled], commands=[Fill], registry=registry)
FULL = history(("cup", "1"), Filled(2), Filled(3), registry=registry)
poured = goes.DecisionModel(goes.EventQuery(["cup.filled"]), 0, lambda so_far, event: so_far + event.data.amount)


def small(amount: int) -> bool:
    return amount < 5


def large(amount: int) -> bool:
    return amount > 5


def fails(match: str) -> Any:
    return pytest.raises(AssertionError, match=match)


def test_an_aggregate() -> None:
    outcome = given(FULL, registry=registry).when(Fill("1", 2), Cup)
    outcome.then(Filled(1), Filled(1)).then_result(7).then_state(Cup, "1", content=7)
    assert outcome.data == [Filled(1), Filled(1)]
    assert [event.version for event in outcome.events] == [3, 4]
    assert repr(outcome) == "<Outcome of Fill(id='1', amount=2): 2 events, None>"


def test_a_decider() -> None:
    given(history(("jug", "1"), Filled(2), registry=registry), registry=registry).when(Fill("1", 3), jugs).then(
        Filled(3)
    ).then_state(jugs, "1", 5)


def test_a_function() -> None:
    given(registry=registry).when(Spill("1"), lambda command: command.id).then_result("1").then_nothing()


def test_a_change() -> None:
    outcome = given(FULL, registry=registry).use(Cup, "1", Cup.spill)
    outcome.then(Emptied()).then_state(Cup, "1", content=0)
    given(registry=registry).use(Cup, "1", Cup.spill).raises(ValueError, "empty")
    given(registry=registry).use(jugs, "1", lambda jug: jug.decide(Fill("1", 4))).then(Filled(4))


def test_a_decision() -> None:
    def pour(so_far: int) -> list[goes.Event[Any]]:
        if so_far > 4:
            raise ValueError("enough")
        return [goes.Event(Filled(9), registry=registry)]

    given(registry=registry).decide(poured, decide=pour).then(Filled(9)).then_state(poured, state=9)
    given(FULL, registry=registry).decide(poured, decide=pour).raises(ValueError, "enough").then_state(poured, state=5)


def test_a_rejection() -> None:
    outcome = given(registry=registry).when(Fill("1", -1), Cup)
    outcome.raises(CommandRejected).raises(CommandRejected, "than nothing", code="too_little", details={"amount": -1})
    with fails("raised .*CommandRejected.*, not KeyError"):
        outcome.raises(KeyError)
    with fails("which does not match 'other'"):
        outcome.raises(CommandRejected, "other")
    with fails("whose code is 'too_little', not 'other'"):
        outcome.raises(CommandRejected, code="other")
    for check in (outcome.then_nothing, lambda: outcome.then_result(5), lambda: outcome.then_at_least(0, Filled(1))):
        with fails("raised .*CommandRejected") as caught:
            check()
        assert caught.value.__cause__ is outcome.error
    with fails("raised nothing, and stored"):
        given(registry=registry).when(Fill("1", 1), Cup).raises(ValueError)


def test_an_error_after_something_was_stored_is_none_that_was_asked_for() -> None:
    (event, *_) = FULL
    with fails("raised ValueError.*, and stored"):
        Outcome("it", [event], [event], None, ValueError()).raises(ValueError)


def test_other_events_are_shown_line_by_line() -> None:
    outcome = given(registry=registry).when(Fill("1", 2), Cup)
    with fails("stored other events") as caught:
        outcome.then(Filled(1), Filled(5))
    assert str(caught.value).splitlines()[1:] == [
        "  - expected, + stored",
        "   Filled(amount=1, by='me')",
        "  -Filled(amount=5, by='me')",
        "  +Filled(amount=1, by='me')",
    ]
    for other in ((), (Filled(1),), (Filled(1), Filled(1), Filled(1)), (Filled(1), Emptied())):
        with fails("stored other events"):
            outcome.then(*other)
    with fails("returned 2, not 3"):
        outcome.then_result(3)
    with fails(r"content of cup\(1\) is 2, not 3"):
        outcome.then_state(Cup, "1", content=3)
    with fails("is 2, not 3"):
        outcome.then_state(poured, state=3)
    with fails("is 0, not 1"):
        outcome.then_state(jugs, "1", 1)


def test_numbers_of_events() -> None:
    outcome = given(registry=registry).when(Fill("1", 3), Cup)
    outcome.then_exactly(3, Filled(1)).then_at_least(2, Filled(1)).then_at_most(3, Filled(1)).then_exactly(0, Emptied())
    with fails("3 of .* not exactly 2"):
        outcome.then_exactly(2, Filled(1))
    with fails("not at least 4"):
        outcome.then_at_least(4, Filled(1))
    with fails("not at most 2"):
        outcome.then_at_most(2, Filled(1))


def test_parts_of_the_data() -> None:
    outcome = given(registry=registry).when(Fill("1", 1), Cup)
    outcome.then(like(Filled)).then(like(Filled, amount=1)).then(like(Filled, amount=small))
    outcome.then_exactly(1, like(Filled, by="me"))
    for other in (
        like(Emptied),
        like(Filled, amount=2),
        like(Filled, amount=large),
        like(Filled, of=1),
    ):
        with fails("stored other events"):
            outcome.then(other)
    assert like(dict, a=1) == {"a": 1, "b": 2}
    assert like(dict, a=1) != {"b": 1}
    assert repr(like(Filled, amount=1)) == "like(Filled, amount=1)"


def test_a_comparison_of_your_own() -> None:
    def same_kind(found: object, expected: object) -> bool:
        return type(found) is type(expected)

    outcome = given(registry=registry).when(Fill("1", 1), Cup)
    outcome.then(Filled(99), equal=same_kind)
    with fails("stored other events"):
        outcome.then(Emptied(), equal=same_kind)


# --- fixtures ---------------------------------------------------------------------------------------------------------


FIXTURES = """
import dataclasses
import goes_lite as goes
import pytest
from goes_lite.testing import FakeClock, RecordedBus

pytest_plugins = ["goes_lite.testing.fixtures"]
registry = goes.Registry()


@registry.event("cup.filled")
@dataclasses.dataclass(frozen=True)
class Filled:
    amount: int


def filled(amount):
    return goes.Event(Filled(amount), registry=registry)


@pytest.fixture
def goes_registry():
    return registry


def test_a_store_and_what_is_heard_on_its_bus(goes_db, goes_heard):
    goes_db.events.append([filled(1)])
    assert goes_heard.block_until(1)[0].data == Filled(1)
    assert (goes_heard.names, goes_heard.data) == (["cup.filled"], [Filled(1)])


def test_another_one_has_nothing(goes_db, goes_connect):
    other = goes_connect()
    assert not isinstance(other.runtime.clock, FakeClock)
    assert (other.events.count(), other.runtime.clock, goes_db.events.count()) == (0, other.runtime.clock, 0)


def test_they_share_a_clock_where_one_is_asked_for(goes_db, goes_connect, goes_async, goes_clock):
    async def clock_of(db):
        return db.runtime.clock

    assert isinstance(goes_clock, FakeClock)
    assert goes_db.runtime.clock is goes_connect().runtime.clock is goes_async(clock_of) is goes_clock
    assert goes_connect(clock=None).runtime.clock is not goes_clock


def test_on_an_event_loop(goes_async):
    async def test(db):
        heard = RecordedBus(db.bus)
        await db.events.append([filled(1), filled(2)])
        assert [event.data for event in await heard.until(2)] == [Filled(1), Filled(2)]
        with pytest.raises(AssertionError, match="fewer than 3 events"):
            await heard.until(3, patience=0.01)
        return 5

    assert goes_async(test) == 5
"""


def test_fixtures(pytester: pytest.Pytester) -> None:
    """With no plugin for asyncio."""
    pytester.makepyfile(FIXTURES)
    pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:anyio", "-W", "error").assert_outcomes(passed=4)
