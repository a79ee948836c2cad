"""What a command prints: text for people, or with --json one document for programs and nothing else on stdout.

The document is an envelope, described in docs/cli.md. Its data can be printed while they are read, so the keys that say how
the command ended come last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeVar

import goes_lite
from goes_lite.cli.exits import FINDINGS, INTERRUPTED, OK
from goes_lite.cli.terminal import RED, Terminal
from goes_lite.operations.forms import dumps

T = TypeVar("T")

ENVELOPE = 1
"""The version of the envelope: higher if a key changes its meaning or disappears."""


class Finding(NamedTuple):
    """Something that is not as it should be."""

    code: str
    """For programs, such as `payload-unreadable`."""
    message: str
    fix: str = ""
    """The command or action that helps."""


class Output:
    """Where a command prints to."""

    def __init__(self, command: str, *, json: bool = False, color: bool | None = None) -> None:
        self.command = command
        self.json = json
        self.terminal = Terminal(sys.stdout, color=color, pause=0.2)
        """Text for people. Nothing may be printed here with --json: use `result` or `stream`."""
        self.errors = Terminal(sys.stderr, color=color)
        self.store: str | None = None
        """The location of the store, without a password, once it is open."""
        self.findings: list[Finding] = []
        self._state: Literal["fresh", "begun", "ended"] = "fresh"

    # --- results ----------------------------------------------------------------------------------------------------

    def result(self, data: object, show: Callable[[Terminal], object]) -> None:
        """Print the data with --json, else call the function that shows them to people."""
        if self.json:
            self._begin()
            self._write(dumps(data))
        else:
            show(self.terminal)

    def stream(self, items: Iterable[T], data: Callable[[T], object], show: Callable[[T], object]) -> int:
        """Print items as they come, with --json as a list; return how many there were."""
        count = 0
        if self.json:
            self._begin()
            self._write("[")
        try:
            for item in items:
                if self.json:
                    self._write(("," if count else "") + "\n" + dumps(data(item)))
                else:
                    show(item)
                count += 1
        finally:
            if self.json:
                self._write("\n]" if count else "]")
        return count

    def single(self, data: object, show: Callable[[Terminal], object]) -> None:
        """Print one of a series that has no end: with --json, an envelope on a line of its own."""
        self.result(data, show)
        self._end(OK, None)
        self.terminal.flush()

    def finding(self, code: str, message: str, fix: str = "") -> None:
        """Note something that is not as it should be, and tell people at once. It makes the exit code 1."""
        self.findings.append(Finding(code, message, fix))
        if not self.json:
            self.errors.progress("")
            self.errors.message(f"{code}: {message}", RED, hint=fix)

    def note(self, text: str) -> None:
        """Tell people something besides the result, on stderr."""
        self.errors.progress("")
        self.errors.message(text)

    def progress(self, text: str) -> None:
        """Show how far a long command is, on a terminal only; an empty text removes it."""
        self.errors.progress(text)

    def reading(self, position: int, head: int) -> None:
        """Show how far a command has read the log; pass it as `progress` to operations."""
        self.progress(f"reading: position {position} of {head} ({position * 100 // max(head, 1)} %)")

    # --- the end ----------------------------------------------------------------------------------------------------

    def end(self, code: int | None) -> int:
        """Complete the document, and return the exit code: of a command that says none, 1 if it has found something."""
        if code is None:
            code = FINDINGS if self.findings else OK
        self._end(code, None)
        return code

    def fail(self, code: int, kind: str, message: str, hint: str = "") -> int:
        """Say on stderr why the command failed, and complete the document; return the exit code."""
        self.errors.progress("")
        self.terminal.flush()
        text = " ".join(message.split())
        self.errors.message(f"error: {text}")
        if hint:
            self.errors.line(f"try: {hint}")
        self._end(code, {"type": kind, "message": text, "hint": hint or None})
        return code

    def interrupted(self) -> int:
        """Complete the document after Ctrl-C, and return the exit code. It is how a series without an end ends."""
        self.errors.progress("")
        if self._state != "ended":
            self._end(INTERRUPTED, {"type": "KeyboardInterrupt", "message": "interrupted", "hint": None})
        return INTERRUPTED

    def _begin(self) -> None:
        if self._state == "begun":
            raise AssertionError("a command prints one result")
        self._state = "begun"
        head = {
            "envelope": ENVELOPE, "version": goes_lite.__version__, "command": self.command, "store": self.store,
        }  # fmt: skip
        self._write(dumps(head)[:-1] + ', "data": ')

    def _end(self, code: int, error: dict[str, str | None] | None) -> None:
        if not self.json or (self._state == "ended" and error is None):
            return
        if self._state != "begun":
            self._begin()
            self._write("null")
        tail = {"findings": [one._asdict() for one in self.findings], "error": error, "exit": code}
        self._write(", " + dumps(tail)[1:] + "\n")
        self._state = "ended"

    def _write(self, text: str) -> None:
        self.terminal.raw(text)
