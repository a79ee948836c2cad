"""The documentation site: what it is made of, and that every public name is described. `.ci/docs.py` builds it, in CI."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import goes_lite
from goes_lite import blocking

ROOT = Path(__file__).resolve().parents[1]


def script(name: str) -> Any:
    """Import a script of .ci, which imports the others next to it."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


sources = script("docs_sources")
api = script("docs_api")
links = script("docs_links")

NAMES = [name for shown in api.names().values() for name in shown]


def test_every_page_is_in_the_navigation() -> None:
    """A row `| [Title](page.md) | what you find there |` in a section of docs/index.md puts it there, and on the site."""
    listed = {page.file for section in sources.sections() for page in section.pages}
    missing = {page for page in (ROOT / "docs").rglob("*.md") if page != sources.INDEX} - listed

    assert {page.relative_to(ROOT).as_posix() for page in missing} == set()


def test_llms_txt_lists_the_pages_of_the_index() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "docs.py", "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_index_may_list_a_page_once_only_and_only_one_that_is_there(tmp_path: Path) -> None:
    index = tmp_path / "index.md"
    (tmp_path / "a.md").touch()
    index.write_text("# T\n\n## S\n\n| [A](a.md) | text |\n| [B](a.md) | text |\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"'a\.md', which is listed twice"):
        sources.sections(index)
    index.write_text("# T\n\n## S\n\n| [A](b.md) | text |\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"'b\.md', which is not there"):
        sources.sections(index)


def test_every_class_of_error_is_explained() -> None:
    """What it means, and what to do: one row each."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", page, re.MULTILINE)

    assert sorted(rows) == sorted(goes_lite.errors.__all__)


def test_links_are_those_of_the_site() -> None:
    here = ROOT / "docs" / "mongodb.md"
    known = {ROOT / "README.md": "project/readme.md", ROOT / "docs" / "cli.md": "cli.md"}.get
    text = "[a](../README.md#b) [c](cli.md) [`d`](../tests) [e](https://x.y) [f](#g)\n\n```sh\n[h](../tests)\n```\n"

    found = sources.relinked(text, here, "mongodb.md", known, "")
    assert found == "[a](project/readme.md#b) [c](cli.md) `d` [e](https://x.y) [f](#g)\n\n```sh\n[h](../tests)\n```\n"
    assert "[`d`](https://host/repo/tree/main/tests)" in sources.relinked(
        text, here, "mongodb.md", known, "https://host/repo"
    )


def test_what_is_broken_in_a_site_is_found(tmp_path: Path) -> None:
    """Links to files and anchors that are not there, and what a page would load from another host."""
    (tmp_path / "a.html").write_text(
        '<h1 id="here"></h1><a href="#here"><a href="b.html#there"><a href="https://other.example">'
        '<a href="#nowhere"><a href="c.html"><a href="b.html#no"><script src="https://other.example/x.js"></script>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<h2 id="there"></h2><img src="a.svg">', encoding="utf-8")
    (tmp_path / "c.css").write_text("@font-face { src: url(https://other.example/font) }", encoding="utf-8")

    assert [*links.problems(tmp_path)] == [
        "a.html: #nowhere has no such anchor",
        "a.html: c.html is not there",
        "a.html: b.html#no has no such anchor",
        "a.html: loads https://other.example/x.js from another host",
        "b.html: a.svg is not there",
        "c.css: loads something from another host",
    ]


def test_every_public_name_is_on_a_page_of_the_reference() -> None:
    modules = {"blocking", "errors"}

    assert {name for name in goes_lite.__all__ if name not in modules} <= {
        name.removeprefix("goes_lite.") for name in NAMES
    }
    assert {*blocking.__all__} <= {name.removeprefix("goes_lite.blocking.") for name in NAMES}
    assert {f"goes_lite.errors.{name}" for name in goes_lite.errors.__all__} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    """On both faces; so have the public methods and properties of a class, its own or those of a base of ours."""
    module, _, last = name.rpartition(".")
    value = getattr(importlib.import_module(module), last)
    if not inspect.isclass(value) and not inspect.isroutine(value):
        assert described(module, last), f"{name} needs a docstring below its assignment"
        return
    assert (inspect.getdoc(value) or "").strip()
    if inspect.isclass(value):
        page = next(shown for shown in api.names().values() if name in shown)
        found = [getattr(importlib.import_module(other.rpartition(".")[0]), other.rpartition(".")[2]) for other in page]
        classes = [value, *(other for other in found if getattr(other, "_is_protocol", False))]  # what it implements
        missing = [member for member in members(value) if not any(says(cls, member) for cls in classes)]
        assert missing == []


def members(cls: type) -> Iterator[str]:
    """Yield the public methods and properties that are defined by a class of ours."""
    for base in cls.__mro__:
        if base.__module__.startswith("goes_lite"):
            for member, value in vars(base).items():
                kinds = (property, classmethod, staticmethod)
                if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, kinds)):
                    yield member


def says(cls: type, member: str) -> bool:
    value = inspect.getattr_static(cls, member, None)
    return value is not None and bool((inspect.getdoc(value) or inspect.getdoc(getattr(cls, member)) or "").strip())


def described(module: str, name: str) -> bool:
    """Whether the text below the assignment of a constant says what it is, in the module that has it."""
    homes = {constant: home for home, constants in goes_lite._MODULES.items() for constant in constants}
    home = importlib.import_module(f"goes_lite.{homes[name]}" if module == "goes_lite" else module)
    for _ in range(3):  # a package may have it from a module of its own
        tree = ast.parse(inspect.getsource(home))
        for statement, after in zip(tree.body, tree.body[1:], strict=False):
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        origin = next(
            (
                f"{'.' * statement.level}{statement.module or ''}"
                for statement in ast.walk(tree)
                if isinstance(statement, ast.ImportFrom) and any(alias.name == name for alias in statement.names)
            ),
            None,
        )
        if origin is None:
            return False
        home = importlib.import_module(origin, home.__package__)
    return False
