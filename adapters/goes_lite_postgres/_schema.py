"""The tables, as an ordered list of migrations; the n-th takes a schema of the database from version n-1 to n.

The tables are simple, because people look at them with other tools: JSON as text, times as microseconds since 1970 UTC,
and readable views of the log. Aggregates and event names have integer keys, which keeps rows and indexes small. Positions
do not come from a sequence: they are counted under the lock of the log, see `_function`.

There are no foreign keys: only `append_events` writes events, together with the rows that they refer to, and the trigger
of a foreign key costs more per event than storing it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256

from goes_lite.errors import ForeignFile, StoreDamaged, StoreTooNew, StoreUnavailable
from goes_lite.events.ids import new_id
from goes_lite_postgres import _fence, _function
from goes_lite_postgres._driver import DRIVER_ERRORS, Connection, code, detail
from goes_lite_postgres._options import ServerAddress, quoted

TEXT = 'text COLLATE "C"'
"""Text sorts by code point, whatever the language of the database."""
_TIME = "to_timestamp({0} / 1000000) + ({0} % 1000000) * interval '1 microsecond'"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE {schema}.store (
            id uuid PRIMARY KEY,
            epoch integer NOT NULL,
            version integer NOT NULL,
            head bigint NOT NULL
        )""",
        f"""CREATE TABLE {{schema}}.event_names (
            key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name {TEXT} NOT NULL UNIQUE
        )""",
        f"""CREATE TABLE {{schema}}.aggregates (
            key bigint PRIMARY KEY,
            name {TEXT} NOT NULL,
            id {TEXT} NOT NULL,
            version bigint NOT NULL,
            first_time bigint NOT NULL,
            last_time bigint NOT NULL,
            UNIQUE (name, id)
        )""",
        """CREATE TABLE {schema}.events (
            position bigint PRIMARY KEY,
            id uuid NOT NULL UNIQUE,
            name_key integer NOT NULL,
            aggregate_key bigint,
            version bigint NOT NULL,
            time bigint NOT NULL,
            encoding text NOT NULL,
            schema bigint NOT NULL,
            data text,
            binary_data bytea,
            metadata text,
            tags text,
            CHECK (data IS NOT NULL OR binary_data IS NOT NULL)
        )""",
        "CREATE UNIQUE INDEX events_of_aggregate ON {schema}.events (aggregate_key, version) WHERE aggregate_key IS NOT NULL",
        "CREATE INDEX events_by_name ON {schema}.events (name_key, position)",
        f"""CREATE TABLE {{schema}}.event_tags (
            tag {TEXT} NOT NULL,
            position bigint NOT NULL,
            PRIMARY KEY (tag, position)
        )""",
        f"""CREATE TABLE {{schema}}.snapshots (
            name {TEXT} NOT NULL,
            id {TEXT} NOT NULL,
            version bigint NOT NULL,
            time bigint NOT NULL,
            schema bigint NOT NULL,
            encoding text NOT NULL,
            state text,
            binary_state bytea,
            deleted boolean NOT NULL,
            PRIMARY KEY (name, id, version)
        )""",
        f"""CREATE TABLE {{schema}}.models (
            collection {TEXT} NOT NULL,
            id {TEXT} NOT NULL,
            version bigint NOT NULL,
            data text NOT NULL,
            plain text,
            PRIMARY KEY (collection, id)
        )""",
        f"""CREATE TABLE {{schema}}.checkpoints (
            name {TEXT} PRIMARY KEY,
            position bigint NOT NULL,
            store text NOT NULL,
            time bigint NOT NULL
        )""",
        f"""CREATE TABLE {{schema}}.leases (
            name {TEXT} PRIMARY KEY,
            owner {TEXT} NOT NULL,
            token bigint NOT NULL,
            expires bigint NOT NULL
        )""",
        """CREATE TABLE {schema}.commits (
            id uuid PRIMARY KEY,
            number bigint NOT NULL,
            time bigint NOT NULL
        )""",
        f"""CREATE VIEW {{schema}}.event_log AS
            SELECT e.position, {_TIME.format("e.time")} AS time, n.name AS event, a.name AS aggregate,
                   a.id AS aggregate_id, e.version, e.data, e.binary_data, e.metadata, e.tags, e.encoding, e.schema, e.id
            FROM {{schema}}.events e JOIN {{schema}}.event_names n ON n.key = e.name_key
            LEFT JOIN {{schema}}.aggregates a ON a.key = e.aggregate_key
            ORDER BY e.position""",
        f"""CREATE VIEW {{schema}}.aggregate_list AS
            SELECT name, id, version, {_TIME.format("first_time")} AS first_time, {_TIME.format("last_time")} AS last_time
            FROM {{schema}}.aggregates ORDER BY name, id""",
        _function.APPEND_EVENTS,
        _function.NOTE_COMMIT,
    ),
    (_function.WITHOUT_JIT,),
)  # fmt: skip

