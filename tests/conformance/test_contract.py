"""The frame of the conformance suites: what a rule is, how it runs, and what its failure says."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import goes_lite_conformance
import pytest
from goes_lite_conformance import Contract, Rule, needs, rules_of

from goes_lite.contract import backend, event_bus, upkeep

pytestmark = pytest.mark.once

Suite = type[Contract]
Run = Callable[..., pytest.RunResult]

ABILITIES = {
    value
    for module in (backend, event_bus, upkeep)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}

# What somebody has who writes a backend: one file, the hook in it.
HOOK = """
import asyncio
import pytest
from goes_lite_conformance import Contract, Storage, needs, only, patience

class Acme(Contract):
    def url(self, storage: Storage) -> str:
        return "sqlite:///:memory:?driver=sqlite3"
"""


def shipped() -> list[Suite]:
    suites = [getattr(goes_lite_conformance, name) for name in goes_lite_conformance.__all__ if name.endswith("Tests")]
    if importlib.util.find_spec("apsw"):
        suites.append(importlib.import_module("goes_lite_conformance.sqlite_power").SQLitePowerTests)
    return suites


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run pytest on somebody's rules, with no more options than it is given; `apart` in a process of its own."""

    def start(rules: str, *options: str, hook: str = HOOK, apart: bool = False) -> pytest.RunResult:
        pytester.makepyfile(test_acme=f"{hook}\n{rules}")
        run = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return run("-p", "no:cacheprovider", *options)

    return start


def rule(body: str, *, id: str = "XX-SOME-001", parameters: str = "db", marks: str = "") -> str:
    """A suite with one rule, bound."""
    lines = [line for line in (*marks.splitlines(), f"async def test_it(self, {parameters}):") if line]
    lines += [f'    """{id}: It does what it should."""', *(f"    {line}" for line in body.splitlines())]
    return "\n".join(["class TestIt(Acme):", *(f"    {line}" for line in lines)])


# --- what a rule is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", shipped(), ids=lambda suite: suite.__name__)
def test_every_test_of_a_suite_is_a_rule_that_is_a_sentence(suite: Suite) -> None:
    rules = rules_of(suite)

    assert {name for name in dir(suite) if name.startswith("test_")} == set(rules)
    for name, one in rules.items():
        assert one.text[:1].isupper() or not one.text[:1].isalpha(), f"{name}: {one.text}"
        assert one.text.endswith("."), f"{name}: {one.text}"
        assert one.needs <= ABILITIES, name


def test_ids_are_used_once_and_numbered_without_gaps() -> None:
    rules: dict[str, list[str]] = defaultdict(list)
    homes: dict[str, set[str]] = defaultdict(set)
    for suite in shipped():
        for one in rules_of(suite).values():
            family, _, number = one.id.rpartition("-")
            rules[family].append(number)
            homes[family].add(suite.__name__)

    for family, found in rules.items():
        assert sorted(found) == [f"{number:03}" for number in range(1, len(found) + 1)], family
    assert {family: found for family, found in homes.items() if len(found) > 1} == {}


def test_a_rule_knows_its_id_its_sentence_and_the_abilities_that_it_needs() -> None:
    @needs("persistent", "sql")
    async def test_it(self: Contract) -> None: ...

    test_it.__doc__ = "XX-SOME-012: A sentence\n        over two lines.\n\n        And why."

    assert rules_of(type("Some", (Contract,), {"test_it": test_it})) == {
        "test_it": Rule("XX-SOME-012", "A sentence over two lines.", frozenset({"persistent", "sql"}))
    }


@pytest.mark.parametrize("docstring", ["", "It works.", "XX-001: It works.", "XX-SOME-1: It works.", "XX-SOME-001:"])
def test_a_rule_without_an_id_is_refused_when_its_class_is_made(docstring: str) -> None:
    async def test_it(self: Contract) -> None: ...

    test_it.__doc__ = docstring

    with pytest.raises(TypeError, match="test_it: its docstring must begin with the id of its rule"):
        type("Some", (Contract,), {"test_it": test_it})


