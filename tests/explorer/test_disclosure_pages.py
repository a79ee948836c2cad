"""What is declared personal is on no page below `full`: not in commands, workflows, states and errors, nor in own records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite import blocking
from tests.explorer.views_kit import Pages

SECRET = "Lovelace"
PERSONAL = {"personal": True}
LATER = "01900000-0000-7000-8000-000000000002"
FAILED = "01900000-0000-7000-8000-000000000003"
REFUSED = "01900000-0000-7000-8000-000000000004"

registry = goes.Registry()


@registry.event("guest.joined")
@dataclass(frozen=True)
class Joined:
    name: str = field(metadata=PERSONAL)


@registry.commands.event("mail.send", schema=2)
@dataclass(frozen=True)
class Mail:
    to: str = field(metadata=PERSONAL)


@registry.commands.event("mail.check")
@dataclass(frozen=True)
class Check:
    to: str = field(metadata=PERSONAL)


@dataclass
class Stay:
    name: str = field(default="", metadata=PERSONAL)
    notes: str = ""


class Welcome(goes.Workflow[Stay], name="welcome"):
    def initial(self, key: str) -> Stay:
        return Stay()

    @goes.evolves(Joined)
    def named(self, state: Stay, event: goes.Event[Joined]) -> Stay:
        return Stay(event.data.name)

    @goes.starts(Joined, key=lambda event: "k")
    def joined(self, state: Stay, event: goes.Event[Joined]) -> Iterator[goes.Effect]:
        yield goes.Dispatch(Mail(event.data.name))
        yield goes.SetTimer("reminder", after=timedelta(days=3))


class Book(goes.Aggregate, name="book", registry=registry):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.by_name: dict[str, int] = {}

    @goes.applies(Joined)
    def add(self, event: goes.Event[Joined]) -> None:
        self.by_name[event.data.name] = 1


def _fail(subject: Any) -> None:
    raise ValueError(f"cannot handle {subject!r}")


def _refuse(command: Any) -> None:
    raise goes.errors.CommandRejected("no.address", f"of {command!r}", details={"guest": command.to})


@pytest.fixture(scope="module")
def hotel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a name is wherever it can get to."""
    path = tmp_path_factory.mktemp("hotel") / "hotel.db"
    with blocking.connect(path, registry=registry) as db:
        books = db.repository(Book)
        for version in (1, 2):
            book = books.new("1") if version == 1 else books.fetch("1")
            book.record(Joined(SECRET * version))
            books.save(book)
        db.workflow(Welcome()).catch_up()
        db.processor("letters", _fail, retry=goes.Retry(attempts=1, then="park")).catch_up()
        db.commands.handle(Mail, _fail)
        db.commands.handle(Check, _refuse)
        db.commands.schedule(Mail(SECRET), at=datetime(2099, 1, 1, tzinfo=timezone.utc), id=LATER)
        db.commands.dispatch_async(Mail(SECRET), id=FAILED)
        db.commands.dispatch_async(Check(SECRET), id=REFUSED, report=True)
        db.commands.worker(attempts=1).catch_up()
    return path


def _addresses(db: Any) -> list[str]:
    found = [f"/models/{one}" for one in db.models.collections()]
    for collection in db.models.collections():
        found += [f"/models/{collection}?id={one.id}" for one in db.models.query(collection, limit=20)]
    found += [f"/event/{position}" for position in range(1, db.events.head() + 1)]
    found += [f"/commands/{one}" for one in (LATER, FAILED, REFUSED)]
    found += ["/aggregate/book/1", "/aggregate/book/1?at=1", "/aggregate/workflow:welcome/k", f"/search?q={SECRET[1:]}"]
    return [*found, "/log", "/commands", "/consumers", "/consumers/letters", "/workflows", "/workflows/welcome/k"]


@pytest.mark.parametrize("level", ["none", "masked", "limited"])
def test_what_is_personal_is_on_no_page(hotel: Path, level: str) -> None:
    with blocking.connect(hotel, registry=registry, read_only=True) as db:
        found, full = Pages(db, disclose=level), Pages(db, disclose="full")
        told = 0
        for address in _addresses(db):
            for text in (json.dumps(found.data(address)), found.markup(address)):
                assert SECRET not in text, address
            told += SECRET in full.markup(address)
        assert told > 20, "in full, it is on most of them"
        contains = found.data(f"/models/goes:commands?contains={SECRET}")
        assert contains["records"] == []


def test_errors_are_told_by_their_class_and_own_records_by_their_fields(hotel: Path) -> None:
    with blocking.connect(hotel, registry=registry, read_only=True) as db:
        found = Pages(db)
        assert found.data("/consumers/letters")["parked"][0]["error"] == "ValueError"
        assert found.data(f"/commands/{FAILED}")["accepted"]["error"] == "ValueError"
        record = found.data(f"/models/goes:commands?id={LATER}")["record"]["data"]
        assert record["payload"] == record["command"] == "•••"
        assert found.data("/aggregate/book/1")["state"]["changes"] == [
            {"path": "by_name", "kind": "changed", "before": "•••", "after": "•••"}
        ]


@pytest.mark.parametrize("level", ["masked", "limited"])
def test_commands_of_another_form_and_large_or_older_instances(level: str) -> None:
    command = {"command": "mail.send", "due": 1, "state": "failed", "time": "2026-01-01T00:00:00+00:00", "attempts": 1}
    started = dict.fromkeys(("started", "updated"), "2026-01-01T00:00:00+00:00")
    with blocking.connect("sqlite:///:memory:", registry=registry) as db:
        found = Pages(db, disclose=level)
        for more in (
            {"schema": 1, "encoding": "json", "payload": json.dumps({"address": SECRET})},
            {"schema": 2, "encoding": "json", "payload": f"{{{SECRET}"},
            {"schema": 2, "encoding": "msgpack", "binary": True, "payload": SECRET},
            {"schema": 2, "encoding": "json", "payload": json.dumps({"to": SECRET, "x": "y" * 70_000})},
        ):
            db.models.put("goes:commands", LATER, json.dumps({**command, **more}))
            assert SECRET not in json.dumps(found.data(f"/commands/{LATER}")), more["encoding"]
        for version, state in (
            (1, {"name": SECRET}), (1, {"name": SECRET, "notes": "x" * 70_000}), (7, {"guest": SECRET}), (1, [SECRET]),
        ):  # fmt: skip
            record = {"status": "running", "version": version, "run": 1, "events": 1, **started, "state": state}
            db.models.put("goes:workflow:welcome", "k", json.dumps(record))
            assert SECRET not in json.dumps(found.data("/workflows/welcome/k")), version
