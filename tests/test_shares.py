"""The shares of `.ci/run` cover every pair of rule, backend and face, although none of them runs every combination."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import goes_lite_conformance as suites
import pytest
from goes_lite_conformance import Contract, rules_of

from tests import shares
from tests.long import LONG

pytestmark = pytest.mark.once

BOTH = ("async", "blocking")


class Home(NamedTuple):
    """A backend as a test file declares it."""

    hook: str
    variants: tuple[str, ...] = ("",)
    faces: tuple[str, ...] = BOTH


HOMES = (
    Home("SQLite", ("memory-apsw", "file-apsw", "file-sqlite3")),
    Home("OnALoopThread", ("file-apsw",), faces=("loop",)),
    Home("Journal"),
    Home("Postgres"),
    Home("Mongo"),
)
BARE = (Home("SQLite", ("memory-sqlite3", "file-sqlite3")),)
"""As the leg without optional packages finds it."""
SUITES = [getattr(suites, name) for name in suites.__all__ if name.endswith("Tests")]

Run = tuple[str, str, str, str]
"""Rule, hook, variant, face."""


def runs(suite: type[Contract], numbers: Iterable[int] = shares.SHARES) -> set[Run]:
    """Return what the shares run of a suite, in both legs."""
    legs = [(number, apsw, home) for number in numbers for apsw in (True, False) for home in (HOMES if apsw else BARE)]
    return {
        (rule.id, home.hook, *kind)
        for number, apsw, home in legs
        for name, rule in rules_of(suite).items()
        if (kinds := kinds_of(suite, name, home))
        and shares.has_turn(rule.id, [home.hook] if apsw else ["Bare", home.hook], number)
        for kind in shares.choose(rule.id, shares.of_leg(kinds, apsw), number)
    }


def kinds_of(suite: type[Contract], name: str, home: Home) -> list[tuple[str, str]]:
    faces = getattr(getattr(suite, name), "faces", None) or home.faces
    return [(variant, face) for variant in home.variants for face in faces if face in home.faces]


def every(suite: type[Contract]) -> set[Run]:
    """Return what `--all` runs of a suite."""
    return {
        (rule.id, home.hook, *kind)
        for name, rule in rules_of(suite).items()
        for home in HOMES
        for kind in kinds_of(suite, name, home)
    }


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_rule_runs_on_every_backend_and_on_every_face(suite: type[Contract]) -> None:
    ran, all_of_them = runs(suite), every(suite)

    assert ran <= all_of_them
    assert {run[:3] for run in ran} == {run[:3] for run in all_of_them}
    assert {(rule, face) for rule, *_, face in ran} == {(rule, face) for rule, *_, face in all_of_them}


@pytest.mark.parametrize(
    "suite", [suite for suite in SUITES if len(rules_of(suite)) > 10], ids=lambda suite: suite.__name__
)
def test_every_backend_is_used_through_every_face(suite: type[Contract]) -> None:
    assert {run[1:] for run in runs(suite)} == {run[1:] for run in every(suite)}


def test_a_share_is_a_small_part_of_everything() -> None:
    all_of_them = sum(len(every(suite)) for suite in SUITES)

    for share, part in ((0, 0.4), (1, 0.5), (shares.SAMPLE, 0.1)):
        assert sum(len(runs(suite, [share])) for suite in SUITES) < all_of_them * part


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_the_sample_has_a_rule_of_each_family(suite: type[Contract]) -> None:
    families = {rule.id.rpartition("-")[0] for rule in rules_of(suite).values()}

    assert {run[0].rpartition("-")[0] for run in runs(suite, [shares.SAMPLE])} == families


def test_a_choice_is_the_same_in_every_process() -> None:
    kinds = [("memory", "async"), ("memory", "blocking"), ("file", "async"), ("file", "blocking")]

    assert [shares.choose("ES-APPEND-001", kinds, share) for share in range(3)] == [
        [("memory", "blocking")], [("file", "async")], [("memory", "blocking")],
    ]  # fmt: skip
    assert shares.choose("anything", [("only",)], 0) == shares.choose("anything", [("only",)], 1) == [("only",)]


@pytest.mark.parametrize("number", range(20))
def test_two_shares_have_every_value(number: int) -> None:
    """Of a test that runs on several faces and drivers, not all of them on each other."""
    kinds = [
        *itertools.product(("async", "blocking"), ("file", "memory"), ("apsw", "sqlite3")),
        ("loop", "file", "any"),
    ]
    first, *others = (kind for share in shares.SHARES for kind in shares.choose(f"test {number}", kinds, share))

    assert first not in others
    assert {(part, kind[part]) for kind in (first, *others) for part in range(3)} == {
        (part, kind[part]) for kind in kinds for part in range(3)
    }


def test_a_part_that_not_every_other_has_is_chosen_too() -> None:
    kinds = [("async", "apsw"), ("async", "sqlite3"), ("loop", "any")]

    assert {kind for number in range(20) for kind in shares.choose(f"rule {number}", kinds, 0)} == set(kinds)


def test_ci_takes_all_of_them() -> None:
    script = (Path(__file__).parents[1] / ".ci" / "run").read_text(encoding="utf-8")

    for share in (*shares.SHARES[1:], shares.SAMPLE):  # 0 is the default
        assert f"--share {share} " in script


@pytest.mark.parametrize("file", LONG)
def test_what_takes_long_is_there(file: str) -> None:
    """A test that gets another name would run in every share again."""
    names = re.findall(
        r"^(?:async )?def (test_\w+)", (Path(__file__).parent / file).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(LONG[file]) <= set(names)