# --- how it runs ------------------------------------------------------------------------------------------------------


def test_a_rule_runs_on_both_faces_of_every_variant(run: Run) -> None:
    result = run(
        "class TestIt(Acme):\n"
        '    variants = ("small", "large")\n'
        "    async def test_it(self, place):\n"
        '        """XX-SOME-001: It runs."""\n'
        '        print("ran", place.storage.variant, place.face, place.storage.folder.is_dir())',
        "-s",
    )

    result.assert_outcomes(passed=4)
    assert sorted(line.partition("ran ")[2] for line in result.outlines if "ran " in line) == [
        "large async True",
        "large blocking True",
        "small async True",
        "small blocking True",
    ]


def test_a_conftest_can_choose_where_a_rule_runs(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from goes_lite_conformance.harness.contract import CHOICE\n"
        "def pytest_configure(config):\n"
        "    config.stash[CHOICE] = lambda rule, kinds: [kinds[int(rule[-1])]]"
    )

    result = run(f"{rule('pass')}\n    variants = ('small', 'large')", "-v")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_it?small-blocking? PASSED*"])


def test_each_test_has_a_storage_of_its_own_that_is_erased(run: Run) -> None:
    result = run(
        "class TestIt(Acme):\n"
        "    async def erase(self, storage):\n"
        '        print("erased", storage.name)\n'
        "    async def test_it(self, place, db):\n"
        '        """XX-SOME-001: It runs."""\n'
        '        print("used", place.storage.name)',
        "-s",
    )

    used = re.findall(r"used (\w+)", result.stdout.str())
    erased = re.findall(r"erased (t[0-9a-f]{16})\n", result.stdout.str())
    assert len(set(used)) == 2
    assert len(erased) == 3  # the first is where the abilities were looked up
    assert set(used) < set(erased)


def test_a_storage_that_cannot_be_erased_is_an_error(run: Run) -> None:
    result = run(f"{rule('pass')}\n    async def erase(self, storage):\n        raise OSError('it is stuck')")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*OSError: it is stuck*"])


def test_a_hook_that_is_missing_says_what_to_do(run: Run) -> None:
    result = run(rule("pass"), hook="from goes_lite_conformance import Contract\nclass Acme(Contract): pass")

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*NotImplementedError: TestIt must define url(self, storage), which says how its backend is opened"]
    )


def test_a_backend_that_cannot_be_opened_is_an_error_that_says_so(run: Run) -> None:
    result = run(rule("pass"), hook=HOOK.replace("sqlite:///:memory:?driver=sqlite3", "acme://host"))

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*UnknownBackend: no backend for 'acme' URLs is installed*"])


# --- what its failure says --------------------------------------------------------------------------------------------

# anyio has a plugin for async tests, installed with the optional packages; rules take no notice of it. pytest-asyncio is
# not among the packages that we test with.
ALONE = {"alone": (), "without anyio": ("-p", "no:anyio"), "xdist": ("-n", "2", "-p", "goes_lite_conformance.report")}


@pytest.mark.parametrize("options", ALONE.values(), ids=ALONE.keys())
def test_a_failure_shows_the_rule_and_both_sides(options: tuple[str, ...], run: Run) -> None:
    result = run(
        rule('assert ["a", "b", "c"] == ["a", "x", "c"]'), "-vv", *options, apart=not options or "-n" in options
    )

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*XX-SOME-001: It does what it should.*",
            "*assert *'a', 'b', 'c'* == *'a', 'x', 'c'*",
            "E*At index 1 diff: 'b' != 'x'",
            "E*-*'x',",
            "E*[+]*'b',",
            "E*XX-SOME-001: It does what it should.",
            "test_acme.py:*: AssertionError",
            "*goes_lite conformance*",
            "Acme (test_acme.py): 1 rule: 0 passed, 1 failed (at 2 places)",
            "*XX-SOME*1*0*1*-*",
            "*failed XX-SOME-001: It does what it should.",
        ]
    )


