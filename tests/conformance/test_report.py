"""What a run of rules says at its end, and what can be kept of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from goes_lite_conformance.matrix import read
from goes_lite_conformance.report.verdict import About, Family, Outcome, Result, Verdict, from_numbers, numbers, ranges
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.once

ABOUT = About(
    "acme://host/db",
    "acme://host/db",
    frozenset({"sql", "backup"}),
    "os-crash",
    ("async", "blocking"),
    {"goes-lite": "1"},
)


def outcome(number: int, result: Result, place: str = "async", reason: str = "", seconds: float = 0.5) -> Outcome:
    return Outcome(
        f"XX-SOME-{number:03}", f"Sentence {number}.", "SomeTests", place, result, reason, "details", seconds
    )


def verdict(*outcomes: Outcome) -> Verdict:
    return Verdict("Acme", list(outcomes), ABOUT, seconds=1.0)


MIXED = (
    outcome(1, "passed"),
    outcome(1, "passed", "blocking"),
    outcome(2, "passed"),
    outcome(2, "error", "blocking", "teardown: OSError: stuck"),
    outcome(3, "not applicable", reason="persistent"),
    outcome(3, "not applicable", "blocking", reason="persistent"),
    outcome(4, "failed", reason="assert 1 == 2"),
    outcome(4, "failed", "blocking", reason="assert 1 == 2"),
    outcome(5, "skipped", reason="skipped: no time"),
    outcome(6, "not applicable", "memory-async", "persistent"),
    outcome(6, "passed", "file-async"),
)


def test_a_rule_counts_once_whatever_the_number_of_places() -> None:
    """It failed if it failed anywhere, and passed if it passed anywhere else."""
    found = verdict(*MIXED)

    assert found.families == [Family("SomeTests", "XX-SOME", passed=2, failed=3, not_applicable=1, seconds=5.5)]
    assert found.total() == "6 rules: 2 passed, 3 failed, 1 not applicable"
    assert [rule.id for rule in found.failed] == ["XX-SOME-002", "XX-SOME-004", "XX-SOME-005"]


def test_what_is_said_below_the_numbers() -> None:
    found = verdict(*MIXED)
    found.not_run["OtherTests"] = "something is missing"
    found.left_out["deselected"] = ["XX-SOME-007", "XX-SOME-008"]

    assert list(found.shortcomings()) == [
        "failed XX-SOME-002: Sentence 2.",
        "    blocking: teardown: OSError: stuck",
        "failed XX-SOME-004: Sentence 4.",
        "    async, blocking: assert 1 == 2",
        "failed XX-SOME-005: Sentence 5.",
        "    async: skipped: no time",
        "not applicable without persistent: 2 rules (memory)",
        "not run: OtherTests: something is missing",
        "left out: 2 rules, deselected",
    ]


def test_the_contract_is_kept_if_everything_was_run_and_nothing_failed() -> None:
    kept = verdict(outcome(1, "passed"), outcome(2, "not applicable", reason="sql"))
    assert kept.kept

    kept.not_run["OtherTests"] = "something is missing"
    assert not kept.kept
    assert not verdict().kept
    bad: tuple[Result, ...] = ("failed", "error", "skipped")
    for result in bad:
        assert not verdict(outcome(1, "passed"), outcome(2, result)).kept


def test_the_json_is_the_same_for_another_run_with_the_same_result() -> None:
    slower = verdict(*(one._replace(seconds=9.0, details="other") for one in MIXED))
    slower.seconds = 77.0

    assert slower.to_json() == verdict(*MIXED).to_json()


def test_the_json_says_what_became_of_each_rule(tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text(verdict(*MIXED).to_json(), encoding="utf-8")

    found = read(file)

    assert found.name == "acme"
    assert (found.url, found.faces, found.abilities) == (ABOUT.url, ABOUT.faces, ABOUT.abilities)
    assert (found.durability, found.versions) == (ABOUT.durability, ABOUT.versions)
    assert found.rules == {
        "SomeTests": {
            "XX-SOME-001": "passed",
            "XX-SOME-006": "passed",
            "XX-SOME-002": "failed",
            "XX-SOME-004": "failed",
            "XX-SOME-005": "failed",
            "XX-SOME-003": "not applicable",
        }
    }


def test_the_json_has_a_line_for_each_family() -> None:
    assert (
        '      "XX-SOME": {"passed": "001, 006", "failed": "002, 004…005", "not applicable": {"persistent": "003"}}'
        in (verdict(*MIXED).to_json().splitlines())
    )


def test_the_markdown_shows_numbers_failures_and_excuses() -> None:
    text = verdict(*MIXED).to_markdown()

    assert "# acme://host/db\n" in text
    assert "| SomeTests | XX-SOME | 6 | 2 | 3 | 1 | 5.5 |" in text
    assert "- **XX-SOME-004**: Sentence 4.\n    - async, blocking: `assert 1 == 2`" in text
    assert "- without persistent: XX-SOME-003, 006 (memory)" in text


@given(st.sets(st.integers(1, 999), min_size=1))
def test_ids_survive_being_written_briefly(chosen: set[int]) -> None:
    ids = [f"XX-SOME-{number:03}" for number in sorted(chosen)]

    assert from_numbers("XX-SOME", numbers(ids)) == ids


def test_ids_are_written_briefly() -> None:
    assert ranges(["XX-A-001", "XX-A-002", "XX-A-004", "YY-B-007"]) == "XX-A-001…002, 004, YY-B-007"


# --- the plugin -------------------------------------------------------------------------------------------------------

BACKEND = """
from goes_lite_conformance import Contract, needs

