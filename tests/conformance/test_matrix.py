"""The table in docs/backends.md: made from reports that are about the rules and the backends as they are today."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from goes_lite_conformance import matrix
from goes_lite_conformance.servers import ServerMissing, mongo, postgres

from goes_lite import blocking
from goes_lite.contract.event_bus import REPLAY

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "backends.md"
REPORTS = sorted((DOCS / "conformance").glob("*.json"))
REFRESH = (
    "out of date: python -m goes_lite_conformance.matrix --refresh --into docs/backends.md docs/conformance/*.json"
)


@pytest.fixture(params=REPORTS, ids=lambda file: file.stem)
def report(request: pytest.FixtureRequest) -> matrix.Kept:
    found = matrix.read(request.param)
    for driver in parse_qs(urlsplit(found.url).query).get("driver", []):
        if importlib.util.find_spec(driver) is None:
            pytest.skip(f"{driver} is not installed")
    return found


@contextmanager
def reached(report: matrix.Kept) -> Generator[str]:
    """The URL of a report; that of a server started for it, if it is about one."""
    scheme = urlsplit(report.url).scheme
    if scheme == "mongodb":
        pytest.importorskip("pymongo", reason="pymongo is not installed")
        try:
            mongo.program()
        except ServerMissing as exc:
            pytest.skip(str(exc))
        with mongo.server() as running:
            yield running.url
        return
    if scheme != "postgresql":
        yield report.url
        return
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    version = int(report.versions["driver"].partition("PostgreSQL ")[2].partition(".")[0])
    if version not in postgres.installations():
        pytest.skip(f"PostgreSQL {version} is not installed")
    with postgres.server(version) as server:
        yield server.url


def test_the_page_shows_the_reports() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert matrix.into(page, matrix.matrix([matrix.read(file) for file in REPORTS])) == page, REFRESH


def test_a_report_is_about_the_rules_of_today(report: matrix.Kept) -> None:
    today = matrix.expected(report)

    assert sorted(today - report.ids) == [], f"{report.name} lacks rules: it is {REFRESH}"
    assert sorted(report.ids - today) == [], f"{report.name} has rules that are gone: it is {REFRESH}"


def test_a_report_is_about_what_the_backend_says_of_itself_today(
    report: matrix.Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the URLs of files are relative
    if report.bus:
        pytest.importorskip("nats", reason="nats-py is not installed")
        # what it can do, it says without a broker
        with blocking.connect(report.url, bus=f"{report.bus}&patience=0") as db:
            assert db.abilities & {REPLAY} == report.abilities, REFRESH
        return

    with reached(report) as url, blocking.connect(url) as db:
        assert (db.abilities, db.durability) == (report.abilities, report.durability), REFRESH


def test_every_backend_keeps_what_it_declares(report: matrix.Kept) -> None:
    assert {rule for rules in report.rules.values() for rule, result in rules.items() if result == "failed"} == set()


def test_the_stdlib_and_apsw_are_there_in_memory_and_in_files() -> None:
    assert {file.stem for file in REPORTS} >= {
        f"sqlite-{place}-{driver}" for place in ("file", "memory") for driver in ("apsw", "sqlite3")
    }


# --- how it is made ---------------------------------------------------------------------------------------------------

ONE = matrix.Kept(
    "one",
    "acme://one",
    ("async",),
    frozenset({"sql", "flying"}),
    "os-crash",
    {"driver": "acme 1"},
    {"SomeTests": {"XX-A-001": "passed", "XX-A-002": "failed", "XX-B-001": "not applicable"}},
)
TWO = ONE._replace(
    name="two", abilities=frozenset(), versions={}, rules={"SomeTests": {"XX-A-001": "passed", "XX-A-002": "passed"}}
)


def test_abilities_by_backends() -> None:
    lines = matrix.matrix([ONE, TWO]).splitlines()

    assert lines[:2] == ["|  | `one` | `two` |", "|---|---|---|"]
    assert "| `sql` | yes | – |" in lines
    assert "| `flying` | yes | – |" in lines  # one that no backend of ours has
    assert "| durability | `os-crash` | `os-crash` |" in lines


def test_rules_by_backends() -> None:
    lines = matrix.matrix([ONE, TWO]).splitlines()

    assert "| XX-A | 1, **1 failed** | 2 |" in lines
    assert "| XX-B | 1 n. a. | not run |" in lines
    assert lines[-1] == "| all | 1, **1 failed**, 1 n. a. | 2 |"


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"before\n{matrix.BEGIN}\nold\n{matrix.END}\nafter\n"

    assert matrix.into(page, "new\n") == f"before\n{matrix.BEGIN}\n\nnew\n\n{matrix.END}\nafter\n"
    with pytest.raises(ValueError, match="has no lines"):
        matrix.into("no marks", "new\n")


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{matrix.BEGIN}\n{matrix.END}\n", encoding="utf-8")
    report = tmp_path / "acme.json"
    report.write_text(REPORTS[0].read_text(encoding="utf-8"), encoding="utf-8")

    assert matrix.main([str(report), "--into", str(page)]) == 0

    assert matrix.matrix([matrix.read(report)]) in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "url": "x"}'])
def test_a_file_that_is_no_report_is_an_error(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "acme.json"
    file.write_text(text, encoding="utf-8")

    assert matrix.main([str(file)]) == 2

    assert capsys.readouterr().err.startswith(f"error: {file} is not a report of goes_lite_conformance")