def test_a_helper_of_ours_that_fails_shows_both_sides(run: Run) -> None:
    result = run(
        "from goes_lite_conformance.harness.samples import note\n"
        "from goes_lite_conformance.harness.asserts import refused\n"
        + rule("with refused(ValueError, args=(1,)):\n    raise ValueError(2)")
    )

    result.stdout.fnmatch_lines(["E*AssertionError: args of ValueError(2)", "E*assert (2,) == (1,)"])


HANGING = {
    "waits": "await anext(db.events.follow(after=0))  # here",
    "computes": "while True: pass  # here",
}


@pytest.mark.parametrize("body", HANGING.values(), ids=HANGING.keys())
def test_a_rule_that_hangs_fails_and_says_where(body: str, run: Run) -> None:
    result = run(rule(body, marks="@patience(0.5)"), apart=True)

    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    assert text.count("AssertionError: it hangs: after 0.5 s it is still at") >= 2
    assert text.count("in test_it") == 2
    assert text.count("# here") >= 2


def test_a_rule_that_hangs_in_an_event_loop_closes_what_it_has_opened(run: Run) -> None:
    """It is cancelled, so whatever comes next finds neither its threads nor its tasks."""
    hanging = rule("await anext(db.events.follow(after=0))", marks='@patience(0.5)\n@only("async")')
    rules = f"""{hanging}

def test_behind_it():
    import threading
    assert [thread.name for thread in threading.enumerate() if thread.name != "MainThread"] == []
"""
    result = run(rules, apart=True)

    result.assert_outcomes(failed=1, passed=1)


def test_tasks_that_are_left_running_fail(run: Run) -> None:
    result = run(rule("asyncio.get_running_loop().create_task(asyncio.sleep(60))", marks='@only("async")'))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*AssertionError: tasks are left running: {<Task pending*sleep*"])


# --- what is not run --------------------------------------------------------------------------------------------------


def test_a_missing_ability_excuses_and_is_named(run: Run) -> None:
    result = run(rule("assert False", marks='@needs("persistent", "sql", "flying")'), "-rs")

    result.assert_outcomes(skipped=2)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "Acme (test_acme.py): 1 rule: 0 passed, 1 not applicable (at 2 places)",
            "*not applicable without flying, persistent: 1 rule",
            "SKIPPED *not applicable without the ability flying, persistent",
        ]
    )


SKIPPING = {
    "in the rule": (rule('pytest.skip("no time")'), "skipped: no time"),
    "by a mark": (rule("pass", marks='@pytest.mark.skip(reason="no time")'), "skipped: no time"),
    "an expected failure": (rule("assert 0", marks="@pytest.mark.xfail"), "marked as an expected failure"),
    "by a fixture": (
        rule("pass").replace(
            "class TestIt(Acme):", "class TestIt(Acme):\n    pytestmark = pytest.mark.usefixtures('lazy')"
        )
        + "\n@pytest.fixture\ndef lazy(): pytest.skip('no time')",
        "skipped: no time",
    ),
}


@pytest.mark.parametrize(("rules", "reason"), SKIPPING.values(), ids=SKIPPING.keys())
@pytest.mark.parametrize("options", [(), pytest.param(("-n", "1"), marks=pytest.mark.slow)], ids=["alone", "xdist"])
def test_nothing_else_skips_a_rule(rules: str, reason: str, options: tuple[str, ...], run: Run) -> None:
    result = run(rules, *options, apart=bool(options))

    outcomes = result.parseoutcomes()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 2
    if not options:
        result.stdout.fnmatch_lines(["*failed XX-SOME-001: It does what it should.", f"*async, blocking: {reason}"])


