"""Views of what is valid and still odd: payloads of any depth and size, numbers that are none, events of another program."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import BlockingDatabase
from goes_lite.events.event import Event, restore
from goes_lite.explorer import selection, source, tally
from goes_lite.explorer.disclosure import MASK
from goes_lite.explorer.frame import Frame
from tests.explorer.explorer_kit import BEGIN
from tests.explorer.views_kit import Pages

COMMAND = "01900000-0000-7000-8000-000000000002"


def stored(payload: str, name: str = "odd", version: int = 1) -> Event[Any]:
    """An event with this payload, whatever it is, of the aggregate thing/1."""
    ref = goes.AggregateRef("thing", "1")
    return restore(uuid4(), name, None, BEGIN, ref, version, None, None, 0, "json", 1, payload)


@contextmanager
def odd(*payloads: str, **options: Any) -> Generator[tuple[BlockingDatabase, Pages]]:
    """A store with events of these payloads, and its pages."""
    with blocking.connect("sqlite:///:memory:", registry=goes.Registry(), unknown="raw") as db:
        for version, payload in enumerate(payloads, 1):
            db.events.append([stored(payload, version=version)])
        yield db, Pages(db, **options)


def rows(pages: Pages, count: int, address: str = "/live?after=0") -> list[str]:
    """The first rows of a live page."""
    body = pages.answer(address).body
    assert not isinstance(body, bytes)
    found: list[str] = []
    for piece in body:
        if b"data: <tr" in piece:
            found.append(piece.decode())
        if len(found) == count:
            break
    pages.explorer.close()
    return found


def nested(levels: int) -> str:
    return '{"a":[' * (levels // 2) + "1" + "]}" * (levels // 2)


@pytest.mark.parametrize("levels", [100, 102, 400, 600, 5_000])
def test_a_payload_of_any_depth_is_shown_everywhere(levels: int) -> None:
    with odd(nested(levels), '{"after": 1}') as (db, pages):
        db.models.put("notes", "deep", nested(levels) if levels < 1_000 else "1")
        for address in (
            "/log",
            "/event/1",
            "/aggregate/thing/1",
            "/search?q=thing",
            "/models/notes",
            "/models/notes?id=deep",
        ):
            pages.data(address)
        event = pages.data("/event/1")["event"]
        assert (event["data"] is None) is (levels > 100)
        assert event.get("payload", nested(levels)).startswith('{"a":[{"a":[')
        assert "after" in rows(pages, 2)[1]


def test_an_event_that_cannot_be_shown_does_not_end_the_live_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row_of = Frame.event_row

    def fail(self: Frame, event: Any) -> Any:
        if event["data"] == {"bad": 1}:
            raise RecursionError
        return row_of(self, event)

    monkeypatch.setattr(Frame, "event_row", fail)
    with odd('{"bad": 1}', '{"after": 1}') as (_, pages):
        first, second = rows(pages, 2)
    assert "it cannot be shown" in first
    assert "after" in second
    assert "position 1" in caplog.text


def test_an_event_that_cannot_be_read_for_a_page_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    event = source.Source.event

    def fail(self: source.Source, one: Event[Any]) -> Any:
        if one.position == 1:
            raise RecursionError("too deep")
        return event(self, one)

    monkeypatch.setattr(source.Source, "event", fail)
    with odd('{"bad": 1}', '{"after": 1}') as (_, pages):
        assert [one.get("payload") for one in pages.data("/log")["events"]] == [None, "RecursionError"]
        first, second = rows(pages, 2)
    assert "RecursionError" in first
    assert "after" in second


def test_a_number_that_is_too_large_for_one_is_text() -> None:
    with odd('{"a": 1e999}', '{"a": -1e999}') as (db, pages):
        db.models.put("notes", "n", '{"a": [1e999]}')
        assert pages.data("/log")["events"][1]["payload"] == '{"a": 1e999}'
        pages.data("/event/1")
        assert pages.data("/models/notes?id=n")["record"]["payload"] == '{"a": [1e999]}'


def test_a_record_with_such_a_number_is_unreadable_and_its_list_is_not() -> None:
    with odd() as (db, pages):
        command = {"command": "c", "due": 1, "state": "failed", "time": "2026-01-01T00:00:00+00:00", "attempts": 1}
        times = dict.fromkeys(("started", "updated"), "2026-01-01T00:00:00+00:00")
        instance = {"status": "running", "version": 1, "run": 1, **times}
        for field_name, record, collection in (
            ("attempts", command, "goes:commands"), ("due", command, "goes:commands"),
            ("version", instance, "goes:workflow:w"), ("run", instance, "goes:workflow:w"),
        ):  # fmt: skip
            broken = json.dumps({**record, field_name: 0}).replace(f'"{field_name}": 0', f'"{field_name}": 1e999')
            db.models.put(collection, COMMAND, broken)
            db.models.put(collection, COMMAND.replace("2", "3"), json.dumps(record))
            address = "/commands" if "commands" in collection else "/workflows"
            listed = pages.data(address)
            assert listed["counts"]["unreadable"] == 1, field_name
            assert sum(listed["counts"].values()) == 2
            pages.data(f"{address}/{'w/' if 'w' in address[1:4] else ''}{COMMAND}")


def test_a_page_stops_after_so_many_bytes_and_goes_on_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows have the beginning of a large payload alone."""
    monkeypatch.setattr(selection, "BYTES", 50_000)
    monkeypatch.setattr(source, "SMALL", 30_000)
    large = json.dumps({"a": "x" * 20_000})
    with odd(*([large] * 30)) as (_, pages):
        seen: list[int] = []
        address = "/log"
        while address:
            page = pages.data(address)
            assert 1 <= len(page["events"]) <= 3
            assert len(json.dumps(page)) < 30_000
            seen += [one["position"] for one in page["events"]]
            assert all(one["size"] == len(large) and one["truncated"] for one in page["events"])
            address = f"/log?from={page['older']}" if page["older"] else ""
        assert seen == [*range(30, 0, -1)]
        assert len(rows(pages, 30)) == 30


