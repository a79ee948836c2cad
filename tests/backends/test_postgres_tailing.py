"""Readers beside many writers on PostgreSQL, of which some take their time and some are killed: none skips, none repeats (G4)."""

from __future__ import annotations

import asyncio

import pytest

import goes_lite as goes
from tests.backends.postgres_kit import needs_postgres, store_url
from tests.backends.server_kit import KILLED, WRITERS, Seen, tail

needs_postgres()


def run(url: str, each: int, mutant: str = "", killed: int = KILLED) -> Seen:
    """What readers see beside writers, of whom some are killed; or beside mutants."""
    asyncio.run(prepare(url, mutant))
    return tail(url, each, mutants="tests.backends.postgres_mutants", mutant=mutant, killed=killed)


async def prepare(url: str, mutant: str) -> None:
    async with goes.connect(url) as db, db.transaction() as tx:
        await tx.execute("CREATE SEQUENCE IF NOT EXISTS public.drawn")
        if mutant:
            rows = await tx.execute("SELECT pg_get_functiondef('append_events'::regproc)")
            await tx.execute(mutated(rows[0][0], mutant))


def mutated(function: str, mutant: str) -> str:
    """The function in the database that stores events, without its lock, and with positions of a sequence."""
    function = function.replace("PERFORM pg_advisory_xact_lock(log_lock);", "")
    if mutant == "sequence":
        head = function[function.index("greatest(") : function.index("EXISTS (")]
        drawn = (
            "(SELECT max(nextval('public.drawn')) FROM generate_series(1, cardinality(uuids))) - cardinality(uuids), "
        )
        function = function.replace(head, drawn)
    return function


def test_no_reader_skips_or_repeats(rounds: int) -> None:
    """Of 8 writing processes some sleep in their transactions, some roll back, and 3 are killed; 3 readers see all of it."""
    seen = run(store_url(), 60 * rounds)

    assert seen.refused == []
    assert (seen.missed, seen.repeated, seen.out_of_order) == (0, 0, 0)
    assert seen.acknowledged <= {position for position, _, _ in seen.stored}
    assert len(seen.stored) > (WRITERS - KILLED) * 60 * rounds
    assert [position for position, _, _ in seen.stored] == list(range(1, len(seen.stored) + 1))


@pytest.mark.slow
def test_without_the_lock_appends_collide() -> None:
    """The lock is what gives each append its turn: without it two count the same positions, and one of them is refused.

    Nothing is lost even then, for a position is a primary key.
    """
    seen = run(store_url(retry_timeout=0.1), 40, "unlocked", killed=0)

    assert seen.refused
    assert (seen.missed, seen.repeated) == (0, 0)


@pytest.mark.slow
def test_with_a_sequence_in_its_place_readers_skip() -> None:
    """Positions from a sequence, without the lock: what most event stores do. The judge of the first test sees it."""
    seen = run(store_url(retry_timeout=0.1), 120, "sequence", killed=0)

    assert seen.missed > 0


@pytest.mark.slow
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_the_isolation_level_of_the_server_does_not_matter(level: str) -> None:
    """Where sessions begin at another level by default, what is looked at under the lock is still what was committed."""
    url = store_url(options=f"-cdefault_transaction_isolation={level.replace(' ', '%5C%20')}")

    seen = run(url, 40, killed=0)

    assert seen.refused == []
    assert (seen.missed, seen.repeated, seen.out_of_order) == (0, 0, 0)
    assert len(seen.stored) == WRITERS * 40 + 1
