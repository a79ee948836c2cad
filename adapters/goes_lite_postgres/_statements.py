"""The statements around every write: how a transaction begins, what it waits for, how it ends and is announced.

**Order.** Positions are counted under an advisory lock that is held from before the first look at the log until the
transaction is over, so they rise in commit order: whoever sees one has seen all before it. PostgreSQL releases the lock
after the commit is visible, and READ COMMITTED has each statement look anew, so whoever gets the lock sees what its
last owner has committed. It is said in so many words, for servers and roles may have another level by default, and
there the first look would be from before the wait. The lock belongs to the transaction, never to the session, so it works
behind poolers, and it is gone when its owner is.

**Turns.** Transactions of the user have a lock of their own, so that they take turns, as on every backend: what one
decides upon what it reads is never decided twice. It keeps no append waiting; a transaction takes the other lock, too,
when it appends.

**Announcements** (`_wakeup`) are no part of a transaction: there NOTIFY would take a lock of the whole server, which all
who commit would queue for.
"""

from __future__ import annotations

from typing import NamedTuple

from goes_lite_postgres._options import ServerAddress

STATUS = "SELECT pg_xact_status($1::text::xid8)"
ROLLBACK = "ROLLBACK"

STALLED = 10
"""Seconds after which the server ends a transaction of ours in which we say nothing: a machine that is gone holds no locks."""


class Statements(NamedTuple):
    """Of one store."""

    begin: str
    """One write that concerns rows of its own."""
    begin_exclusive: str
    """One write that takes its turn with the transactions of the user."""
    append: str
    """An append as a transaction of its own; nothing happens if something is not as expected, see `_function`."""
    begin_append: str
    """Appends that have to look closer: with the lock of the log."""
    begin_session: str
    """A transaction of the user; with the tables of the store within reach, and without a limit between statements."""
    lock_log: str
    write: str
    """What was decided upon with the lock of the log in hand."""
    note: str
    """Of a mark and its number: the last statement before the commit. The transaction's number, None if it wrote nothing."""
    noted: str
    """The number that a mark has."""
    forget: str
    """Of marks that nobody needs any more, and of those that somebody forgot a week ago."""
    commit: str


def statements(address: ServerAddress, *, raise_durability: bool) -> Statements:
    """With `raise_durability`, commits wait for the server's disk though it is set up to acknowledge them before."""
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    limits = f"; SET LOCAL lock_timeout = {int(address.lock_timeout * 1000)}"
    mode = "off" if address.durability == "normal" else "on" if raise_durability else ""
    if mode:
        limits += f"; SET LOCAL synchronous_commit = {mode}"
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
