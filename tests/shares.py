"""Which part of the tests one run takes: a rule on one backend and face of many, chosen so that few runs cover every pair.

A suite's rule could run on every variant of every backend through every face. The faults that it can find are almost
all about the rule and one of these, or about two of these whatever the rule, so it is enough that the runs together see
every pair: rule and backend, rule and face, backend and face. A run takes the share that `--share N` names (0 unless
told), and `.ci/run` takes all of SHARES; `--all` runs every combination.

Everything here is a pure function of names, so each process of a run chooses alike, and a failure can be run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

Kind = TypeVar("Kind", bound=tuple[str, ...])

SHARES = range(3)
"""Those that `.ci/run` takes: 0 on the main Python, 1 on another one, 2 from the wheel, without servers."""

TURNS = {
    "Older": (0, 1),  # which is slow, so that CI runs it in one share
    "Pooled": (0, 1),
    "Postgres": (0, 2),
    "Mongo": (1, 2),
    "JetStream": (0, 2),
    "Core": (1, 2),
    "OnALoopThread": (0, 3),
    "Journal": (1, 3),
    "TestLegalTrouble": (2, 3),
    "Sound": (0, 3),
}
"""The backends that not every run takes a rule to: (N, of how many), by a class that
their test classes inherit. All others have each."""


def choose(rule: str, kinds: Sequence[Kind], share: int) -> Kind:
    """Choose the combination on which a rule runs, such as (variant, face).

    Each share takes the next value of every part, so as many shares as a part has values cover every pair of that part
    and the rule. A rule's number says where it begins, so the many rules of a suite cover the pairs of parts.
    """
    number = _number(rule)
    left = list(kinds)
    for part in range(len(left[0])):
        values = list(dict.fromkeys(kind[part] for kind in left))
        value = values[(number + share) % len(values)]
        number //= len(values)
        left = [kind for kind in left if kind[part] == value]
    return left[0]


def has_turn(rule: str, classes: Iterable[str], share: int) -> bool:
    """Whether a share runs a rule on a backend, which is told by the names of the classes that a test class inherits."""
    turn, turns = next((TURNS[name] for name in classes if name in TURNS), (0, 1))
    return (_number(f"turn of {rule}") + share) % turns == turn


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