JSONB = (
    # jsonb has no U+0000, so an event with one has no document. Events are always read from the text.
    """ALTER TABLE {schema}.events ADD COLUMN document jsonb GENERATED ALWAYS AS
        (CASE WHEN encoding = 'json' AND binary_data IS NULL AND strpos(data, '\\u0000') = 0 THEN data::jsonb END) STORED""",
    "CREATE INDEX events_by_document ON {schema}.events USING gin (document jsonb_path_ops)",
)
"""The statements of the option `jsonb`, for the user's SQL on the data of events."""

_HOLDS_ALL_TEXT = ("UTF8", "SQL_ASCII")
"""Encodings of databases; that of the second is none, so the server stores the bytes that it is sent."""
MIGRATING = 5
"""How many times the `lock_timeout` waiting for others and migrating may take."""
VERSION = len(MIGRATIONS)
TABLES = (
    "store",
    "event_names",
    "aggregates",
    "events",
    "event_tags",
    "snapshots",
    "models",
    "checkpoints",
    "leases",
    "commits",
)

FUNCTIONS = ("append_events", "note_commit")


def ddl(schema: str, *, since: int = 0) -> Iterator[str]:
    """Yield the statements that create the tables, or migrate those of version `since`."""
    name = quoted(schema)
    quote = _quote(name)
    if not since:
        yield f"CREATE SCHEMA IF NOT EXISTS {name}"
    for statements in MIGRATIONS[since:]:
        yield from (statement.format(schema=name, quote=quote) for statement in statements)
    if since:
        yield f"UPDATE {name}.store SET version = {VERSION}"
    else:
        yield f"INSERT INTO {name}.store (id, epoch, version, head) VALUES ('{new_id()}', 1, {VERSION}, 0)"


def _quote(name: str) -> str:
    return f"$goes_{sha256(name.encode()).hexdigest()[:16]}$"


def bodies(schema: str) -> dict[str, str]:
    """Return the text of each function of a store, as the server keeps it."""
    name = quoted(schema)
    quote = _quote(name)
    statements = dict(zip(FUNCTIONS, (_function.APPEND_EVENTS, _function.NOTE_COMMIT), strict=True))
    return {
        function: statement.format(schema=name, quote=quote).split(quote)[1]
        for function, statement in statements.items()
    }


def repair(address: ServerAddress, text: str) -> str:
    """Return the way out if the server says that something of the store is missing, or '' if it is something else."""
    if any(f".{function}(" in text for function in FUNCTIONS):
        command = f"goes-lite schema store postgresql --schema {address.schema}"
        return f"restore a backup, or create the function: `{command}` prints it"
    own = (f'schema "{address.schema}"', *(f'"{address.schema}.{table}"' for table in TABLES))
    return "restore a backup" if any(name in text for name in own) else ""


async def check(connection: Connection, address: ServerAddress) -> int:
    """Return the version of the tables, or 0 if there are none, without changing anything.

    Raise ForeignFile if the schema has other tables of these names, StoreDamaged if some of ours are missing, StoreTooNew if
    a newer goes_lite created them.
    """
    found: list[str] = await connection.fetchval(
        "SELECT array_agg(c.relname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = $1 AND c.relname = ANY ($2::text[])",
        address.schema,
        [*TABLES],
    )
    if not found:
        return 0
    if set(found) != set(TABLES):
        if "store" in found and await _is_ours(connection, address):
            lost = ", ".join(repr(name) for name in sorted(set(TABLES) - set(found)))
            raise StoreDamaged(
                address.location, f"the schema {address.schema!r} lacks the tables {lost}", "restore a backup"
            )
        named = ", ".join(repr(name) for name in sorted(found))
        raise ForeignFile(address.location, f"the schema {address.schema!r} has other tables of these names: {named}")
    try:
        version: int | None = await connection.fetchval(f"SELECT version FROM {address.table('store')}")
    except DRIVER_ERRORS as exc:
        if code(exc)[:3] == "427":  # no such column, or another type
            raise ForeignFile(address.location, f"the table 'store' does not belong to goes_lite: {exc}") from exc
        raise
    if version is None or version < 1:
        raise StoreDamaged(address.location, f"its schema version is {version}")
    if version > VERSION:
        raise StoreTooNew(address.location, version, VERSION)
    return version


async def _is_ours(connection: Connection, address: ServerAddress) -> bool:
    """Return whether the table 'store' has the columns that goes_lite gives it."""
    columns: list[str] = await connection.fetchval(
        "SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 "
        "AND NOT attisdropped",
        address.table("store"),
    )
    return {"id", "epoch", "version", "head"} <= set(columns)


