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
    "Older": (0, 1, 0),  # these two are slow, and the second share runs what is slow
    "Pooled": (0, 1, 0),
    "Postgres": (1, 3, 0),  # servers take most of the time of a run, and the third share has none
    "Mongo": (1, 3, 0),
    "JetStream": (1, 1, 0),
    "Core": (1, 1, 0),
    "OnALoopThread": (1, 1, 1),
    "Journal": (1, 1, 1),
    "TestLegalTrouble": (1, 1, 1),
    "Sound": (1, 1, 1),
}
"""The backends on which not every share runs every rule, and how many parts of the rules each share runs there. They are
told by a class that their test classes inherit; all other backends run every rule in every share."""


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
    parts = next((TURNS[name] for name in classes if name in TURNS), None)
    if parts is None:
        return True
    whose = [number for number, count in enumerate(parts) for _ in range(count)]
    return whose[_number(f"turn of {rule}") % len(whose)] == share % len(SHARES)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
