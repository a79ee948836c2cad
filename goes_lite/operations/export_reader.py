"""Read an export and check everything that it says, line by line.

Rule of this file: an export comes from a file of anybody. Whatever is in it, the outcome is its events or InvalidExport with
the number of the line, in memory that depends on neither the number of lines nor what they claim. It blocks while it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

from goes_lite.errors import GoesError, InvalidExport
from goes_lite.events.event import Event
from goes_lite.operations.canonical import BLOCK, Folder, LogHash
from goes_lite.operations.export_lines import End, Header
from goes_lite.operations.export_parsing import EventParser, parse_block, parse_end, parse_header, parse_line

MAX_LINE = 64 << 20
"""How long a line may be, in bytes, unless the caller says otherwise."""

BATCH_EVENTS, BATCH_BYTES = 500, 8 << 20
"""After so many events, or so many bytes of lines, a batch is complete."""


class Batch(NamedTuple):
    """Consecutive events of an export."""

    events: Sequence[Event[Any]]
    """Each with its position, and `Raw` data as `EventStore.stored` returns it."""
    lines: Sequence[int]
    """The number of the line of each event."""

    def line_of(self, event: Event[Any]) -> int:
        """Return the number of the line of an event of the batch."""
        return self.lines[self.events.index(event)]


class Complete(NamedTuple):
    """The complete blocks at the beginning of an export."""

    offset: int
    """Where they end, in bytes."""
    events: int
    position: int
    """Of the last event."""
    hash: LogHash
    """Of their events."""


class ExportReader:
    """Reads an export from a binary stream, which need not be seekable."""

    def __init__(self, stream: BinaryIO, *, max_line: int = MAX_LINE) -> None:
        """Read the first line. InvalidExport unless it is that of an export of a known version."""
        self._stream = stream
        self._max_line = max_line
        self._offset = 0
        self.line = 0
        """The number of the line that was read last."""
        self.header_line = self._read()
        self.header: Header = parse_header(self.line, self.header_line)
        self.end: End | None = None
        """The last line, once it was read: then everything agrees with it."""
        self._parse = EventParser(self.header)
        self._folder = Folder()
        self._hash = LogHash()
        self._pending: list[Event[Any]] = []  # of the batch, not yet in the folder
        self._block_end = 0  # the last position of the block that is open
        self._in_block = 0
        self._closed = Complete(self._offset, 0, self.header.after, self._hash)

    @property
    def events(self) -> int:
        """How many events were read."""
        return self._folder.events + len(self._pending)

    def finished(self) -> End:
        """Return the last line, after `next_batch` has returned None."""
        if self.end is None:
            raise ValueError("the export was not read to its end")
        return self.end

    def next_batch(self) -> Batch | None:
        """Return the next events; None at the end, when the last line was read and agrees with all others."""
        events: list[Event[Any]] = []
        lines: list[int] = []
        size = 0
        while self.end is None and len(events) < BATCH_EVENTS and size < BATCH_BYTES:
            line = self._read()
            size += len(line)
            text = line[:-1]
            if text.startswith('{"position":'):
                event = self._event(text)
                events.append(event)
                lines.append(self.line)
            else:
                self._other(text, events, lines)
        self._fold()
        return Batch(events, lines) if events else None

    def complete(self) -> Complete:
        """Read as far as everything is right, and return how far complete blocks go."""
        with suppress(InvalidExport):
            while self.next_batch() is not None:
                pass
        return self._closed

    def _other(self, text: str, events: list[Event[Any]], lines: list[int]) -> None:
        """Read a line that does not begin as those of events do, but may be one."""
        fields = parse_line(self.line, text)
        if "position" in fields:
            events.append(self._event(text))
            lines.append(self.line)
        elif "block" in fields:
            self._close_block(fields)
        elif "end" in fields:
            self._close(fields)
        else:
            raise InvalidExport(self.line, f"neither an event nor the end of a block nor the end: {text!r:.80}")

    def _event(self, text: str) -> Event[Any]:
        event = self._parse(self.line, text)
        if self._in_block and event.position > self._block_end:
            raise InvalidExport(
                self.line, f"position {event.position} begins another block, and the line that ends the last is missing"
            )
        if not self._in_block:
            self._block_end = -(-event.position // BLOCK) * BLOCK
        self._in_block += 1
        self._pending.append(event)
        return event

    def _fold(self) -> None:
        try:
            self._folder.add(self._pending)
        except GoesError as exc:
            raise InvalidExport(self.line, f"an event up to here has a field that cannot be: {exc}") from exc
        self._pending.clear()

    def _close_block(self, fields: dict[str, Any]) -> None:
        number, events, expected = parse_block(self.line, fields)
        if not self._in_block:
            raise InvalidExport(self.line, "the end of a block without events")
        self._fold()
        (block,) = self._folder.finish()
        self._folder.blocks.clear()
        if (number, events) != (block.number, len(block.positions)):
            raise InvalidExport(
                self.line,
                f"it ends block {number} with {events} events, but block {block.number} with "
                f"{len(block.positions)} events comes before it",
            )
        if expected != block.hash:
            raise InvalidExport(
                self.line, f"the hash of block {number} is not that of its events: a line between the last block and this "
                "one was changed"
            )  # fmt: skip
        self._hash.add(block)
        self._in_block = 0
        self._closed = Complete(self._offset, self._folder.events, block.positions[-1], self._hash)

    def _close(self, fields: dict[str, Any]) -> None:
        end = parse_end(self.line, fields)
        self._fold()
        if self._in_block:
            raise InvalidExport(self.line, "the line that ends the last block is missing")
        if (end.events, end.upto, end.hash) != (self.events, self.header.upto, self._hash.digest()):
            raise InvalidExport(
                self.line, f"it says {end.events} events up to position {end.upto} with the hash {end.hash.hex()[:16]}…, "
                f"but there are {self.events} up to {self.header.upto} with {self._hash.digest().hex()[:16]}…"
            )  # fmt: skip
        if self._stream.read(1):
            raise InvalidExport(self.line + 1, "the export has ended, but there is more")
        self.end = end

    def _read(self) -> str:
        line = self._stream.readline(self._max_line + 1)
        self.line += 1
        self._offset += len(line)
        if not line:
            raise InvalidExport(self.line, "the export breaks off: its last line is missing")
        if line[-1:] != b"\n":
            if len(line) > self._max_line:  # with its end, a line that is allowed is one byte longer
                raise InvalidExport(
                    self.line, f"longer than {self._max_line} bytes: allow longer lines if this is no mistake"
                )
            raise InvalidExport(self.line, "the export breaks off in the middle of a line")
        try:
            return line.decode()
        except UnicodeDecodeError as exc:
            raise InvalidExport(self.line, f"not UTF-8: {exc}") from None
