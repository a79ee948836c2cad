"""The abilities of each backend and the rules that it keeps, as tables made from reports.

    python -m goes_lite_conformance.matrix FILE.json…

The reports are those of `python -m goes_lite_conformance URL --report FILE.json`. Each is a column, named after its file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from goes_lite.contract.backend import DENSE_POSITIONS, PERSISTENT, PROCESSES, SQL, TRANSACTIONS
from goes_lite.contract.event_bus import REPLAY
from goes_lite.contract.upkeep import BACKUP
from goes_lite_conformance.guarantees import GUARANTEES
from goes_lite_conformance.report.verdict import FORMAT, from_numbers
from goes_lite_conformance.rule import rules_of

BEGIN = "<!-- The matrix: made by `python -m goes_lite_conformance.matrix`, do not edit. -->"
END = "<!-- End of the matrix. -->"

ABILITIES = (PERSISTENT, PROCESSES, TRANSACTIONS, SQL, DENSE_POSITIONS, BACKUP, REPLAY)
"""In the order in which readers ask for them; others follow."""


class Kept(NamedTuple):
    """The contents of a report."""

    name: str
    url: str
    faces: tuple[str, ...]
    abilities: frozenset[str]
    durability: str
    versions: dict[str, str]
    rules: dict[str, dict[str, str]]
    """By suite: the result of each rule, by its id: 'passed', 'failed' or 'not applicable'."""
    bus: str = ""
    """The URL of the bus that was judged, if it is not the backend's own."""

    @property
    def ids(self) -> set[str]:
        """The ids of the rules in the report."""
        return {rule for rules in self.rules.values() for rule in rules}


def read(file: Path) -> Kept:
    """Read a report from its file; raise ValueError if it is not one."""
    try:
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise ValueError(f"its format is {said['format']}, not {FORMAT}")
        return Kept(
            file.stem,
            said["url"],
            tuple(said["faces"]),
            frozenset(said["abilities"]),
            said["durability"],
            said["versions"],
            {suite: dict(_results(families)) for suite, families in said["suites"].items()},
            said.get("bus", ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} is not a report of goes_lite_conformance: {error!r}") from error


def _results(families: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for family, results in families.items():
        for result, numbers in results.items():
            # rules that do not apply are grouped by the missing abilities
            lists = cast("dict[str, str]", numbers) if isinstance(numbers, dict) else {"": str(numbers)}
            for said in lists.values():
                yield from ((rule, result) for rule in from_numbers(family, said))


def expected(report: Kept) -> set[str]:
    """Return the ids of the rules that a report on this backend and these faces would have today."""
    from goes_lite_conformance import by_url

    return {
        test.rule.id
        for suite in by_url.suites(report.url, report.bus)
        for name in rules_of(suite)
        for test in [getattr(suite, name)]
        if not set(getattr(test, "faces", report.faces)).isdisjoint(report.faces)
    }


def matrix(reports: Sequence[Kept]) -> str:
    """Return the tables, in Markdown."""
    return "\n".join([*_abilities(reports), "", *_guarantees(reports), "", *_families(reports)]) + "\n"


def _abilities(reports: Sequence[Kept]) -> Iterator[str]:
    others = sorted({ability for report in reports for ability in report.abilities} - set(ABILITIES))
    yield _row("", (f"`{report.name}`" for report in reports))
    yield "|---" * (len(reports) + 1) + "|"
    for ability in (*ABILITIES, *others):
        yield _row(f"`{ability}`", ("yes" if ability in report.abilities else "–" for report in reports))
    yield _row("durability", (f"`{report.durability}`" for report in reports))
    yield _row("judged with", (report.versions.get("driver", "") for report in reports))
    yield _row("on the faces", (", ".join(report.faces) for report in reports))


def _guarantees(reports: Sequence[Kept]) -> Iterator[str]:
    """Yield how many of the rules that prove each guarantee are kept."""
    yield _row("Guarantee", (f"`{report.name}`" for report in reports))
    yield "|---" * (len(reports) + 1) + "|"
    for guarantee in GUARANTEES:
        cells: list[str] = []
        for report in reports:
            results = {rule: result for rules in report.rules.values() for rule, result in rules.items()}
            cells.append(_count([results[rule] for rule in guarantee.rules(results)]))
        yield _row(f"{guarantee.id} {guarantee.text}", cells)


def _families(reports: Sequence[Kept]) -> Iterator[str]:
    """Yield how many rules of each family are kept."""
    suites: dict[str, dict[str, None]] = {}
    for report in reports:
        for suite, rules in report.rules.items():
            suites.setdefault(suite, {}).update(dict.fromkeys(rule.rpartition("-")[0] for rule in rules))
    yield _row("Rules kept", (f"`{report.name}`" for report in reports))
    yield "|---" * (len(reports) + 1) + "|"
    for suite, families in suites.items():
        yield _row(f"**{suite}**", ("" for _ in reports))
        for family in families:
            yield _row(family, (_cell(report.rules.get(suite, {}), family) for report in reports))
    yield _row("all", (_count(_of_all(report)) for report in reports))


def _of_all(report: Kept) -> list[str]:
    return [result for rules in report.rules.values() for result in rules.values()]


def _cell(rules: dict[str, str], family: str) -> str:
    return _count([result for rule, result in rules.items() if rule.rpartition("-")[0] == family])


def _count(results: list[str]) -> str:
    passed, failed = results.count("passed"), results.count("failed")
    excused = len(results) - passed - failed
    said = [f"{passed}"] if passed or not results else []
    said += [f"**{failed} failed**"] if failed else []
    said += [f"{excused} n. a."] if excused else []
    return ", ".join(said) if results else "not run"


def _row(head: str, cells: Iterable[str]) -> str:
    return "| " + " | ".join([head, *cells]) + " |"


def into(page: str, table: str) -> str:
    """Return the page with the table between its marks; raise ValueError if it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r} for the table")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"


def refresh(file: Path) -> int:
    """Judge the backend of a report again and rewrite the report; return the exit code. A relative URL is a new one."""
    report = read(file)
    command = [sys.executable, "-P", "-m", "goes_lite_conformance", report.url, "--faces", ",".join(report.faces)]
    command += ["--bus", report.bus] if report.bus else []
    with tempfile.TemporaryDirectory(prefix="goes-", ignore_cleanup_errors=True) as folder:
        found = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
        done = subprocess.run(
            [*command, "--report", str(file.absolute())],
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": found},
        )
    return done.returncode


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, or write them into a page; the exit code is 0, 1 if a backend breaks a rule, 2 for errors."""
    known = argparse.ArgumentParser(
        prog="python -m goes_lite_conformance.matrix", description=__doc__, allow_abbrev=False
    )
    known.add_argument("reports", nargs="+", type=Path, metavar="FILE.json")
    known.add_argument(
        "--into", type=Path, metavar="PAGE.md", help="write the tables into this page, between its marks"
    )
    known.add_argument("--refresh", action="store_true", help="first judge the backends of all reports again")
    arguments = known.parse_args(argv)
    try:
        broken = [file for file in arguments.reports if arguments.refresh and refresh(file)]
        table = matrix([read(file) for file in arguments.reports])
        if arguments.into is None:
            sys.stdout.write(table)
        else:
            page = arguments.into.read_text(encoding="utf-8")
            arguments.into.write_text(into(page, table), encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for file in broken:
        sys.stderr.write(f"{file}: its backend does not keep the contract\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
