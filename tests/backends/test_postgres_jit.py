"""On a server that compiles queries, as most distributions' PostgreSQL does, none of goes_lite's statements is compiled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.servers import postgres

import goes_lite as goes
from tests.backends.pooler import Pooler
from tests.backends.postgres_kit import needs_postgres

needs_postgres()

import asyncpg  # noqa: E402 - not before it is known to be there

VERSIONS = [
    version for version in postgres.with_jit() if any(postgres.installations()[version].parent.rglob("auto_explain.*"))
]
LOGGED: dict[str, Any] = {
    "jit_above_cost": "1",
    "shared_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_nested_statements": "on",
}


class Compiling:
    """A server that compiles each statement that reads a table, however cheap, and logs what it has executed."""

    def __init__(self, server: postgres.PostgresServer) -> None:
        self.url = server.url
        self._server = server
        self._read = 0

    def compiled(self) -> list[str]:
        """Return the statements that were compiled since the last call; the server is restarted, to end its log."""
        self._server.stop()
        text = self._server.log.read_text(errors="replace")
        self._server.start()
        new, self._read = text[self._read :], len(text)
        plans = [plan for plan in new.split(" plan:\n") if "Query Text:" in plan]
        assert plans
        return [plan.partition("\n")[0] for plan in plans if "JIT:" in plan]


@pytest.fixture(scope="module")
def compiling() -> Iterator[Compiling]:
    if not VERSIONS:
        pytest.skip("no PostgreSQL with JIT and auto_explain is installed: apt-get install postgresql")
    with postgres.server(VERSIONS[0], fsync=False, **LOGGED) as server:
        yield Compiling(server)


async def write(url: str) -> None:
    """Append in every way, and write in transactions."""
    async with goes.connect(url, registry=registry) as db:
        for version in (1, 2, 3):  # the first creates the name; the others take one round trip
            await db.events.append([note("x", ("a", "1"), version, tags=["t:1"])])
        one, other = goes.EventQuery(tags=["t:2"]), goes.EventQuery(names=["sample.noted"], tags=["t:1", "t:2"])
        await db.events.append([note("y")], condition=goes.AppendCondition(one | other))
        async with db.transaction() as tx:
            await tx.events.append([note("z", ("b", "1"), 1)], condition=goes.AppendCondition(one | other))
            await tx.models.put("c", "1", '{"n": 1}')
            await tx.checkpoints.save("p", 1)
        await db.models.put_many("c", {"2": "{}"})
        assert await db.events.delete(goes.AggregateRef("a", "1")) == 3


def test_direct(compiling: Compiling) -> None:
    """Neither appends, conditions, transactions and deletions nor reads."""

    async def run() -> None:
        await write(compiling.url)
        async with goes.connect(compiling.url, registry=registry) as db:
            queries = goes.EventQuery(), goes.EventQuery(tags=["t:1"]), goes.EventQuery(aggregate_names=["b"])
            for query in queries:
                assert await db.events.count(query) == len([event async for event in db.events.query(query)])
            assert len(await db.events.load(goes.AggregateRef("b", "1"))) == 1
            assert len([record async for record in db.models.query("c", where={"n": 1}, order_by="n")]) == 1
            assert await db.select("SELECT count(*) FROM events") == [(2,)]

    asyncio.run(run())
    assert compiling.compiled() == []


def test_behind_a_pooler(compiling: Compiling) -> None:
    """What is written; a read cannot leave the setting in a session there, so it follows the server's."""
    goes.blocking.connect(f"{compiling.url}?schema=pooled").close()
    compiling.compiled()
    pooler = Pooler(compiling.url)
    try:
        asyncio.run(write(f"{pooler.url}?schema=pooled&pooler=true"))
    finally:
        pooler.close()
    compiled = compiling.compiled()
    looks = ("events e)),", "SELECT (SELECT greatest", "SELECT position FROM")
    writes = ("append_events", "note_commit", "INSERT", "UPDATE", "DELETE", *looks)
    written = [statement for statement in compiled if any(word in statement for word in writes)]
    assert [statement for statement in written if "7 days" not in statement] == []  # closing removes old marks so


def test_others_are_compiled(compiling: Compiling) -> None:
    """The server compiles what is left to it: the tests above can fail."""

    async def run() -> None:
        connection = await asyncpg.connect(compiling.url)
        await connection.fetchval("SELECT count(*) AS of_somebody_else FROM pg_class")
        await connection.close()

    asyncio.run(run())
    assert [statement for statement in compiling.compiled() if "of_somebody_else" in statement]
