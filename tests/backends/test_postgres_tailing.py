"""Readers beside many writers on PostgreSQL, of which some take their time and some are killed: none skips, none repeats (G4)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from goes_lite_conformance._samples import note, registry

import goes_lite as goes

if TYPE_CHECKING:
    from tests.backends.postgres_kit import Worker, needs_postgres, store_url, workers
else:
    from postgres_kit import Worker, needs_postgres, store_url, workers

needs_postgres()

READERS = ("follow", "follow", "query")
WRITERS, KILLED = 8, 3


class Seen(NamedTuple):
    """What came of a run."""

    acknowledged: set[int]
    refused: list[list[str]]
    readers: list[list[list[Any]]]
    stored: list[list[Any]]

    @property
    def missed(self) -> int:
        return sum(len({one[0] for one in self.stored} - {one[0] for one in reader}) for reader in self.readers)

    @property
    def repeated(self) -> int:
        return sum(len(reader) - len({one[0] for one in reader}) for reader in self.readers)

    @property
    def out_of_order(self) -> int:
        """How often a position, or the version of an aggregate, did not come behind the one before."""
        wrong = 0
        for reader in self.readers:
            versions: Counter[str] = Counter()
            last = 0
            for position, aggregate, version in reader:
                if aggregate is not None:
                    wrong += version != versions[aggregate] + 1
                    versions[aggregate] = version
                wrong += position <= last
                last = position
        return wrong


def run(url: str, each: int, mutant: str = "", killed: int = KILLED) -> Seen:
    """Let 8 processes write and 3 read; kill some of those who write, each at a moment of its own."""
    chance = random.Random(each)

    async def stored() -> list[list[Any]]:
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([note("end")])
            return [
                [event.position, event.aggregate and event.aggregate.name, event.version]
                async for event in db.events.query()
            ]

    asyncio.run(prepare(url, mutant))
    with workers() as running:
        readers = [start(running, "read", url=url, how=how) for how in READERS]
        writers = [
            start(running, "write", url=url, writer=f"w{number}", count=each, mutant=mutant)
            for number in range(WRITERS)
        ]
        for worker in running:
            worker.expect("ready")
        said: list[Any] = []
        for victim in writers[:killed]:
            said += [victim.hear() for _ in range(chance.randrange(1, each // 2))]
            victim.kill()
        for writer in writers:
            said += writer.rest()
        log = asyncio.run(stored())
        return Seen(
            {one for one in said if isinstance(one, int)},
            [one for one in said if isinstance(one, list)],
            [reader.hear() for reader in readers],
            log,
        )


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


def start(running: list[Worker], job: str, **arguments: Any) -> Worker:
    running.append(Worker(job, **arguments))
    return running[-1]


def test_no_reader_skips_or_repeats(rounds: int) -> None:
    """Of 8 writing processes a tenth of the appends sleep in their transaction, and 3 are killed; 3 readers see all of it."""
    seen = run(store_url(), 60 * rounds)

    assert seen.refused == []
    assert (seen.missed, seen.repeated, seen.out_of_order) == (0, 0, 0)
    assert seen.acknowledged <= {position for position, _, _ in seen.stored}
    assert len(seen.stored) > (WRITERS - KILLED) * 60 * rounds
    assert [position for position, _, _ in seen.stored] == list(range(1, len(seen.stored) + 1))


def test_without_the_lock_appends_collide() -> None:
    """The lock is what gives each append its turn: without it two count the same positions, and one of them is refused.

    Nothing is lost even then, for a position is a primary key.
    """
    seen = run(store_url(retry_timeout=0.1), 40, "unlocked", killed=0)

    assert seen.refused
    assert (seen.missed, seen.repeated) == (0, 0)


def test_with_a_sequence_in_its_place_readers_skip() -> None:
    """Positions from a sequence, without the lock: what most event stores do. The judge of the first test sees it."""
    seen = run(store_url(retry_timeout=0.1), 120, "sequence", killed=0)

    assert seen.missed > 0


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_the_isolation_level_of_the_server_does_not_matter(level: str) -> None:
    """Where sessions begin at another level by default, what is looked at under the lock is still what was committed."""
    url = store_url(options=f"-cdefault_transaction_isolation={level.replace(' ', '%5C%20')}")

    seen = run(url, 40, killed=0)

    assert seen.refused == []
    assert (seen.missed, seen.repeated, seen.out_of_order) == (0, 0, 0)
    assert len(seen.stored) == WRITERS * 40 + 1
