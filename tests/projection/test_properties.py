"""Any sequence of events: a processor, inline, live, reset and rebuilt all make what a plain fold makes, in any batches."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from tests.projection.projection_kit import (
    Bill,
    Bills,
    Cancelled,
    DoubleBills,
    Failing,
    Ignored,
    Noted,
    Paid,
    Placed,
    Tagged,
    WordAdded,
    at_once,
    event,
    folded,
    registry,
)

ORDERS = st.sampled_from("abc")
WORDS = st.lists(st.sampled_from(["x", "y", "\u00fc", '"', "\\u0041"]), max_size=2)
DATA = st.one_of(
    st.builds(Placed, st.just("ann"), st.integers(-5, 5)),
    st.builds(Paid, st.integers(0, 3)),
    st.builds(Noted, WORDS),
    st.builds(WordAdded, st.sampled_from("vw")),
    st.builds(Tagged, st.lists(ORDERS, max_size=3), WORDS),
    st.sampled_from([Cancelled(), Ignored(), Failing(1)]),
)
EVENTS = st.lists(st.tuples(st.one_of(st.none(), ORDERS), DATA), max_size=30)
STEPS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(["append", "inline", "run", "reset", "rebuild", "live"])), max_size=20
)


class Shaky(Bills):
    """Fails on every second call for an event of some kind, when it has changed the read model already."""

    def __init__(self, *, shaky: bool) -> None:
        self.shaky = shaky
        self.calls = {"all": 0}  # which the copy that makes a new one beside counts as well

    @goes.projects(Failing)
    def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
        bill.words.append("never to be seen")
        self.calls["all"] += 1
        if self.shaky and self.calls["all"] % 2:
            raise ValueError(event.position)
        bill.words.pop()


def made(drawn: list[tuple[str | None, Any]]) -> list[goes.Event[Any]]:
    """Events with the versions that they need."""
    versions: dict[str, int] = {}
    events: list[goes.Event[Any]] = []
    for order, data in drawn:
        if order is not None:
            versions[order] = versions.get(order, 0) + 1
        events.append(event(data, order, versions.get(order or "", 0) if order else 0))
    return events


def stored(db: goes.blocking.BlockingDatabase) -> dict[str, Bill]:
    models = db.models_of("bills", Bill)
    return {record.id: models.get(record.id) for record in db.models.query("bills")}


@given(EVENTS, st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 7))
def test_a_processor_inline_and_live_make_what_a_plain_fold_makes(
    drawn: list[tuple[str | None, Any]], sizes: list[int], batch: int
) -> None:
    """Appended in any portions, handled in batches of any size, reset, rebuilt, in the next version."""
    events = made(drawn)
    portions: list[list[goes.Event[Any]]] = []
    left = list(events)
    while left:
        size = sizes[len(portions) % len(sizes)]
        portions, left = [*portions, left[:size]], left[size:]
    with (
        goes.blocking.connect("sqlite:///:memory:", registry=registry) as db,
        goes.blocking.connect("sqlite:///:memory:", registry=registry) as twin,
    ):
        inline = twin.inline(Bills())
        for portion in portions:
            db.events.append(portion)
            inline.events.append(portion)
            assert stored(twin) == folded(twin.events.query())
        fold = folded(db.events.query())
        assert db.live(Bills()) == fold
        for _ in range(2):
            with db.projection(Bills(), batch=batch) as processor:
                processor.wait_for(db.events.head())
                assert stored(db) == fold
                assert processor.rebuild().same
                assert stored(db) == fold
            db.projection(Bills()).reset()
        if events:
            with db.projection(DoubleBills(), batch=batch, on_new_version="beside") as processor:
                processor.wait_for(db.events.head())
            assert stored(db) == folded(db.events.query(), factor=2)


@given(EVENTS, STEPS, st.integers(1, 5))
def test_whoever_has_a_hand_in_it_nothing_counts_twice(
    drawn: list[tuple[str | None, Any]], steps: list[tuple[int, str]], batch: int
) -> None:
    """Processors that come and go, inline appends and plain ones, resets and rebuilds, and methods that fail at first."""
    events = made(drawn)
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        inline, shaky = db.inline(Shaky(shaky=False)), Shaky(shaky=True)
        retry = goes.Retry(2, backoff=at_once)
        for size, step in [*steps, (len(events), "append"), (0, "run")]:
            match step:
                case "append" | "inline":
                    portion, events = events[:size], events[size:]
                    (db if step == "append" else inline).events.append(portion)
                case "run":
                    with db.projection(shaky, batch=batch, retry=retry) as processor:
                        processor.wait_for(db.events.head())
                case "reset":
                    db.projection(shaky).reset()
                case "rebuild":
                    db.projection(shaky, batch=batch, retry=retry).rebuild()
                case _:
                    assert db.live(Shaky(shaky=False)) == folded(db.events.query(), failing=True)
            if step in ("run", "inline"):
                assert stored(db) == folded(db.events.query(), failing=True)
