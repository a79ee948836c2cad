"""Every page in a real browser: for all people, light and dark, wide and narrow, by keyboard, and without JavaScript."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.explorer.browser_kit import Explorer, looking
from tests.explorer.shop_pages import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

pytestmark = pytest.mark.slow

PHONE: ViewportSize = {"width": 360, "height": 640}
DESK: ViewportSize = {"width": 1280, "height": 800}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}
ALL = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which finds what some people could not use."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def explorer(browser: Browser, tea_url: str) -> Iterator[Explorer]:
    with looking(browser, tea_url, viewport=DESK) as explorer:
        yield explorer


def violations(page: Page, axe: str, options: dict[str, Any]) -> list[str]:
    """What axe-core finds that is serious or critical, with where it is."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe)
    found = page.evaluate("options => axe.run(options)", options)
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node['html'][:150]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_for_everybody(explorer: Explorer, axe: str, path: str) -> None:
    page = explorer.go(path)
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")

    page.emulate_media(color_scheme="light")
    assert violations(page, axe, ALL) == []
    bright = _brightness(page)
    page.emulate_media(color_scheme="dark")
    assert violations(page, axe, CONTRAST) == []
    assert bright > 200
    assert _brightness(page) < 60

    page.set_viewport_size(PHONE)
    wide = page.evaluate(_TOO_WIDE)
    page.set_viewport_size(DESK)
    assert wide == []


_TOO_WIDE = """() => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    return [...document.querySelectorAll('body *')]
        .filter(one => one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest('.scroll, pre'))
        .slice(0, 5).map(one => one.outerHTML.slice(0, 120)).concat([`${root.scrollWidth} > ${root.clientWidth}`]);
}"""


def _brightness(page: Page) -> float:
    """Of the page's background, from 0 to 255."""
    colour: list[float] = page.evaluate(
        """() => {
            const shown = [document.body, document.documentElement].map(one => getComputedStyle(one).backgroundColor);
            const found = shown.find(one => !/, 0\\)$/.test(one)) || 'rgb(255, 255, 255)';
            return found.match(/[\\d.]+/g).slice(0, 3).map(Number);
        }"""
    )
    return sum(colour) / 3


def test_the_keyboard_is_enough(explorer: Explorer) -> None:
    page = explorer.go("/")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.locator(":focus").bounding_box() is not None
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")

    reached, unseen = walked(explorer.go("/"))
    assert unseen == []
    assert {*PAGES_OF_THE_MENU, "This page as JSON"} <= reached


PAGES_OF_THE_MENU = ("Overview", "Log", "Aggregates", "Read models", "Consumers", "Commands", "Workflows", "Search")


def walked(page: Page) -> tuple[set[str], list[str]]:
    """What the Tab key reaches, from the first element to the last; and what it reaches without showing it."""
    reached: set[str] = set()
    unseen: list[str] = []
    for _ in range(300):
        page.keyboard.press("Tab")
        text, tag, seen = page.evaluate(
            """() => {
                const one = document.activeElement, style = getComputedStyle(one);
                const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
                return [one.textContent.trim() || one.name || one.id, one.tagName, ring || style.boxShadow !== 'none'];
            }"""
        )
        reached.add(text)
        if not seen and tag != "BODY":
            unseen.append(f"{tag} {text:.60}")
        if text == "This page as JSON":
            break
    return reached, unseen


def test_pages_work_without_javascript(browser: Browser, tea_url: str) -> None:
    with looking(browser, tea_url, java_script_enabled=False) as explorer:
        for path in PAGES:
            page = explorer.go(path)
            assert page.locator("main h1").inner_text()
            assert len(page.locator("main").inner_text()) > 100, path
            for folded in page.locator("main details > summary").all()[:2]:
                details = folded.locator("xpath=..")
                before = details.get_attribute("open")
                folded.click()
                assert (details.get_attribute("open") is None) != (before is None)
