"""Check what only the server can: its catalogue, its indexes, and the tables against each other.

There are no foreign keys (see `_schema`), so what rows refer to is looked up here. Everything is of the moment of one view.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from goes_lite.contract.findings import Finding
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, Row, code, detail
from goes_lite_postgres._options import ServerAddress, quoted
from goes_lite_postgres._schema import TABLES, bodies

MOST = 20
"""How many rows of each kind are named."""

_UNIQUE = {
    "store": ["id"],
    "event_names": ["key", "name"],
    "aggregates": ["key", "name, id"],
    "events": ["position", "id", "aggregate_key, version"],
    "event_tags": ["tag, position"],
    "snapshots": ["name, id, version"],
    "models": ["collection, id"],
    "checkpoints": ["name"],
    "leases": ["name"],
    "commits": ["id"],
}
"""What has to be unique in each table."""

_INDEXES = """
    SELECT t.relname::text, c.relname::text, i.indisunique, i.indisvalid AND i.indisready AND i.indislive, m.amname::text,
           array_to_string(ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, at)
                 LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.at), ', ')
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_am m ON m.oid = c.relam JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = $1 AND t.relname = ANY ($2::text[]) ORDER BY 1, 2
"""
_UNVALIDATED = """
    SELECT t.relname::text, c.conname::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = $1 AND t.relname = ANY ($2::text[]) AND NOT c.convalidated
"""
_FUNCTIONS = """
    SELECT p.proname::text, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = $1 AND p.proname = ANY ($2::text[])
"""
_AMCHECK = """
    SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'bt_index_check' AND p.pronargs = 2
    WHERE e.extname = 'amcheck' AND has_function_privilege(p.oid, 'EXECUTE')
"""
_ROWS = {
    "reference-lost": (
        """SELECT e.position, 'aggregate ' || e.aggregate_key FROM {schema}.events e
           WHERE e.aggregate_key IS NOT NULL
           AND NOT EXISTS (SELECT FROM {schema}.aggregates a WHERE a.key = e.aggregate_key)
           UNION ALL SELECT e.position, 'name ' || e.name_key FROM {schema}.events e
           WHERE NOT EXISTS (SELECT FROM {schema}.event_names n WHERE n.key = e.name_key)
           ORDER BY 1""",
        "the event at position {0} refers to the {1}, which is not there",
    ),
    "aggregate-version": (
        """SELECT a.name || '(' || a.id || ')', a.version, count(e.version), min(e.version), max(e.version)
           FROM {schema}.aggregates a LEFT JOIN {schema}.events e ON e.aggregate_key = a.key
           GROUP BY a.key HAVING count(e.version) <> a.version OR min(e.version) <> 1 OR max(e.version) <> a.version
           ORDER BY 1""",
        "{0} is listed with version {1}, but has {2} events, of the versions {3} to {4}",
    ),
    "aggregate-time": (
        """SELECT a.name || '(' || a.id || ')', a.first_time, a.last_time, f.time, l.time FROM {schema}.aggregates a
           JOIN {schema}.events f ON f.aggregate_key = a.key AND f.version = 1
           JOIN {schema}.events l ON l.aggregate_key = a.key AND l.version = a.version
           WHERE a.first_time <> f.time OR a.last_time <> l.time ORDER BY 1""",
        "{0} is listed with the first and last time {1} and {2}, its events have {3} and {4}",
    ),
    "version-order": (
        """SELECT a.name || '(' || a.id || ')', e.version, e.position, b.position FROM {schema}.events e
           JOIN {schema}.events b ON b.aggregate_key = e.aggregate_key AND b.version = e.version - 1
           JOIN {schema}.aggregates a ON a.key = e.aggregate_key WHERE e.position < b.position ORDER BY 3""",
        "version {1} of {0} is at position {2}, after {3}",
    ),
    "tag-missing": (
        """SELECT e.position, t.tag FROM {schema}.events e, json_array_elements_text(e.tags::json) AS t (tag)
           WHERE NOT EXISTS (SELECT FROM {schema}.event_tags d WHERE d.tag = t.tag AND d.position = e.position) ORDER BY 1""",
        "the event at position {0} is not found by its tag {1!r}",
    ),
    "tag-extra": (
        """SELECT d.position, d.tag::text FROM {schema}.event_tags d LEFT JOIN {schema}.events e ON e.position = d.position
           WHERE e.tags IS NULL OR NOT EXISTS (SELECT FROM json_array_elements_text(e.tags::json) AS t (tag)
                                               WHERE t.tag = d.tag) ORDER BY 1""",
        "the tag {1!r} leads to the event at position {0}, which does not carry it",
    ),
}
"""By code: which rows contradict each other, and what is said of one."""


async def integrity(connection: Connection, address: ServerAddress) -> list[Finding]:
    """Return what is wrong, as of the moment of the connection's transaction, which only reads."""
    found = [one async for one in _catalogue(connection, address)]
    for kind, (sql, said) in _ROWS.items():
        try:
            async with _part(connection):
                for row in await connection.fetch(f"{sql.format(schema=quoted(address.schema))} LIMIT {MOST}"):
                    found.append(Finding(kind, said.format(*row)))
        except DRIVER_ERRORS as exc:
            if code(exc)[:2] != "22":
                raise
            # tags that are no JSON, which the check of the events themselves names
    return found


