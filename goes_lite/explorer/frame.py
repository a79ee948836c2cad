"""The page around a view, and the pieces that views are made of: tables, facts, lists of events, pagers, notices.

Rule of this file: pure. A frame knows where it is and what may be linked to; it reads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from goes_lite.explorer.html import Child, Href, Html, address, href, join, tag

Kind = Literal["", "good", "warn", "bad"]
Cell = Child

FOLDED = 2_000
"""Characters of a value from which it is folded."""


@dataclass(frozen=True)
class Frame:
    """What a view is rendered into."""

    path: str
    """Of the page, below `base`, with what follows it."""
    base: str = ""
    """The path below which the explorer is mounted."""
    location: str = ""
    """Of the store."""
    menu: tuple[tuple[str, str], ...] = ()
    """The path and the label of each view that every page links to."""
    query: Mapping[str, tuple[str, ...]] | None = None
    """What the page was asked with."""
    allow_actions: bool = False
    """Whether actions may be offered."""
    version: str = ""
    """Changes with the assets, so that a browser may keep them."""

    # --- links ------------------------------------------------------------------------------------------------------

    def href(self, path: str, **query: object) -> Href:
        """Return the address of another page; see `explorer.html.href`."""
        return href(path, base=self.base, **query)

    def address(self, path: str, query: Mapping[str, object]) -> Href:
        """Return the address of another page, with parameters of any name."""
        return address(path, query, self.base)

    def link(self, text: Child, path: str, **query: object) -> Html:
        """Return a link to another page."""
        return tag("a", text, href=self.href(path, **query))

    def again(self, **changes: object) -> Href:
        """Return the address of this page with some parameters of its query changed; None removes one."""
        return address(self.path, {**(self.query or {}), **changes}, self.base)

    def event_link(self, position: int, text: Child = None) -> Html:
        """Return a link to an event."""
        return self.link(f"{position}" if text is None else text, f"/event/{position}")

    def aggregate_link(self, name: str, id: str, text: Child = None) -> Html:
        """Return a link to an aggregate."""
        return self.link(f"{name}/{id}" if text is None else text, f"/aggregate/{name}/{id}")

    def action(self, text: str, name: str, **query: object) -> Html | None:
        """Return a link to the first page of an action, such as `parked/drop`; None where actions are not allowed."""
        if not self.allow_actions:
            return None
        return tag("a", text, href=self.href(f"/actions/{name}", **query), class_="button")

    # --- pieces -----------------------------------------------------------------------------------------------------

    def section(self, title: str, *children: Child, note: Child = None) -> Html:
        """Return a part of the page under a heading, with a remark next to it."""
        remark = None if note is None else tag("small", note)
        return tag("section", tag("h2", title, remark and " ", remark), children)

    def table(
        self,
        head: Sequence[Child],
        rows: Iterable[Sequence[Cell]],
        *,
        right: Iterable[int] = (),
        caption: str = "",
        empty: Child = "nothing",
        class_: str | None = None,
    ) -> Html:
        """Return a table; columns whose numbers are in `right` are numbers. Without rows, say that it is empty."""
        numbers = frozenset(right)

        def cells(row: Sequence[Cell], name: str, **more: object) -> list[Html]:
            return [tag(name, cell, class_="n" if n in numbers else None, **more) for n, cell in enumerate(row)]

        lines = [tag("tr", cells(row, "td")) for row in rows]
        if not lines:
            return self.empty(empty)
        shown = tag(
            "table",
            tag("caption", caption) if caption else None,
            tag("thead", tag("tr", cells(head, "th", scope="col"))),
            tag("tbody", lines),
            class_=class_,
        )
        # A region that scrolls has to be reached by the keyboard.
        return tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label=caption or "table")

    def facts(self, *pairs: tuple[str, Child]) -> Html:
        """Return a list of terms and their values; those of None are left out."""
        return tag("dl", [join(tag("dt", term), tag("dd", value)) for term, value in pairs if value is not None])

    def tiles(self, *tiles: tuple[str, Child, Child]) -> Html:
        """Return numbers that people look for first: label, value, and a remark."""
        return tag(
            "ul",
            [
                tag("li", tag("span", label), tag("strong", value), None if note is None else tag("small", note))
                for label, value, note in tiles
            ],
            class_="tiles",
        )

    def empty(self, text: Child, hint: Child = None) -> Html:
        """Say that there is nothing, and what to do about it."""
        return tag("p", text, None if hint is None else join(" ", hint), class_="empty")

    def notice(self, *children: Child, kind: Kind = "warn") -> Html:
        """Return something that people should see before the rest."""
        return tag("p", children, class_=f"notice {kind}", role="status")

    def badge(self, text: Child, kind: Kind = "") -> Html:
        """Return a word that stands for a state. Its meaning never lies in its colour alone."""
        return tag("span", text, class_=f"badge {kind}".strip())

    def time(self, iso: str | None) -> Html | None:
        """Return a time, given as ISO 8601 (UTC), to the millisecond; the rest is in its title."""
        if not iso:
            return None
        return tag("time", f"{iso[:10]} {iso[11:23]}", datetime=iso, title=iso)

    def value(self, value: object) -> Html:
        """Return a value of JSON, indented; a long one is folded."""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        shown = tag("pre", tag("code", text), tabindex="0")
        if len(text) <= FOLDED:
            return shown
        return tag("details", tag("summary", f"{len(text):,} characters"), shown)

    def tags(self, tags: Iterable[str]) -> Html:
        """Return tags as links to the events that carry them."""
        return join([join(" ", self.link(one, "/log", tag=one)) for one in tags])

    def pager(self, older: Href | None, newer: Href | None, *, first: Href | None = None) -> Html:
        """Return links to the pages before and after."""

        def step(text: str, to: Href | None, rel: str | None) -> Html:
            if to is None:
                return tag("span", text, aria_disabled="true")
            return tag("a", text, href=to, rel=rel)

        return tag(
            "nav",
            None if first is None else step("⇤ Newest", first, None),
            step("← Newer", newer, "prev"),
            step("Older →", older, "next"),
            class_="pager",
            aria_label="Pages",
        )

    def events(self, events: Iterable[Mapping[str, Any]], *, id: str | None = None, empty: Child = "no events") -> Html:
        """Return a list of events, each as `Source.event` has it, as rows."""
        rows = [self.event_row(event) for event in events]
        if not rows and id is None:
            return self.empty(empty)
        head = [
            tag("th", "Position", scope="col", class_="n"),
            *(tag("th", one, scope="col") for one in ("Time (UTC)", "Event", "Aggregate", "Data")),
        ]
        shown = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows, id=id), class_="events")
        return tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label="Events")

    def event_row(self, event: Mapping[str, Any]) -> Html:
        """Return one row of such a list."""
        name, id, position = event["aggregate"], event["aggregate_id"], event["position"]
        place = tag("span", "–", class_="faint")
        if name is not None:
            place = join(self.aggregate_link(name, id), " ", tag("small", f"v{event['version']}"))
        return tag(
            "tr",
            tag("td", self.event_link(position), class_="n"),
            tag("td", self.time(event["time"])),
            tag("td", self.link(event["event"], "/log", name=event["event"]), class_="name"),
            tag("td", place),
            tag("td", tag("code", short(event)), class_="data"),
        )

    # --- the page ---------------------------------------------------------------------------------------------------

    def page(self, title: str, main: Html) -> Html:
        """Return the whole document around a view."""
        here = f"/{self.path.removeprefix('/').partition('/')[0]}"
        menu = [
            tag("a", label, href=self.href(path), aria_current="page" if path == here else None)
            for path, label in self.menu
        ]
        body = (
            tag("a", "Skip to content", href=Href("#main"), class_="skip"),
            tag(
                "header",
                tag("a", "goes_lite", href=self.href("/"), class_="brand"),
                tag("nav", menu, aria_label="Views"),
                tag("span", self.location, class_="store", title=self.location),
            ),
            tag("main", tag("h1", title), main, id="main", tabindex="-1"),
            tag("footer", tag("a", "This page as JSON", href=self._json(), rel="alternate", type="application/json")),
        )
        return self._document(f"{title} · {short_location(self.location)}", body)

    def bare(self, title: str, main: Html) -> Html:
        """Return a document that says nothing of the store."""
        return self._document(title, (tag("main", tag("h1", title), main, id="main"),))

    def _document(self, title: str, body: Child) -> Html:
        head = (
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", title),
            tag("link", rel="icon", href=self.href("/assets/icon.svg", v=self.version), type="image/svg+xml"),
            tag("link", rel="stylesheet", href=self.href("/assets/explorer.css", v=self.version)),
            tag("script", src=self.href("/assets/explorer.js", v=self.version), defer=True),
        )
        return join(Html("<!doctype html>"), tag("html", tag("head", head), tag("body", body), lang="en"))

    def _json(self) -> Href:
        # What follows the path of a page may itself end with .json, or be `..`: the query says it then.
        page, _, argument = self.path.removeprefix("/").partition("/")
        path = f"/{page}/{argument}" if argument else f"/{page or 'overview'}"
        bare, mark, rest = address(path, self.query or {}, self.base).partition("?")
        return Href(f"{bare}.json{mark}{rest}")


def short(event: Mapping[str, Any], length: int = 160) -> str:
    """Return the payload of an event in one line."""
    text = event.get("payload") if event["data"] is None and "payload" in event else None
    text = json.dumps(event["data"], ensure_ascii=False) if text is None else str(text)
    return text if len(text) <= length else text[: length - 1] + "…"


def short_location(location: str) -> str:
    """Return the last part of a path or URL."""
    return location.rstrip("/").rpartition("/")[2] or location
