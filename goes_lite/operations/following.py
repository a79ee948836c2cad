"""Keep a copy of a store current while applications go on writing to the store.

Events are copied by position as soon as they are committed. What has no position (deletes, snapshots, read models, checkpoints,
commands, receipts) is found by comparing both stores, as of one moment of the source, at intervals: right whatever was changed
by whom, for the price of reading it. The interval grows with that price.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.errors import TRANSIENT, StoreClosed
from goes_lite.operations.copying import NEAR, Copied, Copying, CopyProgress
from goes_lite.runtime import Signal
from goes_lite.runtime.backoff import Backoff

logger = logging.getLogger("goes_lite")

INTERVAL = 5.0
"""Seconds from one comparison of everything to the next, at least."""
SHARE = 10
"""A comparison takes at most one part in so many of the time."""
PAUSE = 0.05
"""Seconds between two looks at the log, so that a batch is more than one event."""

RECHECK = 1.0
"""Seconds after which it looks again even without a commit: while it waits, a blocking store hears no interrupt."""


class Followed(NamedTuple):
    """How far a copy is that follows its source."""

    head: int
    """The head of the source when it was last asked."""
    position: int
    """The position up to which the copy has the events."""
    synced: int
    """The position at which both were last equal in everything; 0 before the first time."""
    synced_at: datetime | None
    """When that was (aware, UTC)."""
    events: int
    """How many events were copied so far, by this run."""
    deleted: int
    """How many events were removed, because the source has deleted their aggregates."""
    written: int
    """How many snapshots, read models and checkpoints were written."""
    removed: int
    """How many of them were removed."""
    problem: str = ""
    """Why it is waiting, if a store cannot be reached just now."""

    @property
    def lag(self) -> int:
        """The number of positions that the copy is behind."""
        return max(0, self.head - self.position)


async def follow(
    source: Backend,
    target: Backend,
    *,
    interval: float = INTERVAL,
    back: bool = False,
    stop: Signal | None = None,
    progress: CopyProgress | None = None,
    told: Callable[[Followed], object] | None = None,
) -> Copied:
    """Copy a store as `copy` does, then keep the copy current while the source is written to, until `stop` is notified.

    - New events are there a moment after their commit. Deletes, snapshots, read models, checkpoints, commands and receipts
      follow at least every `interval` seconds, or ten times what a comparison takes, if that is more; never if the source has
      had no commit since.
    - Until it has ended by `stop`, the target is marked as unfinished: `connect` refuses it. Ended in any other way, it goes
      on where it was when it is called again; `copy(update=True)` completes it.
    - After `stop`, both are made equal once more, verified, and the target can be opened.
    - While a store cannot be reached, it waits and tries again, for ever; `told` says why.
    - With `back`, the target is the store that the source was copied from, which nobody has written to since.

    Raises CopyRefused for a target that holds anything else, CopyDiffers if it is not equal although it should be.
    """
    follower = _Follower(Copying(source, target, update=True, back=back, progress=progress), interval, told)
    ended = Signal() if stop is None else stop
    work, failed, backoff = follower.work, 0, Backoff(maximum=10.0)
    began = False
    while True:
        try:
            if not began:
                await work.begin()
                began = True
            if await follower.round(ended):
                break
            failed = 0
        except StoreClosed:
            raise
        except TRANSIENT as error:
            failed += 1
            follower.tell(f"{type(error).__name__}: {error}")
            logger.warning("following %s: %s; trying again", source.location, error)
            await source.runtime.wait(ended, 0, backoff(failed))
    synced = await work.sync(verify=0)
    assert synced.receipt is not None, "of a whole log"  # noqa: S101 - see Copying.sync
    await work.complete()
    follower.synced()
    return Copied(synced.receipt, work.events, work.deleted, work.records, work.resumed)


class _Follower:
    def __init__(self, work: Copying, interval: float, told: Callable[[Followed], object] | None) -> None:
        self.work = work
        self._told = told
        self._interval = interval
        self._head = 0
        self._due = 0.0
        self._seen: int | None = None  # the commits of the source that the last comparison has seen
        self._synced_at: datetime | None = None

    async def round(self, ended: Signal) -> bool:
        """Bring what is new and wait until there may be more; return whether it has ended."""
        work, source = self.work, self.work.source
        clock, commits = source.runtime.clock, source.commits
        seen = commits.count
        self._head = await work.catch_up(near=NEAR if self._synced_at is None else 0)
        if seen != self._seen and clock.monotonic() >= self._due:
            began, seen = clock.monotonic(), commits.count
            await work.sync()
            self._head, self._seen = work.head, seen
            now = clock.monotonic()
            self._due = now + max(self._interval, SHARE * (now - began))
            self.synced()
        else:
            self.tell()
        if ended.count:
            return True
        await source.runtime.wait(ended, 0, PAUSE)
        left = RECHECK if self._seen == commits.count else max(0.0, min(RECHECK, self._due - clock.monotonic()))
        await commits.wait(seen, left, ended=ended)
        return ended.count > 0

    def synced(self) -> None:
        self._synced_at = self.work.source.runtime.clock.now()
        self._head = self.work.head
        self.tell()

    def tell(self, problem: str = "") -> None:
        if self._told is not None:
            work = self.work
            synced = work.head if self._synced_at is not None else 0
            self._told(
                Followed(
                    self._head,
                    work.position,
                    synced,
                    self._synced_at,
                    work.events,
                    work.deleted,
                    *work.records,
                    problem,
                )
            )
