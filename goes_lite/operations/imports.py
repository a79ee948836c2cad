"""Import an export into an empty store: all of it, or a store that says that it is not finished.

Rule of this file: nothing is taken for a whole log that is not one. An export in a file is checked completely before anything is
written. Then a mark is stored, the events in batches, and when their hash is the one that the export ends with, the mark is
removed. While it is there, `connect` refuses the store (ImportUnfinished), and a repeated import goes on where the last ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, BinaryIO, NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.contract.own_collections import IMPORTS, UNFINISHED
from goes_lite.errors import (
    ConcurrencyError,
    ConfigError,
    DuplicateEventError,
    ImportConflict,
    ImportUnfinished,
    InvalidEventError,
    InvalidExport,
    StoreDamaged,
)
from goes_lite.events.event import Event
from goes_lite.operations.canonical import Folder, LogHash
from goes_lite.operations.export_check import ExportCheck
from goes_lite.operations.export_reader import MAX_LINE, Batch, ExportReader

Progress = Callable[[int], object]


class Imported(NamedTuple):
    """What an import has done."""

    events: int
    """How many events the export has, and the store now."""
    resumed: int
    """How many of them were there already, from an import that was interrupted."""
    head: int
    """The head of the store: positions up to there are used."""
    hash: bytes
    """The hash of the log, read from the store at the end; that of the export."""


async def import_log(
    db: Backend,
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
    reader = await db.runtime.call(lambda: ExportReader(stream, max_line=max_line))
    check_partial(reader, partial)
    resumed_from = await _begin(db, reader)
    resumed = 0
    while batch := await db.runtime.call(reader.next_batch):
        fresh = [event for event in batch.events if event.position > resumed_from]
        resumed += len(batch.events) - len(fresh)
        if fresh:
            await _store(db, batch, fresh)
        if progress is not None:
            progress(reader.events)
    end = reader.finished()
    head = await db.events.import_events([], head=end.upto)
    if (found := await _hash(db, end.upto)) != end.hash:
        raise StoreDamaged(
            db.location, f"the imported log has the hash {found.hex()[:16]}…, and the export {end.hash.hex()[:16]}…",
            "import into another store",
        )  # fmt: skip
    await db.models.delete(IMPORTS, UNFINISHED)
    return Imported(end.events, resumed, head, found)


async def import_from(
    db: Backend,
    path: str | os.PathLike[str],
    *,
    partial: bool = False,
    max_line: int = MAX_LINE,
    progress: Progress | None = None,
) -> Imported:
    """Import an export in a file as `import_log` does; all of it is checked before anything is written.

    So a file that is wrong leaves the store as it was: InvalidExport says which line it is.
    """

    def opened() -> BinaryIO:
        return open(path, "rb")

    await check_file(db, path, partial=partial, max_line=max_line)
    stream = await db.runtime.call(opened)
    try:
        return await import_log(db, stream, partial=partial, max_line=max_line, progress=progress)
    finally:
        await db.runtime.call(stream.close)


async def check_file(
    db: Backend,
    path: str | os.PathLike[str],
    *,
    partial: bool = False,
    max_line: int = MAX_LINE,
    progress: Progress | None = None,
) -> ExportReader:
    """Read an export in a file to its end, as for an import into the store, and return its reader. Nothing is written.

    Raises InvalidExport with the number of the line, ConfigError if the export is partial and that is not wanted.
    """
    check = await db.runtime.call(lambda: ExportCheck(path, max_line=max_line))
    try:
        check_partial(check.reader, partial)
        while await db.runtime.call(check.step):
            if progress is not None:
                progress(check.reader.events)
    finally:
        await db.runtime.call(check.close)
    return check.reader


def check_partial(reader: ExportReader, partial: bool) -> None:
    """Raise ConfigError for an export of only part of a log, unless that is wanted."""
    if reader.header.partial and not partial:
        raise ConfigError(
            "the export has only part of a log (it was made with a query, or after a position): allow that with "
            "partial=True, or --partial"
        )


async def _begin(db: Backend, reader: ExportReader) -> int:
    """Store the mark, unless it is there, and return the position up to which events of this export are stored."""
    mark = {"header": sha256(reader.header_line.encode()).hexdigest(), "source": reader.header.store}
    record = await db.models.get(IMPORTS, UNFINISHED)
    head = await db.events.head()
    if record is not None:
        if json.loads(record.data) != mark:
            raise ImportUnfinished(db.location, source_of(record.data))
        return head
    if head:
        raise ConfigError(f"{db.location} has events up to position {head}: an import needs an empty store")
    await db.models.put(IMPORTS, UNFINISHED, json.dumps(mark))
    return 0


def source_of(mark: str) -> str:
    """Return the identity of the store whose export was being imported; '?' if the mark does not say it."""
    try:
        return str(json.loads(mark)["source"])
    except (ValueError, KeyError, TypeError):
        return "?"


async def _store(db: Backend, batch: Batch, fresh: Sequence[Event[Any]]) -> None:
    try:
        await db.events.import_events(fresh)
    except (ConcurrencyError, InvalidEventError) as exc:
        line, problem = _version_gap(batch, exc)
        raise InvalidExport(line, problem) from exc
    except DuplicateEventError as exc:
        one = next((event for event in fresh[::-1] if event.id == exc.event_id), fresh[0])
        raise InvalidExport(batch.line_of(one), f"the id {exc.event_id} was there before") from exc
    except ImportConflict as exc:
        raise InvalidExport(batch.line_of(fresh[0]), f"from here on, {exc}") from exc


def _version_gap(batch: Batch, error: ConcurrencyError | InvalidEventError) -> tuple[int, str]:
    """Return the line that the versions of an aggregate do not reach, and what is wrong with it."""
    reached: dict[object, int] = {}
    if isinstance(error, ConcurrencyError):
        reached[error.aggregate] = error.actual
    for event, line in zip(batch.events, batch.lines, strict=True):
        before = reached.get(event.aggregate, event.version - 1)
        if event.aggregate is not None and event.version != before + 1:
            return line, f"version {event.version} of {event.aggregate} follows version {before}"
        reached[event.aggregate] = event.version
    return batch.lines[0], f"from here on, {error}"


async def _hash(db: Backend, upto: int) -> bytes:
    """Return the hash of the log, as a digest has it, in constant memory."""
    folder, whole = Folder(), LogHash()
    pages = db.events.stored(upto=upto)
    while page := await pages.next_page():
        folder.add(page)
        for block in folder.blocks:
            whole.add(block)
        folder.blocks.clear()
    for block in folder.finish():
        whole.add(block)
    return whole.digest()
