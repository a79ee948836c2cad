"""Text for people: headings, aligned columns, optional colour, and only characters that the terminal has."""

from __future__ import annotations

import codecs
import os
import shutil
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import TextIO

from goes_lite.operations.forms import printable

_ASCII = str.maketrans(
    {
        "…": "...",
        "─": "-",
        "→": "->",
        "·": "-",
        "›": ">",
        "✓": "+",
        "✗": "x",
        "≥": ">=",
        "█": "#",
        "│": "|",
        "├": "|",
        "└": "`",
        "←": "<-",
    }
)

_LAST_COLUMN = 20
"""Characters of the last column of a table that are shown at least."""

PLAIN, BOLD, DIM, RED, GREEN, CYAN = "", "1", "2", "31", "32", "36"


class Terminal:
    """Writes to a stream. `color=None` means colour on a terminal, unless NO_COLOR is set.

    `pause` is the number of seconds before each further section, on a terminal only.
    """

    def __init__(self, stream: TextIO, *, color: bool | None = None, pause: float = 0.0) -> None:
        self._stream = stream
        self.interactive = stream.isatty()
        self._color = _wants_color(stream) if color is None else color
        self._ascii = not _speaks_unicode(stream)
        self.pause = pause if self.interactive else 0.0
        self._sections = 0
        self._shown = 0

    @property
    def width(self) -> int:
        """The number of columns: those of the terminal up to 100, else 80."""
        return min(shutil.get_terminal_size((80, 24)).columns, 100) if self.interactive else 80

    def line(self, text: str = "", style: str = PLAIN) -> None:
        """Write one line."""
        self.parts((text, style))

    def parts(self, *parts: tuple[str, str]) -> None:
        """Write one line of texts, each in a style.

        Everything that is printed passes through here, and may come from a file of anybody: so it is escaped here.
        """
        line = ""
        for text, style in parts:
            shown = printable(text)
            if self._ascii:
                shown = shown.translate(_ASCII)
            line += f"\x1b[{style}m{shown}\x1b[0m" if self._color and style else shown
        self._stream.write(line + "\n")

    def raw(self, text: str) -> None:
        """Write JSON for programs, which is plain ASCII without control characters anyway: as it is."""
        self._stream.write(text)

    def prompt(self, text: str) -> None:
        """Write a question, without ending the line."""
        self._stream.write(printable(text))
        self._stream.flush()

    def progress(self, text: str) -> None:
        """Replace the last line of progress by this text, on a terminal only; an empty one removes it."""
        if self.interactive and (text or self._shown):
            shown = cut(printable(text), self.width - 1)
            self._stream.write("\r" + shown.ljust(self._shown) + ("" if text else "\r"))
            self._stream.flush()
            self._shown = len(shown)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def section(self, title: str) -> None:
        """Begin a numbered section."""
        self.flush()
        if self._sections:
            time.sleep(self.pause)
        self._sections += 1
        self.line()
        self.line(f"{self._sections}. {title}", BOLD)
        self.line("─" * (len(title) + len(str(self._sections)) + 2), DIM)

    def text(self, text: str) -> None:
        """Write a wrapped paragraph."""
        for line in textwrap.wrap(text, min(self.width, 80) - 4, break_on_hyphens=False, break_long_words=False):
            self.line(f"  {line}")

    def message(self, text: str, style: str = PLAIN, *, hint: str = "") -> None:
        """Write a sentence and what helps: wrapped on a terminal, with the hint below; in a pipe, all of it on one line."""
        if not self.interactive:
            self.line(text + (f" (try: {hint})" if hint else ""), style)
            return
        texts = (text, f"  try: {hint}") if hint else (text,)
        for one in texts:
            for line in textwrap.wrap(
                printable(one), self.width - 1, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
            ):
                self.line(line, style)

    def code(self, *lines: str) -> None:
        """Write lines of Python, those that produce the following output."""
        for number, line in enumerate(lines):
            self.line(f"  {'›' if number == 0 else ' '} {line}", CYAN)

    def good(self, text: str) -> None:
        """Write that something succeeded."""
        self._marked("✓", text, GREEN)

    def refused(self, text: str) -> None:
        """Write that something was refused, as it should be."""
        self._marked("✗", text, RED)

    def _marked(self, mark: str, text: str, style: str) -> None:
        wrapped = textwrap.wrap(text, min(self.width, 80) - 6, break_on_hyphens=False, break_long_words=False)
        for number, line in enumerate(wrapped):
            self.line(f"  {mark if number == 0 else ' '} {line}", style)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> None:
        """Write aligned columns, those in `right` to the right.

        On a terminal, the last column is cut to the width; if even the others are too wide, each row is written as lines of
        labels and values. In a pipe, everything is written.
        """
        cells = [[printable(str(cell)) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        needed = 2 * len(widths) + sum(widths[:-1]) + min(widths[-1], _LAST_COLUMN)
        if self.interactive and needed > self.width - 1:
            self._records(head, cells)
            return
        numbers = set(right)
        for index, row in enumerate([list(head), *cells]):
            padded = [
                cell.rjust(width) if column in numbers else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  " + "  ".join(padded).rstrip()
            self.line(cut(line, self.width - 1) if self.interactive else line, PLAIN if index else DIM)

    def _records(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        width = max(map(len, head))
        for number, row in enumerate(rows):
            if number:
                self.line()
            for label, cell in zip(head, row, strict=True):
                self.parts((f"  {label:<{width}}  ", DIM), (cut(cell, self.width - width - 5), PLAIN))


def cut(text: str, width: int) -> str:
    """Cut the text to at most `width` characters; `…` marks the cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def counted(number: int, things: str) -> str:
    """Return how many things there are, such as `1 event` or `2 events`."""
    return f"{number} {things.removesuffix('s') if number == 1 else things}"


def _wants_color(stream: TextIO) -> bool:
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    # The old console of Windows prints escape sequences as text; the newer ones set one of these variables.
    return os.name != "nt" or any(name in os.environ for name in ("WT_SESSION", "TERM", "ANSICON"))


def _speaks_unicode(stream: TextIO) -> bool:
    try:
        return codecs.lookup(stream.encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False
