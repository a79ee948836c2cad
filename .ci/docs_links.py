"""Whether a built site is whole: each link leads somewhere, and reading it needs no other host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Html(HTMLParser):
    """The anchors of a page, its links, and what a browser loads with it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "__skip"}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(found.get("href", ""))
        elif tag in ("script", "img", "iframe", "source") and "src" in found:
            self.loaded.append(found["src"])


def problems(site: Path) -> Iterator[str]:
    """Yield a line for each link that leads nowhere, and for what would be loaded from another host."""
    pages = {file: Html(file) for file in sorted(site.rglob("*.html"))}
    for file, page in pages.items():
        here = file.relative_to(site).as_posix()
        if here == "404.html":  # shown at any address, so its links begin at the root of the host
            continue
        for target in (*page.links, *page.loaded):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    yield f"{here}: loads {target} from another host"
                continue
            to = Path(os.path.normpath(file.parent / unquote(parts.path))) if parts.path else file
            to = to / "index.html" if to.is_dir() else to
            if not to.is_file():
                yield f"{here}: {target} is not there"
            elif to in pages and unquote(parts.fragment) not in pages[to].anchors:
                yield f"{here}: {target} has no such anchor"
    for sheet in sorted(site.rglob("*.css")):
        if "url(http" in (text := sheet.read_text(encoding="utf-8")) or "@import" in text:
            yield f"{sheet.relative_to(site)}: loads something from another host"
