"""When the -wal is moved into the file: behind a commit, once enough is in it, so that it stays bounded.

SQLite's own automatic checkpoint runs inside COMMIT and is off. After a checkpoint the next writer begins the -wal anew
in the same file, and writing over a file is much cheaper to sync than growing one; so it is not cut each time, and its
size alone does not tell how much is in it. apsw is told by SQLite, at each commit. The standard library's sqlite3 is not:
hence an estimate of the pages written, from the rows that SQLite counts as changed and the pages that the database has
grown by; and now and then the size of the -wal, for what the estimate is wrong about. Not each time: on systems that give
a file a fine-grained time stamp once it was asked for, the next write has to store that time, and every commit of one
event took a third longer.
"""

from __future__ import annotations

import os

from goes_lite.errors import StoreError
from goes_lite.sqlite._connection import WRITER_BUSY, FileAddress, set_busy_timeout
from goes_lite.sqlite._driver import Connection, wal_reset_bug
from goes_lite.sqlite._turnstile import AnyTurnstile

PAGES = 2000
"""How many pages are written between two checkpoints: 8 MB. Each one syncs twice, and writes a page once that was written
many times."""
PAGES_PER_COMMIT, ROWS_PER_PAGE = 6, 8
"""A commit writes a leaf of each table and index that it touches, and more for many rows."""
LOOK_EVERY = 16
"""After so many commits the size of the -wal is looked at, with stat, which opens nothing."""
PAGE = 4096 + 24
"""Bytes of a page in the -wal: SQLite's usual ones, and what is before each."""
LIMIT = 2 * PAGES
"""So many pages in the -wal call for a checkpoint that waits for readers and cuts the file: others did not let it begin
anew."""
BUSY = 0.2
"""How many seconds such a checkpoint waits for readers; they read in pages, so they are soon done."""


class Checkpointer:
    """Keeps the -wal of one writing connection bounded."""

    def __init__(self, connection: Connection, address: FileAddress, turnstile: AnyTurnstile) -> None:
        self._connection = connection
        self._turnstile = turnstile
        # A SQLite with the WAL-reset bug must only run checkpoints that keep writers out.
        self._usual = "RESTART" if wal_reset_bug(address.driver.version) else "PASSIVE"
        self._harmless: tuple[type[Exception], ...] = (*address.driver.error, StoreError)
        self._estimate: _Estimate | None = None
        self._told = _Told()
        if not address.memory and not address.driver.on_commit(connection, self._told.committed):
            self._estimate = _Estimate(connection, address)

    def before_commit(self) -> None:
        """Look at what is about to be committed: inside the transaction, where SQLite answers without any lock."""
        if self._estimate is not None:
            try:
                self._estimate.look()
            except self._harmless:
                pass  # if something is wrong, COMMIT says so

    def after_commit(self) -> None:
        """Run a checkpoint if one is due. It never fails: the commit has happened, and what cannot run now is due again."""
        try:
            full = self._told.full if self._estimate is None else self._estimate.due()
            if full:
                self._told.full = 0
                self._run("TRUNCATE" if full >= LIMIT else self._usual)
        except self._harmless:
            pass

    def _run(self, mode: str) -> None:
        self._turnstile.enter(BUSY)
        try:
            set_busy_timeout(self._connection, BUSY)
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        finally:
            self._turnstile.leave()
            set_busy_timeout(self._connection, WRITER_BUSY)


class _Told:
    """How full the -wal is, for a driver that is told."""

    def __init__(self) -> None:
        self._checked = 0
        """How many there were at the last checkpoint, which may not have let the -wal begin anew."""
        self.full = 0
        """The size of the -wal in pages, if a checkpoint is due; else 0."""

    def committed(self, connection: object, database: str, pages: int) -> int:
        """Called by SQLite at each commit."""
        if pages < self._checked:
            self._checked = 0  # it has begun anew
        if pages - self._checked >= PAGES:
            self._checked = self.full = pages
        return 0


class _Estimate:
    """How full the -wal may be, for a driver that is not told."""

    def __init__(self, connection: Connection, address: FileAddress) -> None:
        self._connection = connection
        self._driver = address.driver
        self._wal = address.path + "-wal"
        self._rows = address.driver.changes(connection)
        self._page_count = self._count_pages()
        self._pages = 0
        self._commits = 0
        self._size = 0

    def look(self) -> None:
        """Note what the transaction that is open has written."""
        rows, page_count = self._driver.changes(self._connection), self._count_pages()
        grown = max(0, page_count - self._page_count)
        self._pages += PAGES_PER_COMMIT + max((rows - self._rows) // ROWS_PER_PAGE, grown)
        self._rows, self._page_count = rows, page_count
        self._commits += 1

    def due(self) -> int:
        """The size of the -wal in pages, if a checkpoint is due; else 0."""
        if self._pages < PAGES and self._commits % LOOK_EVERY:
            return 0
        try:
            size = os.stat(self._wal).st_size // PAGE
        except OSError:
            return 0
        self._size = min(self._size, size)  # it was cut, by us or by another process
        if self._pages < PAGES and size - self._size < PAGES:
            return 0
        self._pages, self._size = 0, size
        return max(size, 1)

    def _count_pages(self) -> int:
        pages: int = self._connection.execute("PRAGMA page_count").fetchall()[0][0]
        return pages
