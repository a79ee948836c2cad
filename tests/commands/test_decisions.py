"""Decisions across aggregates: what matters is read, and what is decided holds when it is stored, or is decided anew."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.contract import in_thread

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import AppendConditionFailed, ConfigError, InvalidEventError, InvalidQueryError
from tests.commands.commands_kit import PATIENCE, raised
from tests.conftest_kit import SQLitePlace

registry = goes.Registry()


@registry.event("course.defined")
@dataclass(frozen=True)
class CourseDefined:
    capacity: int


@registry.event("student.subscribed")
@dataclass(frozen=True)
class Subscribed:
    course: str
    student: str


@registry.event("user.named")
@dataclass(frozen=True)
class Named:
    name: str


class Refused(Exception):
    """By a rule of the courses."""


def capacity(course: str) -> goes.DecisionModel[int]:
    """The seats of a course that are left."""
    return goes.DecisionModel(
        goes.EventQuery(["course.defined", "student.subscribed"], tags=[f"course:{course}"]),
        0,
        lambda left, event: event.data.capacity if isinstance(event.data, CourseDefined) else left - 1,
    )


def load(student: str) -> goes.DecisionModel[set[str]]:
    """The courses of a student."""

    def evolve(courses: set[str], event: goes.Event[Any]) -> None:
        courses.add(event.data.course)

    return goes.DecisionModel(goes.EventQuery(["student.subscribed"], tags=[f"student:{student}"]), set[str](), evolve)


def defined(course: str, seats: int) -> goes.Event[Any]:
    return goes.Event(CourseDefined(seats), tags=[f"course:{course}"], registry=registry)


def subscribe(course: str, student: str) -> Any:
    def decide(left: int, courses: set[str]) -> list[goes.Event[Any]]:
        if left < 1:
            raise Refused(f"{course} is full")
        if len(courses) == 2 or course in courses:
            raise Refused(f"{student} has {sorted(courses)}")
        tags = [f"course:{course}", f"student:{student}"]
        return [goes.Event(Subscribed(course, student), tags=tags, registry=registry)]

    return decide


def claim(name: str, user: str = "") -> Any:
    def decide(taken: bool) -> list[goes.Event[Any]]:
        if taken:
            raise Refused(name)
        return [goes.Event(Named(user), tags=[f"name:{name}"], registry=registry)]

    return decide


def taken(name: str) -> goes.DecisionModel[bool]:
    return goes.DecisionModel(goes.EventQuery(["user.named"], tags=[f"name:{name}"]), False, lambda taken, event: True)


def nothing(*states: Any) -> list[goes.Event[Any]]:
    """Decides for no event."""
    return []


def test_rules_about_several_models_at_once(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        await db.events.append([defined("a", 2), defined("b", 9), defined("c", 9)])

        async def ask(course: str, student: str) -> Any:
            return await db.decide(capacity(course), load(student), decide=subscribe(course, student))

        assert (await ask("a", "ada")).positions == (4,)
        await ask("b", "ada")
        with raised(Refused, "ada has"):
            await ask("c", "ada")
        await ask("a", "bob")
        with raised(Refused, "a is full"):
            await ask("a", "cy")
        assert await db.events.count() == 6

    world.with_handle(test, registry=registry)


def test_what_came_in_between_has_it_decided_anew(world: SQLitePlace) -> None:
    """On what is there by then; something that does not matter does not count."""

    async def test(db: Database) -> None:
        seen = list[int]()
        await db.events.append([defined("a", 5), defined("b", 5)])

        def decide(left: int) -> list[goes.Event[Any]]:
            seen.append(left)
            if len(seen) == 1:
                append(defined("b", 7))
                append(goes.Event(Subscribed("a", "bob"), tags=["course:a"], registry=registry))
            return [goes.Event(Subscribed("a", "ada"), tags=["course:a"], registry=registry)]

        assert (await db.decide(capacity("a"), decide=decide)).positions == (5,)
        assert seen == [5, 4]

    with goes.blocking.connect(world.storage.folder / "app.db", registry=registry) as other:

        def append(event: goes.Event[Any]) -> None:
            in_thread(lambda: other.events.append([event]), PATIENCE)  # for it blocks

        world.with_handle(test, registry=registry)


def test_after_the_last_try_it_is_an_error(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        calls = list[bool]()

        def decide(taken: bool) -> list[goes.Event[Any]]:
            calls.append(taken)
            append(goes.Event(Named("x"), tags=["name:ada"], registry=registry))
            return [goes.Event(Named("y"), tags=["name:ada"], registry=registry)]

        with raised(AppendConditionFailed):
            await db.decide(taken("ada"), decide=decide, tries=3)
        assert calls == [False, True, True]

    with goes.blocking.connect(world.storage.folder / "app.db", registry=registry) as other:

        def append(event: goes.Event[Any]) -> None:
            in_thread(lambda: other.events.append([event]), PATIENCE)  # for it blocks

        world.with_handle(test, registry=registry)


def test_a_state_that_is_changed_in_place_begins_anew_each_time(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        model, seen = load("ada"), list[set[str]]()

        def decide(courses: set[str]) -> list[goes.Event[Any]]:
            seen.append(set(courses))
            courses.add("what was decided is not what is stored")
            return []

        for course in ("a", "b"):
            event = goes.Event(Subscribed(course, "ada"), tags=["student:ada"], registry=registry)
            await db.events.append([event])
            await db.decide(model, decide=decide)
        assert (seen, model.initial) == ([{"a"}, {"a", "b"}], set())

    world.with_handle(test, registry=registry)


def test_nothing_may_be_decided(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        assert (await db.decide(taken("ada"), decide=nothing)).positions == ()

    world.with_handle(test, registry=registry)


@pytest.mark.parametrize("answer", [None, 5, "text", [Named("x")], {"a": 1}], ids=repr)
def test_what_is_no_decision(world: SQLitePlace, answer: Any) -> None:
    async def test(db: Database) -> None:
        def decide(taken: bool) -> Any:
            return answer

        with raised(InvalidEventError, "a decision must return"):
            await db.decide(taken("ada"), decide=decide)
        with goes.Context.bind(actor="ada"), raised(InvalidEventError):
            await db.decide(taken("ada"), decide=decide)

    world.with_handle(test, registry=registry)


def test_wrong_arguments(world: SQLitePlace) -> None:
    async def test(db: Any) -> None:
        with raised(ConfigError, "at least one DecisionModel"):
            await db.decide(decide=list)
        with raised(ConfigError, "at least one DecisionModel"):
            await db.decide(5, decide=nothing)
        with raised(ConfigError, "tries must be an int"):
            await db.decide(taken("ada"), decide=nothing, tries=0)

    world.with_handle(test, registry=registry)
    with raised(ConfigError, "evolve must be a function"):
        goes.DecisionModel(goes.EventQuery(), 0, 5)  # type: ignore[arg-type]
    with raised(InvalidQueryError):
        goes.DecisionModel("x", 0, lambda state, event: state)  # type: ignore[arg-type]


def test_a_model_is_folded_without_a_store() -> None:
    events = [defined("a", 3), defined("b", 9), *subscribe("a", "ada")(3, set())]
    assert (capacity("a").fold(events), load("ada").fold(events)) == (2, {"a"})
    assert load("ada").fold([]) == set()


def test_of_many_who_want_one_name_one_gets_it(tmp_path: Path) -> None:
    """64 tasks of one handle, then 16 threads of two: unique without a lock, an index, or an aggregate of all names."""

    async def tasks() -> int:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            found = await asyncio.gather(
                *(db.decide(taken("ada"), decide=claim("ada", str(number))) for number in range(64)),
                return_exceptions=True,
            )
            assert await db.events.count() == 1
        assert sum(isinstance(one, Refused) for one in found) == 63
        return len(found)

    assert asyncio.run(tasks()) == 64
    outcomes = list[bool]()
    with (
        goes.blocking.connect(tmp_path / "a.db", registry=registry) as one,
        goes.blocking.connect(tmp_path / "a.db", registry=registry) as two,
    ):

        def want(db: goes.blocking.BlockingDatabase) -> None:
            try:
                db.decide(taken("bob"), decide=claim("bob"))
            except Refused:
                outcomes.append(False)
            else:
                outcomes.append(True)

        threads = [threading.Thread(target=want, args=(db,)) for db in [one, two] * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [False] * 15 + [True]
        assert one.events.count() == 2
