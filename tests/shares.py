"""Which part of the tests one run takes: a rule on one backend and face of many, chosen so that few runs cover every pair.

A suite's rule could run on every variant of every backend through every face. The faults that it can find are almost
all about the rule and one of these, or about two of these whatever the rule, so it is enough that the runs together see
every pair: rule and backend, rule and face, backend and face. A run takes the share that `--share N` names (0 unless
told), and `.ci/run` takes all of SHARES, and SAMPLE from the wheel; `--all` runs every combination.

Everything here is a pure function of names, so each process of a run chooses alike, and a failure can be run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

Kind = TypeVar("Kind", bound=tuple[str, ...])

SHARES = range(2)
"""Those that together cover every pair: 0 is what a person runs, on the main Python; 1 runs on another Python, with all
that is slow. The leg without optional packages takes the standard library's driver (see `of_leg`)."""

SAMPLE = 2
"""The share that shows what a wheel holds: the first rule of each family, on one backend and face."""

TURNS = {
    "Bare": (1, 3),  # SQLite without optional packages; the first share is there for what a person waits for
    "Older": (0, 1),  # these two are slow, and the second share runs what is slow
    "Pooled": (0, 1),
    "Postgres": (1, 19),  # servers take most of the time of a run: the first share shows that their adapters work
    "Mongo": (1, 19),
    "JetStream": (1, 1),
    "Core": (1, 1),
    "OnALoopThread": (1, 3),
    "Journal": (1, 3),
    "TestLegalTrouble": (1, 3),
    "Sound": (1, 1),
}
"""The backends on which not every share runs every rule, and how many parts of the rules each share runs there. They are
told by a class that their test classes inherit, or by `Bare` before it where there is no optional package; all other
backends run every rule in every share."""

WORDS = frozenset({"async", "blocking", "loop", "memory", ":memory:", "file", "apsw", "sqlite3", "any"})
"""What a parameter of a test says if it is about a face, a driver or the place of a file."""


def choose(rule: str, kinds: Sequence[Kind], share: int) -> list[Kind]:
    """Choose the combinations on which a rule runs, such as (variant, face).

    The first share takes one: the number of the rule says which, so the many rules of a suite cover the pairs of parts.
    The second takes as many as have every value that this one has not; of two variants and two faces, that is one.
    """
    first = _by_number(_number(rule), kinds)
    if share != 1:
        return [first]
    left = {(part, kind[part]) for kind in kinds for part in range(len(kind))} - set(enumerate(first))
    chosen: list[Kind] = []
    while left:
        chosen.append(max(kinds, key=lambda kind: len(left & set(enumerate(kind)))))
        left -= set(enumerate(chosen[-1]))
    return chosen or [first]


def _by_number(number: int, kinds: Sequence[Kind]) -> Kind:
    left = list(kinds)
    for part in range(len(left[0])):
        values = list(dict.fromkeys(kind[part] for kind in left))
        value = values[number % len(values)]
        number //= len(values)
        left = [kind for kind in left if kind[part] == value]
    return left[0]


def of_leg(kinds: Sequence[Kind], apsw: bool) -> list[Kind]:
    """Return the kinds (variant, face) of a rule that a leg runs: the leg without apsw is there for the other driver."""
    others = "sqlite3" if apsw else "memory-sqlite3"
    return [kind for kind in kinds if others not in kind[0]] or list(kinds)


def has_turn(rule: str, classes: Iterable[str], share: int) -> bool:
    """Whether a share runs a rule on a backend, which is told by the names of the classes that a test class inherits."""
    parts = next((TURNS[name] for name in classes if name in TURNS), None)
    if share == SAMPLE:
        return rule.endswith("-001")
    if parts is None:
        return True
    whose = [number for number, count in enumerate(parts) for _ in range(count)]
    return whose[_number(f"turn of {rule}") % len(whose)] == share % len(SHARES)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
