"""What is done with a store as a whole, without await."""

from __future__ import annotations

import os

from goes_lite.blocking._facts import BackendFacts
from goes_lite.contract.backend import Backend
from goes_lite.contract.fence import Fence
from goes_lite.contract.findings import Finding
from goes_lite.contract.upkeep import Upkeep
from goes_lite.runtime.portal import Portal

_ = Upkeep


class BlockingUpkeep(BackendFacts):
    """The part of a blocking database for those who run a store."""

    def __init__(self, backend: Backend, portal: Portal) -> None:
        super().__init__(backend)
        self._portal = portal

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a complete copy of the store to a new file while others keep writing. Raises AbilityMissing without BACKUP."""
        return self._portal.run(self.backend.backup(path))

    def examine(self) -> list[Finding]:
        """Look at what the store runs on: versions and their known bugs, settings, files, rights, space. Nothing is changed.

        It is quick, whatever the size of the store. Each finding has a fix.
        """
        return self._portal.run(self.backend.examine())

    def fence(self) -> Fence | None:
        """Return the fence that keeps writers out of the store; None if it is open, which it is after the fence has ended."""
        return self._portal.run(self.backend.fence())

    def integrity(self) -> list[Finding]:
        """Check what only the backend can: its files, indexes and tables against each other. Nothing is changed.

        It reads everything, as of one moment, and returns at most about a hundred findings; none from a sound store, and none
        from a backend that has nothing to check. What anybody can check through the stores is not its matter.
        """
        return self._portal.run(self.backend.integrity())

    def pass_fence(self, move: str) -> None:
        """Let what this handle writes pass the fence of one move, from now on: for what fills a store that is fenced."""
        return self.backend.pass_fence(move)

    def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
        """Fence the store, change its fence, or remove it with None, if the fence is that of the move `expected` (None: open).

        - Once this has returned, every write of every handle in every process, open or not, raises StoreMoved before
          anything is written: appends, deletes, imports, transactions, snapshots, read models, checkpoints, leases. What
          would have written nothing (a repeated append, the release of a lost lease) may still be answered.
        - It takes its turn among the writes: one that was under way is committed before, or never. A transaction that was
          under way may learn of it when it commits.
        - Readers, views and followers go on. A store that is fenced can be opened, for writing as well.
        - It is durable before it returns; whatever kills the caller, the store has the old fence or the new one.
        - A fence `lasts` so many seconds by the clock of the store, or until it is removed. Once it has ended, the next
          write removes it: from then on it cannot be changed, so a move that was too slow learns that it is over.
        - It belongs to this store alone: no copy, backup or export has it.

        Raises FenceChanged, without any change, if the fence is another than expected; StoreLocked if a writer keeps the store.
        """
        return self._portal.run(self.backend.set_fence(fence, expected=expected, lasts=lasts))

    def sizes(self) -> dict[str, int]:
        """Return how many bytes the store occupies where it is kept, by part; empty if the backend cannot tell.

        A part is a file, or a table or collection with its indexes. The numbers are those of the storage: deleting may not
        make them smaller, and a server may update them late.
        """
        return self._portal.run(self.backend.sizes())
