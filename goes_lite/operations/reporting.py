"""Collect what a check of a store finds, up to a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from goes_lite.contract.findings import Finding
from goes_lite.errors import TRANSIENT, StoreClosed


class Enough(Exception):
    """As many findings as were asked for."""


class Report:
    """The findings so far, and what was read."""

    def __init__(self, limit: int, progress: Callable[[int], object] | None) -> None:
        self.problems: list[Finding] = []
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()
        self._limit = limit
        self._progress = progress

    def wrong(self, code: str, message: str, fix: str = "") -> None:
        """Add a finding; raise Enough if it was the last."""
        self.problems.append(Finding(code, message, fix))
        if len(self.problems) >= self._limit:
            raise Enough

    def expect(self, holds: bool, code: str, message: str) -> None:
        """Add a finding unless something holds."""
        if not holds:
            self.wrong(code, message)

    def note(self, text: str) -> None:
        """Say, once, that something was not checked."""
        if text not in self.notes:
            self.notes.append(text)

    def progressed(self) -> None:
        """Say how many events were read."""
        if self._progress is not None:
            self._progress(self.counts["events"])

    async def part(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Do a part of the work; what cannot be read is a finding, a store that cannot be reached an error."""
        try:
            await work
        except (Enough, StoreClosed, *TRANSIENT):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a damaged store leads to
            self.wrong("unreadable", f"{what} cannot be read to the end: {type(error).__name__}: {error}")
