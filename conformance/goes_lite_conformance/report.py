"""The verdict at the end of a run: which rules were kept, which broken, and which do not apply, and why.

A plugin for pytest that the suites attach to every run in which one of their rules is collected. With several test
processes (pytest-xdist), load it in the one that prints: `pytest -p goes_lite_conformance.report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from goes_lite_conformance._contract import Rule

NAME = "goes_lite_conformance.report"
RULE = "goes_lite_rule"
EXCUSE = "goes_lite_excuse"


def property_of(rule: Rule, place: str) -> tuple[str, Any]:
    """What a test says of itself to the report."""
    return RULE, [rule.id, rule.text, place]


def attach(config: pytest.Config) -> None:
    """Make sure that the run ends with a verdict."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(Report(), NAME)


class Report:
    """Collects what became of each rule."""
