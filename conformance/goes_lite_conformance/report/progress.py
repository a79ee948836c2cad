"""What the command line shows while the rules run: a line for each family, and on a terminal a counter below them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

import pytest

from goes_lite.cli.terminal import PLAIN, RED, Terminal, cut
from goes_lite_conformance.report import RULE, Report, attach, head, row
from goes_lite_conformance.report.verdict import Outcome, Verdict, families, family_of


class Progress:
    """A plugin for the run that the command line starts; it prints instead of pytest."""

    def __init__(self, terminal: Terminal, arguments: argparse.Namespace) -> None:
        self._terminal = terminal
        self._arguments = arguments
        self._report: Report | None = None
        self._left: Counter[tuple[str, str]] = Counter()  # tests by suite and family
        self._all = self._width = 0
        self._suite = ""
        self.broken: list[str] = []
        """What pytest says that could not even be collected."""

    @property
    def outcomes(self) -> list[Outcome]:
        verdicts = self._report.verdicts if self._report is not None else []
        return [outcome for verdict in verdicts for outcome in verdict.outcomes]

    @property
    def left_out(self) -> dict[str, list[str]]:
        verdicts = self._report.verdicts if self._report is not None else []
        return {why: rules for verdict in verdicts for why, rules in verdict.left_out.items()}

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        parser.addoption("--rounds", type=int, default=self._arguments.rounds)

    def pytest_configure(self, config: pytest.Config) -> None:
        self._report = attach(config)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.longreprtext)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            said: dict[str, Any] = dict(item.user_properties)
            rule, _, suite, _, _ = said[RULE]
            self._left[suite, family_of(rule)] += 1
        self._all = self._left.total()
        self._width = max((len(family) for _, family in self._left), default=0)
        if self._left:
            self._terminal.line(head(self._width))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        said: dict[str, Any] = dict(report.user_properties)
        rule, text, suite, place, _ = said[RULE]
        family = family_of(rule)
        self._left[suite, family] -= 1
        self._clear()
        if suite != self._suite:
            self._suite = suite
            self._terminal.line(suite)
        outcomes: list[Outcome] = []
        if self._arguments.verbose or not self._left[suite, family]:
            outcomes = [one for one in self.outcomes if (one.suite, one.family) == (suite, family)]
        if self._arguments.verbose:
            result = next(one.result for one in outcomes if (one.rule, one.place) == (rule, place))
            style = PLAIN if result in ("passed", "not applicable") else RED
            self._terminal.line(f"    {rule} {place}: {result}: {text}", style)
        if not self._left[suite, family]:
            one = families(Verdict("", outcomes).rules)[0]
            self._terminal.line(row(one, self._width), RED if one.failed else PLAIN)
            self._terminal.flush()
        self._count(rule, place)

    def _count(self, rule: str, place: str) -> None:
        done = self._all - self._left.total()
        if self._terminal.interactive and done < self._all:
            failed = sum(one.result not in ("passed", "not applicable") for one in self.outcomes)
            text = f"{done}/{self._all} {rule} {place}" + (f", {failed} failed" if failed else "")
            sys.stdout.write("\r" + cut(text, self._terminal.width - 1))
            self._terminal.flush()

    def _clear(self) -> None:
        if self._terminal.interactive:
            sys.stdout.write("\r" + " " * (self._terminal.width - 1) + "\r")
