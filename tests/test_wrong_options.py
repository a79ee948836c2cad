"""Options of a wrong type or value are refused where they are given, on both faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import ConfigError, GoesError

registry = goes.Registry()
registry.register("counted", int)
registry.commands.register("count", str)


class Counter(goes.Aggregate, name="counter", registry=registry):
    total: int = 0

    @goes.handles(str, id=lambda name: name, create=True)
    def count(self, command: str) -> None:
        self.record(1)

    @goes.applies(int)
    def _counted(self, event: goes.Event[int]) -> None:
        self.total += event.data


class Counts(goes.ModelProjection[int], name="counts"):
    @goes.projects(int)
    def counted(self, model: int, event: goes.Event[int]) -> int:
        return model + event.data


RUN: dict[str, list[Any]] = {
    "schedule": [5, "x", goes.Every(3), goes.Continuously],
    "retry": [3, "x", goes.Retry],
    "batch": [0, -1, 1.5, "x", True],
    "lease": [0, "x", True, float("nan"), float("inf")],
}
Call = Callable[[Any, dict[str, Any]], object]
PLACES: list[tuple[Call, dict[str, list[Any]]]] = [
    (
        lambda db, wrong: db.repository(Counter, **wrong),
        {
            "snapshots": [100, "x", True, goes.Every, goes.Continuously()],
            "keep_snapshots": [0, "x", True],
            "cache": [-1, 1.5, "x", True],
            "tries": [0, "x", True],
            "backoff": [-1, "x", True, float("nan")],
            "before_save": [5, "x"],
            "on_error": [5, "x"],
        },
    ),
    (
        lambda db, wrong: db.processor("p", print, **wrong),
        {**RUN, "batched": [1, "no", None], "transactional": [1, "no", None], "query": ["x", 5], "start": ["then", -1]},
    ),
    (lambda db, wrong: db.projection(Counts(), **wrong), {**RUN, "on_new_version": [None, "x", 5]}),
    (lambda db, wrong: db.relay(name="r", bus=Bus(), **wrong), {**RUN, "query": ["x"], "start": ["then"]}),
    (lambda db, wrong: db.commands.handle("count", print, **wrong), {"transactional": [1, "no", None]}),
    (lambda db, wrong: db.commands.serve(Counter, **wrong), {"cache": ["x"], "snapshots": [100], "after_save": [5]}),
    (
        lambda db, wrong: db.commands.worker(**wrong),
        {"attempts": [0, "x", True], "concurrency": [0, "x"], "claim": [0, "x", True], "backoff": [5]},
    ),
    (lambda db, wrong: db.commands.use(print, **wrong), {"around": ["x", 5, None]}),
    (lambda db, wrong: db.lookup(**wrong), {"lookup": [5, "x", Counts()]}),
    (lambda db, wrong: goes.OnDemand(**wrong), {"at_start": [1, "x", None]}),
    (lambda db, wrong: goes.Backoff(**wrong), {"rng": [5, "x"]}),
]


class Bus:
    def publish(self, events: object) -> None:
        pass


def test_a_wrong_option_is_refused_at_once() -> None:
    """With an error that names the option and shows the value; nothing is opened, registered or started."""
    missed: list[str] = []
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        for call, options in PLACES:
            for option, values in options.items():
                for value in values:
                    try:
                        call(db, {option: value})
                    except GoesError as exc:
                        if option not in str(exc):
                            missed.append(f"{option}={value!r}: {exc}")
                    else:
                        missed.append(f"{option}={value!r} is accepted")
        assert db.commands.handled == ()
    assert missed == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bus", 5),
        ("bus", []),
        ("registry", "x"),
        ("registry", {}),
        ("clock", 5),
        ("clock", ""),
        ("unknown", "x"),
        ("inline", 1),
    ],
)
def test_a_wrong_option_of_connect(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=option):
        goes.blocking.connect("sqlite:///:memory:", **{option: value})
