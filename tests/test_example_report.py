"""examples/loan_report.py: its projection resumes after any interruption, and its report agrees with the log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.testing import given
from tests.examples import example_kit as kit

REAL_LOG = kit.EXAMPLES.parents[1] / "shared" / "data" / "bpic2012.xes.gz"
BEGIN = datetime(2011, 10, 1, tzinfo=timezone.utc)


def add(path: Path, id: str, begun: datetime, *steps: tuple[str, float]) -> None:
    """Add a case as loan_log.py writes it: activities, and the days until each."""
    loan, ref = kit.module("loan_log"), goes.AggregateRef("case", id)
    events = [goes.Event(loan.CaseOpened(None), aggregate=ref, version=1, time=begun)]
    for version, (activity, days) in enumerate(steps, start=2):
        step = loan.Step(activity, "COMPLETE", None)
        events.append(goes.Event(step, aggregate=ref, version=version, time=begun + timedelta(days=days)))
    with goes.blocking.connect(path) as db:
        db.events.append(events)


def test_a_case_is_projected() -> None:
    """Given steps, the read model has the duration, and the days until each activity."""
    example = kit.module("loan_report")
    ref, day = goes.AggregateRef("case", "1"), timedelta(days=1)
    given(
        goes.Event(example.CaseOpened(), aggregate=ref, version=1, time=BEGIN, registry=example.log),
        goes.Event(example.Step("A_SUBMITTED"), aggregate=ref, version=2, time=BEGIN + day, registry=example.log),
        goes.Event(example.Step("A_DECLINED"), aggregate=ref, version=3, time=BEGIN + 3 * day, registry=example.log),
        registry=example.log,
    ).project(example.Cases()).then_model(
        "1", example.Case(BEGIN, 3.0, 2, "declined", {"A_SUBMITTED": 1.0, "A_DECLINED": 3.0})
    )


def small(path: Path) -> Path:
    """Create a store with four cases of two months."""
    add(path, "1", BEGIN, ("A_SUBMITTED", 0), ("A_ACCEPTED", 0.5), ("W_Call", 2), ("A_APPROVED", 2.5))
    add(path, "2", BEGIN, ("A_SUBMITTED", 0), ("A_DECLINED", 0.25))
    add(path, "3", BEGIN + timedelta(days=31), ("A_SUBMITTED", 0), ("A_ACCEPTED", 1.5), ("A_CANCELLED", 20))
    add(path, "4", BEGIN + timedelta(days=31), ("A_SUBMITTED", 0.001))
    return path


def report(path: Path, *options: str, code: int = 0) -> tuple[str, str]:
    return kit.run("loan_report.py", path, *options, cwd=path.parent, code=code)


def check_documents(path: Path) -> None:
    """Check that the documents are what folding the events of each case gives."""
    program = kit.module("loan_report")
    with goes.blocking.connect(path, registry=program.log) as db:
        stored = {record.id: record.data for record in db.models.query("loan-cases")}
        found = db.models_of("loan-cases", program.Case).find_many(stored)
        assert found == db.live(program.Cases())
        assert len(found) == len(db.events.aggregates("case").list())


def test_the_report_agrees_with_the_log(tmp_path: Path) -> None:
    out, err = report(small(tmp_path / "cases.db"))

    assert out.splitlines()[0].startswith("from the first event on: 14 events in ")
    assert out.splitlines()[1:] == [
        "4 cases, 10 steps",
        "",
        "Begun in       # approved   - declined   . cancelled   : open",
        "  2011-10       2  #########################-------------------------",
        "  2011-11       2  .........................:::::::::::::::::::::::::",
        "",
        "Ended as          cases           median      90th percentile",
        "  approved            1         2.5 days             2.5 days",
        "  declined            1        6.0 hours            6.0 hours",
        "  cancelled           1        20.0 days            20.0 days",
        "  open                1      1.4 minutes          1.4 minutes",
        "",
        "Reached                 after (median)      cases",
        "  A_SUBMITTED                0 seconds          4  ##################################################",
        "  A_ACCEPTED                  1.0 days          2  #########################",
        "  A_DECLINED                 6.0 hours          1  ############",
        "  A_APPROVED                  2.5 days          1  ############",
        "  A_CANCELLED                20.0 days          1  ############",
    ]
    assert err == ""


def test_resumes_where_it_left_off(tmp_path: Path) -> None:
    path = small(tmp_path / "cases.db")
    report(path)
    add(path, "5", BEGIN, ("A_SUBMITTED", 0), ("A_DECLINED", 1))

    out, _ = report(path)

    assert out.startswith("resumed after position 14: 3 events in ")
    assert "5 cases, 12 steps" in out
    assert re.search(r"^  declined +2 +15\.0 hours", out, re.MULTILINE)
    check_documents(path)


def test_a_rebuild_gives_the_same(tmp_path: Path) -> None:
    path = small(tmp_path / "cases.db")

    out, _ = report(path, "--rebuild")

    assert "rebuilt, at position 14: live 4 rows, new 4 rows: the same" in out
    assert "4 cases, 10 steps" in out
    check_documents(path)


def start(path: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(kit.EXAMPLES / "loan_report.py"), str(path), *options]
    return subprocess.Popen(command, cwd=path.parent, env=kit.GIT_ENV, stdout=subprocess.PIPE, text=True)


def test_resumes_after_being_killed(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    for number in range(100):
        add(path, str(number), BEGIN, *[(f"step {n % 7}", n) for n in range(299)])
    with start(path) as program, goes.blocking.connect(path, unknown="raw") as db:
        for _ in kit.until(lambda: (found := db.checkpoints.get("loan-cases")) and found.position):
            time.sleep(0.001)
        program.kill()
        program.communicate()
        reached = db.checkpoints.get("loan-cases")
        assert reached
        assert 0 < reached.position < 30_000

    out, _ = report(path)

    assert f"resumed after position {reached.position:,}: {30_000 - reached.position:,} events" in out
    assert "100 cases, 29,900 steps" in out
    check_documents(path)


@pytest.mark.skipif(os.name == "nt", reason="needs a signal like that of Ctrl-C for one process")
def test_follows_what_others_import_until_it_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    with start(path, "--follow") as program:
        for _ in kit.until(path.exists):
            time.sleep(0.01)
        small(path)
        with goes.blocking.connect(path, unknown="raw") as db:
            for _ in kit.until(lambda: (found := db.checkpoints.get("loan-cases")) and found.position == 14):
                time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        out, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    assert "4 cases, 10 steps" in out


def test_says_when_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    assert report(path, code=2)[1] == f"loan_report: {path} does not exist: import a log with loan_log.py first\n"
    with goes.blocking.connect(path) as db:
        db.events.append([goes.Event(1.5, name="temperature.measured", registry=thermometer())])

    assert report(path)[0].splitlines()[1:] == ["0 cases, 0 steps"]


def thermometer() -> goes.Registry:
    registry = goes.Registry()
    registry.register("temperature.measured", float)
    return registry


def test_nothing_in_a_log_moves_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    add(path, "1", BEGIN, ("\x1b[2J\x9b", 0), *[(f"many {number}", 1) for number in range(300)])

    out, _ = report(path)

    assert "\x1b" not in out
    assert "\\x1b[2J" in out
    check_documents(path)


@pytest.mark.slow
@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the BPI Challenge 2012 log is not at {REAL_LOG}")
def test_agrees_with_the_published_figures(tmp_path: Path) -> None:
    kit.run("loan_log.py", REAL_LOG, "--db", "bpic.db", cwd=tmp_path)

    out, _ = report(tmp_path / "bpic.db", "--rebuild")

    assert "from the first event on: 275,287 events" in out
    assert "13,087 cases, 262,200 steps" in out
    assert "live 13087 rows, new 13087 rows: the same" in out
    assert re.search(r"^  approved +2,246 +14\.5 days +28\.8 days$", out, re.MULTILINE)
    assert re.search(r"^  declined +7,635 ", out, re.MULTILINE)
    assert re.search(r"^  cancelled +2,807 ", out, re.MULTILINE)
    assert re.search(r"^  A_SUBMITTED +0 seconds +13,087  #{50}$", out, re.MULTILINE)
    assert re.search(r"^  2011-10 +2,392  #+-+\.+$", out, re.MULTILINE)
