"""Each view in a real browser, as a person uses it, compared with what the store says to a handle of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import goes_lite as goes
from tests.explorer.browser_kit import Explorer, aside, looking
from tests.explorer.shop_pages import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PAGE = 50


@pytest.fixture(scope="module")
def explorer(browser: Browser, tea_url: str) -> Iterator[Explorer]:
    with looking(browser, tea_url, viewport={"width": 1280, "height": 900}) as explorer:
        yield explorer


@pytest.fixture(scope="module")
def events(tea_shop: Path) -> list[goes.Event[Any]]:
    """All events, by a handle that has nothing to do with the explorer."""

    def read() -> list[goes.Event[Any]]:
        with goes.blocking.connect(tea_shop, registry=goes.Registry(), unknown="raw", read_only=True) as db:
            return db.events.query().list()

    return aside(read)


def field(event: goes.Event[Any], name: str) -> Any:
    """A field of the payload, as it is stored."""
    return json.loads(event.encoded.payload).get(name)


def positions(page: Page) -> list[int]:
    """The positions of the rows of the log, from the top."""
    found: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('main .events tbody tr')]"
        ".map(row => Number(row.querySelector('a').textContent))"
    )
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


FILTERS: dict[tuple[str, str], Callable[[goes.Event[Any]], bool]] = {
    ("name", "order.paid"): lambda event: event.name == "order.paid",
    ("not", "order.paid"): lambda event: event.name != "order.paid",
    ("aggregate", "order/2026-0003"): lambda event: event.aggregate == ("order", "2026-0003"),
    ("aggregate", "customer"): lambda event: event.aggregate is not None and event.aggregate.name == "customer",
    ("tag", "item:tea"): lambda event: "item:tea" in event.tags,
    ("where", "customer=ada"): lambda event: field(event, "customer") == "ada",
    ("where", "parcel=P-0003"): lambda event: field(event, "parcel") == "P-0003",
    ("since", "2026-11-29"): lambda event: event.time >= at("2026-11-29"),
    ("until", "2026-11-24T12:00"): lambda event: event.time <= at("2026-11-24T12:00"),
    ("from", "100"): lambda event: event.position <= 100,
}


def test_the_log_is_filtered_by_everything_that_its_form_has(explorer: Explorer, events: list[goes.Event[Any]]) -> None:
    for (name, value), fits in FILTERS.items():
        page = explorer.go("/log")
        page.locator(f'form.filters [name="{name}"]').fill(value)
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**/log?*")
        fitting = [event.position for event in reversed(events) if fits(event)]

        assert fitting
        assert positions(page) == fitting[:PAGE], (name, value)
        assert page.locator(f'form.filters [name="{name}"]').input_value() == value

    both = explorer.go("/log?name=order.paid&name=order.shipped&tag=customer:ada")
    assert positions(both) == []
    both = explorer.go("/log?name=order.placed&name=letter.sent&tag=customer:ada&order=oldest")
    ada = [one.position for one in events if one.name in ("order.placed", "letter.sent") and "customer:ada" in one.tags]
    assert positions(both) == ada[:PAGE]


def test_pages_of_the_log_keep_their_place(explorer: Explorer, events: list[goes.Event[Any]]) -> None:
    every = [event.position for event in reversed(events)]
    page = explorer.go("/log")
    seen = positions(page)
    for _ in range(2):
        page.get_by_role("link", name="Older →").first.click()
        page.wait_for_url(f"**from={every[len(seen)]}*")
        seen += positions(page)
    assert seen == every[: 3 * PAGE]

    address = page.url
    page.locator("main .events tbody a").first.click()
    page.wait_for_url("**/event/*")
    page.go_back()
    page.wait_for_url(address)
    assert positions(page) == every[2 * PAGE : 3 * PAGE]
    page.get_by_role("link", name="← Newer").first.click()
    page.wait_for_url(f"**from={every[PAGE]}*")
    assert positions(page) == every[PAGE : 2 * PAGE]


def test_the_overview_counts_and_leads_on(explorer: Explorer, events: list[goes.Event[Any]]) -> None:
    page = explorer.go("/")
    chart = page.get_by_role("img", name="Events by day (UTC)")
    assert chart.locator("g").count() == len({event.time.date() for event in events})
    assert text_of(page, ".tiles").startswith(f"Head {len(events)}")
    letters = page.get_by_role("row").filter(has=page.get_by_role("link", name="letters", exact=True))
    assert "parked events" in letters.inner_text()

    paid = page.get_by_role("row").filter(has=page.get_by_role("link", name="order.paid"))
    assert str(sum(event.name == "order.paid" for event in events)) in paid.inner_text()
    paid.get_by_role("link").click()
    page.wait_for_url("**/log?name=order.paid")


def text_of(page: Page, selector: str = "main") -> str:
    return " ".join(page.locator(selector).first.inner_text().split())


def test_an_event_has_its_stored_form_todays_and_its_tree(explorer: Explorer, events: list[goes.Event[Any]]) -> None:
    old = next(event for event in events if event.name == "order.paid" and event.data.schema == 1)
    page = explorer.go(f"/event/{old.position}")
    assert "currency + added EUR" in text_of(page)
    assert "schema 1" in text_of(page)

    placed = next(event for event in events if event.aggregate == ("order", "2026-0003"))
    caused = [event for event in events if event.metadata.get("causation") == str(placed.id)]
    page = explorer.go(f"/event/{placed.id}")
    tree = page.locator(".tree").first
    assert tree.get_by_text("this event").count() == 1
    for event in caused:
        tree.get_by_role("link", name=str(event.position), exact=True).first.wait_for()
    tree.get_by_role("link", name=str(caused[0].position), exact=True).first.click()
    page.wait_for_url(f"**/event/{caused[0].position}")
    assert page.locator("h1").inner_text() == f"{caused[0].name} at position {caused[0].position}"


def test_an_aggregate_is_shown_as_it_was_at_each_version(explorer: Explorer) -> None:
    page = explorer.go("/aggregate/order/2026-0003?at=1")
    assert '"status": "placed"' in text_of(page)
    page.get_by_role("link", name="After →").click()
    page.wait_for_url("**at=2*")
    assert "status ± changed placed paid in EUR" in text_of(page)
    page.get_by_role("link", name="After →").click()
    page.wait_for_url("**at=3*")
    assert "status ± changed paid in EUR shipped as P-0003" in text_of(page)
    assert "fulfilment" in text_of(page)  # what has the same correlation

    page = explorer.go("/aggregates?name=order")
    assert page.locator("main tbody tr").count() > 40
    page.get_by_label("From id").fill("2026-0050")
    page.get_by_role("button", name="Go").click()
    page.wait_for_url("**id=2026-0050*")
    assert page.locator("main tbody tr a").all_inner_texts() == [
        "order/2026-0050",
        "order/2026-0051",
        "order/2026-0052",
    ]


def test_read_models_and_what_each_event_makes_of_them(explorer: Explorer, events: list[goes.Event[Any]]) -> None:
    page = explorer.go("/models")
    page.locator('main a[href$="/models/sales"]').first.click()
    page.wait_for_url("**/models/sales")
    page.get_by_role("link", name="ada", exact=True).click()
    page.wait_for_url("**id=ada*")
    assert '"orders":' in text_of(page)

    placed = [event for event in events if event.name == "order.placed" and field(event, "customer") == "ada"]
    page = explorer.go(f"/projection/sales?at={placed[1].position}")
    assert "orders ± changed 1 2" in text_of(page)
    assert "The same: 5 read models" in text_of(page)
    page.get_by_role("link", name="← Newer").click()
    page.wait_for_url("**/projection/sales?at=*")
    assert f"at={placed[1].position}" not in page.url


def test_consumers_tell_their_lag_and_what_they_gave_up_on(explorer: Explorer, events: list[goes.Event[Any]]) -> None:
    page = explorer.go("/consumers")
    page.get_by_role("link", name="letters", exact=True).click()
    page.wait_for_url("**/consumers/letters")
    assert text_of(page).count("no printer at 10.0.0.7: paper jam") == sum(
        event.name == "order.shipped" and field(event, "parcel").endswith("3") for event in events[:-12]
    )


def test_commands_in_every_state(explorer: Explorer) -> None:
    page = explorer.go("/commands")
    assert "charge" in text_of(page)
    page.locator('main a[href*="000000000002"]').first.click()
    page.wait_for_url("**/commands/*")
    assert "eve has no address" in text_of(page)
    assert "letter.send" in text_of(explorer.go("/commands/01900000-0000-7000-8000-000000000001"))
    assert "sent" in text_of(explorer.go("/commands/01900000-0000-7000-8000-000000000003"))


def test_workflows_by_status_and_the_history_of_one(explorer: Explorer) -> None:
    page = explorer.go("/workflows")
    page.get_by_role("link", name="suspended").first.click()
    page.wait_for_url("**status=suspended*")
    assert set(page.locator("main tbody .badge").all_inner_texts()) == {"suspended"}
    assert "LookupError: eve has no address" in text_of(page)

    page = explorer.go("/workflows/fulfilment/2026-0003")
    assert "completed" in text_of(page)
    page.locator("main details summary").last.click()
    assert '"paid": true' in text_of(page)


def test_a_search_finds_ids_tags_and_text(explorer: Explorer) -> None:
    page = explorer.go("/search")
    for text, found in (
        ("2026-0003", "order/2026-0003"),
        ("customer:ada", "events with the tag customer:ada"),
        ("order.paid", "events named order.paid"),
        ("P-0003", '{"parcel": "P-0003"}'),
        ("01900000-0000-7000-8000-000000000002", "accepted command"),
    ):
        page.get_by_label("Id, name, tag or text").fill(text)
        page.get_by_role("button", name="Search").click()
        page.wait_for_url("**/search?q=*")
        page.get_by_text(found).first.wait_for()


def test_every_page_is_data_as_well(explorer: Explorer) -> None:
    for path in PAGES:
        page = explorer.go(path)
        link = page.get_by_role("link", name="This page as JSON").get_attribute("href")
        assert explorer.data(str(link))
