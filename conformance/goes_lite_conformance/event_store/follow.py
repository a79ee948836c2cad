"""Following: stored events, then each newly committed one; nothing skipped, nothing repeated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from goes_lite.contract.backend import PROCESSES, TRANSACTIONS, Backend
from goes_lite.errors import ConcurrencyError
from goes_lite.events.query import Between, EventQuery
from goes_lite_conformance.harness.asserts import refused, same
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Alongside, Place
from goes_lite_conformance.harness.samples import NOON, A, B, count, note, story, take
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs

NOTED = EventQuery(["sample.noted"])


def commit_each(place: Place) -> None:
    """Commit an event for each text received, in a process of its own."""
    with place.blocking() as db:
        say("ready")
        while (text := listen()) is not None:
            db.events.append([note(text)])


async def waiting(place: Place, db: Backend, following: Any) -> Alongside:
    """Return a call that asks a follower for its next event, and is most likely waiting by now."""
    asking = place.alongside(take(following, 1))
    for _ in range(5):  # lets it run
        await db.events.head()
    return asking


class FollowRules(Contract):
    """Rules ES-FOLLOW."""

    async def test_follow_begins_with_what_is_stored(self, db: Backend) -> None:
        """ES-FOLLOW-001: `follow` yields the events after `after` in position order, complete, then newly committed ones."""
        stored = [note("a"), *story(A, 2, tags=["color:red"], metadata={"by": "me"}, time=NOON), count(1)]
        positions = (await db.events.append(stored)).positions
        following = db.events.follow(after=positions[0])
        found = [await anext(following) for _ in range(3)]
        later = [note("b", time=NOON - timedelta(days=1)), count(2)]
        positions += (await db.events.append(later)).positions
        found += [await anext(following) for _ in range(2)]
        same(found, [*stored[1:], *later])
        assert tuple(event.position for event in found) == positions[1:]

    async def test_follow_from_now_on(self, db: Backend) -> None:
        """ES-FOLLOW-002: `after=await head()` yields what is committed from then on, in an empty store, too."""
        from_the_start = db.events.follow(after=await db.events.head())
        await db.events.append([note("old")])
        from_now = db.events.follow(after=await db.events.head())
        await db.events.append([note("new")])
        assert await take(from_now, 1) == ["new"]
        assert await take(from_the_start, 2) == ["old", "new"]

    async def test_follow_from_ahead_of_the_log(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-003: If `after` is ahead of the log, events up to that position are not yielded."""
        ahead = (await db.events.append([note("old")])).position + 3
        following = db.events.follow(after=ahead)
        asking = await waiting(place, db, following)
        events = [note(str(n)) for n in range(8)]
        positions = [(await db.events.append([event])).position for event in events]
        expected = [event.data.text for event, position in zip(events, positions, strict=True) if position > ahead]
        assert await asking.result() + await take(following, len(expected) - 1) == expected

    async def test_follow_wakes_for_a_commit(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-004: A waiting follower gets each event as soon as this handle has committed it."""
        following = db.events.follow(after=0)
        for number in range(5):
            asking = await waiting(place, db, following)
            await db.events.append([note(str(number))])
            assert await asking.result() == [str(number)]

    @needs(PROCESSES)
    async def test_follow_wakes_for_another_handle(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-005: A waiting follower gets each event as soon as another handle has committed it."""
        following = db.events.follow(after=0)
        async with place.open() as other:
            for number in range(5):
                asking = await waiting(place, db, following)
                await other.events.append([note(str(number))])
                assert await asking.result() == [str(number)]

    @needs(PROCESSES)
    async def test_follow_wakes_for_another_process(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-006: A waiting follower gets each event as soon as another process has committed it."""
        following = db.events.follow(after=0)
        process = place.spawn(commit_each)
        process.expect("ready")
        for number in range(5):
            asking = await waiting(place, db, following)
            process.tell(str(number))
            assert await asking.result() == [str(number)]
        process.tell(None)
        process.finish()

    async def test_follow_with_a_query(self, db: Backend) -> None:
        """ES-FOLLOW-007: A query selects from both the stored and the newly committed events."""
        events = [
            note("a", A, 1, time=NOON), count(1, tags=["t:1"]), note("b", A, 2, tags=["t:1", "t:2"]), note("c", B, 1),
            count(2), note("d", A, 3, time=NOON), note("e", tags=["t:1"]),
        ]  # fmt: skip
        queries = [
            NOTED, EventQuery(aggregates=[A]), EventQuery(tags=["t:1"]), EventQuery(versions=[Between(2, 3)]),
            EventQuery(times=[NOON]), EventQuery(ids=[events[1].id, events[6].id]), EventQuery(aggregate_ids=["a", "b"]),
            EventQuery(["sample.counted"]) | EventQuery(tags=["t:2"]) | EventQuery(aggregate_names=["order"], versions=[3]),
        ]  # fmt: skip
        expected = [[event.id for event in events if query.matches(event)] for query in queries]
        await db.events.append(events[:4])
        followers = [db.events.follow(query, after=0) for query in queries]
        seen = [[(await anext(following)).id] for following in followers]
        for event in events[4:]:
            await db.events.append([event])
        for following, found, ids in zip(followers, seen, expected, strict=True):
            found += [(await anext(following)).id for _ in ids[1:]]
        assert seen == expected
        await db.events.append([last := note("last", A, 4, time=NOON, tags=["t:1", "t:2"])])
        for query, following in zip(queries, followers, strict=True):
            if query.matches(last):
                assert await take(following, 1) == ["last"], query

    async def test_follow_over_what_does_not_match(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-008: Events that do not match, however many are stored or committed, are passed over."""
        await db.events.append([*(count(n) for n in range(2500)), note("stored"), *(count(n) for n in range(2500))])
        following = db.events.follow(NOTED, after=0)
        assert await take(following, 1) == ["stored"]
        asking = await waiting(place, db, following)
        for number in range(3):
            await db.events.append([count(number)])
        await db.events.append([note("committed")])
        assert await asking.result() == ["committed"]

    async def test_follow_over_pages(self, db: Backend) -> None:
        """ES-FOLLOW-009: Any number of events, stored or committed between two calls, is yielded in order, each once."""
        texts = [str(number) for number in range(5000)]
        await db.events.append([note(text) for text in texts[:2500]])
        following = db.events.follow(after=0)
        assert await take(following, 10) == texts[:10]
        await db.events.append([note(text) for text in texts[2500:]])
        assert await take(following, 4990) == texts[10:]
        await db.events.append([note("new")])
        assert await take(following, 1) == ["new"]

    async def test_follow_page_by_page(self, db: Backend) -> None:
        """ES-FOLLOW-010: `next_page` returns what there is, and waits if there is nothing: a page is never empty."""
        await db.events.append([note(str(number)) for number in range(1500)])
        following = db.events.follow(after=0)
        seen: list[str] = []
        while len(seen) < 1500:
            page = await following.next_page()
            assert page
            seen += [event.data.text for event in page]
        await db.events.append([note("1500")])
        seen += [event.data.text for event in await following.next_page()]
        assert seen == [str(number) for number in range(1501)]

    # --- what never comes -------------------------------------------------------------------------------------------

    @needs(TRANSACTIONS)
    async def test_follow_gives_nothing_before_its_commit(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-011: The events of a transaction are yielded once it is committed, and not before."""
        following = db.events.follow(after=0)
        asking = await waiting(place, db, following)
        async with db.transaction() as tx:
            await tx.events.append([note("a"), note("b")])
            await tx.events.append([note("c")])
            for _ in range(5):
                await tx.events.head()
            assert not asking.ended, "it came before the commit"
        assert await asking.result() + await take(following, 2) == ["a", "b", "c"]

    @needs(TRANSACTIONS)
    async def test_follow_gives_nothing_that_was_rolled_back(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-012: The events of a rolled-back transaction are never yielded; those stored after it are."""
        following = db.events.follow(after=0)
        asking = await waiting(place, db, following)
        with refused(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.events.append([note("never"), note("never")])
                raise ZeroDivisionError
        await db.events.append([note("behind")])
        assert await asking.result() == ["behind"]

    async def test_follow_gives_nothing_that_was_refused(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-013: The events of a refused append are never yielded; those stored after it are."""
        await db.events.append(story(A, 1))
        following = db.events.follow(after=await db.events.head())
        asking = await waiting(place, db, following)
        with refused(ConcurrencyError):
            await db.events.append([note("never"), *story(A, 1)])
        await db.events.append([note("behind")])
        assert await asking.result() == ["behind"]
