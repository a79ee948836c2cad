"""`goes-lite workflows`: instances and their history, which are stuck, and how they go on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.events.workflow import WorkflowEnded
from goes_lite.testing import FakeClock
from tests.cli.cli_kit import goes_lite

registry = goes.Registry()


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int


@registry.commands.event("charge")
@dataclass(frozen=True)
class Charge:
    order: str


@dataclass
class Progress:
    order: str = ""


class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
    broken = True

    def initial(self, key: str) -> Progress:
        return Progress(key)

    @goes.starts(Placed)
    def placed(self, state: Progress, event: goes.Event[Placed]) -> Iterable[goes.Effect]:
        if event.data.total < 0 and self.broken:
            raise ValueError("no \x1b[31msuch total")
        yield goes.Dispatch(Charge(state.order))
        yield goes.SetTimer("payment", after=timedelta(days=2))


def opened(path: Path, clock: FakeClock | None = None) -> Any:
    return goes.blocking.connect(path, registry=registry, clock=clock, durability="normal")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an instance that runs, and one that cannot handle its first input."""
    folder = tmp_path_factory.mktemp("workflows")
    clock = FakeClock()
    with opened(folder / "shop.db", clock) as db:
        flow = db.workflow(Fulfilment(), patience=1)
        for order, total in (("1", 450), ("2", -1)):
            db.events.append([goes.Event(Placed(total), aggregate=("order", order), version=1, registry=registry)])
        flow.catch_up()
        clock.advance(60)
        flow.catch_up()
    return folder


@pytest.fixture
def shop(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "shop")
    return tmp_path / "shop"


def test_instances_are_listed_and_stuck_ones_are_findings(template: Path) -> None:
    ran = goes_lite("workflows", "list", "shop.db", cwd=template, code=1)
    assert "fulfilment/1" in ran.out
    assert "payment at " in ran.out
    assert "\x1b" not in ran.out + ran.err
    document = goes_lite("workflows", "list", "shop.db", "--json", cwd=template, code=1).envelope
    one, two = document["data"]
    assert (one["key"], one["status"], one["state"], [*one["timers"]]) == ("1", "running", {"order": "1"}, ["payment"])
    assert (two["key"], two["status"], two["failing"]["input"]) == ("2", "suspended", "order.placed")
    (finding,) = document["findings"]
    assert finding["code"] == "workflow-stuck"
    assert finding["fix"] == "goes-lite workflows show fulfilment/2"

    (only,) = goes_lite("workflows", "list", "shop.db", "--status", "running", "--json", cwd=template).data
    assert only == one
    (stuck,) = goes_lite("workflows", "stuck", "shop.db", "--json", cwd=template, code=1).envelope["data"]
    assert stuck == two


def test_the_history_of_an_instance(template: Path) -> None:
    before = hashlib.sha256((template / "shop.db").read_bytes()).hexdigest()
    found = goes_lite("workflows", "show", "shop.db", "fulfilment/1", "--json", cwd=template).data
    assert [moment["what"] for moment in found["history"]] == [
        "started under version 1, run 1",
        "told order.placed at position 1",
    ]
    assert found["history"][1]["effects"][0] == "dispatch charge {'order': '1'}"
    ran = goes_lite("workflows", "show", "shop.db", "fulfilment/2", cwd=template, code=1)
    assert "suspended: " in ran.out
    assert "\x1b" not in ran.out + ran.err
    assert "goes-lite workflows retry fulfilment/2" in ran.err
    assert hashlib.sha256((template / "shop.db").read_bytes()).hexdigest() == before