class {name}(Contract):
    variants = {variants}
    def url(self, storage):
        path = ":memory:" if storage.variant == "memory" else f"{{storage.folder}}/app.db"
        return f"sqlite:///{{path}}?driver=sqlite3"

class Test{name}({name}):
    async def test_one(self, db):
        '''XX-SOME-001: It does what it should.'''
    @needs("persistent")
    async def test_two(self, db):
        '''XX-SOME-002: It lasts.'''
"""
BOTH = '("memory", "file")'

Run = Callable[..., list[str]]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """What pytest prints behind the head of the report, run on files of these names and texts."""

    def lines(*options: str, **files: str) -> list[str]:
        pytester.makepyfile(**files)
        start = pytester.runpytest_subprocess if "-p" in options else pytester.runpytest_inprocess
        result = start("-p", "no:cacheprovider", *options)
        assert result.ret == pytest.ExitCode.OK
        begin = next((index for index, line in enumerate(result.outlines) if "goes_lite conformance" in line), None)
        return [] if begin is None else result.outlines[begin + 1 : -1]

    return lines


def test_a_run_about_one_backend_ends_with_a_table(run: Run) -> None:
    lines = run(test_acme=BACKEND.format(name="Acme", variants=BOTH))

    assert lines[0] == "Acme (test_acme.py): 2 rules: 2 passed (at 4 places)"
    assert lines[1].split() == ["rules", "passed", "failed", "n.", "a.", "seconds"]
    assert lines[2] == "  TestAcme"
    assert lines[3].split()[:5] == ["XX-SOME", "2", "2", "-", "-"]
    assert lines[4:] == ["  not applicable without persistent: 1 rule (memory)"]


def test_among_other_tests_each_backend_has_a_line(run: Run) -> None:
    lines = run(
        test_acme=BACKEND.format(name="Acme", variants=BOTH),
        test_beta=BACKEND.format(name="Beta", variants='("file",)'),
        test_other="def test_it(): pass",
    )

    assert lines == [
        "Acme (test_acme.py): 2 rules: 2 passed (at 4 places)",
        "  not applicable without persistent: 1 rule (memory)",
        "Beta (test_beta.py): 2 rules: 2 passed (at 2 places)",
    ]


def test_among_other_tests_a_single_backend_has_a_line_too_and_its_table_on_demand(run: Run) -> None:
    files = {"test_acme": BACKEND.format(name="Acme", variants='("file",)'), "test_other": "def test_it(): pass"}

    assert run(**files) == ["Acme (test_acme.py): 2 rules: 2 passed (at 2 places)"]
    assert run("-v", **files)[2] == "  TestAcme"


def test_with_several_test_processes_it_is_the_same(run: Run) -> None:
    files = {f"test_{name}": BACKEND.format(name=name.title(), variants=BOTH) for name in ("acme", "beta")}

    alone = run(**files)

    assert len(alone) == 4
    assert run("-n", "2", "-p", "goes_lite_conformance.report", **files) == alone


def test_a_run_without_rules_has_no_report(run: Run) -> None:
    assert run("-p", "goes_lite_conformance.report", test_other="def test_it(): pass") == []


def test_rules_are_selected_by_their_ids(run: Run) -> None:
    lines = run("-k", "XX-SOME-002", test_acme=BACKEND.format(name="Acme", variants='("file",)'))

    assert lines[0] == "Acme (test_acme.py): 1 rule: 1 passed (at 2 places)"
    assert lines[-1] == "  left out: 1 rule, deselected"
