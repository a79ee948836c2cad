"""The shares of `.ci/run` cover every pair of rule, backend and face, although none of them runs every combination."""

from __future__ import annotations

import re
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
    shares: tuple[int, ...] = tuple(shares.SHARES)


SQLITE = Home("SQLite", ("memory-apsw", "file-apsw", "file-sqlite3"))
SERVERS = (0, 1)  # the share of the wheel runs without servers
HOMES = (
    SQLITE,
    Home("OnALoopThread", faces=("loop",)),
    Home("Journal"),
    Home("Postgres", shares=SERVERS),
    Home("Mongo", shares=SERVERS),
)
SUITES = [getattr(suites, name) for name in suites.__all__ if name.endswith("Tests")]

Run = tuple[str, str, str, str]
"""Rule, hook, variant, face."""


def runs(suite: type[Contract], homes: tuple[Home, ...] = HOMES) -> set[Run]:
    """Return what the shares run of a suite."""
    found: set[Run] = set()
    for name, rule in rules_of(suite).items():
        for home in homes:
            kinds = kinds_of(suite, name, home)
            for share in home.shares:
                if kinds and shares.has_turn(rule.id, [home.hook], share):
                    found.add((rule.id, home.hook, *shares.choose(rule.id, kinds, share)))
    return found


def kinds_of(suite: type[Contract], name: str, home: Home) -> list[tuple[str, str]]:
    faces = getattr(getattr(suite, name), "faces", None) or home.faces
    return [(variant, face) for variant in home.variants for face in faces if face in home.faces]


def every(suite: type[Contract], homes: tuple[Home, ...] = HOMES) -> set[Run]:
    """Return what `--all` runs of a suite."""
    return {
        (rule.id, home.hook, *kind)
        for name, rule in rules_of(suite).items()
        for home in homes
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
    for share in shares.SHARES:
        homes = tuple(home._replace(shares=(share,)) for home in HOMES if share in home.shares)
        ran, all_of_them = (sum(len(look(suite, homes)) for suite in SUITES) for look in (runs, every))
        assert ran < all_of_them * 0.4


def test_a_choice_is_the_same_in_every_process() -> None:
    kinds = [("memory", "async"), ("memory", "blocking"), ("file", "async"), ("file", "blocking")]

    assert [shares.choose("ES-APPEND-001", kinds, share) for share in range(3)] == [
        ("memory", "blocking"), ("file", "async"), ("memory", "blocking"),
    ]  # fmt: skip
    assert shares.choose("anything", [("only",)], 7) == ("only",)


def test_a_part_that_not_every_other_has_is_chosen_too() -> None:
    kinds = [("async", "apsw"), ("async", "sqlite3"), ("loop", "any")]

    assert {shares.choose(f"rule {number}", kinds, 0) for number in range(20)} == set(kinds)


def test_ci_takes_all_of_them() -> None:
    script = (Path(__file__).parents[1] / ".ci" / "run").read_text(encoding="utf-8")

    for share in shares.SHARES[1:]:  # 0 is the default
        assert f"--share {share} " in script


@pytest.mark.parametrize("file", LONG)
def test_what_takes_long_is_there(file: str) -> None:
    """A test that gets another name would run in every share again."""
    names = re.findall(
        r"^(?:async )?def (test_\w+)", (Path(__file__).parent / file).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(LONG[file]) <= set(names)
