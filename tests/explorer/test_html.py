"""Markup is safe by construction: pure functions."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goes_lite.explorer.html import Href, Html, href, join, tag, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "&lt;",
    "a\u202eb",
    "\x00\x1b[31m",
    "\ud800",
]


class Reader(HTMLParser):
    """What a browser finds in markup: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(deadline=None, max_examples=100)
@given(text=st.text(), title=st.text())
@example(text=HOSTILE[0], title=HOSTILE[1])
@example(text=HOSTILE[5], title=HOSTILE[4])
def test_text_and_attributes_come_out_as_text(text: str, title: str) -> None:
    read = Reader(tag("p", text, title=title))

    assert read.elements == [("p", {"title": visible(title)})]
    assert read.text == visible(text)


@pytest.mark.parametrize("text", HOSTILE[3:])
def test_what_shows_nothing_or_turns_the_direction_is_visible(text: str) -> None:
    shown = visible(text)

    assert shown.isprintable()
    shown.encode()


def test_markup_is_kept_and_nothing_is_left_out() -> None:
    assert tag("p", tag("b", "x"), None, False, ["y", 0]) == "<p><b>x</b>y0</p>"
    assert join("a<", Html("<br>")) == "a&lt;<br>"
    assert tag("input", name="a", required=True, disabled=False, value=None, aria_label="A") == (
        '<input name="a" required aria-label="A">'
    )


@pytest.mark.parametrize("attribute", ["onclick", "onError", "style", "srcdoc"])
def test_an_attribute_that_carries_code_is_refused(attribute: str) -> None:
    with pytest.raises(ValueError, match="code"):
        tag("p", **{attribute: "alert(1)"})


@pytest.mark.parametrize("attribute", ["href", "src", "action", "formaction"])
def test_an_address_is_made_by_href_alone(attribute: str) -> None:
    with pytest.raises(TypeError, match=r"href\(\)"):
        tag("a", **{attribute: "javascript:alert(1)"})
    assert tag("a", **{attribute: href("/log")}) == f'<a {attribute}="/log"></a>'


@settings(deadline=None, max_examples=100)
@given(id=st.text(min_size=1), value=st.text(min_size=1))
@example(id="..", value="&=%?#")
@example(id="a/../b.json", value="x")
@example(id="//evil.example/x", value="\\")
def test_an_address_stays_in_the_explorer_and_means_what_was_given(id: str, value: str) -> None:
    made = href(f"/aggregate/order/{id}", base="/x", q=value)

    assert isinstance(made, Href)
    assert made.isascii()
    path, _, query = made.partition("?")
    assert path.startswith("/x/aggregate")
    assert not {".", ".."} & set(path.split("/"))
    found = parse_qs(query, keep_blank_values=True, errors="surrogatepass")
    assert found["q"] == [value]
    of = found["of"][0] if "of" in found else unquote(path, errors="surrogatepass").removeprefix("/x/aggregate/")
    assert of == f"order/{id}"
