"""What the documentation site is made of: the sections of docs/index.md, the pages that they name, and their links.

The index is the navigation: a page is on the site if, and only if, a section of the index lists it. So a code host, the site and
llms.txt show the same order and the same descriptions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)#]+)\) \| (.+?) \|$", re.MULTILINE)
EXTERNAL = ("://", "mailto:")


class Page(NamedTuple):
    """A row of the index."""

    label: str
    file: Path
    description: str


class Section(NamedTuple):
    """A section of the index that lists pages."""

    title: str
    pages: list[Page]


def sections(index: Path = INDEX) -> list[Section]:
    """Read the sections of the index that list pages, in order; ValueError for a page that is not there or is listed twice."""
    found: list[Section] = []
    seen: set[Path] = set()
    for part in re.split(r"^## ", index.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        pages: list[Page] = []
        for label, target, description in ROW.findall(part):
            file = (index.parent / target).resolve()
            if not file.is_file() or file in seen:
                raise ValueError(
                    f"docs/index.md lists {target!r}, which is {'listed twice' if file in seen else 'not there'}"
                )
            seen.add(file)
            pages.append(Page(label, file, description))
        if pages:
            found.append(Section(part.partition("\n")[0].strip(), pages))
    return found


def place(file: Path) -> str:
    """Return where a source is on the site: pages of docs/ as they are, others by their path, programs as a page."""
    if file.is_relative_to(DOCS):
        return file.relative_to(DOCS).as_posix()
    path = file.relative_to(ROOT).as_posix().lower()
    if path.endswith(".py"):
        return f"{path}.md"
    return path if "/" in path else f"project/{path}"


def relinked(text: str, source: Path, here: str, known: Callable[[Path], str | None], repository: str) -> str:
    """Return a page with its links as they have to be on the site.

    `known` returns where a file is on the site, or None. A link to another file of the repository leads there if its address is
    known, else only its text is left.
    """

    def line(part: str) -> str:
        return re.sub(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", link, part)

    def link(found: re.Match[str]) -> str:
        target = found[3]
        if any(mark in target for mark in EXTERNAL) or target.startswith("#"):
            return found[0]
        name, hash_, anchor = target.partition("#")
        file = (source.parent / name).resolve()
        to = known(file)
        if to is not None:
            return f"{found[1]}[{found[2]}]({os.path.relpath(to, os.path.dirname(here) or '.')}{hash_}{anchor})"
        if repository and file.is_relative_to(ROOT):
            kind = "tree" if file.is_dir() else "blob"
            return (
                f"{found[1]}[{found[2]}]({repository}/{kind}/main/{file.relative_to(ROOT).as_posix()}{hash_}{anchor})"
            )
        return found[2]

    parts: list[str] = []
    end = 0
    for fence in FENCE.finditer(text):
        parts += [line(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, line(text[end:])])


def programs(source: Path) -> set[Path]:
    """Return the programs that a page links to: each is a page of the site, also if the index does not list it."""
    if source.suffix != ".md":
        return set()
    targets = LINK.findall(FENCE.sub("", source.read_text(encoding="utf-8")))
    return {(source.parent / target).resolve() for target in targets if target.endswith(".py") and "://" not in target}


def figures(text: str, source: Path) -> set[Path]:
    """Return the pictures that a page shows."""
    return {
        (source.parent / target).resolve()
        for target in LINK.findall(FENCE.sub("", text))
        if target.endswith((".svg", ".png")) and not any(mark in target for mark in EXTERNAL)
    }
