"""Snapshots of code that has changed: they are not used, whatever part of the code it was."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.aggregate import Aggregate, check_class
from goes_lite.aggregate._fingerprint import fingerprint
from goes_lite.events.registry import Registry

PROGRAM = '''
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
import goes_lite as goes

RATE = 2
TABLE = {"a": 1}
KNOWN = {"x", "y", "z"}

class Size(Enum):
    BIG = 1

@dataclass(frozen=True)
class Line:
    cents: int
    @property
    def total(self):
        return self.cents

@dataclass(frozen=True)
class Added:
    line: Line

registry = goes.Registry()
registry.register("added", Added, schema=2)

@registry.upcast("added", 1)
def added_1(old):
    return {"line": {"cents": old["cents"]}}

def helped(number):
    return number + inner(number)

@cache
def inner(number):
    return number if number in {1, 2, 3} or "x" in KNOWN else TABLE["a"]

class Mixin:
    def doubled(self, number):
        return number * RATE

class Account(Mixin, goes.Aggregate, name="account", registry=registry):
    total: int = 0

    def __init__(self, id=None):
        super().__init__(id)
        self.size = Size.BIG

    @goes.applies(Added)
    def _added(self, event):
        """Adds."""
        self.total += self.doubled(helped(event.data.line.total))

    def add(self, cents):
        self.record(Added(Line(cents)))
'''


def of(program: str) -> str:
    sys.modules["bank"] = bank = ModuleType("bank")
    try:
        exec(textwrap.dedent(program), bank.__dict__)
        account = bank.__dict__["Account"]
        return fingerprint(account, Aggregate, check_class(account))
    finally:
        del sys.modules["bank"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.total += self", "self.total -= self"),
        ("RATE = 2", "RATE = 3"),
        ('{"a": 1}', '{"a": 2}'),
        ('{"x", "y", "z"}', '{"x", "y"}'),
        ("{1, 2, 3}", "{1, 2}"),
        ("return number + inner", "return number - inner"),
        ("return number if", "return -number if"),
        ("return self.cents", "return self.cents * 2"),
        ('old["cents"]', '-old["cents"]'),
        ("return number * RATE", "return number + RATE"),
        ("total: int = 0", "total: int = 1"),
        ("self.size = Size.BIG", "self.size = None"),
        ("BIG = 1", "BIG = 2"),
        ("cents: int\n", "cents: int = 5\n"),
    ],
)
def test_another_computation_is_another_fingerprint(before: str, after: str) -> None:
    assert PROGRAM.count(before) == 1
    assert of(PROGRAM) != of(PROGRAM.replace(before, after))


def test_what_computes_no_state_does_not_count() -> None:
    """Command methods, and where the code stands."""
    same = of(PROGRAM)
    assert of(PROGRAM.replace("self.record(Added(Line(cents)))", "self.record(Added(Line(2 * cents)))")) == same
    assert of("# moved\n\n" + PROGRAM) == same


def test_every_process_has_the_same(tmp_path: Path) -> None:
    """Whatever order its sets have."""
    source = PROGRAM + (
        "\nfrom goes_lite.aggregate import Aggregate, check_class\n"
        "from goes_lite.aggregate._fingerprint import fingerprint\n"
        "print(fingerprint(Account, Aggregate, check_class(Account)))\n"
    )
    (tmp_path / "bank.py").write_text(source)
    found = {
        subprocess.run(
            [sys.executable, "-m", "bank"], cwd=tmp_path, check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


# --- snapshots --------------------------------------------------------------------------------------------------------

registry = Registry()
registry.register("counted", int)


def account(factor: int, **arguments: Any) -> type[Any]:
    class Account(Aggregate, name="account", registry=registry, **arguments):
        total: int = 0

        @goes.applies(int)
        def _counted(self, event: goes.Event[int]) -> None:
            self.total += factor * event.data

        def count(self) -> None:
            self.record(1)

    return Account


def test_a_snapshot_of_a_corrected_applier_is_not_used() -> None:
    """The load is right at once, and the next snapshot is of the new code."""
    wrong, right = account(2), account(1)
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        db.repository(wrong, snapshots=goes.Every(1)).use("1", lambda one: one.count(), create=True)
        accounts = db.repository(right, snapshots=goes.Every(1))
        assert accounts.fetch("1").total == 1
        assert accounts.fetch_version("1", 1).total == 1
        accounts.use("1", lambda one: one.count())
        assert accounts.fetch("1").total == 2


def test_a_class_may_decide_itself_which_snapshots_fit() -> None:
    """With `schema`, given or inherited, the code does not count: raise it with the appliers."""
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        db.repository(account(2, schema=1), snapshots=goes.Every(1)).use("1", lambda one: one.count(), create=True)

        class Later(account(1, schema=1)):  # type: ignore[misc]
            pass

        assert db.repository(Later, snapshots=goes.Every(1)).fetch("1").total == 2
        assert db.repository(account(1, schema=2), snapshots=goes.Every(1)).fetch("1").total == 1


def test_the_functions_of_a_decider_count() -> None:
    def of_decider(initial: int, factor: int) -> str:
        made = goes.Decider(
            "counter", initial=initial, decide=lambda state, command: [1], evolve=lambda state, event: state + factor * event,
            events=[int], registry=registry,
        ).aggregate  # fmt: skip
        return fingerprint(made, Aggregate, check_class(made))

    assert of_decider(0, 1) == of_decider(0, 1)
    assert len({of_decider(0, 1), of_decider(0, 2), of_decider(1, 1)}) == 3