@asynccontextmanager
async def _part(connection: Connection) -> AsyncGenerator[None]:
    """Run a part of the transaction that may fail alone."""
    await connection.execute("SAVEPOINT part")
    try:
        yield
    except DRIVER_ERRORS:
        await connection.execute("ROLLBACK TO SAVEPOINT part")
        raise


async def _catalogue(connection: Connection, address: ServerAddress) -> AsyncGenerator[Finding]:
    tables = [*TABLES]
    indexes: list[Row] = await connection.fetch(_INDEXES, address.schema, tables)
    for table, name, _, valid, _, _ in indexes:
        if not valid:
            yield Finding(
                "index-invalid",
                f"the index {name!r} of {table!r} is not valid: a statement that built it was interrupted",
                f"REINDEX INDEX {address.table(name)}",
            )
    for table, wanted in _UNIQUE.items():
        unique = {row[5] for row in indexes if row[0] == table and row[2]}
        for columns in wanted:
            if columns not in unique:
                yield Finding(
                    "index-missing",
                    f"nothing keeps {columns} of {table!r} unique: the index is missing",
                    f"create it as `goes-lite schema store postgresql --schema {address.schema}` prints it, or restore a backup",
                )
    for table, name in await connection.fetch(_UNVALIDATED, address.schema, tables):
        yield Finding(
            "constraint-unvalidated",
            f"the constraint {name!r} of {table!r} was never checked for the rows that were there before it",
            f"ALTER TABLE {address.table(table)} VALIDATE CONSTRAINT {quoted(name)}",
        )
    for function, body in bodies(address.schema).items():
        there = await connection.fetch(_FUNCTIONS, address.schema, [function])
        if [row[1] for row in there] != [body]:
            yield Finding(
                "function-differs",
                f"the function {function!r} is not the one that goes_lite creates",
                f"drop it, and create it as `goes-lite schema store postgresql --schema {address.schema}` prints it",
            )
    async for finding in _pages(connection, address, indexes):
        yield finding


async def _pages(connection: Connection, address: ServerAddress, indexes: list[Row]) -> AsyncGenerator[Finding]:
    """Let amcheck compare indexes with their tables, where a database has it and the role may call it."""
    where: str | None = await connection.fetchval(_AMCHECK)
    if where is None:
        return
    for table, name, _, valid, method, _ in indexes:
        if not valid or method != "btree":
            continue
        try:
            async with _part(connection):
                await connection.fetchval(
                    f"SELECT {quoted(where)}.bt_index_check(to_regclass($1), true)", address.table(name)
                )
        except DRIVER_ERRORS as exc:
            if code(exc) not in ("XX001", "XX002"):  # data or index corrupted
                raise
            yield Finding(
                "index-damaged",
                f"the index {name!r} of {table!r} does not fit its table: {detail(exc)!s:.200}",
                f"REINDEX INDEX {address.table(name)}",
            )
