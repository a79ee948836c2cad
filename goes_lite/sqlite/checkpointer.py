"""Checkpoint the -wal into the file after a commit, once it is large enough, so that it stays bounded.

SQLite's own automatic checkpoint runs inside COMMIT and is off. After a checkpoint the next writer restarts the -wal in
the same file, because overwriting a file is much cheaper to sync than growing it; so the -wal is not truncated each time,
and its size does not show how full it is. SQLite reports that to apsw at each commit, but not to the standard library's
sqlite3. There it is estimated from the changed rows and the growth of the database in pages, and from time to time
corrected by the size of the -wal. Not each time: on systems that give a file a fine-grained timestamp after a stat, the
next write must store it, and every commit of one event took a third longer.
"""

from __future__ import annotations

import os

from goes_lite.errors import StoreError
from goes_lite.sqlite._connection import WRITER_BUSY, FileAddress, set_busy_timeout
from goes_lite.sqlite._driver import Connection, wal_reset_bug
from goes_lite.sqlite._log import begin_log_after, marks
from goes_lite.sqlite._turnstile import AnyTurnstile

PAGES = 2000
"""The number of pages between two checkpoints: 8 MB. A checkpoint syncs twice, and writes each changed page once."""
PAGES_PER_COMMIT, ROWS_PER_PAGE = 6, 8
"""A commit writes a leaf of each table and index that it touches, and more for many rows."""
LOOK_EVERY = 16
"""The number of commits between two looks at the size of the -wal, with stat, which opens no file."""
PAGE = 4096 + 24
"""The bytes of a page in the -wal: SQLite's default page size and a header."""
LIMIT = 2 * PAGES
"""With this many pages in the -wal, since readers kept it from restarting, a checkpoint waits for them and truncates it."""
TURN = 0.2
"""How many seconds a checkpoint waits for its turn, which keeps nobody waiting."""
BUSY, LONGER = 0.05, 0.2
"""How many seconds it waits for readers, which read in pages and so finish soon. All writers wait as long; for a view, such as
that of a backup, in vain. So the longer time is for the checkpoint after one that was kept from truncating the -wal although
everything in it is in the file by now: by readers of the newest pages, and hardly by a view, which reads older ones."""


class Checkpointer:
    """Keeps the -wal of one writing connection bounded."""

    def __init__(self, connection: Connection, address: FileAddress, turnstile: AnyTurnstile) -> None:
        self._connection = connection
        self._turnstile = turnstile
        self._files = address.files
        # A SQLite with the WAL-reset bug may only run checkpoints that block writers.
        self._usual = "RESTART" if wal_reset_bug(address.driver.version) else "PASSIVE"
        self._harmless: tuple[type[Exception], ...] = (*address.driver.error, StoreError)
        self._estimate: _Estimate | None = None
        self._told = _Told()
        self._patience = BUSY
        if not address.memory and not address.driver.on_commit(connection, self._told.committed):
            self._estimate = _Estimate(connection, address)
        self.estimates = self._estimate is not None
        """Whether it must be called before each commit, not only after it."""

    def before_commit(self) -> None:
        """Measure the pending changes inside the transaction, where SQLite needs no further lock."""
        if self._estimate is not None:
            try:
                self._estimate.look()
            except self._harmless:
                pass  # if something is wrong, COMMIT fails

    def after_commit(self) -> None:
        """Run a checkpoint if one is due. Never raises, since the commit has happened; a failed checkpoint becomes due again."""
        full = self.due()
        if full:
            self.run(full)

    @property
    def may_be_due(self) -> bool:
        """Whether a checkpoint may be due, without a look at the -wal."""
        return bool(self._told.full) if self._estimate is None else self._estimate.may_be_due

    def due(self) -> int:
        """Return the size of the -wal in pages if a checkpoint is due, otherwise 0; asking again then returns 0. Never raises."""
        if self._estimate is not None:
            try:
                return self._estimate.due()
            except self._harmless:
                return 0
        full, self._told.full = self._told.full, 0
        return full

    def run(self, full: int) -> None:
        """Run a checkpoint of so many pages. Never raises."""
        try:
            self._run("TRUNCATE" if full >= LIMIT else self._usual)
        except self._harmless:
            pass

    def _run(self, mode: str) -> None:
        self._turnstile.enter(TURN)
        try:
            self._files.check()  # nobody else's log may move into the file
            set_busy_timeout(self._connection, self._patience)
            before = marks(self._connection)
            busy, pages, moved = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0]
            self._patience = LONGER if busy and pages == moved else BUSY
            if not busy and pages == moved:
                begin_log_after(self._connection, before)
        finally:
            self._turnstile.leave()
            set_busy_timeout(self._connection, WRITER_BUSY)


class _Told:
    """The size of the -wal, for a driver that SQLite reports it to."""

    def __init__(self) -> None:
        self._checked = 0
        """The number of pages at the last checkpoint, which may not have restarted the -wal."""
        self.full = 0
        """The size of the -wal in pages if a checkpoint is due, otherwise 0."""

    def committed(self, connection: object, database: str, pages: int) -> int:
        """Called by SQLite at each commit."""
        if pages < self._checked:
            self._checked = 0  # it has restarted
        if pages - self._checked >= PAGES:
            self._checked = self.full = pages
        return 0


class _Estimate:
    """The estimated size of the -wal, for other drivers."""

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
        """Count what the open transaction has written."""
        rows, page_count = self._driver.changes(self._connection), self._count_pages()
        grown = max(0, page_count - self._page_count)
        self._pages += PAGES_PER_COMMIT + max((rows - self._rows) // ROWS_PER_PAGE, grown)
        self._rows, self._page_count = rows, page_count
        self._commits += 1

    @property
    def may_be_due(self) -> bool:
        return self._pages >= PAGES or not self._commits % LOOK_EVERY

    def due(self) -> int:
        """Return the size of the -wal in pages if a checkpoint is due, otherwise 0."""
        if self._pages < PAGES and self._commits % LOOK_EVERY:  # not `may_be_due`, to save a call
            return 0
        try:
            size = os.stat(self._wal).st_size // PAGE
        except OSError:
            return 0
        self._size = min(self._size, size)  # this or another process may have truncated it
        if self._pages < PAGES and size - self._size < PAGES:
            return 0
        self._pages, self._size = 0, size
        return max(size, 1)

    def _count_pages(self) -> int:
        pages: int = self._connection.execute("PRAGMA page_count").fetchall()[0][0]
        return pages
