"""The verdict at the end of a run: which rules were kept, which broken, and which do not apply, and why.

A plugin for pytest that the suites attach to every run in which their rules are collected. With several test processes
(pytest-xdist), load it in the one that prints: `pytest -p goes_lite_conformance.report -n 4`.

No rule skips silently: one that is skipped by anything but the lack of an ability that it needs counts as failed, and
fails the run.

Belongs here: what becomes of a run's rules, collected, counted and shown; not what a rule is (`rule`), nor how it runs.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import pytest

from goes_lite_conformance.report.verdict import Family, Outcome, Result, Verdict

if TYPE_CHECKING:
    from goes_lite_conformance.rule import Rule

RULE = "goes_lite_rule"
EXCUSE = "goes_lite_excuse"
SKIP = "goes_lite_skip"
"""What a test says of itself to the report, as user properties, which travel from process to process."""

_NAME = "goes_lite_conformance"


def pytest_configure(config: pytest.Config) -> None:
    """Loaded as a plugin, by its name."""
    attach(config)


def attach(config: pytest.Config) -> Report:
    """Make sure that the run ends with a verdict; what collects it."""
    found: Report | None = config.pluginmanager.get_plugin(_NAME)
    if found is None:
        found = Report(config)
        config.pluginmanager.register(found, _NAME)
    return found


def rule_of(item: pytest.Item) -> Rule | None:
    """The rule that a test is about, if it is about one."""
    return getattr(getattr(item, "function", None), "rule", None)


class Report:
    """Collects what became of each rule."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._outcomes: dict[str, dict[str, Outcome]] = {}  # by backend, then by test
        self._left_out: dict[str, dict[str, str]] = {}  # by backend: what was deselected, and why
        self._others = 0

    @property
    def verdicts(self) -> list[Verdict]:
        """What became of the rules so far, backend by backend."""
        return [
            Verdict(
                backend,
                list(outcomes.values()),
                left_out=_left_out(self._left_out.get(backend, {}), outcomes),
                seconds=sum(outcome.seconds for outcome in outcomes.values()),
            )
            for backend, outcomes in self._outcomes.items()
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Have each test say which rule it is about, and be found by the id of the rule: `pytest -k ES-APPEND`."""
        homeless: list[pytest.Item] = []
        for item in items:
            if rule := rule_of(item):
                item.extra_keyword_matches.add(rule.id)
                item.user_properties.append((RULE, _said_of(item, rule)))
                if not _place_of(item):
                    homeless.append(item)
                self._left_out.setdefault(_backend_of(item), {}).update(_removed(_classes_of(item)))
        if homeless:  # rules about faces that this run is not about
            items[:] = [item for item in items if item not in homeless]
            config.hook.pytest_deselected(items=homeless)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        for item in items:
            if rule := rule_of(item):
                why = "deselected" if _place_of(item) else "only about other faces"
                self._left_out.setdefault(_backend_of(item), {})[rule.id] = why

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let no rule skip without an excuse."""
        report = yield
        said: dict[str, Any] = dict(report.user_properties)
        if report.skipped and RULE in said and EXCUSE not in said:
            reason = _skip_reason(report)
            report.outcome = "failed"
            if hasattr(report, "wasxfail"):
                del report.wasxfail
            else:
                report.longrepr = f"{said[RULE][0]}: {said[RULE][1]}\n{reason}, and no missing ability excuses it"
            report.user_properties.append((SKIP, reason))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said: dict[str, Any] = dict(report.user_properties)
        if RULE not in said:
            self._others += report.when == "call"
            return
        rule, text, suite, place, backend = said[RULE]
        outcomes = self._outcomes.setdefault(backend, {})
        before = outcomes.get(report.nodeid)
        result, reason = _result_of(report, said)
        if before is not None and (before.result != "passed" or result == "passed"):
            result, reason = before.result, before.reason
        outcomes[report.nodeid] = Outcome(
            rule,
            text,
            suite,
            place,
            result,
            reason,
            (before.details if before else "") or (report.longreprtext if report.failed else ""),
            (before.seconds if before else 0.0) + report.duration,
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A table if the run was about one backend, else a line for each; and what there is to be said about them."""
        verdicts = self.verdicts
        if not verdicts:
            return
        verbose = self._config.get_verbosity() > 0 or (len(verdicts) == 1 and not self._others)
        terminalreporter.write_sep("=", "goes_lite conformance")
        for verdict in verdicts:
            places = len(verdict.places)
            where = verdict.places[0] if places == 1 else f"{places} places"
            terminalreporter.write_line(f"{verdict.name}: {verdict.total()} (at {where})")
            if verbose:
                for line in table(verdict):
                    terminalreporter.write_line(f"  {line}")
            for line in verdict.shortcomings():
                terminalreporter.write_line(f"  {line}")


def table(verdict: Verdict) -> list[str]:
    """The families of a verdict as aligned columns."""
    families = verdict.families
    width = max(len(one.name) for one in families)
    lines = [head(width)]
    for before, one in zip([None, *families], families, strict=False):
        if before is None or before.suite != one.suite:
            lines.append(one.suite)
        lines.append(row(one, width))
    return lines


def head(width: int) -> str:
    """The heads of the columns, behind one of that width for the names of families."""
    return " " * (width + 2) + "".join(f"{text:>9}" for text in ("rules", "passed", "failed", "n. a.", "seconds"))


def row(one: Family, width: int) -> str:
    """The line of a family."""
    numbers = (one.rules, one.passed, one.failed or "-", one.not_applicable or "-", f"{one.seconds:.1f}")
    return f"  {one.name:<{width}}" + "".join(f"{number:>9}" for number in numbers)


# --- what a test says of itself, and what pytest says of it ---------------------------------------------------------


def _said_of(item: pytest.Item, rule: Rule) -> list[str]:
    return [rule.id, rule.text, _suite_of(item), _place_of(item), _backend_of(item)]


def _place_of(item: pytest.Item) -> str:
    """Variant and face, as `Contract.pytest_generate_tests` chose them; '' if there is none for this rule."""
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    kind = parameters.get("kind")
    return "-".join(filter(None, cast("tuple[str, str]", kind))) if isinstance(kind, tuple) else ""


def _classes_of(item: pytest.Item) -> tuple[type, ...]:
    cls: type | None = getattr(item, "cls", None)
    return cls.__mro__ if cls is not None else ()


def _suite_of(item: pytest.Item) -> str:
    """The suite of this package that the test comes from, or the class of somebody who writes rules of their own."""
    classes = _classes_of(item)
    ours = [
        cls.__name__
        for cls in classes
        if cls.__module__.startswith("goes_lite_conformance.") and cls.__name__.endswith("Tests")
    ]
    return ours[0] if ours else classes[0].__name__


def _backend_of(item: pytest.Item) -> str:
    """The class that says how the backend is opened, and its file."""
    hook = next((cls.__name__ for cls in _classes_of(item) if "url" in vars(cls)), "?")
    return f"{hook} ({item.nodeid.partition('::')[0] or item.path.name})"


@cache
def _removed(classes: tuple[type, ...]) -> dict[str, str]:
    """The rules that a class inherits and has put something else in the place of; `classes` begins with it."""
    return {
        member.rule.id: "removed by its class"
        for cls in classes
        for name, member in vars(cls).items()
        if hasattr(member, "rule") and not hasattr(getattr(classes[0], name), "rule")
    }


def _skip_reason(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"marked as an expected failure{report.wasxfail and ': '}{report.wasxfail}"
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return f"skipped: {said.splitlines()[0].removeprefix('Skipped: ')}"


def _result_of(report: pytest.TestReport, said: dict[str, Any]) -> tuple[Result, str]:
    if SKIP in said and report.failed:
        return "skipped", str(said[SKIP])
    if report.skipped:
        return "not applicable", str(said.get(EXCUSE, ""))
    if report.passed:
        return "passed", ""
    if report.when == "call":
        return "failed", _one_line(report)
    return "error", f"{report.when}: {_one_line(report)}"


def _one_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext.strip().rpartition("\n")[2]
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return line if len(line) <= 200 else f"{line[:199]}…"


def _left_out(reasons: dict[str, str], outcomes: dict[str, Outcome]) -> dict[str, list[str]]:
    """The rules that were left out, by the reason, without those that were run at other places."""
    run = {outcome.rule for outcome in outcomes.values()}
    found: dict[str, list[str]] = {}
    for rule, why in reasons.items():
        if rule not in run:
            found.setdefault(why, []).append(rule)
    return found
