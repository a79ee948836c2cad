"""`--progress`: how far a run is, in place of a dot for each test."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

EVERY = 10.0
"""Seconds between two lines, where they are written to a file; a terminal has one line that changes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--progress", action="store_true", help="say how far the run is and how long it may still take")


@pytest.hookimpl(trylast=True)  # the plugin that writes to the terminal comes first
def pytest_configure(config: pytest.Config) -> None:
    terminal: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if config.getoption("--progress") and terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(terminal), "goes_lite_progress")


class Progress:
    """Counts the tests that are done, in the process that prints."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._begin = time.monotonic()
        self._said = 0.0
        self._all = self._done = self._failed = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        self._collected(len(ids))

    def _collected(self, count: int) -> None:
        if not self._all:
            self._all = count
            self._begin = time.monotonic()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No letters in between."""
        if hasattr(report, "wasxfail"):
            return None
        if report.failed:
            return ("failed", "", "FAILED") if report.when == "call" else ("error", "", "ERROR")
        if report.skipped:
            return "skipped", "", "SKIPPED"
        return ("passed", "", "") if report.when == "call" else None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed += 1
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED {report.nodeid} ({report.when})")
        if report.when != "teardown":
            return
        self._done += 1
        now = time.monotonic()
        if now - self._said >= (0.5 if self._terminal.isatty else EVERY) or self._done == self._all:
            self._said = now
            self._say(now - self._begin)

    def _say(self, gone: float) -> None:
        left = gone * (self._all - self._done) / self._done
        text = f"{self._done * 100 // max(self._all, 1):3} %  {self._done} of {self._all} tests, {clock(gone)} gone"
        text += f", about {clock(left)} left" if left else ""
        text += f", {self._failed} failed" if self._failed else ""
        if self._terminal.isatty and self._done < self._all:
            self._terminal.rewrite(text, erase=True)
        else:
            self._terminal.ensure_newline()
            self._terminal.write_line(text)


def clock(seconds: float) -> str:
    """'3:07' of 187.4 seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
