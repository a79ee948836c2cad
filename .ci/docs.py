"""Build the documentation site from docs/, the docstrings and the examples, and llms.txt from the same sources.

    python3 .ci/docs.py [--into FOLDER] [--version NAME] [--repository URL]
    python3 .ci/docs.py --llms | --check

Writes build/docs/site, which can be read from files, without a server and without a network; what the generator warns of, a link
that leads nowhere and something that would be loaded from another host are errors. With --into, the site goes to FOLDER/NAME,
and FOLDER/versions.json lists what is there for the selector of versions. The address of the repository, or the variable
GOES_LITE_REPOSITORY, gives each page a link for editing it.

--llms writes docs/llms.txt, --check says whether it is as it has to be. Needs Python ≥ 3.11 with venv and pip, and a package
index the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import docs_api
import docs_links
import docs_sources
import env

SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme loads from another host, so that the search works from files: docs/file-worker.js takes its place."""

BUILD = env.ROOT / "build" / "docs"
LLMS = docs_sources.DOCS / "llms.txt"
SUMMARY = (
    "Event sourcing for Python ≥ 3.11 without required packages: event store, aggregates, projections, commands and workflows in "
    "one SQLite file, and the same program on PostgreSQL and MongoDB. `import goes_lite as goes`; `goes.connect` for asyncio, "
    "`goes.blocking.connect` for all other programs."
)
MOVED = (
    '<!doctype html><title>goes_lite</title><meta http-equiv="refresh" content="0; url={0}/index.html">'
    '<a href="{0}/index.html">{0}</a>\n'
)


def llms(*, full: bool = False, site: bool = False, repository: str = "") -> str:
    """Return llms.txt: the sections of the index, with links to the sources or, for the `site`, to its pages.

    With `full`, the text of each page instead of a link.
    """
    parts = [f"# goes_lite\n\n> {SUMMARY}\n"]
    for section in docs_sources.sections():
        lines = [f"## {section.title}\n"]
        for page in section.pages:
            if not full:
                source = Path(os.path.relpath(page.file, docs_sources.DOCS)).as_posix()
                to = docs_sources.place(page.file).removesuffix(".md") + ".html" if site else source
                lines.append(f"- [{page.label}]({to}): {page.description}")
            elif page.file.suffix == ".md":
                text = docs_sources.relinked(
                    page.file.read_text(encoding="utf-8"), page.file, "llms-full.txt", lambda file: None, repository
                )
                lines.append(f"<!-- {page.file.relative_to(env.ROOT).as_posix()} -->\n\n{text.strip()}\n")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def stage(repository: str, version: str) -> None:
    """Write the configuration and the pages to build/docs/, from which the generator builds the site."""
    shutil.rmtree(BUILD, ignore_errors=True)
    pages = BUILD / "pages"
    sections = docs_sources.sections()
    sources = [docs_sources.INDEX, *(page.file for section in sections for page in section.pages)]
    sources += sorted({file for source in sources for file in docs_sources.programs(source)} - {*sources})
    places = {source: docs_sources.place(source) for source in sources}
    for source in sources:
        text = source.read_text(encoding="utf-8")
        name = source.relative_to(env.ROOT).as_posix()
        pictures = {picture: docs_sources.place(picture) for picture in docs_sources.figures(text, source)}
        if source.suffix == ".py":
            text = f"# `{name}`\n\n```python\n{text.strip()}\n```\n"
        text = docs_sources.relinked(text, source, places[source], {**places, **pictures}.get, repository)
        edit = (
            f"[Edit this page]({repository}/edit/main/{name})"
            if repository
            else f"The source of this page is `{name}`."
        )
        write(pages / places[source], f"{text.rstrip()}\n\n<small>{edit}</small>\n")
        for picture, to in pictures.items():
            (pages / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, pages / to)
    for name, text in docs_api.pages().items():
        write(pages / name, text)
    write(pages / "site.css", ".md-typeset h2.doc-heading, .md-typeset h3.doc-heading { overflow-wrap: anywhere }\n")
    write(BUILD / "zensical.toml", configuration(sections, repository, version))


