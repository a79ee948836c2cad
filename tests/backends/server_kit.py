"""What the tests of servers share: worker processes, and readers beside many writers with a judge of what they have seen."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, NamedTuple

from goes_lite_conformance.harness import Processes
from goes_lite_conformance.harness.samples import note, registry

import goes_lite as goes

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


def tail(url: str, each: int, *, mutants: str = "", mutant: str = "", killed: int = KILLED) -> Seen:
    """Let 8 processes write and 3 read a store that is there; kill some of those who write, each at a moment of its own."""
    chance = random.Random(each)

    async def stored() -> list[list[Any]]:
        async with goes.connect(url, registry=registry) as db:
            await db.events.append([note("end")])
            return [
                [event.position, event.aggregate and event.aggregate.name, event.version]
                async for event in db.events.query()
            ]

    with Processes("tests.backends.server_jobs") as start:
        readers = [start("read", url=url, how=how) for how in READERS]
        writers = [
            start("write", url=url, writer=f"w{number}", count=each, mutants=mutants, mutant=mutant)
            for number in range(WRITERS)
        ]
        for worker in readers + writers:
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
