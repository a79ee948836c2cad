"""The operations of `goes_lite.operations` for blocking handles: the same names, arguments and results."""

from __future__ import annotations

from goes_lite import operations
from goes_lite.blocking._database import BlockingDatabase
from goes_lite.operations import Comparison, Progress, Receipt

__all__ = ["check", "digest"]


def digest(db: BlockingDatabase, *, upto: int | None = None, progress: Progress | None = None) -> Receipt:
    """Read the log up to its head, or to a position, and return its receipt: counts and hashes of what is stored.

    Equal logs have the same hash on every backend. No application code is needed, since nothing is decoded; events that are
    appended meanwhile are not included. Memory: about 50 bytes an event.
    """
    return db._portal.run(operations.digest(db.backend, upto=upto, progress=progress))


def check(db: BlockingDatabase, receipt: Receipt, *, progress: Progress | None = None) -> Comparison:
    """Compare the log with a receipt and name the first event that differs. Reading stops there."""
    return db._portal.run(operations.check(db.backend, receipt, progress=progress))
