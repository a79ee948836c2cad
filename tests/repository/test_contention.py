"""Others get ahead of a decision again and again: from the third try on they cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from tests.commands.commands_kit import Order, Paid, Pay, Remind, registry

MODEL = goes.DecisionModel(goes.EventQuery(["order.paid"]), 0, lambda count, event: count + 1)


@contextmanager
def stores(folder: Path, inline: bool) -> Generator[tuple[BlockingDatabase, BlockingDatabase]]:
    """Two handles on one file, as two processes have them: an order that exists, and somebody else."""
    with (
        goes.blocking.connect(folder / "app.db", registry=registry, durability="normal", inline=inline) as db,
        goes.blocking.connect(folder / "app.db", registry=registry, durability="normal") as other,
    ):
        db.repository(Order).use("1", lambda order: order.pay(Pay("1", 1)), create=True)
        yield db, other


class Rival:
    """Pays in a thread of its own at every try of somebody else; it does not wait for its end from the third on."""

    def __init__(self, other: BlockingDatabase, wait: int = 2) -> None:
        self.orders = other.repository(Order)
        self.wait = wait
        self.calls = 0
        self.threads: list[threading.Thread] = []

    def pay(self) -> None:
        self.calls += 1
        thread = threading.Thread(target=lambda: self.orders.use("1", lambda order: order.pay(Pay("1", 1))))
        thread.start()
        self.threads.append(thread)
        if self.calls <= self.wait:
            thread.join()

    def end(self) -> None:
        for thread in self.threads:
            thread.join()


def use(db: BlockingDatabase, rival: Rival) -> None:
    def pay(order: Order) -> None:
        rival.pay()
        order.pay(Pay("1", 1))

    db.repository(Order).use("1", pay)


def decide(db: BlockingDatabase, rival: Rival) -> None:
    def decided(count: int) -> list[goes.Event[Any]]:
        rival.pay()
        return [goes.Event(Paid(1), registry=registry)]

    db.decide(MODEL, decide=decided)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("act", [use, decide])
def test_the_third_try_is_not_lost(
    tmp_path: Path, act: Callable[[BlockingDatabase, Rival], None], *, inline: bool
) -> None:
    with stores(tmp_path, inline) as (db, other):
        rival = Rival(other)
        act(db, rival)
        rival.end()
        assert rival.calls == 3
        assert db.events.count() == 1 + 3 + 1


def test_a_change_that_writes_elsewhere_is_tried_without_the_lock(tmp_path: Path) -> None:
    """In the end the error says how often."""
    with stores(tmp_path, inline=True) as (db, other):
        rival, notes = Rival(other, wait=100), list[int]()

        def change(order: Order) -> None:
            db.models.put("notes", str(len(notes)), "{}")
            notes.append(order.version)
            rival.pay()
            order.pay(Pay("1", 1))

        with pytest.raises(ConcurrencyError, match="^after 10 tries: order.1. is at version 11, ") as caught:
            db.repository(Order, backoff=0).use("1", change)
        assert caught.value.tries == 10
        assert notes == [*range(1, 11)]


def test_a_change_whose_own_condition_fails_gives_up(tmp_path: Path) -> None:
    with stores(tmp_path, inline=True) as (db, _):
        calls = list[int]()

        def change(order: Order) -> goes.AppendCondition:
            calls.append(order.version)
            order.pay(Pay("1", 1))
            return goes.AppendCondition(goes.EventQuery(["order.paid"]), after=0)

        with pytest.raises(AppendConditionFailed, match="^after 10 tries: the event at position 1 "):
            db.repository(Order, backoff=0).use("1", change)
        assert calls == [1] * 10
        assert db.events.count() == 1


def test_hooks_and_the_cache_work_as_without_the_lock(tmp_path: Path) -> None:
    with stores(tmp_path, inline=True) as (db, other):
        rival, saved = Rival(other), list[Any]()
        orders = db.repository(
            Order, cache=4, after_save=lambda order, events, appended: saved.append((order.version, len(events)))
        )

        def change(order: Order) -> Order:
            rival.pay()
            order.pay(Pay("1", 1))
            return order

        result = orders.use("1", change)
        assert (result.version, result.pending, saved) == (4, (), [(4, 1)])
        rival.end()
        assert orders.fetch("1").paid == 5


def test_a_command_that_counts_once(tmp_path: Path) -> None:
    """Its receipt commits together with the events then, too."""
    with stores(tmp_path, inline=True) as (db, other):
        rival, id = Rival(other), goes.new_id()

        class Contended(Order, name="order"):
            @goes.handles(Remind, id="whom")
            def remind(self, command: Remind) -> int:
                rival.pay()
                return self.pay(Pay("1", 1))

        db.commands.serve(Contended)
        assert [db.commands.dispatch(Remind("1"), id=id) for _ in range(2)] == [-4] * 2
        rival.end()
        assert rival.calls == 3
        assert db.events.count() == 5
