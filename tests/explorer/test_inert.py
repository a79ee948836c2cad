"""Every page of a store in which everything tries to break out of a page: as markup, each address that any page leads to."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import goes_lite as goes
from goes_lite.explorer.app import Explorer
from goes_lite.explorer.exchange import Request, Response
from tests.explorer.hostile_shop import TEXTS

PAGES = 160
"""How many addresses are asked for: some of each kind, in the order in which pages lead to them."""
OF_A_KIND = 14
ELEMENTS = set(
    "html head title meta link script style body header nav main footer section article aside h1 h2 h3 h4 p a b i strong em "
    "small span div code pre kbd samp abbr time data mark del ins s u ul ol li dl dt dd table caption colgroup col thead tbody "
    "tfoot tr th td form fieldset legend label input select option optgroup button output textarea details summary svg g "
    "path rect circle line polyline polygon text tspan defs desc figure figcaption br hr wbr search datalist noscript progress "
    "meter template".split()
)
"""What a page is made of. `img`, `iframe`, `base`, `object` and others, which hostile texts try, are not among them."""


class Markup(HTMLParser):
    """What is wrong with a page, and where it leads."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.links: list[str] = []
        self._inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = [tag]
        if tag not in ELEMENTS:
            self.wrong.append(f"<{tag}>")
        given = {name: value or "" for name, value in attrs}
        if tag == "script" and not given.get("src", "").startswith("/assets/"):
            self.wrong.append(f"a script that is not ours: {given}")
        if tag == "meta" and "http-equiv" in given:
            self.wrong.append(f"<meta {given}>")
        for name, value in given.items():
            if name.startswith("on") or name in ("style", "srcdoc", "srcset", "ping", "background", "target"):
                self.wrong.append(f"<{tag} {name}={value!r}>")
            if name in ("href", "src", "action", "formaction", "xlink:href", "data-live", "data-href"):
                if not value.startswith(("/", "#", "?")) or value.startswith(("//", "/\\")):
                    self.wrong.append(f"<{tag} {name}={value!r}> leads out")
                elif tag == "a" and name == "href":
                    self.links.append(value)

    def handle_data(self, data: str) -> None:
        if self._inside in (["script"], ["style"]) and data.strip():
            self.wrong.append(f"inline: {data:.80}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = []

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment: {data:.80}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"a declaration: {data:.80}")


def asked(explorer: Explorer, target: str, accept: str = "text/html") -> tuple[Response, str]:
    """The response to an address as a page writes it, and its text."""
    parts = urlsplit(target)
    query: Mapping[str, tuple[str, ...]] = {
        name: tuple(values)
        for name, values in parse_qs(parts.query, keep_blank_values=True, errors="surrogatepass").items()
    }
    answer = explorer.respond(
        Request("GET", unquote(parts.path, errors="surrogatepass"), query, {"accept": accept, "host": "x"})
    )
    body = answer.body if isinstance(answer.body, bytes) else b""
    return answer, body.decode()


def kind(target: str) -> str:
    """The page that an address names, with the names of its parameters."""
    parts = urlsplit(target)
    return f"{parts.path.split('/')[1]} {sorted(set(parse_qs(parts.query)))}"


def crawled(explorer: Explorer, pages: int = PAGES) -> Iterator[tuple[str, Response, str, Markup]]:
    """The pages that one page leads to after the other, from the first one."""
    waiting, known = deque(["/"]), {"/"}
    count: dict[str, int] = {}
    for _ in range(pages):
        if not waiting:
            return
        target = waiting.popleft()
        answer, text = asked(explorer, target)
        markup = Markup(text)
        yield target, answer, text, markup
        for link in filter(None, (link.partition("#")[0] for link in markup.links)):
            count[kind(link)] = count.get(kind(link), 0) + (link not in known)
            is_page = not link.startswith("/assets/") and not urlsplit(link).path.endswith(".json")
            if is_page and link not in known and count[kind(link)] <= OF_A_KIND:
                known.add(link)
                waiting.append(link)


def check(target: str, answer: Response, text: str, markup: Markup) -> None:
    """A page is found, has nothing but our elements, and hides no character that a person would not see."""
    assert answer.status == 200, (target, text[-2000:])
    assert not markup.wrong, target
    headers = {name.lower(): value for name, value in answer.headers}
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert all(character.isprintable() or character in "\n\t" for character in text), target


def test_no_name_id_text_or_error_becomes_markup(hostile_shop: Path) -> None:
    kinds: set[str] = set()
    with goes.blocking.connect(hostile_shop, registry=goes.Registry(), unknown="raw", read_only=True) as db:
        explorer = Explorer(db, disclose="full")
        for number, (target, answer, text, markup) in enumerate(crawled(explorer)):
            check(target, answer, text, markup)
            kinds.add(target.split("/")[1].partition("?")[0])
            if number % 6 == 0:
                data, text = asked(explorer, target, "application/json")
                headers = {name.lower(): value for name, value in data.headers}
                assert headers["content-type"] == "application/json"
                assert headers["x-content-type-options"] == "nosniff"
                assert text.isascii()
                json.loads(text)

    assert kinds >= {"", "log", "event", "aggregate", "consumers", "commands", "workflows", "models", "search"}, kinds


def test_nothing_becomes_markup_where_payloads_are_hidden(hostile_shop: Path) -> None:
    with goes.blocking.connect(hostile_shop, registry=goes.Registry(), unknown="raw", read_only=True) as db:
        for found in crawled(Explorer(db, disclose="none"), PAGES // 6):
            check(*found)


def test_what_is_asked_for_is_not_echoed_as_markup(hostile_shop: Path) -> None:
    with goes.blocking.connect(hostile_shop, registry=goes.Registry(), unknown="raw", read_only=True) as db:
        explorer = Explorer(db, disclose="full")
        for number, text in enumerate(TEXTS):
            filters = [
                {"name": text},
                {"tag": text},
                {"aggregate": text},
                {"where": text},
                {"since": text},
                {"from": text},
            ]
            for target in (
                f"/{quote(text, safe='')}",
                f"/event/{quote(text, safe='')}",
                f"/aggregate/{quote(text, safe='')}/{quote(text, safe='')}",
                f"/search?{urlencode({'q': text})}",
                f"/log?{urlencode(filters[number % len(filters)])}",
            ):
                answer, page = asked(explorer, target)
                assert not Markup(page).wrong, target
                assert answer.status in (200, 400, 404), (target, page[-1500:])
