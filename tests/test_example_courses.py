"""examples/courses.py: rules across aggregates hold, however many students want the same seats at once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import CommandRejected
from goes_lite.testing import Outcome, given
from tests.examples import example_kit as kit

courses: Any = kit.module("courses")


def event(data: Any, *tags: str) -> goes.Event[Any]:
    return goes.Event(data, tags=tags, registry=courses.registry)


def defined(seats: int) -> goes.Event[Any]:
    return event(courses.CourseDefined("maths", seats), "course:maths")


def subscribed(course: str, student: str) -> goes.Event[Any]:
    return event(courses.StudentSubscribed(course, student), f"course:{course}", f"student:{student}")


def subscribing(*events: goes.Event[Any]) -> Outcome:
    """Let ada subscribe to maths."""

    def decide(course: Any, taken: Any) -> Any:
        return courses.decide_on_subscription(course, taken, courses.Subscribe("maths", "ada"))

    return given(*events, registry=courses.registry).decide(
        courses.course_model("maths"), courses.student_model("ada"), decide=decide
    )


def test_a_free_seat_is_taken() -> None:
    subscribing(defined(2), subscribed("maths", "bob"), subscribed("arts", "cy")).then(
        courses.StudentSubscribed("maths", "ada")
    ).then_state(courses.student_model("ada"), state={"maths"})


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([], "no_such_course"),
        ([defined(1), subscribed("maths", "bob")], "course_full"),
        ([defined(2), subscribed("maths", "ada")], "subscribed"),
        ([defined(9), *(subscribed(course, "ada") for course in ("arts", "music", "sports"))], "student_busy"),
    ],
    ids=["none", "full", "twice", "busy"],
)
def test_a_rule_refuses_it(events: list[goes.Event[Any]], code: str) -> None:
    subscribing(*events).raises(CommandRejected, code=code)


def test_a_name_is_taken_once_ignoring_case() -> None:
    def decide(taken: bool) -> Any:
        return courses.decide_on_name(taken, courses.TakeName("Ada"))

    model = courses.name_model("ADA")
    given(registry=courses.registry).decide(model, decide=decide).then(courses.UserNamed("Ada")).then_state(
        model, state=True
    )
    given(event(courses.UserNamed("ada"), "name:ada"), registry=courses.registry).decide(model, decide=decide).raises(
        CommandRejected, code="name_taken"
    )


def test_a_course_is_defined_once(tmp_path: Path) -> None:
    path = tmp_path / "courses.db"
    kit.run("courses.py", "--students", 2, "--courses", 1, "--db", path, cwd=tmp_path)
    out, _ = kit.run("courses.py", "--students", 2, "--courses", 1, "--db", path, cwd=tmp_path)
    assert "course 'course-1' already exists" in out


def test_in_the_rush_all_rules_hold(tmp_path: Path) -> None:
    """Counted in the file that it leaves."""
    out, _ = kit.run(
        "courses.py", "--students", 24, "--courses", 4, "--seats", 5, "--db", tmp_path / "a.db", cwd=tmp_path
    )
    assert [line.endswith(": True") for line in out.splitlines()[-3:]] == [True] * 3
    assert "█████ 5/5" in out
    with goes.blocking.connect(tmp_path / "a.db", registry=courses.registry) as db:
        events = db.events.query().list()
    taken = Counter(e.data.course for e in events if isinstance(e.data, courses.StudentSubscribed))
    busy = Counter(e.data.student for e in events if isinstance(e.data, courses.StudentSubscribed))
    assert set(taken.values()) == {5}
    assert max(busy.values()) <= 3
    assert sum(isinstance(e.data, courses.UserNamed) for e in events) == 10
    assert all(e.metadata["actor"].startswith("s-") for e in events if not isinstance(e.data, courses.CourseDefined))
