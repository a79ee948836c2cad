"""Actions: off, and where they are allowed never without a typed count, a form of ours, and an entry in the audit log."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from goes_lite import Event, ModelProjection, blocking, projects
from goes_lite.contract.own_collections import REBUILD
from goes_lite.explorer import serve
from goes_lite.operations.audit import AuditEntry
from tests.cli.cli_kit import goes_lite
from tests.explorer.explorer_kit import REGISTRY, Answer, OrderPaid, Visitor, orders

FAILED = "01900000-0000-7000-8000-000000000002"
WAITING = "01900000-0000-7000-8000-000000000001"


@pytest.fixture
def store(tea_shop: Path, tmp_path: Path) -> Path:
    """A copy of a store with parked events and failed commands."""
    return Path(shutil.copy(tea_shop, tmp_path / "shop.db"))


@contextmanager
def acting(store: Path) -> Generator[Visitor]:
    """A visitor who may act."""

    def writing() -> Any:
        return blocking.connect(store, unknown="raw")

    with (
        blocking.connect(store, unknown="raw", read_only=True) as db,
        serve(db, allow_actions=True, writing=writing, who="ada@host") as running,
    ):
        yield Visitor(running.url).admitted()


def confirm(visitor: Visitor, path: str, count: object, **headers: str) -> Answer:
    """Open the first page of an action, and send its form with a count."""
    page = visitor.ask(path)
    assert page.status == 200
    return send(visitor, path, form_of(page), count, **headers)


def form_of(page: Answer) -> dict[str, str]:
    """Return the hidden fields of a form."""
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', page.text))
    assert set(fields) == {"token", "plan"}
    return fields


def send(visitor: Visitor, path: str, fields: dict[str, str], count: object, **headers: str) -> Answer:
    """Send a form that was opened before."""
    body = urlencode({**fields, "count": str(count), "reason": "because"})
    return visitor.ask(path, "POST", body=body, Content_Type="application/x-www-form-urlencoded", **headers)


def parked(store: Path) -> list[int]:
    """Return the positions of the parked events."""
    told = goes_lite("parked", "list", store.name, "--json", cwd=store.parent, code=None).envelope["data"]
    return [one["position"] for one in told]


def audit(store: Path) -> list[AuditEntry]:
    """Return the audit log."""
    with blocking.connect(store, unknown="raw", read_only=True) as db:
        return [one for _, one in sorted((id, one) for id, one in _entries(db))]


def _entries(db: Any) -> list[tuple[str, AuditEntry]]:
    models = db.models_of("goes:audit", AuditEntry)
    return [(record.id, models.get(record.id)) for record in db.models.query("goes:audit")]


def test_without_the_flag_there_are_none(store: Path) -> None:
    with blocking.connect(store, unknown="raw", read_only=True) as db, serve(db) as running:
        visitor = Visitor(running.url).admitted()

        assert visitor.ask("/actions/parked/redrive?consumer=letters").status == 404
        assert visitor.ask("/actions/parked/redrive?consumer=letters", "POST", body="count=1").status == 405
        assert "/actions/" not in visitor.ask("/consumers/letters").text


def test_a_parked_event_is_dropped_once_its_count_was_typed(store: Path) -> None:
    before = parked(store)
    path = f"/actions/parked/drop?consumer=letters&position={before[0]}"
    with acting(store) as visitor:
        assert path.replace("&", "&amp;") in visitor.ask("/consumers/letters").text
        wrong = confirm(visitor, path, 7)
        assert wrong.status == 409
        assert "Nothing was changed" in wrong.text
        assert parked(store) == before

        done = confirm(visitor, path, 1)
        assert done.status == 200
        assert "Done" in done.text
        assert visitor.ask(path).status == 404

    assert before[0] not in parked(store)
    [entry] = audit(store)
    assert (entry.action, entry.target, entry.who, entry.reason, entry.outcome) == (
        "parked drop", f"letters {before[0]}", "ada@host", "because", "done",
    )  # fmt: skip


def test_all_parked_events_of_a_consumer_are_handled_again(store: Path) -> None:
    count = len(parked(store))
    with acting(store) as visitor:
        assert confirm(visitor, "/actions/parked/redrive?consumer=letters", count).status == 200
        assert "a retry was asked for" in visitor.ask("/consumers/letters").text

    assert audit(store)[0].effect == {"parked": count}


def test_commands_are_retried_and_withdrawn(store: Path) -> None:
    with acting(store) as visitor:
        assert visitor.ask(f"/actions/commands/retry?id={WAITING}").status == 404
        assert confirm(visitor, f"/actions/commands/retry?id={FAILED}", 1).status == 200
        assert confirm(visitor, f"/actions/commands/withdraw?id={WAITING}", 1).status == 200

    told = goes_lite("commands", "list", "shop.db", "--json", cwd=store.parent, code=None).envelope["data"]
    assert {one["id"]: one["state"] for one in told}.get(FAILED) == "waiting"
    assert WAITING not in {one["id"] for one in told}


def test_no_cookie_of_another_program_becomes_a_header(store: Path) -> None:
    evil = r'"x\015\012Content-Length: 4\015\012\015\012evil"'
    with acting(store) as visitor:
        visitor.cookies = {"goes_lite_form": evil, **visitor.cookies}

        answer = visitor.ask(f"/actions/commands/retry?id={FAILED}")

        assert answer.status == 200
        assert "evil" not in str(answer.headers)
        assert len(visitor.cookies["goes_lite_form"]) == 43
        assert confirm(visitor, f"/actions/commands/retry?id={FAILED}", 1).status == 200


def test_a_form_of_another_site_does_nothing(store: Path) -> None:
    before = parked(store)
    path = f"/actions/parked/drop?consumer=letters&position={before[0]}"
    with acting(store) as visitor:
        assert confirm(visitor, path, 1, Sec_Fetch_Site="cross-site").status == 403
        assert confirm(visitor, path, 1, Origin="https://evil.example").status == 403
        assert visitor.ask(path, "POST", body="count=1").status == 403
        assert visitor.ask(path, "POST", body="count=1&token=x").status == 403
        cookies = dict(visitor.cookies)
        del visitor.cookies["goes_lite_form"]
        assert visitor.ask(path, "POST", body="count=1&token=x").status == 403
        visitor.cookies = cookies

    assert parked(store) == before
    assert not audit(store)


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "parked/drop?consumer=none",
        "parked/redrive?consumer=workflow:fulfilment",
        "parked/drop?consumer=letters&position=1",
        "commands/retry",
        "rebuild?projection=none",
    ],
)
def test_what_is_not_there_is_told(store: Path, path: str) -> None:
    with acting(store) as visitor:
        assert visitor.ask(f"/actions/{path}").status in (400, 404)


def test_a_projection_of_the_program_is_rebuilt(shop: Path) -> None:
    class Paid(ModelProjection[int], name="paid-of-actions"):
        def key(self, event: Event[Any]) -> str:
            return "all"

        @projects(OrderPaid)
        def paid(self, total: int | None, event: Event[OrderPaid]) -> int:
            return (total or 0) + event.data.amount

    def writing() -> Any:
        return blocking.connect(shop, registry=REGISTRY)

    with blocking.connect(shop, registry=REGISTRY) as db:
        db.projection(Paid()).catch_up()
        db.models.put("paid-of-actions", "all", "7")  # by hand, and wrong
    with (
        blocking.connect(shop, registry=REGISTRY, read_only=True) as db,
        serve(db, allow_actions=True, writing=writing) as running,
    ):
        visitor = Visitor(running.url).admitted()
        assert "Type paid-of-actions to go on" in visitor.ask("/actions/rebuild?projection=paid-of-actions").text
        assert confirm(visitor, "/actions/rebuild?projection=paid-of-actions", 3).status == 409
        form = form_of(visitor.ask("/actions/rebuild?projection=paid-of-actions"))
        with writing() as busy:
            busy.leases.acquire(REBUILD + "paid-of-actions", "another", ttl=60)
            held = send(visitor, "/actions/rebuild?projection=paid-of-actions", form, "paid-of-actions")
            assert held.status == 409
            assert "is held by" in held.text
            assert "<form" in held.text
        with writing() as busy:
            busy.leases.release(busy.leases.acquire(REBUILD + "paid-of-actions", "another", ttl=60))
            busy.events.append(orders(4, 1))  # the store is busy
            busy.projection(Paid()).catch_up()
        assert send(visitor, "/actions/rebuild?projection=paid-of-actions", form, "paid-of-actions").status == 200
        record = db.models.get("paid-of-actions", "all")

    assert record
    assert record.data == "100"
    assert audit(shop)[-1].effect == {"events": 4, "different rows": 1}
