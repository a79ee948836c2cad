"""README.md and docs/: every Python block runs and prints what the page says, and every public name is explained.

The blocks run on a file, as they are, and on PostgreSQL and MongoDB, where `connect("shop.db")` is given another URL and nothing
else changes. What runs on some backends only is marked in the page, right before the block or right after the title, and the
page says so in its text as well:

    <!-- runs on: sqlite, postgresql -->

The second share runs them on servers (see tests/shares.py). A block that is quoted from a program says so, and is not run
here: the program has tests of its own.

    <!-- from: examples/recipes/fastapi_service.py -->
"""

from __future__ import annotations

import itertools
import json
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
from goes_lite_conformance.servers import nats

import goes_lite
from goes_lite.cli import main as command_line
from tests.on_servers import BACKENDS, a_server_is_there, backends_of, marks_of, new_stores

NATS = "nats://127.0.0.1:4222"
"""The name that pages use for the server that the tests start."""

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CHAPTERS = tuple(page for page in PAGES if page.parent.name == "tutorial")
"""Pages that are one program together."""
MODULE = re.compile(r"`(goes_lite(?:_\w+)?(?:\.\w+)+)`")
LOGGERS = {"goes_lite.commands", "goes_lite.nats", "goes_lite.processor", "goes_lite.backends", "goes_lite.buses"}
"""Dotted names that are not modules: those of loggers and of groups of entry points."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

# The interpreter must import what is tested: a built package, or this checkout.
RUNNER = """
import json, sys
sys.path.insert(0, sys.argv[1])
names = {"__name__": "__main__"}
for page, source in json.load(sys.stdin.buffer):
    exec(compile(source, page, "exec"), names)
"""


RUNS_ON = re.compile(r"<!-- runs on: (\w+(?:, \w+)*) -->\n+")
QUOTED = re.compile(r"<!-- from: (\S+) -->\n+")
STORE = re.compile(r'(\bconnect\(\s*)"(?:sqlite:///)?([^":?]*\.db|:memory:)(?:\?[^"]*)?"')
"""Where a block opens a store; a file is one store all over the page, in memory each is another one."""


class Block(NamedTuple):
    """A fenced block of a page, the line in which it begins, and the backends that it runs on."""

    language: str
    text: str
    line: int
    backends: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    title = re.match(r"# .*\n+", text)
    whole = RUNS_ON.match(text, title.end()) if title else None
    marks = {mark.end(): mark for mark in RUNS_ON.finditer(text)}
    quoted = {mark.end() for mark in QUOTED.finditer(text)}
    found: list[Block] = []
    for m in FENCE.finditer(text):
        mark = marks.get(m.start()) or whole
        on = () if m.start() in quoted else tuple(mark[1].split(", ")) if mark else BACKENDS
        found.append(Block(m[2], m[3], text.count("\n", 0, m.start(3)) + 1, on))
    return found


def program(page: Path, backend: str) -> tuple[str, list[tuple[int, str]]]:
    """Return the Python blocks of a page as one program with the page's line numbers, and the expected output by line.

    A text block right after a Python block is the output of that block; a marker before each block tells which. Blocks that
    do not run on the backend are left out.
    """
    found = blocks(page)
    lines: list[str] = []
    expected: list[tuple[int, str]] = []
    for index, block in enumerate(found):
        if block.language != "python" or backend not in block.backends:
            continue
        following = found[index + 1] if index + 1 < len(found) else None
        end = block.line + block.text.count("\n") + 1
        adjoining = following is not None and following.language == "text" and following.line - end <= 2
        expected.append((block.line, following.text if following is not None and adjoining else ""))
        lines += [""] * (block.line - 2 - len(lines))
        lines.append(f"print('@@@ {page.name} {block.line}', flush=True)")
        lines += block.text.splitlines()
    return "\n".join(lines), expected


@pytest.fixture
def nats_url() -> Iterator[str]:
    """The URL of a server, for pages about NATS."""
    pytest.importorskip("nats", reason="nats-py is not installed")
    with a_server_is_there(), nats.server() as server:
        yield server.url


def on_server(sources: list[str], backend: str) -> list[str]:
    """Return a program with other URLs: of new stores on the server, one for each file, and for each store in memory."""
    base = new_stores(backend)
    numbers = itertools.count(1)
    stores: dict[str, int] = {}

    def url(found: re.Match[str]) -> str:
        number = next(numbers) if found[2] == ":memory:" else stores.setdefault(found[2], next(numbers))
        return f'{found[1]}"{base}{number}"'

    return [STORE.sub(url, source) for source in sources]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A page that opens no store is the same everywhere."""
    if "backend" not in metafunc.fixturenames:
        return
    wanted = backends_of(metafunc.config)
    programs = [*((page,) for page in PAGES if page not in CHAPTERS), CHAPTERS]
    metafunc.parametrize(
        ("pages", "backend"),
        [
            pytest.param(pages, name, id=f"{pages[0].name}-{name}", marks=marks_of(name))
            for pages in programs
            for name in wanted
            if name == "sqlite" or any(STORE.search(program(page, name)[0]) for page in pages)
        ],
    )


