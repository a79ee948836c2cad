"""Views of what tries to break out of a page, of what cannot be read, and of what is too large for one."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import goes_lite as goes
from tests.explorer import hostile_shop as hostile
from tests.explorer.views_kit import Pages, pages

ELEMENTS = ("<script>", "<img", "<svg onload", "<iframe", "<base", "<style>", "onerror=", "<b>", "<!--")


def _inert(pages: Pages, address: str) -> str:
    """Return a page, which has the names of the store as text alone."""
    markup = pages.markup(address).partition("<main")[2]
    plain = markup.replace("&lt;", "").replace("&amp;", "")
    assert not [one for one in ELEMENTS if f"{one}" in plain and not one.startswith("on")], address
    return markup


def test_what_is_hostile_is_text_on_every_view(hostile_shop: Path) -> None:
    """Every event, aggregate, collection, consumer, command and instance; what a page links to is a page."""
    with goes.blocking.connect(hostile_shop, registry=goes.Registry(), unknown="raw", read_only=True) as db:
        found = Pages(db, disclose="full")
        seen: set[str] = set()
        waiting = ["/aggregates", "/models", "/consumers", "/commands", "/workflows", "/search?q=alert", "/event/1"]
        waiting += [f"/event/{position}" for position in range(2, db.events.head() + 1, 9)]
        dice = Random(7)
        while waiting and len(seen) < 150:
            address = waiting.pop(0 if len(seen) < 60 else dice.randrange(len(waiting)))
            if address in seen or address.startswith("/log") or address == "/":
                continue
            seen.add(address)
            _inert(found, address)
            if len(waiting) < 600:
                waiting += found.links(address)
        kinds = {one.split("?")[0].split("/")[1] for one in seen}
    assert kinds >= {"event", "aggregate", "aggregates", "models", "consumers", "commands", "workflows", "search"}


def test_a_hostile_search_is_answered(hostile_shop: Path) -> None:
    with pages(hostile_shop, disclose="full") as found:
        for text in hostile.TEXTS:
            answer = found.answer(f"/search.json?q={quote(text)}")
            assert isinstance(answer.body, bytes)
            page = json.loads(answer.body)
            assert page["events"] or not text.strip() or len(text) > 500, text


def _broken(path: Path) -> goes.Registry:
    """Make a store with a payload that is no JSON, one that does not fit its type, one of bytes, and a huge one."""
    registry = goes.Registry()
    registry.register("said", str)
    registry.register("told", dict[str, int])
    with goes.blocking.connect(path, registry=registry) as db:
        events: list[goes.Event[Any]] = [
            goes.Event(
                "x" * 200_000 if n == 4 else "one", name="said", aggregate=("talk", "1"), version=n, registry=registry
            )
            for n in range(1, 5)
        ]
        db.events.append(events)
        db.models.put("notes", "huge", json.dumps("y" * 200_000))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET data = '{broken' WHERE position = 1")
        connection.execute('UPDATE events SET data = \'{"no": "text"}\' WHERE position = 2')
        connection.execute("UPDATE events SET data = x'ff00', encoding = 'msgpack' WHERE position = 3")
        connection.execute(
            "INSERT INTO models VALUES ('goes:commands', 'broken', 1, '[]'), ('goes:receipts', 'odd', 1, '3')"
        )
        connection.execute("INSERT INTO models VALUES ('goes:workflow:odd', 'key', 1, '{\"status\": 7}')")
        connection.execute(
            "INSERT INTO models VALUES ('goes:parked:odd', '1', 1, '{}'), ('goes:projections', 'odd', 1, '1')"
        )
        connection.execute("INSERT INTO checkpoints VALUES ('odd', 1, 'elsewhere', 0)")
    connection.close()
    return registry


def test_what_cannot_be_read_is_shown_as_it_is_stored(tmp_path: Path) -> None:
    """With the types of the program and without."""
    path = tmp_path / "broken.db"
    registry = _broken(path)
    for known in (registry, None):
        with pages(path, known, disclose="full") as found:
            first, second, third, huge = (found.data(f"/event/{position}") for position in range(1, 5))
            assert (first["event"]["data"], first["event"]["payload"]) == (None, "{broken")
            assert second["event"]["data"] == {"no": "text"}
            assert third["event"]["payload"] == "ff00"
            assert (huge["event"]["size"], huge["event"]["truncated"]) == (200_002, True)
            assert len(json.dumps(huge)) < 20_000
            if known is not None:
                assert "problem" in first["today"]
                assert "problem" in second["today"]
                assert "cannot be read" in found.text("/event/2")
            assert len(found.data("/aggregate/talk/1?at=2")["events"]) == 4
            assert found.data("/models/notes")["records"][0]["truncated"]
            assert found.data("/models/notes?id=huge")["record"]["size"] == 200_002
            assert found.data("/commands")["counts"] == {"unreadable": 2}
            found.data("/commands/broken")
            assert found.data("/workflows")["counts"] == {"unreadable": 1}
            found.data("/workflows/odd/key")
            page = found.data("/consumers/odd")
            assert (page["consumer"]["mismatched"], page["parked"][0]["id"]) == (True, "1")
            found.data("/projection/odd")
            assert found.data("/search?q=broken")["events"][0]["position"] == 1
