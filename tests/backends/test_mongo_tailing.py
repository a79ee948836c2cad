"""Readers beside many writers on MongoDB, of which some take their time and some are killed: none skips, none repeats (G4)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from goes_lite_conformance._samples import note, registry

import goes_lite as goes

if TYPE_CHECKING:
    from tests.backends.mongo_kit import Worker, needs_mongo, store_url, workers
else:
    from mongo_kit import Worker, needs_mongo, store_url, workers

needs_mongo()

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


def run(url: str, each: int, mutant: bool = False, killed: int = KILLED) -> Seen:
    """Let 8 processes write and 3 read; kill some of those who write, each at a moment of its own."""
    chance = random.Random(each)

    async def stored() -> list[list[Any]]:
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([note("end")])
            return [
                [event.position, event.aggregate and event.aggregate.name, event.version]
                async for event in db.events.query()
            ]

    asyncio.run(prepare(url))
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


async def prepare(url: str) -> None:
    async with goes.connect(url):
        pass


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


def test_with_the_counter_outside_of_the_transaction_readers_skip() -> None:
    """A position that is drawn before the transaction may be committed behind a later one: the judge above sees it."""
    seen = run(store_url(retry_timeout=0.1), 60, mutant=True, killed=0)

    assert seen.missed > 0
