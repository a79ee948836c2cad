"""The fence of a store that was moved: triggers on the tables that every write meets, enabled as long as there is one.

Appends insert into `events`; every other transaction leaves a mark in `commits` as its last statement, one with nothing but
the program's own SQL, too (see `_ends`). So a store without a fence pays nothing. The lock with which the triggers are
enabled waits for every transaction that has written there, and lets none in between.

The table and the function are made when they are first needed, by the role that owns the tables. The function has its
owner's rights, so the roles of programs need no more than before.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from goes_lite.contract.fence import Fence
from goes_lite.kit.fencing import changed_fence, standing
from goes_lite_postgres._driver import MOVED, Connection
from goes_lite_postgres._options import ServerAddress, quoted

Change: TypeAlias = tuple[Fence | None, str | None, int | None]

TABLE, FUNCTION = "fence", "check_fence"

_GUARDED = ("events", "commits")
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_MAKE = (
    """CREATE TABLE {schema}.fence (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        move text NOT NULL,
        ends bigint NOT NULL,
        stored text NOT NULL
    )""",
    "GRANT SELECT ON {schema}.fence TO PUBLIC",
    f"""CREATE FUNCTION {{schema}}.check_fence() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $goes$
DECLARE
    there record;
BEGIN
    SELECT f.move, f.ends, f.stored INTO there FROM {{schema}}.fence f;
    IF NOT FOUND OR there.move = current_setting('goes_lite.passing', true) THEN
        RETURN NULL;
    END IF;
    IF there.ends <= {_NOW} THEN
        DELETE FROM {{schema}}.fence WHERE ends <= {_NOW};
        SELECT f.move, f.ends, f.stored INTO there FROM {{schema}}.fence f;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    RAISE EXCEPTION USING ERRCODE = '{MOVED}', MESSAGE = 'the store was moved', DETAIL = there.stored;
END
$goes$""",
    *(
        f"CREATE TRIGGER goes_fence BEFORE INSERT OR UPDATE ON {{schema}}.{table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION {schema}.check_fence()"
        for table in _GUARDED
    ),
)


def passing(move: str) -> str:
    """Return the statement with which a transaction passes the fence of that move."""
    return f"; SELECT set_config('goes_lite.passing', {_literal(move)}, true)"


def _literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


async def read(connection: Connection, address: ServerAddress) -> tuple[str | None, int]:
    """Return the text of the fence, and the time of the server."""
    if not await _exists(connection, address):
        return None, 0
    row = await connection.fetchrow(f"SELECT (SELECT stored FROM {address.table(TABLE)}), {_NOW}")
    return (None, 0) if row is None else (row[0], row[1])


async def find(connection: Connection, address: ServerAddress) -> Fence | None:
    """Return the fence that keeps writers out."""
    return standing(*await read(connection, address))


async def put_changed(connection: Connection, address: ServerAddress, change: Change) -> None:
    """Set the fence as a `set_fence` asks, inside a transaction that has its turn and the lock of the log."""
    schema = quoted(address.schema)
    if not await _exists(connection, address):
        for statement in _MAKE:
            await connection.execute(statement.format(schema=schema))
    tables = [address.table(table) for table in _GUARDED]
    await connection.execute(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE")
    stored, now = await read(connection, address)
    text = changed_fence(address.location, stored, now, change)
    await connection.execute(f"DELETE FROM {address.table(TABLE)}")
    if text:
        found = json.loads(text)
        await connection.execute(
            f"INSERT INTO {address.table(TABLE)} (move, ends, stored) VALUES ($1, $2, $3)",
            found["move"], found["until"], text,
        )  # fmt: skip
        await connection.execute(passing(found["move"])[2:])  # what is left of this transaction
    for table in tables:
        await connection.execute(f"ALTER TABLE {table} {'ENABLE' if text else 'DISABLE'} TRIGGER goes_fence")


async def drop(connection: Connection, address: ServerAddress) -> None:
    """Drop what `put_changed` has made in a schema that belongs to others as well; the triggers go with their tables."""
    await connection.execute(f"DROP FUNCTION IF EXISTS {address.table(FUNCTION)} CASCADE")
    await connection.execute(f"DROP TABLE IF EXISTS {address.table(TABLE)}")


async def _exists(connection: Connection, address: ServerAddress) -> bool:
    found: bool = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", address.table(TABLE))
    return found
