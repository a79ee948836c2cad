"""Write the table of docs/faults.md: what operators can do to a store, and what a program sees of it.

    python .ci/faults.py [--check]

It is read from the tests that are marked by `situation` (see tests/operator_faults.py), so each row is proved by a test.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"
BEGIN = "<!-- The table: made by `python .ci/faults.py` from the tests, do not edit. -->"
END = "<!-- End of the table. -->"
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mongo": "MongoDB", "nats": "NATS"}
"""The parts of the page in their order, by the end of the name of the file of tests."""


class Fault(NamedTuple):
    """A row."""

    situation: str
    sees: tuple[str, ...]
    then: str


def faults(file: Path) -> list[Fault]:
    """Return the faults of a file of tests, in its order; ValueError for a mark that cannot be read."""
    found: list[Fault] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if not isinstance(mark, ast.Call) or not isinstance(mark.func, ast.Name) or mark.func.id != "situation":
                continue
            try:
                given = {word.arg: ast.literal_eval(word.value) for word in mark.keywords}
                sees = given["sees"]
                situation = (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")
                found.append(Fault(situation, (sees,) if isinstance(sees, str) else tuple(sees), given["then"]))
            except (KeyError, ValueError) as exc:
                raise ValueError(f"{file.name}:{mark.lineno}: sees= and then= must be literals: {exc!r}") from exc
    return found


def table(rows: list[Fault]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| Situation | What the program sees | What holds then |", "|---|---|---|"]
    for row in rows:
        cells = (row.situation, "<br>".join(map(_seen, row.sees)), row.then)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def _seen(text: str) -> str:
    """Return what is seen as code, and what is not seen as text."""
    if text.partition(":")[0] == "nothing":
        return text
    where, _, message = text.partition(": ")
    fence = "``" if "`" in message else "`"
    return f"in the log: {fence}{message}{fence}" if where == "log" else f"{fence}{text}{fence}"


def tables() -> str:
    """Return the tables of all backends, each under its heading."""
    files = {file.stem.rpartition("_")[2]: file for file in ROOT.glob("tests/*/test_operator_faults_*.py")}
    if unknown := sorted(files.keys() - NAMES.keys()):
        raise ValueError(f"no heading for the tests of {', '.join(unknown)}: add it to NAMES")
    return "\n\n".join(f"## {NAMES[name]}\n\n{table(faults(files[name]))}" for name in NAMES if name in files)


def into(page: str) -> str:
    """Return the page with the current tables; ValueError if it has no marks for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r} for the tables")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main() -> None:
    """Write the page, or check it."""
    page = PAGE.read_text(encoding="utf-8")
    current = into(page)
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(current, encoding="utf-8")
    elif page != current:
        sys.exit("docs/faults.md differs from the tests: run python .ci/faults.py")


if __name__ == "__main__":
    main()