def test_the_overview_counts_events_of_any_size_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "BYTES", 5_000)
    with odd(*([json.dumps("x" * 1_000)] * 20)) as (_, pages):
        counts = [pages.data("/overview")["counts"]["events"] for _ in range(3)]
        assert counts[0] < counts[1] < 20
        while not (found := pages.data("/overview")["counts"])["complete"]:
            pass
        assert found["events"] == 20
        assert "deleted later" in pages.text("/")


def test_a_filter_by_value_finds_what_is_larger_than_a_row() -> None:
    with odd(json.dumps({"a": "x" * 20_000, "city": "Bonn"}), '{"city": "Ulm"}') as (_, pages):
        assert [one["position"] for one in pages.data("/log?where=city=Bonn")["events"]] == [1]


@pytest.mark.parametrize(
    ("column", "broken"), [("metadata", "{broken"), ("metadata", '{"a": [1]}'), ("tags", "[1]"), ("time", 2**62)]
)
def test_an_event_of_which_not_even_the_envelope_can_be_read_is_listed(
    tmp_path: Path, column: str, broken: Any
) -> None:
    path, registry = tmp_path / "damaged.db", goes.Registry()
    registry.register("said", str)
    with blocking.connect(path, registry=registry) as db:
        for version in (1, 2, 3):
            event = goes.Event(f"e{version}", name="said", aggregate=("talk", "1"), version=version, registry=registry)
            db.events.append([event])
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE events SET {column} = ? WHERE position = 2", (broken,))
    connection.close()
    for unknown in ("raw", "error"):
        with blocking.connect(path, registry=registry, unknown=unknown, read_only=True) as db:
            pages = Pages(db, disclose="full")
            assert pages.data("/overview")["counts"]["events"] == 3
            for address in ("/log", "/aggregate/talk/1", "/aggregate/talk/1?at=2", "/search?q=said"):
                second = next(one for one in pages.data(address)["events"] if one["position"] == 2)
                assert f"{column}: " in second["payload"], address
            assert "restore a backup" in pages.text("/event/2")
            pages.data("/event/1")
            first, second, third = rows(pages, 3)
            assert "restore a backup" in second
            assert ("e1" in first, "e3" in third) == (True, True)


# --- events that the program cannot read ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrived:
    ward: str
    name: str = field(metadata={"personal": True})


@dataclass(frozen=True)
class Changed:
    """What `Arrived` has become, without a new schema: what is stored does not fit."""

    ward: int
    name: str = field(metadata={"personal": True})


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A store with an event that fits no more, stored under its former name, one that nobody registered, and one that fits."""
    path = tmp_path / "clinic.db"
    registry = goes.Registry()
    registry.register("patient.came", Arrived)
    registry.register("patient.left", str)
    registry.register("patient.called", int)
    with blocking.connect(path, registry=registry) as db:
        for data in (Arrived("B", "Ada Lovelace"), "gone", 7):
            db.events.append([goes.Event(data, registry=registry)])
    return path


def test_events_that_the_program_cannot_read_are_shown_as_they_are_stored(clinic: Path) -> None:
    """Its handle has the default for names that nobody registered: an error."""
    registry = goes.Registry()
    registry.register("patient.arrived", Changed, aliases=["patient.came"])
    registry.register("patient.called", int)
    with blocking.connect(clinic, registry=registry) as db:
        pages = Pages(db)
        names = {"patient.came", "patient.left", "patient.called"}
        assert set(pages.data("/overview")["counts"]["names"]) == names
        log = {one["event"]: one["data"] for one in pages.data("/log")["events"]}
        assert log == {
            "patient.came": {"ward": "B", "name": MASK}, "patient.left": "gone", "patient.called": 7,
        }  # fmt: skip
        for filters, found in (
            ("name=patient.arrived", [1]), ("name=patient.came", [1]), ("name=patient.left", [2]), ("not=patient.left", [3, 1]),
            ("not=patient.arrived", [3, 2]), ("not=patient.came", [3, 2]),
            ("where=ward=B", [1]), ("where=name=Ada%20Lovelace", []), ("since=1999-01-01", [3, 2, 1]),
            ("order=oldest", [1, 2, 3]),
            ("from=2", [2, 1]), ("limit=1", [3]),
        ):  # fmt: skip
            assert [one["position"] for one in pages.data(f"/log?{filters}")["events"]] == found, filters
        assert "Lovelace" not in pages.markup("/log") + pages.markup("/event/1") + pages.markup("/search?q=Lovel")
        assert "problem" in pages.data("/event/1")["today"]
        shown = rows(pages, 3)
        assert "Lovelace" not in "".join(shown)
        assert "gone" in shown[1]
    with blocking.connect(clinic, registry=registry) as db:
        assert "ward" in rows(Pages(db), 1, "/live?after=0&name=patient.arrived")[0]