def test_python_blocks_run_and_print_what_the_page_says(
    pages: tuple[Path, ...], backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sources: list[str] = []
    expected: dict[tuple[str, int], str] = {}
    for page in pages:
        source, outputs = program(page, backend)
        sources.append(source)
        expected |= {(page.name, line): text for line, text in outputs}
    if not expected:
        pytest.skip("no Python in it")
    if any("from pydantic import" in source for source in sources):
        pytest.importorskip("pydantic", reason="pydantic is not installed")
    if backend != "sqlite":
        sources = on_server(sources, backend)
    if any(NATS in source for source in sources):
        url = request.getfixturevalue("nats_url")
        sources = [source.replace(NATS, url) for source in sources]
    command = [
        sys.executable,
        "-P",
        "-W",
        "error",
        "-X",
        "utf8",
        "-c",
        RUNNER,
        str(Path(goes_lite.__file__).parents[1]),
    ]

    given = json.dumps([(str(page), source) for page, source in zip(pages, sources, strict=True)])
    done = subprocess.run(
        command, input=given, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = re.split(r"^@@@ (\S+) (\d+)\n", done.stdout, flags=re.MULTILINE)[1:]
    found = {
        (name, int(line)): text for name, line, text in zip(printed[::3], printed[1::3], printed[2::3], strict=True)
    }
    for (name, line), text in expected.items():
        assert found[name, line] == text, f"{name}, the block in line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_marks_name_backends(page: Path) -> None:
    """And stand right before a block of Python, or right after the title."""
    text = page.read_text(encoding="utf-8")
    title = re.match(r"# .*\n+", text)
    for mark in RUNS_ON.finditer(text):
        assert set(mark[1].split(", ")) < {*BACKENDS}
        assert text.startswith("```python\n", mark.end()) or (title and mark.start() == title.end()), mark[0]
    assert text.count("<!-- runs on") == len(RUNS_ON.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_blocks_are_in_the_program(page: Path) -> None:
    """Line by line, in the same order; a line with nothing but … leaves some out."""
    text = page.read_text(encoding="utf-8")
    for mark in QUOTED.finditer(text):
        block = FENCE.match(text, mark.end())
        assert block is not None, mark[0]
        rest = text_of(ROOT / mark[1])
        for part in re.split(r"^ *…\n", block[3], flags=re.MULTILINE):
            _, found, rest = rest.partition(part)
            assert found == part, f"{page.name}: not in {mark[1]}, or in another order:\n{part}"


def text_of(file: Path) -> str:
    """The text of a program; of a notebook, that of its cells."""
    text = file.read_text(encoding="utf-8")
    return (
        "\n".join("".join(cell["source"]) + "\n" for cell in json.loads(text)["cells"])
        if file.suffix == ".ipynb"
        else text
    )


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
                command_line.parse(words[3:])
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


def test_the_messages_of_postgresql_are_those_of_the_tests() -> None:
    """What docs/postgres.md quotes as a message is part of one in the table of faults, which tests compare with real ones."""
    section = (ROOT / "docs" / "postgres.md").read_text(encoding="utf-8").partition("## When something goes wrong")[2]
    quoted = re.findall(r"^- \*\*`([^`]+)`\*\*", section.partition("\n## ")[0], re.MULTILINE)
    rows = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").partition("## PostgreSQL")[2].splitlines()
    assert len(quoted) > 10
    for message in quoted:
        parts = [part.strip() for part in message.split("…") if part.strip(" .:")]
        assert any(re.search(".*".join(map(re.escape, parts)), row) for row in rows), message


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
