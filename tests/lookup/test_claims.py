"""Keys that one aggregate alone may have."""

from __future__ import annotations

import pickle
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import AppendConditionFailed, KeyTaken
from goes_lite.events.fields import check_tag
from tests.conftest_kit import SQLitePlace
from tests.lookup.lookup_kit import KEYS, A, B, C, EmailChanged, Greeted, History, Joined, Left, emails, registry


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("ada@x.org", "emails:ada@x.org"), ("a:b c", "emails:a:b c"), ("", "emails:%"), ("%", "emails:%25"),
        ("a\0", "emails:a%00"), ("\ud800", "emails:%ED%A0%80"), ("é", "emails:é"), ("x" * 1017, "emails:" + "x" * 1017),
        ("x" * 1018, "emails:%sha256-" + sha256(b"x" * 1018).hexdigest()),
        ("é" * 509, "emails:%sha256-" + sha256("é".encode() * 509).hexdigest()),
    ],
)  # fmt: skip
def test_tags(key: str, tag: str) -> None:
    """As they are written; what a tag cannot hold is encoded, and what is too long for one is hashed."""
    assert emails.tag(key) == tag
    assert check_tag(tag) == tag


def test_a_key_is_claimed_and_given_up(world: SQLitePlace) -> None:
    """A claim asks the log by tag; one that is out of date is refused by the append."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)
        first, second = await bound.claim("x"), await bound.claim("x")
        assert first == goes.AppendCondition(goes.EventQuery(tags=["emails:x"]), 0)
        await db.events.append([history.event(Joined("x"), A, [emails.tag("x")])], condition=first)
        with pytest.raises(AppendConditionFailed):
            await db.events.append([History().event(Joined("x"), B, [emails.tag("x")])], condition=second)
        with pytest.raises(KeyTaken, match="customer\\(a\\) has the key 'x' of 'emails'") as taken:
            await bound.claim("x")
        assert (taken.value.lookup, taken.value.key, taken.value.aggregate) == ("emails", "x", A)
        assert isinstance(taken.value, ValueError)
        assert pickle.loads(pickle.dumps(taken.value)).aggregate == A

        # a change carries both tags: the one is given up, the other is taken
        both = [emails.tag("x"), emails.tag("y")]
        changed = history.event(EmailChanged("x", "y"), A, both)
        await db.events.append([changed], condition=await bound.claim("y"))
        with pytest.raises(KeyTaken):
            await bound.claim("y")
        assert (await bound.claim("x")).after == 2
        await db.events.append([history.event(Left("y"), A, [emails.tag("y")])])
        assert (await bound.claim("y")).after == 3

    world.with_handle(test)


def test_a_claim_is_not_kept_up_by_others(world: SQLitePlace) -> None:
    """Events of other keys, of other lookups and without tags do not make an append fail, and take no key."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)
        other = goes.Lookup("others", KEYS)
        condition = await bound.claim("x")
        await db.events.append([
            history.event(Joined("y"), A, [emails.tag("y")]),
            history.event(Joined("x"), B, [other.tag("x")]),
            history.event(Joined("x"), C),
        ])  # fmt: skip
        await db.events.append([history.event(Greeted(), None)], condition=condition)
        tags = [emails.tag("x")]
        await db.events.append([history.event(Joined("x"), None, tags), history.event(Greeted(), A, tags)])
        assert (await bound.claim("x")).after == 6

    world.with_handle(test)


def test_claims_of_two_keys_are_united(world: SQLitePlace) -> None:
    """All or none of them."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)

        async def claim_both() -> goes.AppendCondition:
            one, other = await bound.claim("x"), await bound.claim("y")
            return goes.AppendCondition(one.query | other.query, min(one.after, other.after))

        condition = await claim_both()
        await db.events.append([history.event(Joined("y"), A, [emails.tag("y")])], condition=await bound.claim("y"))
        both = [history.event(Joined("x"), B, [emails.tag("x")]), history.event(Joined("y"), C, [emails.tag("y")])]
        with pytest.raises(AppendConditionFailed):
            await db.events.append(both, condition=condition)
        await db.events.append([history.event(Left("y"), A, [emails.tag("y")])])
        await db.events.append(both, condition=await claim_both())

    world.with_handle(test)


def test_of_64_tasks_one_gets_the_key(world: SQLitePlace) -> None:
    """Also when it is given up and claimed by all of them again."""

    async def claim(db: Database, bound: Any, ref: goes.AggregateRef, winners: list[goes.AggregateRef]) -> None:
        try:
            condition = await bound.claim("x")
            event = History().event(Joined("x"), ref, [emails.tag("x")])
            await db.events.append([event], condition=condition)
        except (KeyTaken, AppendConditionFailed):
            return
        winners.append(ref)

    async def test(db: Database) -> None:
        bound, history = db.lookup(emails), History()
        for turn in range(3):
            winners: list[goes.AggregateRef] = []
            aggregates = [goes.AggregateRef("customer", f"{turn}-{number}") for number in range(64)]
            outcomes = await world.together(*[claim(db, bound, ref, winners) for ref in aggregates])
            assert outcomes == [None] * 64
            assert len(winners) == 1
            history.versions[winners[0]] = 1
            await db.events.append([history.event(Left("x"), winners[0], [emails.tag("x")])])

    world.with_handle(test)


def test_of_64_threads_one_gets_the_key(tmp_path: Path) -> None:
    """With a handle for every eighth of them, and all beginning at once."""
    winners: list[str] = []
    refused: list[type[Exception]] = []
    start = threading.Barrier(64)
    handles = [goes.blocking.connect(tmp_path / "app.db", registry=registry) for _ in range(8)]

    def claim(number: int) -> None:
        db = handles[number % 8]
        ref = goes.AggregateRef("customer", str(number))
        start.wait()
        try:
            condition = emails.of(db).claim("x")
            db.events.append([History().event(Joined("x"), ref, [emails.tag("x")])], condition=condition)
        except (KeyTaken, AppendConditionFailed) as error:
            refused.append(type(error))
        else:
            winners.append(ref.id)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert len(refused) == 63
    assert [event.aggregate and event.aggregate.id for event in handles[0].events.query()] == winners
    for handle in handles:
        handle.close()