PROGRAM = """
from dataclasses import dataclass, replace
from datetime import timedelta
import goes_lite as goes

@goes.event("order.placed")
@dataclass(frozen=True)
class Placed:
    total: int

@dataclass(frozen=True)
class Progress:
    order: str = ""
    total: int = 0

class Fulfilment(goes.Workflow[Progress], name="fulfilment"):
    def initial(self, key):
        return Progress(key)

    @goes.evolves(Placed)
    def told(self, state, event):
        return replace(state, total=event.data.total)

    @goes.starts(Placed)
    def placed(self, state, event):
        return ()

class Later(Fulfilment, name="fulfilment", version=2):
    pass

class Stubborn(Fulfilment, name="stubborn"):
    def __init__(self, needed):
        pass
"""


def test_the_state_after_each_input_is_shown_with_the_program(shop: Path) -> None:
    (shop / "shop_flows.py").write_text(PROGRAM, encoding="utf-8")
    show = ("workflows", "show", "shop.db", "fulfilment/1", "--app", "shop_flows")
    found = goes_lite(*show, "--json", cwd=shop).data
    assert [(moment["state"], moment["problem"]) for moment in found["history"]] == [
        ({"order": "1", "total": 0}, None),
        ({"order": "1", "total": 450}, None),
    ]
    assert "    state: Progress(order='1', total=450)" in goes_lite(*show, cwd=shop).out
    without = goes_lite(*show[:4], "--json", cwd=shop).data
    assert [(moment["state"], moment["problem"]) for moment in without["history"]] == [(None, None)] * 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "has no workflow 'fulfilment'"),
        (PROGRAM.replace('"stubborn"', '"fulfilment", version=3'), "without arguments"),
    ],
)
def test_a_program_without_the_workflow_is_refused(shop: Path, source: str, message: str) -> None:
    (shop / "other_flows.py").write_text(source, encoding="utf-8")
    ran = goes_lite("workflows", "show", "shop.db", "fulfilment/1", "--app", "other_flows", cwd=shop, code=2)
    assert message in ran.error


def test_what_does_not_exist_is_refused_with_what_was_meant(template: Path) -> None:
    assert "fulfilment" in goes_lite("workflows", "show", "shop.db", "fulfilmnt/1", cwd=template, code=2).error
    assert (
        "has no instance '9'" in goes_lite("workflows", "show", "shop.db", "fulfilment/9", cwd=template, code=2).error
    )
    assert "WORKFLOW/KEY" in goes_lite("workflows", "show", "shop.db", "fulfilment", cwd=template, code=2).error
    assert (
        "not stuck" in goes_lite("workflows", "retry", "shop.db", "fulfilment/1", "--yes", cwd=template, code=2).error
    )


@pytest.mark.parametrize(("action", "key"), [("retry", "2"), ("cancel", "1")])
def test_a_change_is_announced_done_and_kept(action: str, key: str, shop: Path) -> None:
    words = ["workflows", action, "shop.db", f"fulfilment/{key}"]
    if action == "retry":
        assert goes_lite(*words, "--dry-run", "--json", cwd=shop).data["done"] is False
        assert "--yes" in goes_lite(*words, cwd=shop, code=2).error

    assert goes_lite(*words, "--yes", "--reason", "a test", "--json", cwd=shop).data["done"] is True
    (entry,) = goes_lite("audit", "shop.db", "--json", cwd=shop).data
    assert (entry["action"], entry["target"], entry["reason"]) == (f"workflows {action}", f"fulfilment/{key}", "a test")
    with opened(shop / "shop.db") as db:
        if action == "cancel":
            assert db.workflows.find("fulfilment", "1").status == "cancelled"
            assert db.workflows.show("fulfilment", "1")[-1].data == WorkflowEnded("cancelled", "a test")
        else:
            flow = Fulfilment()
            flow.broken = False
            db.workflow(flow).catch_up()
            assert db.workflows.find("fulfilment", "2").status == "running"


def test_a_first_input_cannot_be_skipped(shop: Path) -> None:
    words = ["workflows", "skip", "shop.db", "fulfilment/2", "--yes"]
    assert "cancel it instead" in goes_lite(*words, cwd=shop, code=2).error
