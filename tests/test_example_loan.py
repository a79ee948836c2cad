"""examples/loan_log.py: it reads any XES, trusts nothing, and prints the published figures."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.testing import given, history, like
from tests.examples import example_kit as kit

REAL_LOG = kit.EXAMPLES.parents[1] / "shared" / "data" / "bpic2012.xes.gz"


def test_a_case_is_what_happened_to_it() -> None:
    """Given steps, the aggregate has their number, and the last outcome."""
    example = kit.module("loan_log")
    opened = history(("case", "1"), example.CaseOpened(Decimal(1000)), example.Step("A_SUBMITTED", "COMPLETE", None))

    def approve(case: Any) -> None:
        case.record(example.Step("A_APPROVED", "COMPLETE", "112"))

    given(opened).use(example.Case, "1", approve).then(like(example.Step, activity="A_APPROVED")).then_state(
        example.Case, "1", amount=Decimal(1000), steps=2, outcome="approved"
    )


def event(activity: str, time: str, lifecycle: str = "COMPLETE", resource: str | None = None) -> str:
    by = f'<string key="org:resource" value="{resource}"/>' if resource else ""
    return (
        f'<event>{by}<string key="lifecycle:transition" value="{lifecycle}"/>'
        f'<string key="concept:name" value="{activity}"/><date key="time:timestamp" value="{time}"/></event>\n'
    )


def trace(name: str, amount: int, *events: str) -> str:
    return (
        f'<trace><date key="REG_DATE" value="2011-10-01T00:00:00.000+02:00"/><string key="concept:name" value="{name}"/>'
        f'<string key="AMOUNT_REQ" value="{amount}"/>\n{"".join(events)}</trace>\n'
    )


HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<log xmlns="http://www.xes-standard.org/" xes.version="1.0">\n'
    '<global scope="trace"><string key="concept:name" value="UNKNOWN"/></global>\n'
    '<global scope="event"><string key="concept:name" value="UNKNOWN"/></global>\n'
    '<string key="concept:name" value="Loans of a small bank"><string key="inner" value="x"/></string>\n'
)
TRACES = [
    trace(
        "1", 1000,
        event("A_SUBMITTED", "2011-10-01T00:00:00.000+02:00"),
        event("W_Call", "2011-10-01T01:00:00.000+02:00", "START", "112"),
        event("W_Call", "2011-10-01T02:00:00.000+02:00", "COMPLETE", "112"),
        event("A_APPROVED", "2011-10-01T02:00:00.000+02:00", resource="7"),
    ),
    trace("2", 3000, event("A_SUBMITTED", "2011-10-02T10:00:00Z"), event("A_DECLINED", "2011-10-02T10:00:30Z")),
    trace("3", 5000, event("A_SUBMITTED", "2011-10-03T00:00:00+02:00"), event("A_DECLINED", "2011-10-06T00:00:00+02:00")),
    trace("4", 9000, event("A_SUBMITTED", "2011-10-04T00:00:00+02:00"), event("A_CANCELLED", "2011-10-14T00:00:00+02:00")),
]  # fmt: skip
SMALL = HEAD + "".join(TRACES) + "</log>\n"


def rows(out: str) -> dict[str, str]:
    """Return the printed table of figures."""
    table = out.partition("\n\n")[2].partition("\n\n")[0]
    return {line[2:18].strip(): line[18:].strip() for line in table.splitlines()[1:]}


def loan(path: Path, *, db: str = "cases.db", code: int = 0) -> tuple[str, str]:
    return kit.run("loan_log.py", path, "--db", db, cwd=path.parent, code=code)


def test_prints_the_figures_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "small.xes"
    log.write_text(SMALL)

    out, err = loan(log)

    assert "4 new cases with 10 events" in out
    assert "Loans of a small bank" in out
    assert rows(out) == {
        "cases": "4",
        "events": "10",
        "activity names": "5   (6 with the lifecycle)",
        "period": "2011-09-30 to 2011-10-13",
        "approved": "1   (25.0%)",
        "declined": "2   (50.0%)",
        "cancelled": "1   (25.0%)",
        "amount": "median 4,000, total 18,000",
        "duration": "median 1.5 days, mean 3.3 days",
        "longest case": "4 events (case 1, approved)",
    }
    assert re.search(r"^  A_SUBMITTED +4 #+$", out, re.MULTILINE)
    assert err == ""
    before = kit.events_in(tmp_path / "cases.db")
    assert len(before) == 14

    again, _ = loan(log)

    assert "0 new cases with 0 events in" in again
    assert rows(again) == rows(out)
    assert kit.events_in(tmp_path / "cases.db") == before

    packed = tmp_path / "small.xes.gz"
    packed.write_bytes(gzip.compress(SMALL.encode()))
    kit.run("loan_log.py", packed, cwd=tmp_path)
    assert kit.events_in(tmp_path / "small.db") == before


def test_imports_any_xes(tmp_path: Path) -> None:
    log = tmp_path / "foreign.xes"
    log.write_text(
        """<?xml version="1.0" encoding="ISO-8859-1"?>
        <!DOCTYPE xes:log SYSTEM "http://localhost:1/never-fetched.dtd">
        <xes:log xmlns:xes="http://www.xes-standard.org/">
          <xes:extension name="Concept" prefix="concept" uri="x"/>
          <xes:event><xes:string key="concept:name" value="of no case"/></xes:event>
          <xes:trace>
            <xes:string key="concept:name" value="P-1 \xe9&#155;31m"/><xes:boolean key="urgent" value="TRUE"/>
            <xes:event><xes:string key="concept:name" value="admit"/><xes:int key="age" value="77"/>
              <xes:int key="huge" value="99999999999999999999999"/><xes:int key="bad" value="x"/>
              <xes:float key="score" value="NaN"/><xes:float key="rate" value="1.5"/><xes:id key="ref" value="u-1"/>
              <xes:list key="drugs"><xes:values><xes:string key="drug" value="A"/><xes:string key="drug" value="B"/>
              </xes:values></xes:list><xes:container key="box"><xes:date key="when" value="2020-01-01"/></xes:container>
              <xes:date key="time:timestamp" value="2020-05-01T08:00:00"/></xes:event>
            <xes:event><xes:string key="concept:name" value="treat"/></xes:event>
            <xes:event><xes:date key="time:timestamp" value="0001-01-01T00:00:00+14:00"/><xes:string value="no key"/></xes:event>
            <xes:event><xes:string key="concept:name" value="leave"/>
              <xes:date key="time:timestamp" value="2020-05-01T09:00:00Z"/></xes:event>
          </xes:trace>
          <xes:trace><xes:event/></xes:trace>
          <xes:trace><xes:string key="concept:name" value="P-2"/></xes:trace>
          <xes:trace><xes:string key="concept:name" value="P-2"/><xes:event/></xes:trace>
        </xes:log>""",
        encoding="latin-1",
    )

    out, err = loan(log)

    assert rows(out) == {
        "cases": "4",
        "events": "6",
        "activity names": "3",
        "period": "2020-05-01 to 2020-05-01",
        "duration": "median 1.0 hours, mean 1.0 hours",
        "longest case": "4 events (case P-1 é\\x9b31m)",
    }
    assert "events that belong to no case are omitted: 1" in err
    example = kit.module("loan_log")
    with goes.blocking.connect(tmp_path / "cases.db") as db:
        ids = [info.aggregate.id for info in db.events.aggregates("case")]
        opened, admitted, treated, nameless, _ = db.events.load(goes.AggregateRef("case", ids[0]))
    assert ids == ["P-1 é\x9b31m", "P-2", "P-2#4", "case 2"]
    assert isinstance(opened.data, example.CaseOpened)
    assert opened.data.amount is None
    assert dict(opened.data.others) == {"urgent": True}
    assert admitted.time.isoformat() == "2020-05-01T08:00:00+00:00"
    assert dict(admitted.data.others) == {
        "age": 77, "huge": "99999999999999999999999", "bad": "x", "score": "NaN", "rate": 1.5, "ref": "u-1",
        "drugs.drug": "A", "drugs.drug[8]": "B", "box.when": "2020-01-01",
    }  # fmt: skip
    assert treated.time == admitted.time
    assert treated.metadata == {"time": "missing"}
    assert nameless.data.activity is None
    assert dict(nameless.data.others) == {"time:timestamp": "0001-01-01T00:00:00+14:00"}

    assert "0 new cases" in loan(log)[0]


@pytest.mark.parametrize("amount", ["1E+400", "NaN", "much"])
def test_an_invalid_amount_stays_an_attribute(tmp_path: Path, amount: str) -> None:
    log = tmp_path / "log.xes"
    large = "9" * 400
    log.write_text(
        HEAD + trace("1", 1).replace('value="1"/>\n', f'value="{amount}"/><int key="n" value="{large}"/>') + "</log>"
    )

    out, _ = loan(log)

    assert "amount" not in rows(out)
    example = kit.module("loan_log")
    with goes.blocking.connect(tmp_path / "cases.db") as db:
        (opened,) = db.events.load(goes.AggregateRef("case", "1"))
    assert isinstance(opened.data, example.CaseOpened)
    assert opened.data.amount is None
    others = dict(opened.data.others)
    assert (others["AMOUNT_REQ"], others["n"]) == (amount, large)


def test_keeps_cases_of_one_name_apart_across_batches(tmp_path: Path) -> None:
    many = [event("A_SUBMITTED", "2011-10-01T00:00:00Z")] * 3000
    log = tmp_path / "twins.xes"
    log.write_text(HEAD + trace("same", 1, *many) + trace("other", 2, *many) + trace("same", 3, *many[:10]) + "</log>")

    out, _ = loan(log)

    assert rows(out)["cases"] == "3"
    assert rows(out)["events"] == "6,010"
    with goes.blocking.connect(tmp_path / "cases.db", unknown="raw") as db:
        assert [(info.aggregate.id, info.version) for info in db.events.aggregates()] == [
            ("other", 3001), ("same", 3001), ("same#3", 11),
        ]  # fmt: skip
    assert "0 new cases" in loan(log)[0]


@pytest.mark.parametrize("names", [("x", "x#3", "x"), ("x", "x", "x#2"), ("x#3", "x", "x", "x#3", "x")])
def test_keeps_cases_apart_whose_names_look_like_made_ones(tmp_path: Path, names: tuple[str, ...]) -> None:
    steps = [f"A_{number}" for number in range(len(names))]
    log = tmp_path / "log.xes"
    log.write_text(
        HEAD
        + "".join(trace(name, 1, event(step, "2011-10-01T00:00:00Z")) for name, step in zip(names, steps, strict=True))
        + "</log>"
    )

    out, _ = loan(log)

    assert rows(out)["cases"] == str(len(names))
    with goes.blocking.connect(tmp_path / "cases.db", unknown="raw") as db:
        found = [
            json.loads(event.encoded.payload)["activity"] for event in db.events.query(goes.EventQuery(["case.step"]))
        ]
    assert found == steps
    assert "0 new cases" in loan(log)[0]


@pytest.mark.parametrize("packed", [False, True])
def test_keeps_the_complete_cases_of_a_truncated_file(tmp_path: Path, packed: bool) -> None:
    whole = (
        HEAD + "".join(trace(str(n), n, event("A_SUBMITTED", "2011-10-01T00:00:00Z")) for n in range(3000)) + "</log>"
    )
    raw = gzip.compress(whole.encode()) if packed else whole.encode()
    log = tmp_path / "log.xes"
    log.write_bytes(raw[: len(raw) * 2 // 3])

    _, err = loan(log, code=2)

    assert "ends in the middle" in err
    imported = int(re.search(r"([\d,]+) complete cases are imported", err)[1].replace(",", ""))  # type: ignore[index]
    assert 0 < imported < 3000
    assert len(kit.events_in(tmp_path / "cases.db")) == 2 * imported

    log.write_bytes(raw)
    out, _ = loan(log)
    assert f"{3000 - imported:,} new cases" in out
    assert rows(out)["cases"] == "3,000"
    assert rows(out)["events"] == "3,000"
    loan(log, db="at-once.db")
    assert kit.events_in(tmp_path / "cases.db") == kit.events_in(tmp_path / "at-once.db")


BOMB = '<!DOCTYPE log [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'<?xml version="1.0"?>{BOMB}<log><string key="x" value="&b;"/></log>'.encode(), "XML entity 'a'"),
        (b'<!DOCTYPE log [<!ENTITY x SYSTEM "file:///etc/passwd">]><log/>', "XML entity 'x'"),
        (b"<html><body>Not found</body></html>", "outermost element is <html>"),
        (b"case;activity;time\n1;a;2020\n", "not well-formed XML"),
        (b"", "ends in the middle"),
        (b'<?xml version="1.0" encoding="x-klingon"?><log/>', "encoding"),
        (b"\x1f\x8b\x08\x00garbage after the header of gzip", "cannot be unpacked"),
        (b"<log><trace></log>", "not well-formed XML"),
        (b"<log>" + b" " * (20 << 20) + b"</log>", "without an element"),
        (b"<log>" + b'<string key="x" value="1">' * 200, "nested more than 100 deep"),
    ],
    ids=["bomb", "external", "html", "csv", "empty", "encoding", "gzip", "mismatch", "blank", "deep"],
)  # fmt: skip
def test_refuses_anything_but_xes(tmp_path: Path, content: bytes, message: str) -> None:
    log = tmp_path / "log.xes"
    log.write_bytes(content)

    _, err = loan(log, code=2)

    assert message in err
    assert "0 complete cases are imported" in err


def test_says_when_the_file_is_missing_or_another_one(tmp_path: Path) -> None:
    assert "cannot be read" in loan(tmp_path / "missing.xes", code=2)[1]
    assert "cannot be read" in kit.run("loan_log.py", tmp_path, "--db", "x.db", cwd=tmp_path, code=2)[1]
    log = tmp_path / "log.xes"
    log.write_text(SMALL)
    foreign = tmp_path / "foreign.db"
    foreign.write_text("a letter to a friend, not a database\n" * 100)
    assert str(foreign) in loan(log, db="foreign.db", code=2)[1]
    loan(log)
    before = kit.events_in(tmp_path / "cases.db")

    log.write_text(HEAD + "".join(reversed(TRACES)) + "</log>")
    assert "its case 1 differs from the imported one" in loan(log, code=2)[1]
    log.write_text(HEAD + "".join(TRACES[:3]) + "</log>")
    assert "it has 3 cases, but 4 were imported" in loan(log, code=2)[1]
    log.write_text(HEAD + "".join([*TRACES[:3], TRACES[3].replace("9000", "9001")]) + "</log>")
    assert "its case 4 differs from the imported one" in loan(log, code=2)[1]
    assert kit.events_in(tmp_path / "cases.db") == before

    log.write_text(HEAD + "".join(TRACES) + trace("5", 1, event("A_DECLINED", "2011-10-04T00:00:00Z")) + "</log>")
    out, _ = loan(log)
    assert "1 new case with 1 event in" in out
    assert rows(out)["declined"] == "3   (60.0%)"


@pytest.mark.slow
def test_resumes_after_being_killed(tmp_path: Path) -> None:
    log = tmp_path / "log.xes"
    steps = [event("W_Call", f"2011-10-01T00:00:{second:02}Z") for second in range(20)]
    log.write_text(HEAD + "".join(trace(str(number), number, *steps) for number in range(1500)) + "</log>")
    kit.kill_when_it_has_begun("loan_log.py", log, db=tmp_path / "killed.db")

    stored = len({event[5] for event in kit.events_in(tmp_path / "killed.db")})
    assert 0 < stored < 1500
    out, _ = loan(log, db="killed.db")
    assert f"{1500 - stored:,} new cases" in out
    assert rows(out)["cases"] == "1,500"
    assert rows(out)["events"] == "30,000"
    whole, _ = loan(log, db="whole.db")
    assert rows(whole) == rows(out)
    assert kit.events_in(tmp_path / "killed.db") == kit.events_in(tmp_path / "whole.db")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the BPI Challenge 2012 log is not at {REAL_LOG}")
def test_reproduces_the_published_figures(tmp_path: Path) -> None:
    out, _ = kit.run("loan_log.py", REAL_LOG, "--db", "bpic.db", cwd=tmp_path)

    figures = rows(out)
    assert figures["cases"] == "13,087"
    assert figures["events"] == "262,200"
    assert figures["activity names"] == "24   (36 with the lifecycle)"
    assert figures["longest case"].startswith("175 events")
    assert figures["approved"].startswith("2,246 ")
    assert figures["declined"].startswith("7,635 ")
    assert figures["cancelled"].startswith("2,807 ")
    peak = re.search(r"(\d+) MiB peak memory", out)
    assert peak is None or int(peak[1]) < 128
    with goes.blocking.connect(tmp_path / "bpic.db", unknown="raw") as db:
        assert db.events.count(goes.EventQuery(["case.step"])) == 262_200
        assert db.events.count(goes.EventQuery(["case.opened"])) == 13_087
