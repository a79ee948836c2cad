"""What the views show of a store: as data, which the markup is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import goes_lite as goes
from tests.explorer import tea_shop as program
from tests.explorer.views_kit import Pages, pages

ORDER = "2026-0004"


@pytest.fixture(scope="module")
def tea(tea_shop: Path) -> Iterator[Pages]:
    """With the types of the program."""
    with pages(tea_shop, program.registry, program) as found:
        yield found


@pytest.fixture(scope="module")
def stored(tea_shop: Path) -> Iterator[Pages]:
    """Without a program: everything as it is stored."""
    with pages(tea_shop) as found:
        yield found


# --- event ------------------------------------------------------------------------------------------------------------


def test_an_event_is_shown_as_stored_and_as_today(tea: Pages, stored: Pages) -> None:
    """By position and by id; an old form is upcast next to the stored one, with what differs."""
    old = next(one for one in stored.data(f"/aggregate/order/{program.OLD_ORDER}")["events"] if one["version"] == 2)
    page = tea.data(f"/event/{old['id']}")

    assert page["event"]["data"] == {"amount": 900}
    assert page["today"] == {
        "event": "order.paid", "type": "OrderPaid", "data": {"amount": 900, "currency": "EUR"},
    }  # fmt: skip
    assert page["changes"] == [{"path": "currency", "kind": "added", "before": None, "after": "EUR"}]
    assert stored.data(f"/event/{old['position']}")["today"] is None
    assert "OrderPaid" in tea.text(f"/event/{old['id']}")


def test_an_event_has_the_tree_of_its_causes_and_consequences(tea: Pages) -> None:
    paid = next(one for one in tea.data(f"/aggregate/order/{ORDER}")["events"] if one["event"] == "order.paid")
    steps = tea.data(f"/event/{paid['position']}")["steps"]

    assert [(one["event"], one["depth"]) for one in steps[:3]] == [
        ("order.placed", 0), ("order.paid", 1), ("letter.sent", 2),
    ]  # fmt: skip
    assert f"/event/{steps[0]['position']}" in tea.links(f"/event/{paid['position']}")
    assert f"/aggregate/order/{ORDER}" in tea.links(f"/event/{paid['position']}")


@pytest.mark.parametrize("id", ["0", "99999", "x", "01900000-0000-7000-8000-0000000000ff", "9" * 30])
def test_an_event_that_is_not_there_is_a_page_that_says_so(id: str, tea: Pages) -> None:
    assert "no event" in tea.data(f"/event/{id}", 404)["error"]["message"]


# --- aggregates -------------------------------------------------------------------------------------------------------


def test_aggregates_are_listed_by_name_and_id(tea: Pages) -> None:
    every = tea.data("/aggregates")
    orders = tea.data("/aggregates?name=order&id=2026-001")

    assert every["names"] == ["customer", "order", "workflow:fulfilment"]
    assert [one["aggregate_id"] for one in every["aggregates"][:2]] == ["ada", "bob"]
    assert [one["aggregate_id"] for one in orders["aggregates"][:2]] == ["2026-0010", "2026-0011"]


def test_aggregates_have_pages(tmp_path: Path) -> None:
    """Each page begins after the last aggregate of the one before, and none is left out."""
    registry = goes.Registry()
    registry.register("n", int)
    path = tmp_path / "many.db"
    with goes.blocking.connect(path, registry=registry) as db:
        ids = [f"{number:03}" for number in range(230)]
        db.events.append([goes.Event(1, name="n", aggregate=("a", id), version=1, registry=registry) for id in ids])
    found: list[str] = []
    with pages(path) as many:
        address: str | None = "/aggregates"
        while address is not None:
            found += [one["aggregate_id"] for one in many.data(address)["aggregates"]]
            address = next((one for one in many.links(address) if "after_id" in one), None)
    assert found == ids


def test_the_state_of_an_aggregate_at_a_version_and_what_that_changed(tea: Pages, stored: Pages) -> None:
    page = tea.data(f"/aggregate/order/{program.OLD_ORDER}?at=2")

    assert (page["version"], page["at"], page["class"]) == (2, 2, "Order")
    assert page["state"]["data"]["status"] == "paid in EUR"
    assert {one["path"]: (one["before"], one["after"]) for one in page["state"]["changes"]} == {
        "paid": (0, 900), "status": ("placed", "paid in EUR"),
    }  # fmt: skip
    first = tea.data(f"/aggregate/order/{program.OLD_ORDER}?at=1")["state"]
    assert {one["kind"] for one in first["changes"]} == {"added"}
    assert stored.data(f"/aggregate/order/{program.OLD_ORDER}")["state"] is None
    assert stored.data(f"/aggregate/order/{program.OLD_ORDER}")["event"]["data"] == {"amount": 900}


def test_a_state_tells_nothing_that_its_events_declare_personal(tmp_path: Path) -> None:
    """Under another name it would be the same value: so the names of the attributes are shown, and no value."""
    registry, path = goes.Registry(), tmp_path / "personal.db"

    @registry.event("joined")
    @dataclass(frozen=True)
    class Joined:
        name: str = field(metadata={"personal": True})

    class Member(goes.Aggregate, name="member", registry=registry):
        called: str = ""

        @goes.applies(Joined)
        def _joined(self, event: goes.Event[Joined]) -> None:
            self.called = event.data.name

    with goes.blocking.connect(path, registry=registry) as db:
        db.repository(Member).use("1", lambda member: member.record(Joined("Wonderland")), create=True)
    for level, seen in (("full", True), ("limited", False), ("masked", False), ("none", False)):
        with pages(path, registry, disclose=level) as found:
            page = found.data("/aggregate/member/1")
            assert page["class"].endswith("Member")
            assert ("Wonderland" in found.markup("/aggregate/member/1")) is seen
            if level != "none":
                assert [one["path"] for one in page["state"]["changes"]] == ["called"]


def test_related_aggregates_are_lanes_in_which_equal_times_stand_in_one_column(tea: Pages) -> None:
    lanes = tea.data(f"/aggregate/order/{ORDER}")["lanes"]

    names = [one["aggregate"] for one in lanes["lanes"]]
    assert names[0] == "order"
    assert {"order", "workflow:fulfilment", None} <= {*names}
    assert lanes["times"] == sorted(set(lanes["times"]))
    together = [
        {one["time"] for one in lane["events"]} for lane in lanes["lanes"] if lane["aggregate"] in ("order", None)
    ]
    assert together[0] & together[1], "the letter was sent at the time of the payment"


def test_the_timeline_of_a_long_aggregate_has_pages(tmp_path: Path) -> None:
    registry = goes.Registry()
    registry.register("n", int)
    path = tmp_path / "long.db"
    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append(
            [goes.Event(n, name="n", aggregate=("a/b", "c/d"), version=n, registry=registry) for n in range(1, 101)]
        )
    with pages(path) as long:
        newest = long.data("/aggregate/a/b/c/d")
        assert [one["version"] for one in newest["events"]] == [*range(71, 101)]
        earlier = long.data("/aggregate/a/b/c/d?at=50&upto=60")
        assert [one["version"] for one in earlier["events"]] == [*range(31, 61)]
        assert earlier["event"]["version"] == 50
        assert "no aggregate" in long.data("/aggregate/a/b/x", 404)["error"]["message"]


# --- read models and consumers ----------------------------------------------------------------------------------------


def test_read_models_are_listed_and_shown(tea: Pages) -> None:
    overview = tea.data("/models")
    assert "sales" in overview["collections"]
    assert "goes:commands" in overview["own"]
    assert {"name": "sales", "version": 1, "program": 1} in overview["projections"]
    records = tea.data("/models/sales")["records"]
    id = records[0]["id"]
    assert tea.data(f"/models/sales?id={id}")["record"]["data"] == records[0]["data"]
    assert [one["id"] for one in tea.data("/models/sales?order=last")["records"]][-1] == id
    assert [one["id"] for one in tea.data(f"/models/sales?contains={id}")["records"]] == [id]
    assert "has no" in tea.data("/models/sales?id=nobody", 404)["error"]["message"]


def test_consumers_have_lag_and_parked_events_with_their_errors(tea: Pages) -> None:
    rows = {one["name"]: one for one in tea.data("/consumers")["consumers"]}
    page = tea.data("/consumers/letters")

    assert {*rows} == {"letters", "sales", "workflow:fulfilment"}
    assert rows["letters"]["parked"] == page["consumer"]["parked"] > 0
    assert rows["letters"]["lag"] > 0
    assert {one["error"] for one in page["parked"] if not one["behind"]} == {"ConnectionError"}, (
        "its text may quote what is personal"
    )
    assert page["parked"][0]["event"] == "order.shipped"
    assert tea.data("/consumers/sales")["projection"]["version"] == 1
    assert "no consumer" in tea.data("/consumers/nobody", 404)["error"]["message"]
