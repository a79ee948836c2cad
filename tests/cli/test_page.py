"""docs/cli.md: every example runs, in order, and prints what the page says; `…` stands for what differs each time."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from goes_lite.cli import catalog
from tests.cli.cli_kit import PACKAGES, environment, goes_lite

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "cli.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not here: a built package is tested")


def blocks(page: Path = PAGE) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def matches(printed: str, expected: str) -> bool:
    pattern = ".*?".join(map(re.escape, expected.split("…")))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.mark.once
def test_the_examples_run_and_print_what_the_page_says(tmp_path: Path) -> None:
    found = blocks()
    program = next(text for language, text in found if language == "python")
    (tmp_path / "shop.py").write_text(program, encoding="utf-8")
    env = environment({"PYTHONPATH": PACKAGES})
    subprocess.run([sys.executable, "-W", "error", "shop.py"], cwd=tmp_path, env=env, check=True, timeout=120)
    check_examples(found, tmp_path)


def test_the_examples_of_upgrades_run_and_print_what_the_page_says(tmp_path: Path) -> None:
    """docs/schema.md: all its Python is one program."""
    found = blocks(DOCS / "schema.md")
    program = "\n".join(text for language, text in found if language == "python")
    (tmp_path / "shop.py").write_text(program.partition("from goes_lite import schema")[0], encoding="utf-8")
    check_examples(found, tmp_path)


def check_examples(found: list[tuple[str, str]], folder: Path) -> None:

    for number, (language, text) in enumerate(found):
        if language != "sh":
            continue
        printed = ""
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "goes-lite", line
            words, target = redirected(words)
            ran = goes_lite(*words[1:], cwd=folder, code=None)
            assert ran.code == 0 or (ran.code == 1 and ran.err), (line, ran)  # findings are told on stderr
            if target:
                (folder / target[0]).write_text(ran.out, encoding="utf-8")
            else:
                printed += ran.out
        following = found[number + 1] if number + 1 < len(found) else ("", "")
        if following[0] == "text":
            assert matches(printed, following[1]), f"{text} prints:\n{printed}"


def redirected(words: list[str]) -> tuple[list[str], list[str]]:
    """Split a command into its words and, after a `>`, the file that it writes."""
    at = words.index(">") if ">" in words else len(words)
    return words[:at], words[at + 1 :]


def test_every_command_has_an_example() -> None:
    lines = [line for language, text in blocks() if language == "sh" for line in text.splitlines()]
    lines += re.findall(r"`(goes-lite [^`]*)`", PAGE.read_text(encoding="utf-8"))
    known = {
        f"{name} {action}" if action else name for name, row in catalog.rows().items() for action in row.actions or [""]
    }
    shown = {" ".join(shlex.split(line)[1:3]) for line in lines} | {shlex.split(line)[1] for line in lines}
    assert known - shown == set()
