"""Readers beside many writers on MongoDB, of which some take their time and some are killed: none skips, none repeats (G4)."""

from __future__ import annotations

import asyncio

import pytest

import goes_lite as goes
from tests.backends.mongo_kit import needs_mongo, store_url
from tests.backends.server_kit import KILLED, WRITERS, Seen, tail

needs_mongo()


def run(url: str, each: int, mutant: str = "", killed: int = KILLED) -> Seen:
    """What readers see beside writers, of whom some are killed; or beside mutants."""

    async def prepare() -> None:
        async with goes.connect(url):
            pass

    asyncio.run(prepare())
    return tail(url, each, mutants="tests.backends.mongo_mutants", mutant=mutant, killed=killed)


@pytest.mark.slow
def test_no_reader_skips_or_repeats(rounds: int) -> None:
    """Of 8 writing processes some sleep in their transactions, some roll back, and 3 are killed; 3 readers see all of it."""
    seen = run(store_url(), 60 * rounds)

    assert seen.refused == []
    assert (seen.missed, seen.repeated, seen.out_of_order) == (0, 0, 0)
    assert seen.acknowledged <= {position for position, _, _ in seen.stored}
    assert len(seen.stored) > (WRITERS - KILLED) * 60 * rounds
    assert [position for position, _, _ in seen.stored] == list(range(1, len(seen.stored) + 1))


@pytest.mark.slow
def test_with_the_counter_outside_of_the_transaction_readers_skip() -> None:
    """A position that is drawn before the transaction may be committed behind a later one: the judge above sees it."""
    seen = run(store_url(retry_timeout=0.1), 60, mutant="counter", killed=0)

    assert seen.missed > 0
