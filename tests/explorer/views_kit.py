"""Pages without a server: what an explorer of a store answers, as data and as markup."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from goes_lite import Registry, blocking
from goes_lite.blocking import BlockingDatabase
from goes_lite.explorer import Explorer
from goes_lite.explorer.exchange import Request, Response, parsed_query


class Pages:
    """The pages of one store."""

    def __init__(self, db: BlockingDatabase, **options: Any) -> None:
        self.explorer = Explorer(db, **options)

    def answer(self, address: str) -> Response:
        """The response to a GET of an address."""
        path, _, query = address.partition("?")
        return self.explorer.respond(Request("GET", unquote(path), parsed_query(query)))

    def data(self, address: str, status: int = 200) -> Any:
        """The page as JSON, and nothing else; its markup must be there, too."""
        path, mark, query = address.partition("?")
        answer = self.answer(f"{path}.json{mark}{query}")
        assert isinstance(answer.body, bytes)
        assert answer.status == status, (address, answer.body[:500])
        assert self.answer(address).status == status, address
        return json.loads(answer.body)

    def text(self, address: str) -> str:
        """The text of a page, without its markup, in one line."""
        parser = _Text()
        parser.feed(self.markup(address))
        return " ".join(" ".join(parser.found).split())

    def markup(self, address: str) -> str:
        """The markup of a page."""
        answer = self.answer(address)
        assert answer.status == 200, address
        assert isinstance(answer.body, bytes)
        return answer.body.decode()

    def links(self, address: str) -> list[str]:
        """The addresses of pages that a page links to."""
        parser = _Text()
        parser.feed(self.markup(address))
        return [link for link in parser.links if link.startswith("/") and not urlsplit(link).path.endswith(".json")]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]


@contextmanager
def pages(
    path: Path, registry: Registry | None = None, app: ModuleType | None = None, **options: Any
) -> Generator[Pages]:
    """The pages of a store in a file, opened as `goes-lite ui` does."""
    with blocking.connect(path, registry=registry or Registry(), unknown="raw", read_only=True) as db:
        yield Pages(db, app=app, **options)
