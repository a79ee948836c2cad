"""README.md and docs/: every Python block runs and prints what the page says, and every public name is explained."""

from __future__ import annotations

import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from goes_lite_conformance.servers import ServerMissing, nats

import goes_lite
from goes_lite.cli import main as command_line

NATS = "nats://127.0.0.1:4222"
"""The name that pages use for the server that the tests start."""

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MODULE = re.compile(r"`(goes_lite(?:_\w+)?(?:\.\w+)+)`")
LOGGERS = {"goes_lite.commands", "goes_lite.nats", "goes_lite.processor", "goes_lite.backends", "goes_lite.buses"}
"""Dotted names that are not modules: those of loggers and of groups of entry points."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

# The interpreter must import what is tested: a built package, or this checkout.
RUNNER = """
import sys
sys.path.insert(0, sys.argv[2])
source = sys.stdin.buffer.read().decode()
exec(compile(source, sys.argv[1], "exec"), {"__name__": "__main__"})
"""


class Block(NamedTuple):
    """A fenced block of a page, and the line in which it begins."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[2], m[3], text.count("\n", 0, m.start(3)) + 1) for m in FENCE.finditer(text)]


def program(page: Path) -> tuple[str, list[tuple[int, str]]]:
    """Return the Python blocks of a page as one program with the page's line numbers, and the expected output by line.

    A text block right after a Python block is the output of that block; a marker before each block tells which.
    """
    found = blocks(page)
    lines: list[str] = []
    expected: list[tuple[int, str]] = []
    for index, block in enumerate(found):
        if block.language != "python":
            continue
        following = found[index + 1] if index + 1 < len(found) else None
        end = block.line + block.text.count("\n") + 1
        adjoining = following is not None and following.language == "text" and following.line - end <= 2
        expected.append((block.line, following.text if following is not None and adjoining else ""))
        lines += [""] * (block.line - 2 - len(lines))
        lines.append(f"print('@@@ {block.line}', flush=True)")
        lines += block.text.splitlines()
    return "\n".join(lines), expected


@pytest.fixture
def nats_url() -> Iterator[str]:
    """The URL of a server, for pages about NATS."""
    pytest.importorskip("nats", reason="nats-py is not installed")
    try:
        with nats.server() as server:
            yield server.url
    except ServerMissing as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(exc))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_and_print_what_the_page_says(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source, expected = program(page)
    if not expected:
        pytest.skip("no Python in it")
    if NATS in source:
        source = source.replace(NATS, request.getfixturevalue("nats_url"))
    command = [
        sys.executable,
        "-P",
        "-W",
        "error",
        "-X",
        "utf8",
        "-c",
        RUNNER,
        str(page),
        str(Path(goes_lite.__file__).parents[1]),
    ]

    done = subprocess.run(
        command, input=source, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = re.split(r"^@@@ (\d+)\n", done.stdout, flags=re.MULTILINE)[1:]
    outputs = dict(zip(map(int, printed[::2]), printed[1::2], strict=True))
    for line, text in expected:
        assert outputs[line] == text, f"{page.name}, the block in line {line}"


def test_there_are_pages() -> None:
    """A checkout and an sdist have all of them."""
    names = {page.name for page in PAGES}

    assert {"README.md", "index.md", "tutorial.md", "concepts.md", "guarantees.md", "sqlite.md", "events.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_say_their_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"python", "text", "sh", "sql", "toml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_ours_exist(page: Path) -> None:
    """The command line understands the commands on the pages, and the scripts exist."""
    for block in blocks(page):
        if block.language != "sh":
            continue
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words[:3] == ["python3", "-m", "goes_lite"]:
                assert command_line.parse(words[3:]), line
            elif words[:1] == ["python3"] and words[1].endswith(".py"):
                assert (ROOT / words[1]).exists(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_are_valid(page: Path) -> None:
    """The files and headings exist."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_every_public_name_is_in_the_docs() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

    missing = [name for name in goes_lite.__all__ if not re.search(rf"\b{name}\b", text)]

    assert missing == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}

    assert {page for page in pages if f"({page})" not in index} == set()


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "python3 -m goes_lite demo" in readme
    assert "python3 .ci/test.py" in readme


def test_the_glossary_has_one_entry_for_a_word_and_few_words() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    glossary = page.partition("## Glossary")[2].partition("\n## ")[0]
    words = re.findall(r"\*\*([^*]+)\*\*", glossary)

    assert len(words) == len(set(words)) <= 60


def test_the_picture_of_the_storeys_is_that_of_the_import_table() -> None:
    storeys = runpy.run_path(str(ROOT / ".ci" / "storeys.py"))

    assert (ROOT / "docs" / "storeys.svg").read_text(encoding="utf-8") == storeys["draw"](*storeys["tables"]())


def test_the_table_of_faults_is_that_of_the_tests() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")

    assert page == runpy.run_path(str(ROOT / ".ci" / "faults.py"))["into"](page), "run python .ci/faults.py"


def test_every_module_that_a_page_names_exists() -> None:
    """`goes_lite.contract.event_store`, `goes_lite.errors.KeyTaken`: an import finds it. The changelog may name old ones."""
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    names = {name for page in pages for name in MODULE.findall(page.read_text(encoding="utf-8"))}
    lists = {
        f"{module}.{name}"
        for page in pages
        for module, row in re.findall(
            r"^\| `(goes_lite[\w.]*)`: ([^|]+)\|", page.read_text(encoding="utf-8"), re.MULTILINE
        )
        for name in re.findall(r"`([\w.]+)`", row)
    }

    assert {name for name in {*names, *lists} - LOGGERS if not importable(name)} == set()


def importable(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_ways_to_run_the_checks_call_scripts_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks, the workflow and the page for contributors spell no command of their own."""
    monkeypatch.setattr(sys, "path", [str(ROOT / ".ci"), *sys.path])
    checks = runpy.run_path(str(ROOT / ".ci" / "check.py"))["CHECKS"]
    for name in (".pre-commit-config.yaml", ".github/workflows/ci.yml", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        scripts = re.findall(r"(?<![\w./])\.ci/[\w.]+", text)

        assert scripts, name
        assert [script for script in scripts if not (ROOT / script).exists()] == []
        for arguments in re.findall(r"(?:entry|run): (.*)", text):
            command, *rest = arguments.removeprefix("python3 ").split()
            assert command in scripts, arguments
            assert set(rest) <= set(checks), arguments