def test_a_rule_about_another_face_is_left_out_and_counted(run: Run) -> None:
    both = (
        rule("pass")
        + "\n"
        + rule("pass", id="XX-SOME-002", marks='@only("loop")').partition("\n")[2].replace("_it", "_2")
    )

    result = run(both)

    result.assert_outcomes(passed=2, deselected=1)
    result.stdout.fnmatch_lines(["*left out: 1 rule, only about other faces"])


def test_a_rule_that_a_class_removes_is_left_out_and_counted(run: Run) -> None:
    both = rule("pass") + "\n" + rule("pass", id="XX-SOME-002").partition("\n")[2].replace("_it", "_2")

    result = run(f"{both.replace('TestIt', 'Rules')}\nclass TestIt(Rules):\n    test_2 = None")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*left out: 1 rule, removed by its class"])


# --- other processes --------------------------------------------------------------------------------------------------

JOB = """
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.harness.workers import say

def add(place, text):
    with place.blocking() as db:
        say(db.events.append([note(text)]).positions[0])
"""

ON_FILE = HOOK.replace('"sqlite:///:memory:?driver=sqlite3"', 'f"sqlite:///{storage.folder}/app.db?driver=sqlite3"')


def test_another_process_finds_the_hook_in_the_file_of_the_test(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(jobs=JOB)
    body = (
        'worker = place.spawn(jobs.add, text="hello")\n'
        "worker.expect(1)\nworker.finish()\n"
        'assert [event.data.text async for event in db.events.query()] == ["hello"]'
    )

    result = run(rule(body, parameters="place, db"), hook=f"import jobs\n{ON_FILE}")

    result.assert_outcomes(passed=2)


def test_a_hook_inside_a_function_cannot_be_found_by_another_process(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(jobs=JOB)
    inner = rule('place.spawn(jobs.add, text="hello")', parameters="place")
    indented = "\n".join(f"    {line}" for line in inner.splitlines())

    result = run(f"def make():\n{indented}\n    return TestIt\nTestIt = make()", hook=f"import jobs\n{ON_FILE}")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["E*TypeError: make.<locals>.TestIt is defined inside a function, where another process *"]
    )


def test_workers_are_killed_when_their_rule_ends(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(jobs="import time\nfrom goes_lite_conformance.harness.workers import say\n"
                             "def idle(place):\n    say('there')\n    time.sleep(600)\n")  # fmt: skip
    body = (
        'worker = place.spawn(jobs.idle)\nworker.expect("there")\n'
        'with open("pids", "a") as pids: pids.write(f"{worker.process.pid} ")'
    )

    result = run(rule(body, parameters="place"), hook=f"import jobs\n{ON_FILE}")

    result.assert_outcomes(passed=2)
    pids = (pytester.path / "pids").read_text().split()
    assert len(pids) == 2
    if Path("/proc").is_dir():
        assert [pid for pid in pids if Path("/proc", pid).exists()] == []


def test_a_soak_run_multiplies_rounds_and_patience(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest('def pytest_addoption(parser): parser.addoption("--rounds", type=int, default=1)')

    result = run(rule("assert place.rounds == 7", parameters="place"), "--rounds", "7")

    result.assert_outcomes(passed=2)


def test_two_rules_of_one_name_are_refused() -> None:
    """In a suite that is put together of several: one of the two would never run. A rule can be replaced on purpose."""

    class One(Contract):
        async def test_same(self, db: backend.Backend) -> None:
            """XX-ONE-001: One."""

    class Other(Contract):
        async def test_same(self, db: backend.Backend) -> None:
            """XX-OTHER-001: Other."""

    class Replaced(One):
        async def test_same(self, db: backend.Backend) -> None:
            """XX-ONE-002: Another instead."""

    assert [rule.id for rule in rules_of(Replaced).values()] == ["XX-ONE-002"]
    with pytest.raises(TypeError, match="One and .*Other both have test_same"):
        type("Both", (One, Other), {})
