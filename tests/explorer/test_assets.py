"""What a page needs besides its markup: one script and one style sheet of our own, small, and nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

LIMIT = 15_000
"""Bytes of the script, and of the style sheet, as they are sent."""
ASSETS = sorted(file.name for file in files("goes_lite.explorer.assets").iterdir() if not file.name.startswith("__"))


def test_there_is_one_script_and_one_style_sheet() -> None:
    assert ASSETS == ["explorer.css", "explorer.js", "icon.svg"]


@pytest.mark.parametrize("name", ASSETS)
def test_an_asset_is_small_and_asks_nobody_for_anything(name: str) -> None:
    text = files("goes_lite.explorer.assets").joinpath(name).read_text(encoding="utf-8")

    assert len(text.encode()) <= LIMIT
    addresses = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert addresses == set()
    assert "@import" not in text
    assert "url(" not in text
    assert not re.search(r"\beval\(|new Function|document\.write|\.outerHTML\s*=", text)
