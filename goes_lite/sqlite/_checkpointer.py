"""When the -wal is moved into the file: behind a commit, once enough is in it, so that it stays bounded.

SQLite's own automatic checkpoint runs inside COMMIT and is off. After a checkpoint the next writer begins the -wal anew
in the same file, and writing over a file is much cheaper to sync than growing one; so it is not cut each time, and its
size alone does not tell how much is in it. Hence an estimate of the pages written, from the rows that SQLite counts as
changed and the pages that the database has grown by; and now and then the size of the -wal, for what the estimate is
wrong about. Not each time: on systems that give a file a fine-grained time stamp once it was asked for, the next write
has to store that time, and every commit of one event took a third longer.
"""

from __future__ import annotations

import contextlib
import os

from goes_lite.errors import StoreError
from goes_lite.sqlite._connection import WRITER_BUSY, Target, set_busy_timeout
from goes_lite.sqlite._driver import Connection, wal_reset_bug
from goes_lite.sqlite._turnstile import AnyTurnstile

PAGES = 1000
"""How many pages (estimated) are written between two checkpoints: 4 MB."""
PAGES_PER_COMMIT, ROWS_PER_PAGE = 6, 8
"""A commit writes a leaf of each table and index that it touches, and more for many rows."""
LOOK_EVERY = 16
"""After so many commits the size of the -wal is looked at (with stat, which opens nothing) …"""
GROWTH = 4 * 1024 * 1024
"""… and if it has grown by so many bytes, a checkpoint is due, too."""
LIMIT = 4 * GROWTH
"""So large, it calls for a checkpoint that waits for readers and cuts the file: others did not let it begin anew."""
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
        self._usual = "RESTART" if wal_reset_bug(target.driver.version) else "PASSIVE"
        self._harmless: tuple[type[Exception], ...] = (*target.driver.error, StoreError)
        self._rows = target.driver.changes(connection)
        self._page_count = 0 if target.memory else self._count_pages()
        self._pages = 0
        self._commits = 0
        self._size = 0

    def after_commit(self) -> None:
        """Run a checkpoint if one is due. It never fails: the commit has happened, and what cannot run now is due again."""
        if not self._target.memory:
            try:
                self._run_if_due()
            except self._harmless:
                pass

    def _run_if_due(self) -> None:
        rows, page_count = self._target.driver.changes(self._connection), self._count_pages()
        grown = max(0, page_count - self._page_count)
        self._pages += PAGES_PER_COMMIT + max((rows - self._rows) // ROWS_PER_PAGE, grown)
        self._rows, self._page_count = rows, page_count
        self._commits += 1
        if self._pages < PAGES and self._commits % LOOK_EVERY:
            return
        try:
            size = os.stat(self._wal).st_size
        except OSError:
            return
        self._size = min(self._size, size)  # it was cut, by us or by another process
        if self._pages >= PAGES or size - self._size >= GROWTH:
            self._run("TRUNCATE" if size >= LIMIT else self._usual)
            self._pages, self._size = 0, size

    def _count_pages(self) -> int:
        pages: int = self._connection.execute("PRAGMA page_count").fetchall()[0][0]
        return pages

    def _run(self, mode: str) -> None:
        with contextlib.suppress(*self._harmless):
            self._turnstile.enter(BUSY)
            try:
                set_busy_timeout(self._connection, BUSY)
                self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            finally:
                self._turnstile.leave()
                set_busy_timeout(self._connection, WRITER_BUSY)
