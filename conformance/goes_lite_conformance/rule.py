"""Rules: what a test of a suite states, as an id and a sentence, and what it needs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

Face = Literal["async", "blocking", "loop"]
"""How a rule reaches a backend: on an event loop, as blocking code inline, or as blocking code over a loop thread."""

PATIENCE = 60.0
"""Seconds after which a rule counts as stuck. Unless marked with `patience`, no rule needs that long without a bug."""

_ID = re.compile(r"([A-Z]{2}-[A-Z]+-\d{3}): (\S.*)", re.DOTALL)


class Rule(NamedTuple):
    """One behaviour that every backend must have, unless it lacks an ability that the rule needs."""

    id: str
    text: str
    """The first sentence of its docstring."""
    needs: frozenset[str] = frozenset()
    """The abilities without which it does not apply."""


def needs(*abilities: str) -> Callable[[T], T]:
    """Mark a rule that only applies to backends with all of these abilities."""

    def mark(test: T) -> T:
        test.__dict__["needs"] = frozenset(abilities)
        return test

    return mark


def patience(seconds: float) -> Callable[[T], T]:
    """Give a rule more time than `PATIENCE` (seconds per round) before it counts as stuck."""

    def mark(test: T) -> T:
        test.__dict__["patience"] = seconds
        return test

    return mark


def rule_of(test: Callable[..., Any]) -> Rule:
    """Return the rule that a test states; raise TypeError if its docstring does not begin with an id."""
    found = _ID.match(inspect.getdoc(test) or "")
    if found is None:
        raise TypeError(
            f"{test.__qualname__}: its docstring must begin with the id of its rule, such as 'ES-APPEND-001: …'"
        )
    text = " ".join(found[2].split("\n\n")[0].split())
    return Rule(found[1], text, test.__dict__.get("needs", frozenset()))


def rules_of(suite: type[Any]) -> dict[str, Rule]:
    """Return the rules of a suite, by the names of their tests."""
    tests = inspect.getmembers(suite, lambda member: hasattr(member, "rule"))
    return {name: test.rule for name, test in tests}


def only(*faces: Face) -> Callable[[T], T]:
    """Mark a rule for certain faces only, such as cancellation, which does not exist in blocking code."""

    def mark(test: T) -> T:
        test.__dict__["faces"] = faces
        return test

    return mark
