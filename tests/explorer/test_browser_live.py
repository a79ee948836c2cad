"""The log in a real browser while a program writes: nothing is missed or doubled, whatever happens to the connection."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import goes_lite as goes
from tests.explorer.browser_kit import MILLISECONDS, Wire, aside, looking, serving
from tests.explorer.explorer_kit import REGISTRY, orders

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

DROPS = 100


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The path of a store with six events."""
    path = tmp_path / "shop.db"

    def make() -> None:
        with goes.blocking.connect(path, registry=REGISTRY) as db:
            db.events.append(orders(1, 3))

    aside(make)
    return path


class Writer:
    """A program that writes to the store, with a handle of its own."""

    def __init__(self, store: Path) -> None:
        self._db: Any = aside(lambda: goes.blocking.connect(store, registry=REGISTRY, durability="normal"))
        self._next = 4

    def place(self, count: int) -> int:
        """Append two events of each of some new orders; returns the head."""
        first, self._next = self._next, self._next + count

        def append() -> int:
            position: int = self._db.events.append(orders(first, count)).position
            return position

        return aside(append)

    def close(self) -> None:
        aside(self._db.close)


NOTE_ROWS = """() => {
    window.shown = [];
    new MutationObserver(changes => {
        for (const change of changes)
            for (const row of change.addedNodes) window.shown.push(Number(row.querySelector('a').textContent));
    }).observe(document.getElementById('live'), {childList: true});
}"""


def positions(page: Page) -> list[int]:
    """The positions of the rows, from the top."""
    found: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('#live tr')].map(row => Number(row.querySelector('a').textContent))"
    )
    return found


def until_shown(page: Page, position: int) -> None:
    """Wait until an event is on the page."""
    page.locator(f'#live a[href$="/event/{position}"]').wait_for(state="attached", timeout=MILLISECONDS)


def until(page: Page, happened: Callable[[], bool]) -> None:
    """Wait for something outside of the page."""
    for _ in range(100 * MILLISECONDS):
        if happened():
            return
        page.wait_for_timeout(5)
    raise AssertionError("it did not happen")


def _came_back(wire: Wire, drops: int) -> bool:
    return wire.streams > drops


def test_a_hundred_dropped_connections_lose_and_double_nothing(browser: Browser, store: Path) -> None:
    dice, writer = random.Random(3), Writer(store)
    with serving(store) as url, Wire(urlsplit(url).port or 0) as wire:
        address = re.sub(r":\d+/", f":{wire.port}/", url)
        with looking(browser, address) as explorer:
            explorer.witness.dropped = True
            page = explorer.go("/log")
            page.evaluate(NOTE_ROWS)
            for drop in range(DROPS):
                until(page, partial(_came_back, wire, drop))
                head = writer.place(dice.randint(1, 2))
                if drop % 4 == 0:
                    until_shown(page, head)  # else it may be cut while the events are on their way
                wire.cut()
            head = writer.place(1)
            until_shown(page, head)
            shown: list[int] = page.evaluate("window.shown")
            rows = positions(page)
    writer.close()

    assert wire.streams > DROPS
    assert shown == list(range(7, head + 1))
    assert rows == list(range(head, 0, -1))


def test_a_filtered_page_gets_what_fits_and_can_be_paused(browser: Browser, store: Path) -> None:
    writer = Writer(store)
    with serving(store) as url, looking(browser, url) as explorer:
        page = explorer.go("/log?name=order.paid")
        page.locator(".live.on").wait_for()
        head = writer.place(2)
        until_shown(page, head)
        assert positions(page) == [10, 8, 6, 4, 2]

        page.get_by_role("button", name="Pause").click()
        page.get_by_text("paused").wait_for()
        head = writer.place(1)
        assert positions(page) == [10, 8, 6, 4, 2]
        page.get_by_role("button", name="Resume").click()
        until_shown(page, head)
        assert positions(page) == [12, 10, 8, 6, 4, 2]
    writer.close()


def test_hostile_rows_that_arrive_live_are_text(browser: Browser, tmp_path: Path) -> None:
    from tests.explorer.hostile_shop import NAMES, TEXTS, registry

    store = tmp_path / "shop.db"
    events = [
        goes.Event(
            registry.type_of(NAMES[number % len(NAMES)])({text: [text]}), registry=registry,
            aggregate=(NAMES[-1 - number % len(NAMES)], text), version=1, tags=[f"tag:{text}"], metadata={text: text},
        )
        for number, text in enumerate(TEXTS)
    ]  # fmt: skip
    db: Any = aside(lambda: goes.blocking.connect(store, registry=registry))
    with serving(store, "--disclose", "full") as url, looking(browser, url) as explorer:
        page = explorer.go("/log")
        page.locator(".live.on").wait_for()
        head: int = aside(lambda: db.events.append(events).position)
        until_shown(page, head)

        assert positions(page) == list(range(head, 0, -1))
        assert (
            page.evaluate("() => document.querySelectorAll('#live :is(script, img, iframe, svg, style, b)').length")
            == 0
        )
        page.locator(f'#live a[href$="/event/{head}"]').click()
        page.wait_for_url("**/event/*")
    aside(db.close)
