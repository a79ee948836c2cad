"""The operations of `goes_lite.operations` for blocking handles: the same names, arguments and results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import BinaryIO

from goes_lite import operations
from goes_lite.aggregate import Aggregate
from goes_lite.blocking._database import BlockingDatabase
from goes_lite.blocking.inline import inline
from goes_lite.events.query import EVERYTHING, EventQuery
from goes_lite.operations import (
    BackedUp,
    Comparison,
    Copied,
    CopyPlan,
    CopyProgress,
    End,
    Finding,
    Findings,
    Followed,
    Imported,
    Moved,
    PartCopied,
    Progress,
    Receipt,
    Restored,
    Table,
    Transform,
)
from goes_lite.operations.export_reader import MAX_LINE
from goes_lite.operations.following import INTERVAL
from goes_lite.operations.moving import BUDGET
from goes_lite.operations.tables import Format
from goes_lite.runtime import Signal, drive

__all__ = [
    "backup",
    "check",
    "copy",
    "copy_part",
    "cutover",
    "digest",
    "doctor",
    "drill",
    "export",
    "export_to",
    "follow",
    "import_from",
    "import_log",
    "plan_copy",
    "restore",
    "restore_file",
    "undo",
    "verify",
    "write_tables",
]


def digest(db: BlockingDatabase, *, upto: int | None = None, progress: Progress | None = None) -> Receipt:
    """Read the log up to its head, or to a position, and return its receipt: counts and hashes of what is stored.

    Equal logs have the same hash on every backend. No application code is needed, since nothing is decoded; events that are
    appended meanwhile are not included. Memory: about 50 bytes an event.
    """
    return db._portal.run(operations.digest(db.backend, upto=upto, progress=progress))


def doctor(db: BlockingDatabase) -> list[Finding]:
    """Look at what a store runs on, and return what should be otherwise: each with a code, a sentence and what helps.

    It is quick, whatever the size of the store, and changes nothing. `verify` looks at what is stored.
    """
    return db._portal.run(operations.doctor(db.backend))


def check(db: BlockingDatabase, receipt: Receipt, *, progress: Progress | None = None) -> Comparison:
    """Compare the log with a receipt and name the first event that differs. Reading stops there."""
    return db._portal.run(operations.check(db.backend, receipt, progress=progress))


def export(
    db: BlockingDatabase,
    stream: BinaryIO,
    *,
    query: EventQuery = EVERYTHING,
    after: int = 0,
    upto: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> End:
    """Write the log to a binary stream, in the format of docs/export.md, and return its last line.

    - Every field of every event is written as it is stored, so `import_log` makes the same log of it, with the same digest.
    - The export ends at the head, or at `upto`; events that are appended meanwhile are not included. With a query or `after`,
      only part of the events is written, and the export says so: it is for reading, and for an import that is told to take
      it. The query is about the names with which events are stored.
    - Memory does not grow with the log. The stream is neither closed nor synced.

    Raises StoreDamaged for an event with a field that cannot be, OSError if the stream cannot be written to.
    """
    work = operations.export(db.backend, stream, query=query, after=after, upto=upto, progress=progress)
    return db._portal.run(work)


def export_to(
    db: BlockingDatabase,
    path: str | os.PathLike[str],
    *,
    query: EventQuery = EVERYTHING,
    after: int = 0,
    upto: int | None = None,
    resume: bool = False,
    progress: Callable[[int], object] | None = None,
) -> End:
    """Write the log to a new file as `export` does. It has its name only once it is complete and on the disk.

    - Until then the file is called `path` + ".part". With `resume`, one that was left behind is checked and continued after
      its last complete block, up to the position that it was to go to.

    Raises ConfigError if the file exists, if there is a part and `resume` was not asked for, or if the part is of another
    store or other events.
    """
    work = operations.export_to(db.backend, path, query=query, after=after, upto=upto, resume=resume, progress=progress)
    return db._portal.run(work)


def import_log(
    db: BlockingDatabase,
    stream: BinaryIO,
    *,
    partial: bool = False,
    max_line: int = MAX_LINE,
    progress: Progress | None = None,
) -> Imported:
    """Read an export from a binary stream, such as a pipe, into an empty store.

    - Every field, position and gap is the same afterwards, and so is the digest: the log is read once more and compared.
    - If it is interrupted, or the export turns out to be wrong, the store keeps a mark, and `connect` raises
      ImportUnfinished for it. Open it with `unfinished=True` and import the same export again to go on where it ended.
    - `partial` takes an export that has only part of a log. Its aggregates must begin at version 1, without a gap.
    - A line may have `max_line` bytes. `progress` is called with the number of events that were read.

    Raises InvalidExport with the number of the line, ConfigError if the store is not empty or the export partial,
    ImportUnfinished if another import into it was not finished.
    """
    work = operations.import_log(db.backend, stream, partial=partial, max_line=max_line, progress=progress)
    return db._portal.run(work)


def import_from(
    db: BlockingDatabase,
    path: str | os.PathLike[str],
    *,
    partial: bool = False,
    max_line: int = MAX_LINE,
    progress: Progress | None = None,
) -> Imported:
    """Import an export in a file as `import_log` does; all of it is checked before anything is written.

    So a file that is wrong leaves the store as it was: InvalidExport says which line it is.
    """
    work = operations.import_from(db.backend, path, partial=partial, max_line=max_line, progress=progress)
    return db._portal.run(work)


def verify(
    db: BlockingDatabase,
    *,
    aggregates: Iterable[type[Aggregate]] = (),
    collections: Iterable[str] | None = None,
    receipt: Receipt | None = None,
    strict: bool = False,
    thorough: int = 1000,
    limit: int = 100,
    progress: Callable[[int], object] | None = None,
) -> Findings:
    """Check everything that a store holds; problems are returned, not raised. It writes nothing.

    Each payload is decoded: into today's type, with its upcasters, if the handle's registry knows the name, else as plain
    data. What cannot be told from the store alone is that a payload was changed into another sound one: a receipt of `digest`
    tells that. Memory does not grow with the store. Others may write meanwhile: the log, the snapshots, the checkpoints and the
    read models are each checked in a view, as of one moment (see `Backend.view`), so what is written later is left out.

    Arguments
      aggregates   classes whose snapshots are compared with a replay of the events.
      collections  the names of the collections of read models to check; all of them by default.
      receipt      of this store, from `digest`: every event must still be as it was.
      strict       whether a name that the registry does not know is a finding.
      thorough     how many events are looked up one by one, by id, by each of their tags and by aggregate; of the others, a few.
                   Everything else is always checked completely.
      limit        after how many problems to stop.
      progress     called from time to time with the number of events checked so far.

    Raises StoreClosed, StoreLocked or StoreUnavailable if the store cannot be reached, or a server ends a view early.
    """
    return db._portal.run(
        operations.verify(
            db.backend, aggregates=aggregates, collections=collections, receipt=receipt, strict=strict, thorough=thorough,
            limit=limit, progress=progress,
        )
    )  # fmt: skip


def backup(
    db: BlockingDatabase,
    path: str | os.PathLike[str],
    *,
    since: str | os.PathLike[str] | None = None,
    progress: CopyProgress | None = None,
) -> BackedUp:
    """Write the store to a new file, while others write to it, and verify the file; nothing is overwritten.

    - It is of one moment: events, snapshots, read models and checkpoints that were committed together are in it together.
    - No writer waits for it. On SQLite, the -wal grows by what is written meanwhile.
    - A file has the name only once it is complete, on the disk, and verified. An interrupted backup leaves `PATH.part`,
      which the next one goes on with or replaces.
    - With `since`, an earlier backup of the same store, only what is new is read from the store; the file is complete
      nevertheless, and does not need the earlier one.
    - On a backend with the ability `backup`, such as SQLite, a backup without `since` is its own copy of its storage, which
      also has tables of your own.

    Raises CopyRefused if the file exists or `since` is no backup of this store, StoreFull, StoreUnavailable.
    """
    return db._portal.run(operations.backup(db.database, path, since=since, progress=progress))


def copy(
    source: BlockingDatabase, target: BlockingDatabase, *, update: bool = False, progress: CopyProgress | None = None
) -> Copied:
    """Copy everything that the source holds at one moment into the target, which is empty or half of the same copy.

    - The target is opened with `connect(url, unfinished=True)`, since half a copy is refused otherwise.
    - Events keep ids, versions, times, payloads, names and positions, with the gaps, and the target has the same head.
    - Checkpoints of the source are valid in the target. Leases are not: the programs that work on the source
      hold them; but their fencing tokens go on growing from where they were.
    - Nothing is decoded, and no writer of the source waits. Memory: a few bytes an event, for the receipt.
    - Whatever ends it, calling it again goes on where it was. With `update`, a complete copy is brought up to date, unless
      events were written to it since.
    - Each batch is read back and compared; at the end all of the target is, and its log has the hash of the source's, else
      CopyDiffers with the first position that differs.

    Raises CopyRefused if the target holds anything else. Nothing else may write to it meanwhile.
    """
    return drive(operations.copy(inline(source), inline(target), update=update, progress=progress))


def copy_part(
    source: BlockingDatabase,
    target: BlockingDatabase,
    *,
    upto: int | None = None,
    until: datetime | None = None,
    only: Iterable[str] = (),
    transform: Transform | None = None,
    progress: CopyProgress | None = None,
) -> PartCopied:
    """Copy a part of the log into an empty store, to look at, to try something, or as data for tests.

    - `upto` and `until` make a fork: the events up to a position, or those before the first one that is later than a time,
      with their positions, as they are now: what was deleted since is gone.
    - `only` keeps the events of aggregates, or with event names, that are called so; `transform` gets each of them and returns
      what it becomes, see `rewritten`. Then positions are renumbered 1, 2, 3, …, and so are the versions of aggregates that
      lost events. Memory: about 200 bytes for each such aggregate, with `transform` for every one.
    - Only events are copied. Consumers begin from the start there: do not run those that have effects outside.
    - The log is compared at the end. An interrupted part goes on when it is repeated with the same arguments.

    Raises CopyRefused if the target holds anything else, ConfigError if the arguments do not fit together, CopyDiffers if the
    target is not equal, for example since the source was changed meanwhile, or `transform` returns something else each time.
    """
    work = operations.copy_part(
        inline(source), inline(target), upto=upto, until=until, only=only, transform=transform, progress=progress
    )
    return drive(work)


def plan_copy(source: BlockingDatabase, target: BlockingDatabase, *, update: bool = False) -> CopyPlan:
    """Say what `copy` would do with these arguments. Nothing is written; all of the source but its events is read."""
    return drive(operations.plan_copy(inline(source), inline(target), update=update))


def follow(
    source: BlockingDatabase,
    target: BlockingDatabase,
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
    work = operations.follow(
        inline(source), inline(target), interval=interval, back=back, stop=stop, progress=progress, told=told
    )
    return drive(work)


def restore(db: BlockingDatabase, path: str | os.PathLike[str], *, progress: CopyProgress | None = None) -> Restored:
    """Fill an empty store with a backup, verified; return what its consumers have to know.

    The store has an identity of its own, so whatever kept a position of the old store elsewhere notices. Checkpoints in the
    backup are valid in it. Leases are not restored. If a receipt is next to the backup, the file is checked against it first.

    Raises CopyRefused if the store is not empty (an interrupted restore of the same file goes on), StoreDamaged if the file
    is not what its receipt says.
    """
    return db._portal.run(operations.restore(db.database, path, progress=progress))


def drill(
    db: BlockingDatabase,
    path: str | os.PathLike[str],
    *,
    folder: str | None = None,
    progress: CopyProgress | None = None,
) -> Restored:
    """Restore a backup into a scratch file, verified, and remove that again: proof that it can be restored.

    The scratch file is in the `folder`, by default that of the backup, and has its size.
    """
    return db._portal.run(operations.drill(db.database, path, folder=folder, progress=progress))


def restore_file(db: BlockingDatabase, path: str | os.PathLike[str]) -> Restored:
    """Restore an open backup to a new file, as its backend copies its storage: with tables of your own.

    For a handle with the ability `backup`, such as one on a backup in a file. Otherwise as `restore`; raises CopyRefused if the
    file exists.
    """
    return db._portal.run(operations.restore_file(db.database, path))


def write_tables(
    db: BlockingDatabase,
    folder: str | os.PathLike[str],
    form: Format,
    *,
    query: EventQuery = EVERYTHING,
    after: int = 0,
    upto: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Table]:
    """Write a table for each event name into a new folder, for analysis, and return what was written.

    - A table has the columns `FIELDS`, `metadata.KEY`, and `data.KEY`, with dots between the keys of nested objects. Lists are
      JSON text. A payload that is not a JSON object is in the column `payload`, bytes as Base64.
    - 'csv' writes UTF-8 with a header; None is an empty field. 'parquet' needs pyarrow (the extra `parquet`); a column is of
      integers, numbers, booleans or text, whichever all of its values are.
    - Memory does not grow with the log. `progress` is called with the number of events read, of twice as many as there are.

    Raises ConfigError if the folder exists or there are too many columns, DriverMissing without pyarrow.
    """
    work = operations.write_tables(db.backend, folder, form, query=query, after=after, upto=upto, progress=progress)
    return db._portal.run(work)


def cutover(
    source: BlockingDatabase, target: BlockingDatabase, *, budget: float = BUDGET, progress: CopyProgress | None = None
) -> Moved:
    """Move a store that is written to: afterwards the target is the store, and the source sends its writers there.

    - First the target is fenced and filled while applications go on; an earlier copy of the source is brought up to date.
    - Then writers are kept out: each of their writes raises StoreMoved. What was committed before is copied, both are compared,
      and the leases of consumers are handed over, so that the one that was active stays it.
    - If that takes longer than `budget` seconds, or this process is killed, the source opens again by itself, and nothing has
      happened: MoveUndone. Otherwise the fence of the source stays, and the target is opened.
    - The move back is the same call the other way round, after writes to the new store as well.
    - Killed at any moment, no more than one of the two takes writes. Called again, it finishes what was decided, and begins
      again otherwise. Between the decision and the opening neither does, until somebody calls it again.

    Both handles belong to the move: they are not used for anything else, and are closed after it. Raises MoveRefused for a
    store that was moved elsewhere, CopyRefused for a target that holds something else, CopyDiffers if both are not equal.
    """
    return drive(operations.cutover(inline(source), inline(target), budget=budget, progress=progress))


def undo(source: BlockingDatabase, target: BlockingDatabase) -> bool:
    """Undo a move that was not finished: the source takes writes again. Return False if there was nothing to undo.

    Raises MoveRefused if the target was opened: what was written there since would be lost. Move it back instead.
    """
    return drive(operations.undo(inline(source), inline(target)))
