"""Errors about a store as a whole: it is closed, locked, full, damaged, or no goes_lite store."""

from __future__ import annotations

from goes_lite.errors._base import GoesError, plain


class StoreError(GoesError):
    """Base of errors about a store as a whole. Attribute: `location` (a path or URL, never with a password)."""

    def __init__(self, location: str, message: str) -> None:
        self.location = location
        super().__init__(f"{plain(location)}: {message}")


class StoreClosed(StoreError):
    """The store was used after it was closed."""

    def __init__(self, location: str) -> None:
        super().__init__(location, "the store is closed: connect again")


class StoreForked(StoreError):
    """The store was open when this process was forked, and cannot be used here: its locks did not survive the fork."""

    def __init__(self, location: str) -> None:
        super().__init__(
            location,
            "the store was open when this process was forked, and its locks and connections do not survive a fork: fork "
            "before you connect (or after closing), or start the process with spawn, and connect in it",
        )


class StoreLocked(StoreError, TimeoutError):
    """The store stayed locked for longer than the lock timeout. Attribute: `waited` (seconds)."""

    def __init__(
        self, location: str, waited: float, holder: str = "an open transaction in a database browser does"
    ) -> None:
        self.waited = waited
        super().__init__(
            location,
            f"locked by another connection for more than {waited:g} s: find the program that holds it ({holder}), "
            "or raise lock_timeout",
        )


class StoreReadOnly(StoreError, PermissionError):
    """A write to a store that can only be read."""

    def __init__(self, location: str, reason: str, way_out: str) -> None:
        super().__init__(location, f"{reason}, so nothing can be written: {way_out}")


class StoreMoved(StoreError):
    """The store was moved, or is being moved: nothing was written. Attributes: `to` (a path or URL, without a password), `move`.

    Reading goes on. A move that fails opens the store again, so the same write may work later.
    """

    def __init__(self, location: str, to: str, move: str) -> None:
        self.to = to
        self.move = move
        super().__init__(
            location,
            f"the store was moved to {plain(to)}, so nothing was written: connect there, or with on_moved='follow'",
        )


class FenceChanged(StoreError):
    """The fence of a store is not that of the move that was to change it. Attributes: `expected`, `found` (moves, or None)."""

    def __init__(self, location: str, expected: str | None, found: str | None) -> None:
        self.expected = expected
        self.found = found
        said = "is open" if found is None else f"has the fence of the move {plain(found)}"
        wanted = "to be open" if expected is None else f"the fence of the move {plain(expected)}"
        super().__init__(
            location,
            f"the store {said}, and not {wanted}, as expected: another move has begun, or this one was undone",
        )


class MoveRefused(StoreError, ValueError):
    """A store cannot be moved as asked; nothing was changed. Attribute: `reason`."""

    def __init__(self, location: str, reason: str) -> None:
        self.reason = reason
        super().__init__(location, f"cannot be moved: {plain(reason)}")


class MoveUndone(StoreError):
    """A move took longer than its budget, and was undone: the source takes writes again. Attribute: `budget` (seconds)."""

    def __init__(self, location: str, budget: float) -> None:
        self.budget = budget
        super().__init__(
            location,
            f"the move took longer than {budget:g} s, so it was undone and the store takes writes as before: try again at a "
            "quieter time, or with a larger budget",
        )


class StoreFull(StoreError, OSError):
    """The disk is full; the transaction was rolled back and everything stored before is intact."""

    def __init__(self, location: str) -> None:
        super().__init__(
            location, "no room left on the disk (or a quota is reached), nothing was written: make room and retry"
        )


class StoreUnavailable(StoreError, OSError):
    """The store cannot be opened or reached."""


_RESTORE = "restore a backup (in the place of a file, after moving its -wal and -shm away)"


class StoreDamaged(StoreError):
    """What is stored cannot be right; it was not changed."""

    def __init__(self, location: str, detail: str, way_out: str = "") -> None:
        super().__init__(location, f"the store is damaged ({detail}): {way_out or _RESTORE}")


class ForeignFile(StoreError):
    """The file is not a goes_lite store; it was not changed."""

    def __init__(self, location: str, detail: str) -> None:
        super().__init__(location, f"not a goes_lite store ({detail}), left unchanged: choose another path")


class InvalidReceipt(GoesError, ValueError):
    """A receipt of a store cannot be read, or was changed. Attribute: `problem`."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"this is no receipt of a store ({problem}): make another one with `goes-lite digest`")


class InvalidExport(GoesError, ValueError):
    """A line of an export is not as the format says, or was changed. Attributes: `line` (from 1), `problem`."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        self.problem = problem
        super().__init__(f"line {line} of the export: {problem}")


class ImportUnfinished(StoreError):
    """An import into the store was begun and not finished: what it holds is only a part. Attribute: `source`."""

    def __init__(self, location: str, source: str) -> None:
        self.source = source
        super().__init__(
            location,
            f"an import of the store {source} was not finished: repeat the same command, `goes-lite import`, `restore`, `copy` "
            "or `cutover`, to resume it, or remove the store",
        )


class StoreTooNew(StoreError):
    """The file was written by a newer goes_lite; it was not changed. Attributes: `found`, `supported` (schema)."""

    def __init__(self, location: str, found: int, supported: int) -> None:
        self.found = found
        self.supported = supported
        super().__init__(
            location,
            f"written by a newer goes_lite (schema {found}, this one knows up to {supported}): upgrade goes-lite",
        )


class NetworkFilesystem(StoreError):
    """The file lies on a network or shared-folder file system. Attribute: `filesystem` (its type)."""

    def __init__(self, location: str, filesystem: str) -> None:
        self.filesystem = filesystem
        super().__init__(
            location,
            f"lies on a network file system ({filesystem}), where the shared memory and locks of SQLite's WAL mode do "
            "not work and committed events could be lost: use a local disk",
        )


class UnsafeAccess(StoreError):
    """The live file was about to be opened bypassing the store, which would silently drop its locks."""

    def __init__(self, location: str, how: str) -> None:
        super().__init__(
            location,
            f"{how} while the store is open in this process would silently drop its file locks and can lose committed "
            "events: close the store first, or copy it with backup()",
        )


class CopyRefused(GoesError, ValueError):
    """The target of a copy, backup or restore holds something else; nothing was written. Attributes: `location`, `reason`."""

    def __init__(self, location: str, reason: str) -> None:
        self.location = location
        self.reason = reason
        super().__init__(f"cannot copy into {location}: {reason}")


class CopyDiffers(StoreError):
    """A copy was verified, and is not equal to its source: do not use it.

    Attribute: `position` (of the first event that differs; 0 if no event does, or several stores of it).
    """

    def __init__(self, location: str, position: int, reason: str) -> None:
        self.position = position
        where = f"the event at position {position}: {reason}" if position else reason
        super().__init__(location, f"the copy is not equal to its source ({where}): do not use it, and copy again")
