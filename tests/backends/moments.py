"""Interrupt some work at each moment at which an exception from outside can come, one moment after another.

CPython raises what a signal handler raises at the beginning of a Python function, behind the call of a function in C,
within one that waits, and where a loop jumps back. A profile function is called at the first three, and what it raises
comes out at exactly that place. A trace function can raise before each instruction, which covers the last one, and more
moments than there are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

WAITS = frozenset("acquire get sleep wait select partial fcntl flock".split())
"""Functions in C within which an exception from outside can come; `partial` is the turnstile's fcntl."""


class Interrupt(BaseException):
    """What the handler of a signal raises."""


class Moments:
    """The moments of some work, in files whose path contains one of the given texts."""

    def __init__(self, *files: str, instructions: bool = False) -> None:
        self._files = files
        self._instructions = instructions
        self._at = self._seen = 0
        self._where = ""

    def each(self, work: Callable[[], object]) -> Iterator[str]:
        """Do the work again and again, interrupted at its first moment, its second, … and yield where that was."""
        while True:
            self._at, self._seen, self._where = self._at + 1, 0, ""
            try:
                self._watch(on=True)
                try:
                    work()
                finally:
                    self._watch(on=False)
            except Interrupt:
                pass
            except Exception as error:
                if not self._where or "not authorized" not in str(error):
                    raise  # sqlite3 swallows the interrupt of its authorizer, and refuses the statement
            if not self._where:
                return
            yield self._where

    def _watch(self, *, on: bool) -> None:
        if self._instructions:
            sys.settrace(self._trace if on else None)
        else:
            sys.setprofile(self._profile if on else None)

    def _profile(self, frame: FrameType, event: str, what: object) -> None:
        if event in ("call", "c_return") or (event == "c_call" and getattr(what, "__name__", "partial") in WAITS):
            self._come_to(frame, event, what)

    def _trace(self, frame: FrameType, event: str, what: object) -> Any:
        if event == "call":
            frame.f_trace_opcodes = self._covers(frame)
            return self._trace if frame.f_trace_opcodes else None
        if event == "opcode":
            self._come_to(frame, event, what)
        return self._trace

    def _covers(self, frame: FrameType) -> bool:
        return any(file in frame.f_code.co_filename for file in self._files)

    def _come_to(self, frame: FrameType, event: str, what: object) -> None:
        if not self._covers(frame):
            return
        self._seen += 1
        if self._seen == self._at:
            self._watch(on=False)
            name = getattr(what, "__name__", "")
            self._where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}, {event} {name}, {frame.f_lasti}"
            raise Interrupt(self._where)
