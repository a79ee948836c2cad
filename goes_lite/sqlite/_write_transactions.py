"""Transactions on the writing connection: turns, BEGIN, COMMIT or ROLLBACK, and the translation of errors."""

from __future__ import annotations

import time

from goes_lite.errors import StoreClosed, StoreDamaged, StoreUnavailable
from goes_lite.sqlite import _guard
from goes_lite.sqlite._connection import WRITER_BUSY, FileAddress, set_busy_timeout
from goes_lite.sqlite._driver import AUTH, BUSY, Connection, translate
from goes_lite.sqlite._fence import TRIGGERED, begin_passing, end_passing, moved
from goes_lite.sqlite._log import begin_log, is_empty
from goes_lite.sqlite._schema import check_again
from goes_lite.sqlite._turnstile import GRACE, AnyTurnstile
from goes_lite.sqlite.checkpointer import Checkpointer


class WriteTransactions:
    """Begins and ends the transactions of one connection, one after the other."""

    def __init__(self, connection: Connection, address: FileAddress, turnstile: AnyTurnstile) -> None:
        self.connection = connection
        self.address = address
        self.driver = address.driver
        self.turnstile = turnstile
        self._begins_log = not address.memory
        """Whether the first commit is still to come, which may be the first of the log."""
        self.passing: str | None = None
        """The move whose fence its transactions pass."""
        self._synced = address.durability == "full"
        self.checkpointer = Checkpointer(connection, address, turnstile)
        self.closed = self._gone = False
        self._patience = -1.0
        """How long SQLite waits for a lock at a time; negative if that is not known, since it is being changed."""
        self._be_patient(WRITER_BUSY)

    def begin(self) -> None:
        """Wait for the turn, then BEGIN.

        Raise StoreLocked if that takes longer than the lock timeout, StoreClosed if the handle is closed meanwhile.
        """
        started = time.monotonic()
        timeout = self.address.lock_timeout
        self.turnstile.enter(timeout)
        try:
            if self._patience != WRITER_BUSY:
                self._be_patient(WRITER_BUSY)
            while True:
                try:
                    self.connection.execute("BEGIN IMMEDIATE")
                    if self._begins_log:
                        self._begins_log = is_empty(self.address.path)
                    if self.passing is not None:
                        begin_passing(self.connection, self.passing)
                    return
                except self.driver.error as exc:
                    # SQLite waits briefly at a time, so that Ctrl-C works and both waits share one time limit
                    waited = time.monotonic() - started
                    if self.driver.code(exc) & 0xFF != BUSY or waited >= timeout:
                        raise self.translated(exc, waited) from exc
                    if self.turnstile.ending and waited >= GRACE:
                        raise StoreClosed(self.address.location) from exc
        except BaseException:
            self.turnstile.leave()
            raise

    def begin_now(self) -> bool:
        """BEGIN if that needs neither a wait nor another look at the files; return whether it did."""
        if self._begins_log or self.passing is not None or not self.turnstile.enter_now():
            return False
        try:
            if self._patience:
                self._be_patient(0)
            self.connection.execute("BEGIN IMMEDIATE")
        except self.driver.error:
            self.turnstile.leave()
            return False
        except BaseException:
            self.turnstile.leave()
            raise
        return True

    def checkpoint(self, full: int) -> None:
        """Run a checkpoint that is due."""
        if not self.closed:
            self._be_patient(WRITER_BUSY)
            self.checkpointer.run(full)

    def _be_patient(self, seconds: float) -> None:
        self._patience = -1.0
        set_busy_timeout(self.connection, seconds)
        self._patience = seconds

    def end(self, *, changed: bool = True) -> None:
        """COMMIT (or ROLLBACK if there is nothing to commit) and end the turn."""
        try:
            if changed:
                if self.passing is not None:
                    end_passing(self.connection)
                if self.checkpointer.estimates:
                    self.checkpointer.before_commit()
                if self._begins_log:
                    begin_log(self.connection)
                self.address.files.check()
            self.connection.execute("COMMIT" if changed else "ROLLBACK")
            self._begins_log = self._begins_log and not changed
        except self.driver.error as exc:
            raise self.translated(exc) from exc
        if changed and self._synced:
            self.address.files.check()  # an fsync takes long enough to lose a file meanwhile
        self.turnstile.leave()

    def rollback(self) -> None:
        """ROLLBACK if necessary, and end the turn."""
        try:
            # a full disk makes SQLite roll back by itself
            if not self.closed and self.driver.in_transaction(self.connection):
                self.connection.execute("ROLLBACK")
        except self.driver.error:
            pass  # SQLite has left the transaction anyway; if not, the next BEGIN fails
        finally:
            self.turnstile.leave()

    def translated(self, error: Exception, waited: float = 0.0) -> Exception:
        if isinstance(error, self.driver.error):
            try:
                self.address.files.check()
            except StoreUnavailable as lost:  # the reason, of which SQLite tells only a consequence
                return lost
            code = self.driver.code(error)
            if code == TRIGGERED and (refused := moved(self.connection, self.address.location)):
                refused.__cause__ = error
                return refused
            translated = translate(error, code, self.address.location, waited=waited)
            if code & 0xFF == AUTH:  # somebody has added a trigger meanwhile
                try:
                    check_again(self.connection, self.address.location, self.driver)
                except StoreDamaged as damaged:
                    translated = damaged
            translated.__cause__ = error
            return translated
        return error

    def close(self) -> None:
        if self._gone:
            return  # looking at the files again would block an event loop
        again, self.closed = self.closed, True
        if not again or self._is_open():
            if self.address.files.unsafe_to_close():
                _guard.leak(self.connection)
            else:
                self.connection.close()
        self.turnstile.close()
        self._gone = True

    def _is_open(self) -> bool:
        """Whether it is still open: a close that was interrupted is repeated."""
        try:
            self.connection.execute("SELECT 1").fetchall()
        except self.driver.error:
            return False
        return True
