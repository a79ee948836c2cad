"""Export a log: to any binary stream, or to a file that appears when it is complete."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import check_position
from goes_lite.errors import ConfigError, InvalidExport
from goes_lite.events.event import Event
from goes_lite.events.query import EVERYTHING, EventQuery, check_query
from goes_lite.operations.canonical import BLOCK, Folder, LogHash
from goes_lite.operations.export_lines import (
    End,
    Header,
    block_line,
    end_line,
    event_line,
    header_line,
    query_data,
)
from goes_lite.operations.export_reader import ExportReader

PART = ".part"
"""Ends the name of a file that is not complete yet."""

_position = attrgetter("position")


class ExportWriter:
    """Writes the lines of an export to a stream. It blocks while it writes."""

    def __init__(self, stream: BinaryIO, header: Header, *, resumed: tuple[int, LogHash] | None = None) -> None:
        """Begin with the header, unless it is there already, with so many events that have this hash."""
        self._stream = stream
        self._header = header
        self.events, self._hash = resumed or (0, LogHash())
        self._folder = Folder()
        self._block_end = 0
        if resumed is None:
            stream.write(header_line(header).encode())

    def add(self, events: Sequence[Event[Any]]) -> None:
        """Write the next events, as `EventStore.stored` returns them."""
        start = 0
        while start < len(events):
            if events[start].position > self._block_end:
                self._close_block()
                self._block_end = -(-events[start].position // BLOCK) * BLOCK
            stop = start + 1 + bisect_right(events[start + 1 :], self._block_end, key=_position)
            run, location = events[start:stop], self._header.location
            self._stream.write("".join([event_line(event, location) for event in run]).encode())
            self._folder.add(run)
            self.events += len(run)
            start = stop

    def finish(self) -> End:
        """Write the last line and return what it says."""
        self._close_block()
        end = End(self.events, self._header.upto, self._hash.digest())
        self._stream.write(end_line(end).encode())
        self._stream.flush()
        return end

    def _close_block(self) -> None:
        for block in self._folder.finish():
            self._stream.write(block_line(block).encode())
            self._hash.add(block)
        self._folder.blocks.clear()


async def export(
    db: Backend,
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
    header = await _header(db, query, after, upto)
    writer = await db.runtime.call(lambda: ExportWriter(stream, header))
    return await _write(db, writer, header, query, header.after, progress)


async def export_to(
    db: Backend,
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
    target = Path(path)
    part = target.with_name(target.name + PART)
    header = await _header(db, query, after, upto)

    def begin() -> tuple[BinaryIO, ExportWriter, Header, int]:
        if target.exists():
            raise ConfigError(f"{str(target)!r} exists already: choose another file, or remove it")
        if not part.exists():
            stream: BinaryIO = part.open("xb")
            return stream, ExportWriter(stream, header), header, header.after
        if not resume:
            raise ConfigError(f"{str(part)!r} is left of an export that was interrupted: resume it, or remove the file")
        return _resumed(part, header, upto)

    stream, writer, header, start = await db.runtime.call(begin)
    try:
        end = await _write(db, writer, header, query, start, progress)
        await db.runtime.call(lambda: _settle(stream, part, target))
    finally:
        await db.runtime.call(stream.close)
    return end


async def _header(db: Backend, query: EventQuery, after: int, upto: int | None) -> Header:
    check_query(query)
    head = await db.events.head()
    last = head if upto is None else min(check_position("upto", upto), head)
    return Header(
        db.identity, db.location, db.runtime.clock.now(), check_position("after", after), last, query_data(query)
    )


async def _write(
    db: Backend,
    writer: ExportWriter,
    header: Header,
    query: EventQuery,
    start: int,
    progress: Callable[[int], object] | None,
) -> End:
    everything = query.is_everything
    pages = db.events.stored(after=start, upto=header.upto)
    while page := await pages.next_page():
        chosen = page if everything else [event for event in page if query.matches(event)]
        await db.runtime.call(lambda chosen=chosen: writer.add(chosen))  # type: ignore[misc]
        if progress is not None:
            progress(writer.events)
    return await db.runtime.call(writer.finish)


def _resumed(part: Path, header: Header, upto: int | None) -> tuple[BinaryIO, ExportWriter, Header, int]:
    """Return the part, cut after its last complete block, and where to continue; ConfigError if it is of another export."""
    with part.open("rb") as stream:
        try:
            reader = ExportReader(stream)
        except InvalidExport:  # it was interrupted before it had a header
            fresh: BinaryIO = part.open("wb")
            return fresh, ExportWriter(fresh, header), header, header.after
        begun, done = reader.header, reader.complete()
    same = (begun.store, begun.after, begun.query) == (header.store, header.after, header.query)
    if not same or begun.upto > header.upto or (upto is not None and upto != begun.upto):
        raise ConfigError(
            f"{str(part)!r} is the part of another export (of {begun.store}, up to position {begun.upto}): remove it, or "
            "choose another file"
        )
    rest: BinaryIO = part.open("r+b")
    rest.truncate(done.offset)
    rest.seek(done.offset)
    return rest, ExportWriter(rest, begun, resumed=(done.events, done.hash)), begun, done.position


def _settle(stream: BinaryIO, part: Path, target: Path) -> None:
    """Sync the file, and give it its name unless there is a file of that name by now."""
    os.fsync(stream.fileno())
    stream.close()
    try:
        os.link(part, target)  # unlike a rename, it never replaces a file
        part.unlink()
    except FileExistsError:
        raise ConfigError(f"{str(target)!r} exists by now: the export is in {str(part)!r}") from None
    except OSError:  # a file system without links
        os.replace(part, target)
    with suppress(OSError):  # Windows cannot open a folder
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
