"""When the -wal is moved into the file: behind a commit, once the log has grown, so that it stays bounded.

SQLite's own automatic checkpoint runs inside COMMIT and is off. Here the size of the -wal decides (asked with stat,
which opens nothing). A -wal keeps its size after a checkpoint, until a writer begins it anew and `journal_size_limit`
cuts it; so the next checkpoint is due when it has grown beyond what the last one left, or after it was cut.
"""

from __future__ import annotations

import contextlib
import os

from goes_lite.errors import StoreError
from goes_lite.sqlite._connection import WRITER_BUSY, Target, set_busy_timeout
from goes_lite.sqlite._driver import Connection, wal_reset_bug
from goes_lite.sqlite._turnstile import AnyTurnstile

STEP = 4 * 1024 * 1024
"""How much the -wal grows between two checkpoints, in bytes."""
PATIENCE = 4
"""So many steps long, it calls for a checkpoint that waits for readers: passive ones did not let it begin anew."""
BUSY = 0.2
"""How many seconds such a checkpoint waits for readers; they read in pages, so they are soon done."""


class Checkpointer:
    """Keeps the -wal of one writing connection bounded."""

    def __init__(self, connection: Connection, target: Target, turnstile: AnyTurnstile) -> None:
        self._connection = connection
        self._target = target
        self._turnstile = turnstile
        self._wal = target.path + "-wal"
        # A SQLite with the WAL-reset bug must only run checkpoints that keep writers out.
        self._exclusive = wal_reset_bug(target.driver.version)
        self._last = 0
        self._due = STEP

    def after_commit(self) -> None:
        """Run a checkpoint if one is due. It never fails: one that cannot run now is due again."""
        if self._target.memory:
            return
        try:
            size = os.stat(self._wal).st_size
        except OSError:
            return
        if size < self._last:  # it was begun anew and cut, by us or by another process
            self._due = STEP
        self._last = size
        if size < self._due:
            return
        self._run("TRUNCATE" if self._exclusive or size >= PATIENCE * STEP else "PASSIVE")
        self._due = size + STEP

    def _run(self, mode: str) -> None:
        with contextlib.suppress(*self._target.driver.error, StoreError):
            self._turnstile.enter(BUSY)
            try:
                set_busy_timeout(self._connection, BUSY)
                self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            finally:
                self._turnstile.leave()
                set_busy_timeout(self._connection, WRITER_BUSY)
