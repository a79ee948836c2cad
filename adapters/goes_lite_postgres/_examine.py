"""Look at what a store runs on: the settings of the server, its load, and the role of the program.

The settings are those of our connections. What goes_lite sets there itself, such as `jit` without a pooler, is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from goes_lite.contract.findings import Finding
from goes_lite.kit.examining import clock_findings, durability_findings
from goes_lite_postgres._driver import Connection
from goes_lite_postgres._options import ServerAddress, quoted

LONG = 3600
"""The age in seconds of a transaction that is more likely forgotten than at work."""
FULL = 0.9
"""The share of the server's connections from which on it is nearly full."""


class Facts(NamedTuple):
    """What was found out about a server."""

    settings: dict[str, str]
    time: datetime
    superuser: bool
    role: str
    connections: int
    """How many there are now, of all programs."""
    oldest: tuple[int, float] | None
    """The process and age in seconds of the oldest transaction in this database; None if there is none."""


async def look(connection: Connection) -> Facts:
    """Ask the server."""
    settings = await connection.fetch(
        "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'autovacuum', 'max_connections', "
        "'superuser_reserved_connections') UNION ALL SELECT 'jit', CASE WHEN pg_jit_available() THEN 'on' ELSE 'off' END"
    )
    (row,) = await connection.fetch(
        "SELECT clock_timestamp(), current_setting('is_superuser') = 'on', current_user::text, "
        "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    oldest = await connection.fetchrow(
        "SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 FROM pg_stat_activity "
        "WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' ORDER BY xact_start LIMIT 1"
    )
    return Facts(
        {one[0]: one[1] for one in settings}, row[0], row[1], row[2], row[3], (oldest[0], oldest[1]) if oldest else None
    )


def findings(facts: Facts, address: ServerAddress, now: datetime) -> Iterator[Finding]:
    """Yield what should be otherwise; `now` is the time by the clock of the handle."""
    yield from _durability(facts.settings, address)
    yield from clock_findings(facts.time, now)
    if facts.settings["jit"] == "on":  # pg_jit_available() is false where our connection has switched it off
        yield Finding(
            "server-jit",
            "behind a pooler, reads are compiled where the server's setting is jit=on, which can take longer than the reads",
            f"ALTER ROLE {quoted(facts.role)} SET jit = off",
        )
    if facts.settings["autovacuum"] == "off":
        yield Finding(
            "server-autovacuum",
            "autovacuum is off: the tables of read models and checkpoints, which are updated all the time, only grow",
            "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()",
        )
    if facts.superuser:
        yield Finding(
            "server-superuser",
            f"the program connects as {facts.role!r}, a superuser: a stolen password or a mistake reaches every database",
            "create a role that owns the schema of the store and nothing else: see docs/postgres.md",
        )
    yield from _load(facts)


def _durability(settings: dict[str, str], address: ServerAddress) -> Iterator[Finding]:
    if settings["fsync"] == "off":
        yield Finding(
            "server-fsync",
            "the server runs with fsync=off: a power failure loses acknowledged events, and can damage the database",
            "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()",
        )
    if settings["full_page_writes"] == "off":
        yield Finding(
            "server-full-page-writes",
            "the server runs with full_page_writes=off: a power failure can damage the database",
            "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()",
        )
    yield from durability_findings(address.durability)


def _load(facts: Facts) -> Iterator[Finding]:
    most = int(facts.settings["max_connections"]) - int(facts.settings["superuser_reserved_connections"])
    if facts.connections >= FULL * most:
        yield Finding(
            "server-connections",
            f"{facts.connections} of {most} connections of the server are taken: programs will soon be refused",
            "lower pool_size of the programs, put a pooler in front (pooler=true), or raise max_connections",
        )
    if facts.oldest and facts.oldest[1] > LONG:
        process, age = facts.oldest
        yield Finding(
            "server-transaction",
            f"process {process} of the server has had a transaction open for {age / 3600:.1f} hours: nothing that was deleted "
            "or replaced since is cleaned up",
            f"find out what it does, or end it: SELECT pg_terminate_backend({process})",
        )
