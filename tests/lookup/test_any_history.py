"""Whatever happened, the maps are what a dict would be, and a claim knows as much."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from goes_lite_conformance.harness.faces import _Awaited
from hypothesis import example, given
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.errors import KeyTaken
from goes_lite.runtime import drive
from tests.lookup.lookup_kit import PATIENCE, EmailChanged, History, Joined, Left, emails, registry

texts = st.one_of(
    st.sampled_from(["", "%", "%25", "a", "A", "a:b", "\0", "%00", "é", "e\u0301", "x" * 1100, "x" * 1101, "%sha256-"]),
    st.text(max_size=5),
)
names = st.one_of(st.sampled_from(["customer", "a", "a:b", "a%3Ab"]), st.just("n" * 255))
ids = st.one_of(st.sampled_from(["a", "b", "b:a", ":", "%", "i" * 1024]), st.text("ab:%é", min_size=1, max_size=2))
refs = st.builds(goes.AggregateRef, names, ids)


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[goes.AggregateRef, str | None]]]:
    """Batches of: which aggregate has which key from then on. Of few aggregates and keys, so that they meet."""
    some = st.sampled_from(draw(st.lists(refs, min_size=1, max_size=4)))
    keys = st.one_of(st.none(), st.sampled_from(draw(st.lists(texts, min_size=1, max_size=4))))
    return draw(st.lists(st.lists(st.tuples(some, keys), min_size=1, max_size=8), max_size=4))


class Model:
    """What a lookup means: a dict."""

    def __init__(self) -> None:
        self.keys: dict[goes.AggregateRef, str] = {}
        """In the order in which they got what they have."""

    def set(self, ref: goes.AggregateRef, key: str | None) -> None:
        if self.keys.get(ref) != key or key is None:
            self.keys.pop(ref, None)
            if key is not None:
                self.keys[ref] = key

    def all(self, key: str) -> list[goes.AggregateRef]:
        return [ref for ref, held in self.keys.items() if held == key]


def tagged(history: History, model: Model, ref: goes.AggregateRef, key: str | None) -> goes.Event[Any]:
    """The event, with the tags of the key that is got and of the one that is lost."""
    old = model.keys.get(ref)
    tags = [emails.tag(one) for one in (old, key) if one is not None]
    data = Left("") if key is None else EmailChanged("", key) if ref in history.versions else Joined(key)
    model.set(ref, key)
    return history.event(data, ref, tags)


async def agree(bound: Any, model: Model, batches: Sequence[Sequence[tuple[goes.AggregateRef, str | None]]]) -> None:
    """Each aggregate and each key is where the model has it, and a claim knows of each key whether it is held."""
    for ref, key in {pair for batch in batches for pair in batch}:
        assert await bound.key_of(ref) == model.keys.get(ref)
        if key is not None:
            held = model.all(key)
            assert await bound.all(key) == held
            assert await bound.find(key) == (held[0] if held else None)
            try:
                await bound.claim(key)
                assert held == []
            except KeyTaken as taken:
                assert (taken.aggregate, taken.key) == (held[0], key)


@given(batches=histories(), size=st.integers(1, 5))
@example(batches=[[(goes.AggregateRef("a", "b:a"), "x"), (goes.AggregateRef("a:b", "a"), "y")]], size=1)
@example(batches=[[(goes.AggregateRef("a", "b" * 1024), "x"), (goes.AggregateRef("a", "b" * 1023 + "c"), "x")]], size=1)
def test_any_history_is_a_dict(batches: list[list[tuple[goes.AggregateRef, str | None]]], size: int) -> None:
    """Run behind the appends, in batches of any size; on the blocking face."""
    history, model = History(), Model()
    with goes.blocking.connect(":memory:", registry=registry) as db:
        for batch in batches:
            db.events.append([tagged(history, model, ref, key) for ref, key in batch])
        with db.projection(emails, batch=size):
            emails.of(db).wait_ready(PATIENCE)
        drive(agree(_Awaited(emails.of(db)), model, batches))


@given(batches=histories())
def test_any_history_is_a_dict_at_any_time(batches: list[list[tuple[goes.AggregateRef, str | None]]]) -> None:
    """Inline, after each append; on the async face."""

    async def test() -> None:
        history, model = History(), Model()
        async with goes.connect(":memory:", registry=registry) as db:
            handle = db.inline(emails)
            for number, batch in enumerate(batches, 1):
                await handle.events.append([tagged(history, model, ref, key) for ref, key in batch])
                await agree(emails.of(db), model, batches[:number])

    asyncio.run(test())


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_tags_of_different_keys_differ(keys: list[str]) -> None:
    assert emails.tag(keys[0]) != emails.tag(keys[1])
