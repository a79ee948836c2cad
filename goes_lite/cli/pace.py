"""How fast a copy is and how long it still takes, and how far one that follows is behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from goes_lite.operations.forms import iso

if TYPE_CHECKING:
    from goes_lite.cli.output import Output
    from goes_lite.operations import Followed, Step

QUIET = 10.0
"""In a pipe, a line at most every so many seconds."""


class Pace:
    """Shows the steps of a copy, with their rate and the time left; pass it as `progress`."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._what = ""
        self._began = self._shown = 0.0
        self._first = 0

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step.what != self._what:
            self._what, self._began, self._first = step.what, now, step.done
        elif now - self._shown < 0.1:
            return
        self._shown = now
        self._out.progress(self.text(step, now - self._began))

    def text(self, step: Step, seconds: float) -> str:
        """Return a step as a line; it began so many seconds ago."""
        text = f"{step.what}: {step.done:,}"
        if step.total:
            text += f" of {step.total:,} ({step.done * 100 // step.total} %)"
        if seconds > 0 and (rate := (step.done - self._first) / seconds) > 0:
            text += f", {rate:,.0f}/s"
            if step.total:
                text += f", {duration((step.total - step.done) / rate)} left"
        return text


def duration(seconds: float) -> str:
    """Format a duration for people, such as 0:07 or 2:03:00."""
    hours, rest = divmod(round(max(0.0, seconds)), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Lag:
    """Shows how far a copy is behind; pass it as `told`. With --json, a document a second; in a pipe, a line now and then."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._at = 0.0
        self._last: object = None

    def __call__(self, state: Followed) -> None:
        out, now = self._out, time.monotonic()
        key = (state.synced, state.problem)
        interactive = out.errors.interactive and not out.json
        if not interactive and key == self._last and now - self._at < (1.0 if out.json else QUIET):
            return
        if not interactive and not out.json and now - self._at < 1.0:
            return
        self._at, self._last = now, key
        if interactive:
            out.progress(_line(state))
            return
        out.single({**state._asdict(), "lag": state.lag}, lambda terminal: terminal.line(_line(state)))


def _line(state: Followed) -> str:
    if state.problem:
        return f"waiting at position {state.position:,}: {state.problem}"
    behind = f"{state.lag:,} behind" if state.lag else "current"
    equal = f"; equal in everything at {state.synced:,}, {iso(state.synced_at)}" if state.synced_at else ""
    return f"position {state.position:,}, {behind}{equal}"
