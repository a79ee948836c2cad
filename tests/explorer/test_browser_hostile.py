"""Pages of a store in which everything tries to break out of them, in a real browser: nothing of it takes effect."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.explorer.browser_kit import looking
from tests.explorer.test_inert import kind

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PAGES = 60
OF_A_KIND = 5

FOREIGN = """() => [...document.querySelectorAll(
    'img, iframe, object, embed, base, audio, video, style, meta[http-equiv], [style], script:not([src]), [autofocus]')]
    .map(one => one.outerHTML.slice(0, 200))"""


def test_nothing_takes_effect(browser: Browser, hostile_url: str) -> None:
    with looking(browser, hostile_url) as explorer:
        waiting, count = ["/"], dict[str, int]()
        for address in waiting:
            page = explorer.go(address)
            page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
            assert page.evaluate(FOREIGN) == [], address
            assert page.title().endswith("shop.db"), address
            assert not explorer.witness.seen, (address, explorer.witness.seen)
            waiting += _more(page, waiting, count)
        assert len(waiting) == PAGES
        assert not [cookie for cookie in explorer.context.cookies() if "stolen" in str(cookie)]


def _more(page: Page, known: list[str], count: dict[str, int]) -> list[str]:
    """Addresses to which a page leads: some of each kind."""
    links: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('main a, header a')].map(one => one.getAttribute('href').split('#')[0])"
    )
    found: list[str] = []
    for link in links:
        if not link or link in known or link in found or urlsplit(link).path.endswith(".json"):
            continue
        if count.get(kind(link), 0) < OF_A_KIND and len(known) + len(found) < PAGES:
            count[kind(link)] = count.get(kind(link), 0) + 1
            found.append(link)
    return found
