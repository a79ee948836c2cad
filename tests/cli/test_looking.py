"""Commands that look into a store, each in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.cli_kit import goes_lite
from tests.cli.shop_names import FAILED, WAITING

APP = ("--app", "shop_app")


# --- events -----------------------------------------------------------------------------------------------------------


def test_show_tells_everything_of_an_event(shop: Path) -> None:
    """By position and by id, stored and as the program reads it today."""
    stored = goes_lite("show", "shop.db", 6, "--json", cwd=shop).data
    today = goes_lite("show", "shop.db", stored["id"], "--json", *APP, cwd=shop).data

    assert (stored["event"], stored["schema"], stored["data"]) == ("order.paid", 1, {"amount": 300})
    assert today.pop("today") == {
        "event": "order.paid",
        "type": "OrderPaid",
        "data": {"amount": 300, "currency": "EUR"},
    }
    assert today == stored
    text = goes_lite("show", "shop.db", 6, *APP, cwd=shop).out
    assert re.search(r"^aggregate +order/2026-002 version 2$", text, re.MULTILINE)
    assert "today, as OrderPaid" in text
    assert '"currency": "EUR"' in text
    assert "metadata actor" in goes_lite("show", "shop.db", 1, cwd=shop).out


@pytest.mark.parametrize(
    ("event", "part"),
    [("7", "no event at position 7: the head is 6"), ("0", "position 0"), ("x", "names no event"),
     ("01900000-0000-7000-8000-00000000000f", "no event with the id")],
)  # fmt: skip
def test_show_says_that_there_is_no_such_event(event: str, part: str, shop: Path) -> None:
    assert part in goes_lite("show", "shop.db", event, cwd=shop, code=2).error


def test_trace_shows_causes_and_consequences(shop: Path) -> None:
    found = goes_lite("trace", "shop.db", 3, "--json", cwd=shop).data

    assert found["events"] == 3
    assert [(step["depth"], step["event"]["position"]) for step in found["steps"]] == [(0, 1), (1, 2), (1, 3)]
    assert {step["cause"] for step in found["steps"][1:]} == {found["steps"][0]["id"]} == {found["correlation"]}
    lines = goes_lite("trace", "shop.db", 3, cwd=shop).out.splitlines()
    assert [line[:16] for line in lines[1:]] == ["1  order.placed ", "├─ 2  order.paid", "└─ 3  letter.sen"]
    assert lines[3].endswith("← this one")


def test_stats_count(shop: Path) -> None:
    """All of the log, or a part."""
    found = goes_lite("stats", "shop.db", "--json", cwd=shop).data

    assert (found["head"], found["events"]) == (6, 6)
    assert {name: count["events"] for name, count in found["names"].items()} == {
        "order.paid": 3, "order.placed": 2, "letter.sent": 1,
    }  # fmt: skip
    assert {name: count["events"] for name, count in found["aggregates"].items()} == {"order": 5, "": 1}
    assert sum(found["days"].values()) == 6
    part = goes_lite("stats", "shop.db", "--json", "--aggregate", "order/2026-002", "--upto", 5, cwd=shop).data
    assert (part["events"], part["bytes"]) == (1, len('{"items":["honey"],"total":300}'))
    assert re.search(r"^  order\.paid +3 ", goes_lite("stats", "shop.db", cwd=shop).out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["log", "shop.db", "--name", "order.plcaed"], "no event is named 'order.plcaed': did you mean 'order.placed'"),
        (["log", "shop.db", "--name", "OrderPlaced"], "no event is named 'OrderPlaced': did you mean 'order.placed'"),
        (["log", "shop.db", "--aggregate", "odrer/1"], "no aggregate is named 'odrer': did you mean 'order'?"),
        (["aggregates", "shop.db", "--name", "ordre"], "no aggregate is named 'ordre': did you mean 'order'?"),
    ],
)
def test_a_misspelt_name_is_recognised(arguments: list[str], part: str, shop: Path) -> None:
    """Nothing is found, which is no error."""
    ran = goes_lite(*arguments, cwd=shop)
    assert ran.out == ""
    assert part in ran.err


# --- aggregates -------------------------------------------------------------------------------------------------------


def test_aggregates_are_listed(shop: Path) -> None:
    found = goes_lite("aggregates", "shop.db", "--json", cwd=shop).data
    assert [(one["aggregate"], one["id"], one["version"]) for one in found] == [
        ("order", "2026-001", 3), ("order", "2026-002", 2),
    ]  # fmt: skip
    rest = goes_lite("aggregates", "shop.db", "--after", "order/2026-001", cwd=shop).out
    assert rest.startswith("order/2026-002 ")
    assert rest.count("\n") == 1


def test_the_history_of_an_aggregate(shop: Path) -> None:
    found = goes_lite("aggregate", "shop.db", "order/2026-001", "--json", cwd=shop).data
    assert [(event["version"], event["event"]) for event in found] == [
        (1, "order.placed"), (2, "order.paid"), (3, "order.paid"),
    ]  # fmt: skip


def test_the_state_of_an_aggregate(shop: Path) -> None:
    """Now, at a version, and at a time; and what changed in between."""

    def state(*arguments: object) -> object:
        data = goes_lite("aggregate", "shop.db", "order/2026-001", "--json", *APP, *arguments, cwd=shop).data
        return data["version"], data["state"]

    now = (3, {"items": ["tea", "cup"], "paid": 1250, "status": "paid in USD"})
    assert state("--state") == now
    assert state("--at", 2) == (2, {**now[1], "paid": 1000})
    assert state("--at", "9999-01-01") == now
    changes = goes_lite(
        "aggregate", "shop.db", "order/2026-001", "--diff", 1, 3, "--json", *APP, cwd=shop
    ).data["changes"]  # fmt: skip
    assert [(one["path"], one["before"], one["after"], one["kind"]) for one in changes] == [
        ("paid", 0, 1250, "changed"), ("status", "placed", "paid in USD", "changed"),
    ]  # fmt: skip
    text = goes_lite("aggregate", "shop.db", "order/2026-001", "--diff", 2, 3, *APP, cwd=shop).out
    assert text.splitlines() == ["order/2026-001: version 2 to 3", "  - paid: 1000", "  + paid: 1250"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["odrer/1"], "no aggregate is named 'odrer': did you mean 'order'?"),
        (["order/2026-0O1"], "order has no '2026-0O1': did you mean '2026-001' or '2026-002'?"),
        (["order"], "write NAME/ID"),
        (["order/2026-001", "--at", "2"], "name its module with --app"),
        (["order/2026-001", "--at", "9", *APP], "version 9"),
        (["order/2026-001", "--at", "2", "--app", "no_such_app"], "No module named 'no_such_app'"),
        (["order/2026-001", "--at", "2", "--app", "shop_app.py"], "write --app shop_app"),
        (["order/2026-001", "--at", "2", "--app", "shop_app:nothing"], "has no Registry 'nothing'"),
        (["order/2026-001", "--at", "2", "--app", "json"], "no class of the aggregates 'order'"),
    ],
)
def test_an_aggregate_that_cannot_be_shown(arguments: list[str], part: str, shop: Path) -> None:
    assert part in goes_lite("aggregate", "shop.db", *arguments, cwd=shop, code=2).error


def test_a_program_that_fails_while_it_is_imported(shop: Path, tmp_path: Path) -> None:
    """It is not ours to report, and the way out is said."""
    (tmp_path / "broken.py").write_text('{}["TOKEN"]\n', encoding="utf-8")
    ran = goes_lite("show", shop / "shop.db", "1", "--app", "broken", cwd=tmp_path, code=2)
    assert "importing it raises KeyError: 'TOKEN'" in ran.error
    assert "__main__" in ran.error


# --- consumers, commands, read models, snapshots ------------------------------------------------------------------------


def test_consumers_and_how_far_they_are(shop: Path) -> None:
    """Parked events are findings."""
    ran = goes_lite("consumers", "shop.db", "--json", cwd=shop, code=1)

    by_name = {one["name"]: one for one in ran.envelope["data"]}
    assert by_name.keys() == {"sales", "letters"}
    assert (by_name["sales"]["position"], by_name["sales"]["lag"], by_name["sales"]["lag_seconds"]) == (6, 0, 0.0)
    assert by_name["letters"]["parked"] == 3
    assert by_name["letters"]["last_error"] == "RuntimeError: the printer is \x1b[31mon fire"
    assert [one["code"] for one in ran.envelope["findings"]] == ["parked"]
    assert re.search(r"^  letters +idle +6 +0 ", goes_lite("consumers", "shop.db", cwd=shop, code=1).out, re.MULTILINE)


def test_parked_events_are_listed_and_shown(shop: Path) -> None:
    found = goes_lite("parked", "list", "shop.db", "--json", cwd=shop).data
    assert [(one["position"], one["attempts"], one["behind"]) for one in found] == [(2, 1, 0), (4, 0, 2), (6, 1, 0)]
    assert goes_lite("parked", "list", "shop.db", "--of", "sales", cwd=shop).out == "nothing is parked\n"

    one = goes_lite("parked", "show", "shop.db", "letters", 2, "--json", cwd=shop).data
    assert one["data"]["data"] == {"amount": 1000, "currency": "USD"}
    text = goes_lite("parked", "show", "shop.db", "letters", 4, cwd=shop).out
    assert "held back because of the event at position 2" in text
    assert "no consumer 'leters': did you mean 'letters'" in goes_lite(
        "parked", "list", "shop.db", "--of", "leters", cwd=shop, code=2
    ).error  # fmt: skip


def test_accepted_commands_are_listed_and_shown(shop: Path) -> None:
    """Failed ones are findings."""
    ran = goes_lite("commands", "list", "shop.db", "--json", cwd=shop, code=1)
    assert [(one["id"], one["state"]) for one in ran.envelope["data"]] == [(WAITING, "waiting"), (FAILED, "failed")]
    assert [one["code"] for one in ran.envelope["findings"]] == ["command-failed"]
    assert len(goes_lite("commands", "list", "shop.db", "--failed", "--json", cwd=shop, code=1).envelope["data"]) == 1
    assert goes_lite("commands", "list", "shop.db", "--name", "other", cwd=shop).out == "no command waits\n"

    one = goes_lite("commands", "show", "shop.db", FAILED, "--json", cwd=shop).data
    assert (one["data"], one["code"], one["rejected"]) == ({"to": "eve"}, "no-address", True)
    assert "eve has no address" in goes_lite("commands", "show", "shop.db", FAILED, cwd=shop).out


def test_collections_are_listed(shop: Path) -> None:
    found = goes_lite("models", "shop.db", "--json", cwd=shop).data
    assert "sales" in found
    assert goes_lite("models", "shop.db", cwd=shop).out.split() == found
    assert "name the collection" in goes_lite("models", "shop.db", "--id", "all", cwd=shop, code=2).error


def test_read_models_are_shown(shop: Path) -> None:
    found = goes_lite("models", "shop.db", "sales", "--json", cwd=shop).data
    assert found == [{"id": "all", "version": found[0]["version"], "data": {"total": 1550, "orders": 2}}]
    assert goes_lite("models", "shop.db", "sales", "--id", "all", "--json", cwd=shop).data == found
    assert goes_lite("models", "shop.db", "sales", "--where", "total=1550", "--json", cwd=shop).data == found
    assert goes_lite("models", "shop.db", "sales", "--where", "total=1", "--json", cwd=shop).data == []
    assert "no such collection" in goes_lite("models", "shop.db", "slaes", cwd=shop).err


def test_snapshots_and_leases_are_listed(shop: Path) -> None:
    found = goes_lite("snapshots", "list", "shop.db", "--aggregate", "order/2026-001", "--json", cwd=shop).data
    assert [one["version"] for one in found] == [1, 2, 3]
    assert goes_lite("snapshots", "list", "shop.db", "--name", "order", cwd=shop).out.count("\n") == 4
    assert goes_lite("leases", "list", "shop.db", cwd=shop).out == "no lease is held\n"
