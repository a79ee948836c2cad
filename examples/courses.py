"""Course subscriptions: rules across aggregates, and many students who want the same few seats at once.

    python examples/courses.py [--students 40] [--courses 6] [--seats 12] [--db courses.db]

A course has a limited number of seats, a student takes at most three courses, and a user name is taken once. No single
aggregate can enforce these rules: a decision reads the events that matter, and appends under the condition that none was
added in the meantime. The students here are threads that all start at once; whatever they do, the rules hold, as the
numbers at the end show.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes
from goes_lite.errors import CommandRejected

registry = goes.Registry()
MOST_COURSES = 3


@registry.event("course.defined")
@dataclass(frozen=True)
class CourseDefined:
    course: str
    seats: int


@registry.event("user.named")
@dataclass(frozen=True)
class UserNamed:
    name: str


@registry.event("student.subscribed")
@dataclass(frozen=True)
class StudentSubscribed:
    course: str
    student: str


@registry.commands.event("course.define")
@dataclass(frozen=True)
class DefineCourse:
    course: str
    seats: int


@registry.commands.event("user.name")
@dataclass(frozen=True)
class TakeName:
    name: str


@registry.commands.event("student.subscribe")
@dataclass(frozen=True)
class Subscribe:
    course: str
    student: str


# --- decision models --------------------------------------------------------------------------------------------------


@dataclass
class Course:
    """What a decision needs to know about a course."""

    seats: int | None = None
    taken: int = 0


def course_model(course: str) -> goes.DecisionModel[Course]:
    """Return the seats of a course, and how many are taken."""

    def evolve(state: Course, event: goes.Event[Any]) -> None:
        if isinstance(event.data, CourseDefined):
            state.seats = event.data.seats
        else:
            state.taken += 1

    query = goes.EventQuery(["course.defined", "student.subscribed"], tags=[f"course:{course}"])
    return goes.DecisionModel(query, Course(), evolve)


def student_model(student: str) -> goes.DecisionModel[frozenset[str]]:
    """Return the courses of a student."""

    def evolve(courses: frozenset[str], event: goes.Event[StudentSubscribed]) -> frozenset[str]:
        return courses | {event.data.course}

    query = goes.EventQuery(["student.subscribed"], tags=[f"student:{student}"])
    return goes.DecisionModel(query, frozenset[str](), evolve)


def name_model(name: str) -> goes.DecisionModel[bool]:
    """Return whether a user name is taken, ignoring case."""

    def evolve(taken: bool, event: goes.Event[UserNamed]) -> bool:
        return True

    return goes.DecisionModel(goes.EventQuery(["user.named"], tags=[f"name:{name.lower()}"]), False, evolve)


# --- the decisions ----------------------------------------------------------------------------------------------------


def decide_on_course(course: Course, command: DefineCourse) -> list[goes.Event[Any]]:
    """Define a course, if there is none of this name."""
    if course.seats is not None:
        raise CommandRejected("course_exists", f"course {command.course!r} already exists")
    event = goes.Event(
        CourseDefined(command.course, command.seats), tags=[f"course:{command.course}"], registry=registry
    )
    return [event]


def decide_on_name(taken: bool, command: TakeName) -> list[goes.Event[Any]]:
    """Take a name, if it is free."""
    if taken:
        raise CommandRejected("name_taken", f"the name {command.name!r} is taken")
    return [goes.Event(UserNamed(command.name), tags=[f"name:{command.name.lower()}"], registry=registry)]


def decide_on_subscription(course: Course, courses: frozenset[str], command: Subscribe) -> list[goes.Event[Any]]:
    """Subscribe a student, if the course has a free seat and the student has time."""
    if course.seats is None:
        raise CommandRejected("no_such_course", f"there is no course {command.course!r}")
    if command.course in courses:
        raise CommandRejected("subscribed", f"{command.student} is already in {command.course}")
    if course.taken >= course.seats:
        raise CommandRejected("course_full", f"{command.course} is full")
    if len(courses) >= MOST_COURSES:
        raise CommandRejected("student_busy", f"{command.student} has {MOST_COURSES} courses")
    tags = [f"course:{command.course}", f"student:{command.student}"]
    return [goes.Event(StudentSubscribed(command.course, command.student), tags=tags, registry=registry)]


def handle_commands(db: goes.blocking.BlockingDatabase) -> None:
    """Register the handlers of this program."""

    @db.commands.handles(DefineCourse)
    def define(command: DefineCourse) -> None:
        db.decide(course_model(command.course), decide=lambda course: decide_on_course(course, command))

    @db.commands.handles(TakeName)
    def take(command: TakeName) -> None:
        db.decide(name_model(command.name), decide=lambda taken: decide_on_name(taken, command))

    @db.commands.handles(Subscribe)
    def subscribe(command: Subscribe) -> None:
        db.decide(
            course_model(command.course),
            student_model(command.student),
            decide=lambda course, courses: decide_on_subscription(course, courses, command),
            tries=100,
        )


# --- the rush ---------------------------------------------------------------------------------------------------------


def rush(db: goes.blocking.BlockingDatabase, students: int, courses: list[str]) -> Counter[str]:
    """Let all students want one of ten names and every course at once, and count the outcomes by code."""
    outcomes: Counter[str] = Counter()
    lock, begin = threading.Lock(), threading.Barrier(students)

    def student(number: int) -> None:
        shuffled = random.Random(number).sample(courses, len(courses))
        commands = [TakeName(f"user-{number % 10}"), *(Subscribe(course, f"s-{number}") for course in shuffled)]
        begin.wait()
        for command in commands:
            try:
                with goes.Context.bind(actor=f"s-{number}"):
                    db.commands.dispatch(command)
                code = "done"
            except CommandRejected as error:
                code = error.code
            with lock:
                outcomes[code] += 1

    threads = [threading.Thread(target=student, args=(number,)) for number in range(students)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def report(db: goes.blocking.BlockingDatabase) -> list[str]:
    """Draw the courses as bars, and check the rules against the log."""
    seats: dict[str, int] = {}
    taken: Counter[str] = Counter()
    busy: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for event in db.events.query():
        match event.data:
            case CourseDefined(course, number):
                seats[course] = number
            case StudentSubscribed(course, student):
                taken[course] += 1
                busy[student] += 1
            case UserNamed(name):
                names[name.lower()] += 1
            case _:
                pass
    lines = [f"  {course:<12} {'█' * taken[course]}{'·' * (seats[course] - taken[course])} {taken[course]}/{seats[course]}"
             for course in seats]  # fmt: skip
    full = all(taken[course] <= seats[course] for course in seats)
    lines += [
        f"  no course has more students than seats: {full}",
        f"  no student has more than {MOST_COURSES} courses: {all(number <= MOST_COURSES for number in busy.values())}",
        f"  no name was taken twice: {all(number == 1 for number in names.values())}",
    ]
    return lines


def main() -> int:
    """Run the rush; return 0 if all rules hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--students", type=int, default=40)
    parser.add_argument("--courses", type=int, default=6)
    parser.add_argument("--seats", type=int, default=12)
    parser.add_argument("--db", default="sqlite:///:memory:", help="a file to keep the events in (default: in memory)")
    arguments = parser.parse_args()
    courses = [f"course-{number + 1}" for number in range(arguments.courses)]
    with goes.blocking.connect(arguments.db, registry=registry) as db:
        handle_commands(db)
        for course in courses:
            try:
                db.commands.dispatch(DefineCourse(course, arguments.seats))
            except CommandRejected as error:
                print(f"  {error}")
        print(f"{arguments.students} students, each of whom wants all courses:")
        outcomes = rush(db, arguments.students, courses)
        print("  " + ", ".join(f"{code} {count}" for code, count in outcomes.most_common()))
        lines = report(db)
        print("\n".join(lines))
    return 1 if any(line.endswith("False") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
