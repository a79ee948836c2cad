"""Parked events: a form acts on what it has announced, all of it, and on nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from goes_lite import AggregateRef, Event, EventQuery, Retry, blocking
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import ConfigError
from goes_lite.explorer import Explorer, asgi, serve, wsgi
from goes_lite.operations.audit import AuditEntry, audited
from tests.explorer.explorer_kit import REGISTRY, OrderPaid, Visitor
from tests.explorer.test_actions import confirm, form_of, send

ALL = "/actions/parked/redrive?consumer=mailer"


class Mailer:
    """A consumer that fails for some amounts, and keeps the order of each aggregate."""

    def __init__(self, db: BlockingDatabase) -> None:
        self.db = db
        self.bad = set[int]()
        self.handled: list[int] = []
        self._processor = db.processor("mailer", self._mail, retry=Retry(attempts=1, then="park", order="strict"))

    def _mail(self, event: Event[OrderPaid]) -> None:
        if event.data.amount in self.bad:
            raise ValueError("no such address")
        self.handled.append(event.position)

    def append(self, aggregate: str, *amounts: int) -> None:
        """Append events of an aggregate, and handle them."""
        first = len(self.db.events.query(EventQuery(aggregates=(AggregateRef("order", aggregate),))).list()) + 1
        self.db.events.append(
            [
                Event(OrderPaid(amount), aggregate=("order", aggregate), version=version, registry=REGISTRY)
                for version, amount in enumerate(amounts, first)
            ]
        )
        self.catch_up()

    def catch_up(self) -> None:
        """Handle what there is."""
        self._processor.catch_up()

    def parked(self) -> list[tuple[int, int]]:
        """Return the positions of parked events, and of those because of which they are held back."""
        return [(one.position, one.behind) for one in self._processor.parked()]


@contextmanager
def mailing(path: Path) -> Generator[tuple[Mailer, Visitor]]:
    """The consumer, and a person who may act."""
    with (
        blocking.connect(path / "mail.db", registry=REGISTRY) as db,
        serve(db, allow_actions=True) as running,
    ):
        yield Mailer(db), Visitor(running.url).admitted()


def drop(position: int) -> str:
    """Return the address of an action."""
    return f"/actions/parked/drop?consumer=mailer&position={position}"


def numbers(text: str) -> dict[str, str]:
    """Return the effect that a page announces."""
    return dict(re.findall(r"<dt>(parked|released)</dt><dd>(\d+)</dd>", text))


def test_a_form_acts_only_on_what_it_has_announced(tmp_path: Path) -> None:
    with mailing(tmp_path) as (mailer, visitor):
        mailer.bad = {1, 2}
        mailer.append("a", 1)
        form = form_of(visitor.ask(ALL))
        mailer.bad = {2}
        assert confirm(visitor, ALL, 1).status == 200
        mailer.catch_up()
        mailer.append("b", 2)
        assert mailer.parked() == [(2, 0)]  # as many as there were, and another one

        stale = send(visitor, ALL, form, 1)

        assert stale.status == 409
        assert "Nothing was changed" in stale.text
        mailer.bad = set()
        mailer.catch_up()
        assert mailer.parked() == [(2, 0)]
        assert send(visitor, ALL, form_of(stale), 1).status == 200
        mailer.catch_up()
        assert mailer.parked() == []


def test_what_is_held_back_is_announced_and_waits_for_the_first(tmp_path: Path) -> None:
    with mailing(tmp_path) as (mailer, visitor):
        mailer.bad = {1, 7}
        mailer.append("a", 1, 2, 3)
        mailer.append("b", 7, 8)
        assert mailer.parked() == [(1, 0), (2, 1), (3, 1), (4, 0), (5, 4)]

        refused = visitor.ask(f"{ALL}&position=2")

        assert refused.status == 409
        assert "held back because of that at 1" in refused.text
        assert numbers(visitor.ask(f"{ALL}&position=1").text) == {"parked": "1", "released": "2"}
        assert numbers(visitor.ask(ALL).text) == {"parked": "2", "released": "3"}
        assert numbers(visitor.ask(drop(1)).text) == {"parked": "1", "released": "2"}
        assert numbers(visitor.ask(drop(2)).text) == {"parked": "1", "released": "0"}
        mailer.bad = set()
        done = confirm(visitor, f"{ALL}&position=1", 1)
        assert "Done" in done.text
        assert "parked: 1, released: 2" in done.text
        mailer.catch_up()
        assert mailer.handled == [1, 2, 3]
        assert mailer.parked() == [(4, 0), (5, 4)]


def test_what_waits_for_an_event_that_failed_later_is_found(tmp_path: Path) -> None:
    """It still names the first one because of which it was held back, which has been handled since."""
    with mailing(tmp_path) as (mailer, visitor):
        mailer.bad = {1, 2}
        mailer.append("a", 1, 2, 3)
        mailer.bad = {2}
        confirm(visitor, f"{ALL}&position=1", 1)
        mailer.catch_up()
        assert mailer.parked() == [(2, 0), (3, 1)]

        assert "because of that at 2" in visitor.ask(f"{ALL}&position=3").text
        assert numbers(visitor.ask(drop(2)).text) == {"parked": "1", "released": "1"}


def test_one_damaged_record_blocks_nothing_else(tmp_path: Path) -> None:
    with mailing(tmp_path) as (mailer, visitor):
        mailer.bad = {1, 2}
        mailer.append("a", 1)
        mailer.append("b", 2)
        mailer.db.models.put("goes:parked:mailer", f"{9:019d}", '{"position": "nine"}')
        first = mailer.db.models.get("goes:parked:mailer", f"{1:019d}")
        assert first
        mailer.db.models.put("goes:parked:mailer", "elsewhere", first.data)

        shown = visitor.ask(ALL).text

        assert numbers(shown) == {"parked": "2"}
        assert "2 of its records cannot be read" in shown
        assert visitor.ask(drop(9)).status == 409
        assert confirm(visitor, drop(1), 1).status == 200
        assert mailer.db.models.get("goes:parked:mailer", f"{1:019d}") is None
        assert confirm(visitor, ALL, 1).status == 200


def test_what_was_gone_before_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mailing(tmp_path) as (mailer, visitor):
        mailer.bad = {1, 2}
        mailer.append("a", 1)
        mailer.append("b", 2)

        async def meanwhile(backend: Any, entry: Any, change: Any) -> AuditEntry:
            await mailer.db.backend.models.delete("goes:parked:mailer", f"{1:019d}")
            return await audited(backend, entry, change)

        monkeypatch.setattr("goes_lite.explorer.actions.audited", meanwhile)
        answer = confirm(visitor, f"{ALL}&position=1", 1)

        assert answer.status == 200
        assert "Nothing was changed" in answer.text
        assert "Done" not in answer.text
        mailer.bad = set()
        mailer.catch_up()
        assert mailer.parked() == [(2, 0)]  # and nothing else was


@pytest.mark.parametrize("make", [Explorer, wsgi, asgi])
def test_actions_need_a_handle_that_writes(make: Callable[..., object], shop: Path) -> None:
    with blocking.connect(shop, registry=REGISTRY, read_only=True) as db:
        with pytest.raises(ConfigError, match="without read_only"):
            make(db, allow_actions=True)
        make(db)
