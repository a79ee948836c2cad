"""The first page, and the ways to ask for a page as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from goes_lite import blocking
from goes_lite.explorer import tally
from goes_lite.explorer.pages import overview
from tests.explorer.explorer_kit import REGISTRY, Visitor, orders


def test_it_says_what_is_in_the_store(visitor: Visitor) -> None:
    data = visitor.ask("/overview.json").data

    assert data["head"] == 6
    assert data["counts"]["names"] == {"order.placed": 3, "order.paid": 3}
    assert data["counts"]["days"] == {"2026-11-01": 6}
    assert data["counts"]["complete"]
    page = visitor.ask("/").text
    assert "<svg" in page
    assert "order.placed" in page


def test_a_page_is_data_for_those_who_ask_for_json(visitor: Visitor) -> None:
    assert visitor.ask("/", Accept="application/json").data["head"] == 6
    assert visitor.ask("/", Accept="text/html,application/json").text.startswith("<!doctype html>")
    assert visitor.ask("/nothing.json").data["error"]["status"] == 404


def test_it_counts_what_is_committed_later(visitor: Visitor, shop: Path) -> None:
    assert visitor.ask("/overview.json").data["counts"]["events"] == 6
    with blocking.connect(shop, registry=REGISTRY) as db:
        db.events.append(orders(4, 2))

    counts = visitor.ask("/overview.json").data["counts"]

    assert counts["names"] == {"order.placed": 5, "order.paid": 5}
    assert counts["upto"] == 10


def test_each_visit_counts_a_part_until_all_is_counted(
    visitor: Visitor, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tally, overview):
        monkeypatch.setattr(module, "EACH", 4)

    visits = [visitor.ask("/overview.json").data["counts"] for _ in range(3)]

    assert [visit["events"] for visit in visits] == [4, 6, 6]
    assert [visit["complete"] for visit in visits] == [False, True, True]
    assert visits[-1]["names"] == {"order.placed": 3, "order.paid": 3}


def test_after_a_long_absence_it_begins_again_with_the_newest(
    visitor: Visitor, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tally, overview):
        monkeypatch.setattr(module, "EACH", 4)
    assert visitor.ask("/overview.json").data["counts"]["events"] == 4
    with blocking.connect(shop, registry=REGISTRY) as db:
        db.events.append(orders(4, 60))

    counts = visitor.ask("/overview.json").data["counts"]

    assert (counts["events"], counts["after"], counts["upto"], counts["complete"]) == (4, 122, 126, False)
