"""Pictures of a definition, as text and as a Mermaid flowchart."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import RegistrationError
from goes_lite.workflow import mermaid_of, text_of
from tests.workflow.workflow_kit import Cancelled, Charge, Fulfilment, Placed, Progress, Refund, Ship


def test_what_it_reacts_to_and_may_do() -> None:
    assert text_of(Fulfilment()).splitlines() == [
        "fulfilment, version 1",
        "  starts with Placed",
        "    -> Dispatch Charge",
        "    -> SetTimer payment",
        "  done: Charge",
        "    -> CancelTimer payment",
        "    -> Undo Refund",
        "    -> Dispatch Ship",
        "  rejected: Charge",
        "    -> Fail",
        "  timer payment",
        "    -> Publish Late",
        "    -> Fail",
        "  done: Ship",
        "    -> Undo Recall",
        "    -> Associate",
        "  reacts to Cancelled",
        "    -> Compensate",
        "  reacts to Delivered",
        "    -> Complete",
    ]


def test_the_flowchart_connects_commands_and_timers_with_what_follows() -> None:
    lines = mermaid_of(Fulfilment()).splitlines()
    assert lines[0] == "flowchart LR"
    names = dict(re.findall(r'^    (n\d+)\W+"([^"]*)"', "\n".join(lines), re.MULTILINE))
    links = {
        (names[one], label or "", names[other])
        for one, label, other in re.findall(
            r"^    (n\d+) -\.?->(?:\|([^|]*)\|)? (n\d+)$", "\n".join(lines), re.MULTILINE
        )
    }
    assert len(names) + len(re.findall("->", "\n".join(lines))) == len(lines) - 1  # nothing else is in it
    assert {
        ("Placed", "starts", "placed"), ("placed", "dispatches", "Charge"), ("Charge", "done", "charged"),
        ("Charge", "rejected", "refused"), ("placed", "sets", "payment"), ("payment", "fires", "late"),
        ("charged", "undone by", "Refund"), ("cancelled", "", "Compensate"), ("delivered", "", "Complete"),
    } <= links  # fmt: skip


def test_a_function_is_a_chain_of_steps() -> None:
    @goes.flow("chain", starts_with=Placed, waits_for={Cancelled: None})
    async def chain(flow: goes.Flow, placed: goes.Event[Placed]) -> None:
        await flow.command(Charge(flow.key, 1))
        flow.undo(Refund(flow.key))
        await flow.step("pack", lambda: None)
        await flow.sleep(timedelta(days=1), name="a day")
        await flow.wait_for(Cancelled)
        flow.fail("cancelled")

    assert text_of(chain).splitlines()[1:] == [
        "  starts with Placed",
        "    -> command Charge",
        "    -> undo Refund",
        "    -> step pack",
        "    -> sleep a day",
        "    -> wait_for Cancelled",
        "    -> fail",
    ]
    assert '"pack"' in mermaid_of(chain)


def test_names_cannot_break_out_and_a_source_may_be_missing() -> None:
    space: dict[str, Any] = {"goes": goes, "Placed": Placed, "Progress": Progress, "Ship": Ship}
    exec(  # without a source, as in a console
        'class Odd(goes.Workflow[Progress], name="odd"):\n'
        "    @goes.starts(Placed)\n"
        "    def placed(self, state, event):\n"
        '        return goes.Dispatch(Ship("1"))\n'
        '    @goes.on_timer("a\\"];click")\n'
        "    def late(self, state, timer): ...\n",
        space,
    )
    odd = space["Odd"]()
    assert "-> nothing that its source shows" in text_of(odd)
    assert '"a#34;#93;#59;click"' in mermaid_of(odd)
    with pytest.raises(RegistrationError, match="a picture shows an instance of a Workflow"):
        text_of(Fulfilment)  # type: ignore[arg-type]
