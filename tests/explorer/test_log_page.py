"""The log: every filter, pages that keep their place, and what it may tell of payloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from goes_lite import blocking
from goes_lite.explorer import selection, serve
from tests.cli.cli_kit import goes_lite
from tests.explorer.explorer_kit import REGISTRY, Visitor, orders


def positions(visitor: Visitor, **query: Any) -> list[int]:
    """Return the positions on a page of the log."""
    data = visitor.ask(
        "/log.json?" + urlencode({name.rstrip("_"): one for name, one in query.items()}, doseq=True)
    ).data
    return [event["position"] for event in data["events"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"order": "oldest"}, [1, 2, 3, 4, 5, 6]),
        ({"name": "order.paid"}, [6, 4, 2]),
        ({"name": ["order.paid", "order.placed"]}, [6, 5, 4, 3, 2, 1]),
        ({"not": "order.paid"}, [5, 3, 1]),
        ({"not": ["order.paid", "order.placed"]}, []),
        ({"aggregate": "order/2026-002"}, [4, 3]),
        ({"aggregate": "order"}, [6, 5, 4, 3, 2, 1]),
        ({"aggregate": ["order/2026-002", "other"]}, [4, 3]),
        ({"tag": "customer:1"}, [5, 1]),
        ({"since": "2026-11-01T14:00"}, [6, 5, 4, 3]),
        ({"until": "2026-11-01T14:00"}, [4, 3, 2, 1]),
        ({"from": 4}, [4, 3, 2, 1]),
        ({"from": 4, "order": "oldest"}, [4, 5, 6]),
        ({"where": "total=20"}, [3]),
        ({"where": "items=tea"}, [5, 3, 1]),
        ({"where": ["items.0=tea", "total=30"]}, [5]),
        ({"where": "items.1=tea"}, []),
        ({"name": "order.placed", "tag": "customer:0", "where": "total=20"}, [3]),
        ({"limit": 2}, [6, 5]),
    ],
)
def test_filters(visitor: Visitor, query: dict[str, Any], found: list[int]) -> None:
    assert positions(visitor, **query) == found


@pytest.mark.parametrize(
    "query",
    [{}, {"name": "order.paid"}, {"aggregate": "order/2026-002"}, {"tag": "customer:1"}, {"until": "2026-11-01T14:00"}],
)
def test_it_is_equal_to_what_the_command_line_prints(visitor: Visitor, shop: Path, query: dict[str, str]) -> None:
    options = [word for name, value in query.items() for word in (f"--{name}", value)]
    printed = goes_lite("log", "shop.db", "--json", *options, cwd=shop.parent).envelope["data"]

    shown = visitor.ask("/log.json?order=oldest&" + urlencode(query)).data["events"]

    masked = [
        {**event, "data": {**event["data"], "customer": "•••"}} if "customer" in event["data"] else event
        for event in printed
    ]
    assert [{name: value for name, value in event.items() if name != "size"} for event in shown] == masked


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "from=x", "from=-1", "where=total", "where==1", "name=", "aggregate=/", "tag=x", "limit=x"],
)
def test_what_cannot_be_asked_is_told_on_a_page(visitor: Visitor, query: str) -> None:
    answer = visitor.ask(f"/log?{query}")

    assert answer.status == (200 if query == "name=" else 400)
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("filters", [{}, {"not": "order.paid"}, {"name": "order.placed"}])
def test_pages_follow_each_other_in_both_directions(
    visitor: Visitor, shop: Path, monkeypatch: pytest.MonkeyPatch, order: str, filters: dict[str, str]
) -> None:
    """Whatever is between them: also if a page has compared so many events that it found fewer than it may show."""
    with blocking.connect(shop, registry=REGISTRY) as db:
        db.events.append(orders(4, 20))
    monkeypatch.setattr(selection.Selection.read, "__kwdefaults__", {"reverse": False, "looked_at": 7})
    expected = positions(visitor, order=order, limit=500) if not filters.get("not") else [*range(1, 47, 2)]
    if filters.get("name"):
        expected = positions(visitor, order=order, limit=500, **filters)
    if order == "newest" and filters.get("not"):
        expected.reverse()

    forward, to_next = ("older", "newer") if order == "newest" else ("newer", "older")
    seen: list[int] = []
    at: int | None = 0
    steps: list[int] = []
    query = ""
    while at is not None:
        steps.append(at)
        query = urlencode({**filters, "order": order, "limit": 5, "from": at or ""})
        data = visitor.ask(f"/log.json?{query}").data
        seen += [event["position"] for event in data["events"]]
        at = data[forward]
        assert len(steps) < 50

    assert seen == expected
    back = visitor.ask(f"/log.json?{query}").data[to_next]
    assert back is not None


def test_a_page_keeps_its_place_while_the_log_grows(visitor: Visitor, shop: Path) -> None:
    second = visitor.ask("/log.json?limit=2").data["older"]
    before = positions(visitor, limit=2, from_=second)
    with blocking.connect(shop, registry=REGISTRY) as db:
        db.events.append(orders(4, 3))

    assert positions(visitor, limit=2, from_=second) == before


def test_a_personal_field_is_neither_shown_nor_found(visitor: Visitor) -> None:
    answer = visitor.ask("/log.json?name=order.placed")

    assert [event["data"]["customer"] for event in answer.data["events"]] == ["•••"] * 3
    assert positions(visitor, where="customer=customer 2") == []
    assert "customer 2" not in visitor.ask("/log").text


@pytest.fixture
def full(shop: Path) -> Iterator[Visitor]:
    """A visitor to whom everything is disclosed."""
    with blocking.connect(shop, registry=REGISTRY, read_only=True) as db, serve(db, disclose="full") as running:
        yield Visitor(running.url).admitted()


def test_what_is_disclosed_is_found(full: Visitor) -> None:
    assert positions(full, where="customer=customer 2") == [3]


def test_the_form_has_what_was_asked(visitor: Visitor) -> None:
    page = visitor.ask("/log?name=order.paid&where=amount%3D10&from=4&order=oldest").text

    for value in ('value="order.paid"', 'value="amount=10"', 'value="4"', '<option value="oldest" selected>'):
        assert value in page
