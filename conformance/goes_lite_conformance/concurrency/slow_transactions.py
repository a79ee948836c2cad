"""Readers and writers concurrent with open transactions: what commits late never appears behind a reader (G4)."""

from __future__ import annotations

import json
from typing import Any

from goes_lite.contract.backend import PROCESSES, TRANSACTIONS, Backend
from goes_lite.contract.event_store import AppendCondition
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING
from goes_lite_conformance.concurrency._given import end, log, reading, saw_all, succeeded
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Moment, Place, pause
from goes_lite_conformance.harness.samples import count, note
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs

LOOKS = 40
"""How often a reader looks for something that must not be there before it is considered absent."""


async def transact(db: Backend, number: int, *, commit: bool) -> None:
    """Run a transaction with several appends, and slow reads in between."""
    try:
        async with db.transaction() as tx:
            for step in range(4):
                await tx.events.append([note(f"{number}-{step}"), count(step)])
                for _ in range(4):
                    await tx.events.count()
            if not commit:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass


def hold_open(place: Place) -> None:
    """Append in a transaction, say where, and end it when told to: first with a commit, then with a rollback."""
    with place.blocking() as db:
        for commit in (True, False):
            try:
                with db.transaction() as tx:
                    say(tx.events.append([note("slow"), note("slow")]).positions[0])
                    listen()
                    if not commit:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass
            say("ended")
            listen()


async def nothing_shows(db: Backend, position: int, writer: Any) -> None:
    """Check that no event appears at or after this position for as long as a reader looks, or until the writer has ended."""
    for _ in range(LOOKS):
        seen: list[Event[Any]] = await db.events.query(after=position - 1).list()
        assert not seen, f"an event below {seen[0].position} is still to come, at {position}"
        assert await db.events.head() < position
        if writer.ended:
            break


class SlowTransactionRules(Contract):
    """Rules CC-SLOW."""

    @needs(TRANSACTIONS)
    async def test_readers_during_slow_transactions(self, place: Place, db: Backend) -> None:
        """CC-SLOW-001: While slow transactions run, some of which are rolled back, no reader skips or repeats.

        Followers and polling readers alike see what ends up in the log, in position order.
        """

        async def append(number: int) -> None:
            for step in range(6):
                await db.events.append([note(f"plain {number}-{step}")])

        readers = reading(place, db)
        slow = [transact(db, number, commit=bool(number % 3)) for number in range(6 * place.rounds)]
        fast = [append(number) for number in range(6 * place.rounds)]
        succeeded(await place.together(*(one for pair in zip(slow, fast, strict=True) for one in pair)))
        await end(db)
        stored = await log(db)
        assert len(stored) == place.rounds * (4 * 8 + 6 * 6) + 1
        for reader in readers:
            saw_all(await reader.result(), stored)

    @needs(TRANSACTIONS, PROCESSES)
    async def test_nothing_shows_after_an_open_transaction(self, place: Place, db: Backend) -> None:
        """CC-SLOW-002: While a transaction that has appended is open, no event shows at a higher position, on any handle.

        It may still commit: a reader that saw the higher position would then have skipped its events. Other appends wait, or
        get positions after it once it has ended.
        """
        for commit in (True, False):
            begun, over = Moment(place), Moment(place)
            positions: list[int] = []

            async def hold(
                commit: bool = commit, begun: Moment = begun, over: Moment = over, positions: list[int] = positions
            ) -> None:
                try:
                    async with db.transaction() as tx:
                        positions += (await tx.events.append([note("slow"), note("slow")])).positions
                        begun.come()
                        await over.wait()
                        if not commit:
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    pass

            async with place.open() as other, place.open() as third:
                holder = place.alongside(hold())
                await begun.wait()
                writer = place.alongside(other.events.append([note("fast")]))
                await nothing_shows(third, positions[0], writer)
                over.come()
                await holder.result()
                appended = await writer.result()
                assert not commit or appended.position > positions[-1]
                stored = [event.data.text for event in await third.events.query(after=positions[0] - 1).list()]
                assert stored == (["slow", "slow", "fast"] if commit else ["fast"])

    @needs(TRANSACTIONS, PROCESSES)
    async def test_nothing_shows_after_an_open_transaction_of_a_process(self, place: Place, db: Backend) -> None:
        """CC-SLOW-003: While another process has such a transaction open, no event shows at a higher position either."""
        holder = place.spawn(hold_open)
        async with place.open() as other:
            for expected in (["slow", "slow", "fast"], ["fast"]):
                position = holder.hear()
                writer = place.alongside(db.events.append([note("fast")]))
                await nothing_shows(other, position, writer)
                holder.tell()
                holder.expect("ended")
                await writer.result()
                assert [event.data.text for event in await other.events.query(after=position - 1).list()] == expected
                holder.tell()
        holder.finish()

    @needs(TRANSACTIONS)
    async def test_a_transaction_is_seen_whole(self, place: Place, db: Backend) -> None:
        """CC-SLOW-004: What a transaction writes to several stores becomes visible at once: no store is ever ahead of another."""
        done = Moment(place)

        async def write() -> None:
            for number in range(1, 16 * place.rounds):
                async with db.transaction() as tx:
                    await tx.models.put("c", "1", str(number))
                    await tx.events.append([count(number)])

        async def look() -> None:
            while not done.has_come:
                await pause(place)
                before = await db.events.count()
                record = await db.models.get("c", "1")
                behind = await db.events.count()
                number = json.loads(record.data) if record else 0
                assert before <= number <= behind, f"{number} in the model, between {before} and {behind} events"

        reader = place.alongside(look())
        await write()
        done.come()
        await reader.result()

    @needs(TRANSACTIONS, PROCESSES)
    async def test_an_empty_append_keeps_others_out(self, place: Place, db: Backend) -> None:
        """CC-SLOW-005: After an empty append, nobody else appends until the transaction ends: what it reads stays true."""
        await db.events.append([note("first")])
        async with place.open() as other, place.open() as third:
            async with db.transaction() as tx:
                await tx.events.append([])
                head = await tx.events.head()
                writer = place.alongside(other.events.append([note("waits")]))
                await nothing_shows(third, head + 1, writer)
                await tx.events.append([note("decided")], condition=AppendCondition(EVERYTHING, after=head))
            await writer.result()
            stored = [event.data.text async for event in third.events.query()]
            assert stored == ["first", "decided", "waits"]