async def require(connection: Connection, address: ServerAddress) -> None:
    """Raise StoreUnavailable unless there are tables of this version; change nothing."""
    version = await check(connection, address)
    if not version:
        raise StoreUnavailable(
            address.location,
            f"there is no store in the schema {address.schema!r}, and opening it read-only does not create one: check the URL",
        )
    if version < VERSION:
        raise StoreUnavailable(
            address.location, f"its tables are of version {version}: open it once for writing, which migrates them"
        )


async def migrate(connection: Connection, address: ServerAddress, limit: asyncio.Timeout) -> None:
    """Migrate the tables in one transaction. Several processes may call this at once; one does the work.

    Waiting for the others, and changing large tables, may take longer than opening a handle, so it extends the limit.
    """
    if await check(connection, address) >= VERSION and (not address.jsonb or await _has_documents(connection, address)):
        return
    limit.reschedule(asyncio.get_running_loop().time() + MIGRATING * address.lock_timeout)
    # Not the limits of the role or the database, which are meant for statements of programs. Nothing here rolls back:
    # the caller closes the connection after an error, since the server may not answer any more.
    wait = int(address.lock_timeout * 1000)
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    await connection.execute(f"{begin}; SET LOCAL lock_timeout = {wait}; SET LOCAL statement_timeout = {2 * wait}")
    await connection.execute(f"SELECT pg_advisory_xact_lock({address.key('schema')})")
    version = await check(connection, address)  # another process may have been faster
    encoding = connection.get_settings().server_encoding
    if not version and encoding not in _HOLDS_ALL_TEXT:
        raise StoreUnavailable(
            address.location,
            f"its database has the encoding {encoding!r}, which cannot hold all text: use another database, made with "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )
    try:
        for statement in ddl(address.schema, since=version) if version < VERSION else ():
            # checked first, since a role without the right to create schemas may not even use IF NOT EXISTS
            if not statement.startswith("CREATE SCHEMA") or not await _exists(connection, address):
                await connection.execute(statement)
        if address.jsonb and not await _has_documents(connection, address):
            for statement in JSONB:
                await connection.execute(statement.format(schema=quoted(address.schema)))
    except DRIVER_ERRORS as exc:
        if code(exc) == "42501":
            raise StoreUnavailable(address.location, _not_allowed(address, version, exc)) from exc
        raise
    await connection.execute("COMMIT")


def _not_allowed(address: ServerAddress, version: int, error: Exception) -> str:
    said = detail(error)
    if not version:
        return (
            f"its tables are missing, and this role may not create them ({said}): let a privileged role run the output of "
            f"`goes-lite schema store postgresql --schema {address.schema}`"
        )
    wanted = f"of version {version}, and this goes_lite needs version {VERSION}"
    if version == VERSION:
        wanted = "without the column for jsonb=true"
    return f"its tables are {wanted}, and this role may not change them ({said}): open the store once with a privileged role"


async def _has_documents(connection: Connection, address: ServerAddress) -> bool:
    """Return whether events have the column that `JSONB` adds, or another one of that name."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'document')",
        address.table("events"),
    )
    return found


async def _exists(connection: Connection, address: ServerAddress) -> bool:
    found: bool = await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", quoted(address.schema))
    return found


async def identity(connection: Connection, address: ServerAddress) -> str:
    """Return the store's identity with its epoch, to which checkpoints belong."""
    row = await connection.fetchrow(f"SELECT id, epoch FROM {address.table('store')}")
    if row is None:
        raise StoreDamaged(address.location, "the table 'store' is empty")
    return f"{row[0]}/{row[1]}"


async def sizes(connection: Connection, address: ServerAddress) -> dict[str, int]:
    """Return the bytes of each table, with its indexes."""
    rows = await connection.fetch(
        "SELECT c.relname::text, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) ORDER BY 1",
        address.schema,
        [*TABLES],
    )
    return {row[0]: row[1] for row in rows}


async def erase(connection: Connection, address: ServerAddress) -> None:
    """Drop the schema, if it exists, with everything in it; raise ForeignFile if it is not a store's."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {int(address.lock_timeout * 1000)}")
        if not await check(connection, address):
            return
        if address.schema != "public":
            await connection.execute(f"DROP SCHEMA {quoted(address.schema)} CASCADE")
            return
        for view in ("event_log", "aggregate_list"):  # everything else in this schema belongs to others
            await connection.execute(f"DROP VIEW IF EXISTS {address.table(view)}")
        for function in FUNCTIONS:
            await connection.execute(f"DROP FUNCTION IF EXISTS {address.table(function)}")
        await connection.execute(f"DROP TABLE {', '.join(map(address.table, TABLES))}")
        await _fence.drop(connection, address)
