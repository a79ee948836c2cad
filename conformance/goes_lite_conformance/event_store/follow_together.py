"""Following: several followers and writers at once, deletions, closing and cancelling."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from goes_lite.contract.backend import PROCESSES, Backend
from goes_lite.errors import StoreClosed
from goes_lite.events.query import EventQuery
from goes_lite_conformance.event_store.follow import NOTED, waiting
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import A, B, count, note, story, take
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs, only


def commit_batches(place: Place, writer: int, batches: int) -> None:
    """Commit this many batches of three events without a pause."""
    with place.blocking() as db:
        say("ready")
        listen()
        for number in range(batches):
            db.events.append([note(f"{writer}:{number}:{part}") for part in range(3)])
    say("done")


class FollowTogetherRules(Contract):
    """Rules ES-FOLLOW about several followers and writers, and about how following ends."""

    # --- several at once --------------------------------------------------------------------------------------------

    async def test_several_followers(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-014: Each of several followers gets every event, however far the others are."""
        await db.events.append([note("0")])
        following = [db.events.follow(after=0) for _ in range(6)]
        ahead = following[:3]
        for one in ahead:
            assert await take(one, 1) == ["0"]
        asking = [await waiting(place, db, one) for one in ahead]
        await db.events.append([note("1")])
        assert [await one.result() for one in asking] == [["1"]] * 3
        for one in following[3:]:
            assert await take(one, 2) == ["0", "1"]

    async def test_follow_while_others_write(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-015: While several writers append, followers get each event once, in position order."""

        async def write(writer: int) -> None:
            for number in range(25):
                await db.events.append([note(f"{writer}-{number}"), *([count(number)] if number % 2 else [])])

        async def follow(query: EventQuery, number: int) -> list[int]:
            following = db.events.follow(query, after=0)
            return [(await anext(following)).position for _ in range(number)]

        everything, noted, *_ = await place.together(
            follow(EventQuery(), 4 * 37), follow(NOTED, 4 * 25), *(write(writer) for writer in range(4))
        )
        log = await db.events.query().list()
        assert everything == [event.position for event in log]
        assert noted == [event.position for event in log if NOTED.matches(event)]

    @needs(PROCESSES)
    async def test_follow_while_other_processes_write(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-016: While other processes write without a pause, a follower gets each event once, in position order."""
        processes = [place.spawn(commit_batches, writer=writer, batches=60) for writer in range(2)]
        for process in processes:
            process.expect("ready")
        following = db.events.follow(after=0)
        for process in processes:
            process.tell()
        seen = [await anext(following) for _ in range(2 * 60 * 3)]
        for process in processes:
            process.expect("done")
            process.finish()
        assert all(one.position < other.position for one, other in pairwise(seen))
        for writer in range(2):
            mine = [event.data.text for event in seen if event.data.text.startswith(f"{writer}:")]
            assert mine == [f"{writer}:{number}:{part}" for number in range(60) for part in range(3)]

    # --- deleting ---------------------------------------------------------------------------------------------------

    async def test_follow_past_what_is_deleted(self, db: Backend) -> None:
        """ES-FOLLOW-017: Events deleted before a follower reaches them are not yielded; those around them are."""
        await db.events.append([note("first"), *story(A, 2), note("last"), *story(B, 2)])
        following = db.events.follow(after=0)
        await db.events.delete(A)
        await db.events.delete(B)
        assert await take(following, 2) == ["first", "last"]
        await db.events.append(story(A, 2))
        await db.events.delete(A)
        await db.events.append([note("behind the gap")])
        assert await take(following, 1) == ["behind the gap"]

    async def test_follow_when_the_end_of_the_log_is_deleted(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-018: A follower skips nothing when the events that it saw last are deleted: positions are not reused."""
        await db.events.append([note("first"), *story(A, 3)])
        following = db.events.follow(after=0)
        assert await take(following, 4) == ["first", "a-1", "a-2", "a-3"]
        asking = await waiting(place, db, following)
        await db.events.delete(A)
        await db.events.append(story(A, 2))
        assert await asking.result() + await take(following, 1) == ["a-1", "a-2"]

    # --- ends -------------------------------------------------------------------------------------------------------

    async def test_a_waiting_follower_ends_when_the_store_is_closed(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-019: Closing the store ends a waiting follower with StoreClosed; it does not hang."""
        await db.events.append([note("x")])
        following = db.events.follow(after=0)
        assert await take(following, 1) == ["x"]
        asking = await waiting(place, db, following)
        await db.close()
        assert type(await asking.outcome()) is StoreClosed

    async def test_following_a_closed_store(self, db: Backend) -> None:
        """ES-FOLLOW-020: A follower of a closed store raises StoreClosed at every call, whether it had begun or not."""
        await db.events.append([note("x")])
        begun, fresh = db.events.follow(after=0), db.events.follow(after=0)
        assert await take(begun, 1) == ["x"]
        await db.close()
        for following in (begun, fresh, begun):
            with refused(StoreClosed):
                await anext(following)

    async def test_abandoned_followers_leak_nothing(self, db: Backend) -> None:
        """ES-FOLLOW-021: Any number of followers may be abandoned: the store works as if they did not exist."""
        await db.events.append(story(A, 3))
        left = [db.events.follow(after=0) for _ in range(100)]
        for following in left:
            assert await take(following, 1) == ["a-1"]
        del left[::2]  # garbage-collected, not just idle
        await db.events.append([note("after")])
        assert await db.events.count() == 4
        assert await take(left[7], 3) == ["a-2", "a-3", "after"]

    @only("async")
    async def test_a_cancelled_follower_loses_nothing(self, place: Place, db: Backend) -> None:
        """ES-FOLLOW-022: Cancelling a follower loses no event: the next call returns the next one."""
        following = db.events.follow(after=0)
        seen: list[str] = []

        async def follow() -> None:
            async for event in following:
                seen.append(event.data.text)

        for number in range(60):
            asking = place.alongside(follow())
            for _ in range(number % 7 + 1):
                await asyncio.sleep(0)
            appending = place.alongside(db.events.append([note(str(number))]))
            for _ in range(number % 11):
                await asyncio.sleep(0.0002 * (number % 3))
            asking.cancel()
            assert type(await asking.outcome()) is asyncio.CancelledError
            await appending.result()
        seen += await take(following, 60 - len(seen))
        assert seen == [str(number) for number in range(60)]