def configuration(sections: list[docs_sources.Section], repository: str, version: str) -> str:
    """Return docs/zensical.toml with the navigation, the version and the address of the repository."""
    nav = ['{ "Home" = "index.md" }']
    for section in sections:
        rows = [
            f"{{ {json.dumps(page.label)} = {json.dumps(docs_sources.place(page.file))} }}" for page in section.pages
        ]
        if section.title == "Reference":
            api = ", ".join(
                f"{{ {json.dumps(topic.title)} = {json.dumps(f'api/{slug}.md')} }}"
                for slug, topic in docs_api.TOPICS.items()
            )
            rows.append(f'{{ "API" = ["api/index.md", {api}] }}')
        nav.append(f"{{ {json.dumps(section.title)} = [{', '.join(rows)}] }}")
    paths = json.dumps([str(env.ROOT), str(env.ROOT / "adapters"), str(env.ROOT / "conformance")])
    base = (docs_sources.DOCS / "zensical.toml").read_text(encoding="utf-8")
    added = [
        "nav = [",
        *(f"    {row}," for row in nav),
        "]",
        f"repo_url = {json.dumps(repository)}" if repository else "",
    ]
    text = base.replace("[project]\n", "\n".join(["[project]", *added]) + "\n", 1)
    text += f"\n[project.plugins.mkdocstrings.handlers.python]\npaths = {paths}\n"
    return text + f'\n[project.extra.version]\nprovider = "mike"\ndefault = {json.dumps(version)}\n'


def build(repository: str, version: str) -> list[str]:
    """Build the site in build/docs/site; return what is wrong with it."""
    begin = time.monotonic()
    stage(repository, version)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        check=False,
        cwd=BUILD,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        return [re.sub(r"\x1b\[[\d;]*m", "", done.stdout).partition("Traceback")[0]]
    site = BUILD / "site"
    shutil.copy(docs_sources.DOCS / "file-worker.js", site / "assets")
    for file in site.rglob("*.html"):
        worker = os.path.relpath(site / "assets" / "file-worker.js", file.parent)
        write(file, file.read_text(encoding="utf-8").replace(SHIM, Path(worker).as_posix()))
    write(site / "llms.txt", llms(site=True))
    write(site / "llms-full.txt", llms(full=True, repository=repository))
    found = [*docs_links.problems(site)]
    if not found:
        count = sum(1 for _ in site.rglob("*.html"))
        print(f"{count} pages in {site.relative_to(env.ROOT)} after {time.monotonic() - begin:.0f} s")
    return found


def publish(folder: Path, version: str) -> None:
    """Copy the site to FOLDER/VERSION, list it in versions.json, and let the newest one be what FOLDER shows."""
    shutil.rmtree(folder / version, ignore_errors=True)
    shutil.copytree(BUILD / "site", folder / version)
    there = [entry.name for entry in folder.iterdir() if (entry / "index.html").is_file()]
    there.sort(key=lambda name: [int(part) if part.isdigit() else -1 for part in name.split(".")], reverse=True)
    write(
        folder / "versions.json", json.dumps([{"version": name, "title": name, "aliases": []} for name in there]) + "\n"
    )
    write(folder / "index.html", MOVED.format(there[0]))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def main() -> int:
    """Build the site, in the environment that has the generator; or look after llms.txt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, metavar="FOLDER")
    parser.add_argument("--version", metavar="NAME")
    parser.add_argument("--repository", metavar="URL", default=os.environ.get("GOES_LITE_REPOSITORY", ""))
    parser.add_argument("--llms", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.llms:
        write(LLMS, llms())
        return 0
    if arguments.check:
        same = LLMS.is_file() and LLMS.read_text(encoding="utf-8") == llms()
        print("docs/llms.txt is up to date" if same else "docs/llms.txt is outdated: run python .ci/docs.py --llms")
        return not same
    try:
        python = env.make("docs")
    except RuntimeError as error:
        sys.exit(str(error))
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        return subprocess.run([python, *sys.argv], check=False).returncode
    import goes_lite

    version = arguments.version or goes_lite.__version__
    if found := build(arguments.repository.rstrip("/"), version):
        print(*found, sep="\n")
        return 1
    if arguments.into:
        publish(arguments.into, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
