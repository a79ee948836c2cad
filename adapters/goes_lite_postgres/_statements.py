"""The statements around every write: how a transaction begins, what it waits for, how it ends.

**Order.** Positions are counted under an advisory lock, held from before the first read of the log until the end of the
transaction, so they increase in commit order: a reader that sees one has seen all before it. PostgreSQL releases the lock
after the commit is visible, and at READ COMMITTED each statement takes a new snapshot, so the next owner sees what the
last one committed. The level is set explicitly, since servers and roles may have another default, at which the first read
would be from before the wait. The lock belongs to the transaction, not the session, so it works through poolers and ends
with its owner.

**Turns.** User transactions have a lock of their own, so that they take turns, as on every backend, and no two decide on
the same data. It does not block appends; a transaction takes the other lock, too, when it appends.

**Announcements** (`_wakeup`) are not part of a transaction: there, NOTIFY would take a lock of the whole server, for which
all commits would queue.
"""

from __future__ import annotations

from typing import NamedTuple

from goes_lite_postgres._options import ServerAddress

STATUS = "SELECT pg_xact_status($1::text::xid8)"
ROLLBACK = "ROLLBACK"

STALLED = 10
"""Seconds after which the server ends an idle transaction, so that a machine that is gone holds no locks."""


class Statements(NamedTuple):
    """The statements for one store."""

    begin: str
    """Begins a write of a single row."""
    begin_exclusive: str
    """Begins a write that takes turns with user transactions."""
    append: str
    """Appends as a transaction of its own; does nothing if an expectation fails, see `_function`. '' if it may not."""
    begin_append: str
    """Begins appends that must look closer, with the lock of the log."""
    begin_session: str
    """Begins a user transaction, with the store's tables on the search path and no time limit between statements."""
    lock_log: str
    write: str
    """Writes what was decided under the lock of the log."""
    note: str
    """Sets a mark's number, as the last statement before the commit; returns the transaction id, None if it wrote nothing."""
    noted: str
    """Returns the number of a mark."""
    forget: str
    """Removes marks that are no longer needed, and those that others left a week ago."""
    commit: str


def statements(address: ServerAddress, *, raise_durability: bool) -> Statements:
    """Return the statements. With `raise_durability`, commits wait for the disk although the server's default is not to."""
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    limits = f"; SET LOCAL lock_timeout = {int(address.lock_timeout * 1000)}"
    mode = "off" if address.durability == "normal" else "on" if raise_durability else ""
    if mode:
        limits += f"; SET LOCAL synchronous_commit = {mode}"
    if address.pooler:  # else it is off for the connection, see `_connection`
        limits += "; SET LOCAL jit = off"
    stalled = f"; SET LOCAL idle_in_transaction_session_timeout = '{STALLED}s'"
    turn = f"; SELECT pg_advisory_xact_lock({address.key('turn')})"
    log = f"SELECT pg_advisory_xact_lock({address.key('log')})"
    path = f"; SET LOCAL search_path = {address.table('')[:-1]}, public"
    function = f"SELECT {address.table('append_events')}"
    values = ", ".join(f"${number}" for number in range(1, 21))
    alone = f"{address.key('log')}, '{int(address.lock_timeout * 1000)}', " + (f"'{mode}'" if mode else "NULL")
    return Statements(
        begin=begin + limits + stalled,
        begin_exclusive=begin + limits + stalled + turn,
        append=f"{function}({alone}, {values})",
        begin_append=f"{begin}{limits}{stalled}; {log}",
        begin_session=begin + limits + path + turn,
        lock_log=log,
        write=f"{function}(NULL, NULL, NULL, {values})",
        note=f"SELECT {address.table('note_commit')}($1::text::uuid, $2)",
        noted=f"SELECT number FROM {address.table('commits')} WHERE id = $1::text::uuid",
        forget=(
            f"DELETE FROM {address.table('commits')} WHERE id = ANY ($1::text[]::uuid[]) "
            "OR time < (extract(epoch FROM now() - interval '7 days') * 1000000)::bigint"
        ),
        commit="COMMIT",
    )
