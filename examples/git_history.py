r"""The history of a git repository as an event log, and questions to it.

    python3 examples/git_history.py                                      # this repository
    python3 examples/git_history.py ~/src/flask --top 5
    python3 examples/git_history.py ~/src/flask --at 2015-06             # everything as it was then
    python3 examples/git_history.py ~/src/flask --file setup.py --at 2015-06-30

Every file is an aggregate, from the commit that adds it to the one that deletes it; a rename changes its state (the
path), not its id, and a path that is added again later is another file. Every commit is a few events that are appended
together; where the log ends is where the next run goes on, so the program may be killed at any time, and run again
when the repository has grown.

Which history? That of the main line: `git log --first-parent`, each commit compared with its first parent, a merge
being the sum of what it brought. It is the only order in which every commit builds upon the state that the one before
it left, so that it can be replayed. (Followed into the branches, a file would be renamed twice, or changed before it
is added.) So what was done on a branch is credited to whoever merged it, unless it was rebased or squashed.

The time of an event is the committer's date, when the commit came into this history; the author's goes into the
metadata. Paths are those of git, `/` everywhere; a backslash in a name is doubled, and a byte that is not UTF-8 is
`\xNN`, so that no two files share a name. Kept in memory: the paths of the files that exist, and one commit.

Needs git ≥ 2.15. Exit codes: 0 fine, 2 wrong input (the reason is on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import UUID, uuid5

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes

Database = goes.blocking.BlockingBackend

# --- what happens to files: the domain --------------------------------------------------------------------------------


@goes.event("file.added")
@dataclass(frozen=True, slots=True)
class FileAdded:
    path: str
    mode: str
    lines: int | None  # None: git takes it for binary (or it is a submodule)


@goes.event("file.changed")
@dataclass(frozen=True, slots=True)
class FileChanged:
    mode: str
    added: int | None
    removed: int | None


@goes.event("file.renamed")
@dataclass(frozen=True, slots=True)
class FileRenamed:
    path: str
    mode: str
    added: int | None
    removed: int | None


@goes.event("file.deleted")
@dataclass(frozen=True, slots=True)
class FileDeleted:
    lines: int | None


@goes.event("commit.made")
@dataclass(frozen=True, slots=True)
class CommitMade:
    """The last event of every commit, of no aggregate: the log has the commit if and only if it has this."""

    hash: str
    subject: str
    parents: int
    files: int
    added: int
    removed: int


class File(goes.Aggregate, name="file", deleted_by=FileDeleted):
    path: str = ""
    mode: str = ""
    lines: int | None = 0
    authors: frozenset[str] = frozenset()

    @goes.applies(FileAdded)
    def _added(self, event: goes.Event[FileAdded]) -> None:
        self.path, self.mode, self.lines = event.data.path, event.data.mode, event.data.lines
        self.authors |= {event.metadata["actor"]}

    @goes.applies(FileChanged)
    def _changed(self, event: goes.Event[FileChanged]) -> None:
        self._count(event)

    @goes.applies(FileRenamed)
    def _renamed(self, event: goes.Event[FileRenamed]) -> None:
        self.path = event.data.path
        self._count(event)

    @goes.applies(FileDeleted)
    def _deleted(self, event: goes.Event[FileDeleted]) -> None:
        self.authors |= {event.metadata["actor"]}

    def _count(self, event: goes.Event[FileChanged] | goes.Event[FileRenamed]) -> None:
        data = event.data
        self.mode = data.mode
        self.authors |= {event.metadata["actor"]}
        if self.lines is None or data.added is None or data.removed is None:
            self.lines = None  # binary now, or before: git counts no lines across that
        else:
            self.lines += data.added - data.removed


# --- what git says ----------------------------------------------------------------------------------------------------


class Problem(Exception):
    """Something that the user can do something about; the message says what."""


class Change(NamedTuple):
    status: str  # A, M, D, R, C or T, as git has it
    path: bytes
    source: bytes  # of a rename or copy, else empty
    mode: str
    added: int | None
    removed: int | None


class Commit(NamedTuple):
    hash: str
    parents: list[str]
    author: str
    email: str
    authored: datetime
    committed: datetime
    subject: str
    changes: list[Change]


SUBMODULE = "160000"
# Set here rather than trusted: what a user's configuration says must not change what is imported.
CONFIG = {
    "color.ui": "never", "core.quotePath": "false", "diff.algorithm": "myers", "diff.ignoreSubmodules": "none",
    "diff.relative": "false", "diff.renameLimit": "1000", "diff.submodule": "short",
    "log.diffMerges": "first-parent", "log.follow": "false", "log.mailmap": "false", "log.showRoot": "true",
    "log.showSignature": "false",
}  # fmt: skip
LOG = (
    "log", "--first-parent", "-m", "--reverse", "--raw", "--numstat", "-M", "-z", "--no-abbrev", "--no-ext-diff",
    "--no-textconv", "--ignore-submodules=none", "--encoding=UTF-8",
    "--format=commit %H%x00%P%x00%an%x00%ae%x00%at%x00%ct%x00%s",
)  # fmt: skip


class Git:
    """The few things that this program asks of git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = shutil.which("git")
        if program is None:
            raise Problem("git is not installed, or not on the PATH: see https://git-scm.com/downloads")
        if not folder.is_dir():
            raise Problem(f"{folder} is not a folder: name one that a git repository lies in")
        options = (part for key, value in CONFIG.items() for part in ("-c", f"{key}={value}"))
        self._command = [program, "-C", str(folder), "--no-pager", "--no-replace-objects", *options]
        # In a git hook these name another repository than the one that was asked for.
        hidden = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"}
        self._env = {key: value for key, value in os.environ.items() if key not in hidden}
        self._env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
        answer = self._run("rev-parse", "--absolute-git-dir")
        if answer.returncode:
            reason = shown(_first_line(answer.stderr).removeprefix("fatal: "))
            raise Problem(f"{folder} is not in a git repository that can be read ({reason}): name one as REPO")
        path = Path(os.fsdecode(answer.stdout.rstrip(b"\n")))
        self.name = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [*self._command, *arguments]
        return subprocess.run(command, env=self._env, capture_output=True, stdin=subprocess.DEVNULL, check=False)

    def asks(self, *arguments: str) -> bool:
        return self._run(*arguments).returncode == 0

    def says(self, *arguments: str) -> str:
        answer = self._run(*arguments)
        if answer.returncode:
            raise Problem(f"git {arguments[0]}: {shown(_first_line(answer.stderr))}")
        return answer.stdout.decode().strip()

    def head(self) -> str | None:
        """The commit that HEAD is at, None in a repository without commits."""
        made = self.asks("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return self.says("rev-parse", "HEAD") if made else None

    def commits(self, revisions: str) -> Iterator[Commit]:
        """The commits of the main line, the oldest first, as git comes to them."""
        with tempfile.TemporaryFile() as errors:  # a pipe that nobody reads would stop git when it is full of warnings
            git = subprocess.Popen(
                [*self._command, *LOG, revisions, "--"],
                env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
            output: IO[bytes] = git.stdout  # type: ignore[assignment]
            try:
                last: Commit | None = None
                for commit in parse(split(iter(lambda: os.read(output.fileno(), 1 << 16), b""))):
                    if last is not None:
                        yield last
                    last = commit
                # If git died, the last commit may lack some of its changes: it is given only now.
                if git.wait():
                    errors.seek(0)
                    raise Problem(f"git stopped: {shown(_first_line(errors.read())) or f'exit code {git.returncode}'}")
                if last is not None:
                    yield last
            finally:
                git.kill()
                git.wait()
                output.close()


def split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The tokens of a stream that separates them with NUL."""
    rest = b""
    for chunk in chunks:
        *tokens, rest = (rest + chunk).split(b"\0")
        yield from tokens
    if rest:
        yield rest


def parse(tokens: Iterator[bytes]) -> Iterator[Commit]:
    """The commits in what `git log` with the options above prints.

    Seven tokens for the commit; then, for each file, `:mode mode hash hash status` and one or two paths; then, for each
    file again, `added TAB removed TAB path`, or, after a rename, without a path and followed by the two.
    """
    token = next(tokens, None)
    while token is not None:
        if not token.startswith(b"commit "):
            raise Problem(f"git log printed something unexpected: {token[:60]!r}")
        parents, author, email, authored, committed, subject = islice(tokens, 6)
        changes: dict[bytes, Change] = {}
        commit = token[7:].decode()
        token = None
        for token in tokens:
            token = token.lstrip(b"\n")
            if token.startswith(b"commit "):
                break
            if token.startswith(b":"):
                _, mode, _, _, status = token.decode().split(" ")
                source = next(tokens) if status[0] in "RC" else b""
                path = next(tokens)
                changes[path] = Change(status[0], path, source, mode, None, None)
            elif token:
                added, removed, path = token.split(b"\t", 2)
                if not path:
                    _, path = islice(tokens, 2)
                change = changes[path]
                if added != b"-" and change.mode != SUBMODULE:
                    changes[path] = change._replace(added=int(added), removed=int(removed))
        else:
            token = None
        yield Commit(
            commit, parents.decode().split(), text(author), text(email), moment(authored), moment(committed),
            text(subject), list(changes.values()),
        )  # fmt: skip


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def moment(seconds: bytes) -> datetime:
    """A time as git has it; commits are not checked by anybody, and some are of the year 292277026596."""
    try:
        return EPOCH + timedelta(seconds=int(seconds or 0))
    except (OverflowError, ValueError):
        return EPOCH


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def path_text(raw: bytes) -> str:
    """A path as events have it; different paths have different ones."""
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _first_line(output: bytes) -> str:
    return next((line for line in text(output).splitlines() if line.strip()), "")


# --- from commits to events -------------------------------------------------------------------------------------------

NAMESPACE = UUID("6f1a5f0e-5d8b-5f0c-9a55-2d1f6d1f7b10")
BATCH = 500
"""So many events, of whole commits, are appended at a time: one wait for the disk, not hundreds."""


def short(value: str, limit: int = 900) -> str:
    """The value, or its beginning and a digest if it is too long for a tag or an id (1024 bytes)."""
    raw = value.encode()
    if len(raw) <= limit:
        return value
    return f"{raw[: limit - 50].decode('utf-8', 'ignore')}…{hashlib.sha1(raw).hexdigest()}"


class Importer:
    """Turns commits into events. Nothing is decided here: it happened long ago, so no aggregate is asked."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.files = db.repository(File)
        self.tree: dict[str, tuple[str, int]] = {}  # path → id and version of the file that lies there

    def last(self) -> str | None:
        """The commit that the log ends with."""
        event = next(self.db.events.query(goes.EventQuery(["commit.made"]), reverse=True, limit=1), None)
        return event.data.hash if event else None

    def events_of(self, commit: Commit) -> list[goes.Event[Any]]:
        """What the commit did to each file, and the commit."""
        actor = f"{commit.author} <{commit.email}>"
        metadata = {"actor": actor, "commit": commit.hash, "authored": commit.authored.isoformat()}
        tags = {f"commit:{commit.hash}"}
        if commit.email.strip():
            tags.add(f"author:{short(commit.email.strip().lower())}")
        events: list[goes.Event[Any]] = []

        def happened(data: object, key: bytes, path: str = "", **aggregate: Any) -> None:
            # The ids follow from the commit and the path: appending the same commit again is the same append.
            id = uuid5(NAMESPACE, f"{commit.hash}:{type(data).__name__}:{key.hex()}")
            own = tags | {f"path:{short(path)}"} if path else tags
            events.append(goes.Event(data, id=id, time=commit.committed, metadata=metadata, tags=own, **aggregate))

        # First what frees a path, then what takes one.
        left: dict[bytes, tuple[str, int]] = {}
        for change in commit.changes:
            if change.status == "D":
                id, version = self._leave(path_text(change.path), commit)
                happened(FileDeleted(change.removed), change.path, aggregate=("file", id), version=version + 1)
            elif change.status == "R":
                left[change.path] = self._leave(path_text(change.source), commit)
        for change in commit.changes:
            path = path_text(change.path)
            data: object
            if change.status in "AC":  # a copy is a file of its own
                id, version = f"{short(path)}@{commit.hash[:12]}", 0
                data = FileAdded(path, change.mode, change.added)
            elif change.status == "R":
                id, version = left[change.path]
                data = FileRenamed(path, change.mode, change.added, change.removed)
            elif change.status in "MT":
                id, version = self._leave(path, commit)
                data = FileChanged(change.mode, change.added, change.removed)
            else:
                continue
            named = "" if change.status in "MT" else path  # so that a file can be found by any name it ever had
            happened(data, change.path, named, aggregate=("file", id), version=version + 1)
            self.tree[path] = id, version + 1
        added = sum(change.added or 0 for change in commit.changes)
        removed = sum(change.removed or 0 for change in commit.changes)
        made = CommitMade(commit.hash, commit.subject, len(commit.parents), len(commit.changes), added, removed)
        happened(made, b"")
        return events

    def _leave(self, path: str, commit: Commit) -> tuple[str, int]:
        """The file that lies at the path, which is free from now on."""
        found = self.tree.pop(path, None)
        if found is None:  # imported by an earlier run
            file = find_file(self.db, path)
            if file is None or file.deleted or file.path != path:
                raise Problem(f"commit {commit.hash[:12]} changes {shown(path)!r}, which does not exist in the log")
            found = file.id, file.version
        return found


def find_file(db: Database, path: str, at: datetime | None = None) -> File | None:
    """The file of this path, as it is or was at a time, whatever became of it.

    That is the last one that had got the path by then, else one that was there by another name and got it later.
    """
    tag = f"path:{short(path)}"
    names = ["file.added", "file.renamed"]
    files = db.repository(File)
    by_then = db.events.query(goes.EventQuery(names, tags=[tag], max_time=at), reverse=True, limit=1)
    later = db.events.query(goes.EventQuery(names, tags=[tag])) if at else ()
    for event in chain(by_then, later):
        if event.aggregate is not None:
            id = event.aggregate.id
            try:
                return files.fetch_version(id, at, deleted=True) if at else files.fetch(id, deleted=True)
            except goes.errors.VersionNotFound:
                continue  # it did not exist yet
    return None


def revisions(git: Git, last: str | None, head: str) -> str | None:
    """What is to be imported after the commit `last`, None if that is nothing. Problem if it does not fit."""
    if last is None:
        return head
    if last == head:
        return None
    way_out = "import it into a new file (--db), or check the imported branch out"
    if not git.asks("cat-file", "-e", f"{last}^{{commit}}"):
        raise Problem(
            f"the log ends with commit {last[:12]}, which is not in this repository (its history was rewritten, or it "
            f"is another one): {way_out}"
        )
    if git.asks("merge-base", "--is-ancestor", head, last):
        behind = git.says("rev-list", "--count", "--first-parent", f"{head}..{last}")
        print(f"note: HEAD is at {head[:12]}, {behind} commits behind the end of the log", file=sys.stderr)
        return None
    if not git.asks("merge-base", "--is-ancestor", last, head):
        raise Problem(
            f"the history was rewritten: the log ends with commit {last[:12]}, which HEAD ({head[:12]}) does not build "
            f"upon any more: {way_out}"
        )
    return f"{last}..{head}"


def import_commits(db: Database, git: Git, report: Callable[[int, int], None]) -> int:
    """Append the commits that the log does not have yet, and answer how many."""
    head = git.head()
    if head is None:
        print(f"{git.name} has no commits yet: nothing to import", file=sys.stderr)
        return 0
    importer = Importer(db)
    last = importer.last()
    wanted = revisions(git, last, head)
    if wanted is None:
        return 0
    if last is None and git.says("rev-parse", "--is-shallow-repository") == "true":
        print("note: a shallow clone: its first commit seems to add every file at once", file=sys.stderr)
    total = int(git.says("rev-list", "--count", "--first-parent", wanted))
    done = new = waiting = 0
    batch: list[goes.Event[Any]] = []

    def append() -> None:
        nonlocal done, new, waiting
        if not db.events.append(batch).already_committed:  # not even by another run at the same time
            new += waiting
        done, waiting = done + waiting, 0
        batch.clear()
        report(done, total)

    for commit in git.commits(wanted):
        if last is not None and commit.parents[:1] != [last]:
            raise Problem(
                f"the main line of this history does not lead through commit {last[:12]} any more, where the log ends "
                "(it was merged into another line): import it into a new file (--db)"
            )
        last = commit.hash
        batch += importer.events_of(commit)
        waiting += 1
        if len(batch) >= BATCH:
            append()
    append()
    return new


# --- questions to the log ---------------------------------------------------------------------------------------------


class Figures:
    """What one pass over the log counts."""

    def __init__(self) -> None:
        self.commits = 0
        self.events = 0
        self.changes: Counter[str] = Counter()  # by file
        self.versions: dict[str, int] = {}  # by file
        self.lines: Counter[str] = Counter()  # added and removed, by file
        self.alive = 0
        self.months: Counter[tuple[int, int]] = Counter()
        self.authors: dict[str, list[Any]] = {}  # by e-mail address: name, commits, added, removed
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, event: goes.Event[Any]) -> None:
        self.events += 1
        data = event.data
        if isinstance(data, CommitMade):
            self.commits += 1
            self.first = self.first or event.time
            self.last = event.time
            self.months[event.time.year, event.time.month] += 1
            name, _, email = event.metadata["actor"].rpartition(" ")
            figures = self.authors.setdefault(email.lower(), [name, 0, 0, 0])
            figures[0] = name
            for index, more in enumerate((1, data.added, data.removed), 1):
                figures[index] += more
            return
        assert event.aggregate is not None
        id = event.aggregate.id
        self.changes[id] += 1
        self.versions[id] = event.version
        if isinstance(data, FileAdded):
            self.alive += 1
            self.lines[id] += data.lines or 0
        elif isinstance(data, FileDeleted):
            self.alive -= 1
        else:
            self.lines[id] += (data.added or 0) + (data.removed or 0)


def overview(db: Database, at: datetime | None, top: int, screen: Screen) -> Iterator[str]:
    figures = Figures()
    for event in db.events.query(goes.EventQuery(max_time=at)):
        figures.add(event)
    if figures.first is None or figures.last is None:
        yield f"no commits{f' until {at:%Y-%m-%d %H:%M} UTC' if at else ''}"
        return
    period = f"{figures.first:%Y-%m-%d} to {figures.last:%Y-%m-%d}"
    yield f"{figures.commits:,} commits, {period}, as {figures.events:,} events"
    yield f"{figures.alive:,} files{f' at {at:%Y-%m-%d %H:%M} UTC' if at else ''}, {len(figures.changes):,} ever"

    yield f"\nMost changed files\n{'changes':>9} {'± lines':>9} {'lines':>8}  path"
    files = db.repository(File)
    # Most changed first, and among equals by id: the answer is always the same.
    for id, count in sorted(figures.changes.items(), key=lambda item: (-item[1], item[0]))[:top]:
        file = files.fetch_version(id, figures.versions[id], deleted=True)
        lines = "binary" if file.lines is None else f"{file.lines:,}"
        path = screen.cut(shown(file.path), 30)
        yield f"{count:>9,} {figures.lines[id]:>9,} {'deleted' if file.deleted else lines:>8}  {path}"

    yield f"\nAuthors ({len(figures.authors):,})\n{'commits':>9} {'+ lines':>9} {'- lines':>9}  name"
    ranked = sorted(figures.authors.items(), key=lambda item: (-item[1][1], item[0]))
    for email, (name, commits, added, removed) in ranked[:top]:
        yield f"{commits:>9,} {added:>9,} {removed:>9,}  {screen.cut(shown(f'{name} {email}'), 32)}"

    yield ""
    yield from activity(figures.months, screen)


def file_story(db: Database, path: str, at: datetime | None, top: int, screen: Screen) -> Iterator[str]:
    file = find_file(db, path, at)
    if file is None:
        when = f" until {at:%Y-%m-%d %H:%M} UTC" if at else ""
        name = path.rpartition("/")[2]
        named = db.events.query(goes.EventQuery(["file.added", "file.renamed"], max_time=at))
        like = sorted({event.data.path for event in named if event.data.path.rpartition("/")[2] == name})[:5]
        hint = f": did you mean {', '.join(map(shown, like))}?" if like else ""
        raise Problem(f"no file had the path {shown(path)!r}{when}{hint}")
    events = db.events.load(file.ref, upto=file.version)
    first, last = events[0], events[-1]
    yield f"{shown(file.path)}{f', as of {at:%Y-%m-%d %H:%M} UTC' if at else ''}"
    if file.deleted:
        yield f"  deleted on {last.time:%Y-%m-%d}"
    elif file.path != path:
        later = any(event.data.path == path for event in events if isinstance(event.data, FileAdded | FileRenamed))
        yield f"  {'formerly' if later else 'later named'} {shown(path)}"
    lines = "binary" if file.lines is None else f"{file.lines:,} lines"
    people = len(file.authors)
    yield f"  {lines}, mode {file.mode}, version {file.version}, changed by {people:,} author{'s' * (people != 1)}"
    yield f"  added on {first.time:%Y-%m-%d}{'' if first.data.path == file.path else f' as {shown(first.data.path)}'}"
    if file.version > top:
        yield f"\n  the last {top} of {file.version} events"
    else:
        yield ""
    for event in events[-top:]:
        data = event.data
        if isinstance(data, FileAdded):
            what = f"added   {'binary' if data.lines is None else f'+{data.lines}'}"
        elif isinstance(data, FileDeleted):
            what = "deleted"
        else:
            what = "changed " if isinstance(data, FileChanged) else f"renamed to {shown(data.path)} "
            what += "binary" if data.added is None else f"+{data.added} -{data.removed}"
        line = f"  v{event.version:<4} {event.time:%Y-%m-%d %H:%M}  {event.metadata['commit'][:10]}  {what:<20}"
        yield screen.cut(f"{line}  {shown(event.metadata['actor'])}")


# --- the terminal -----------------------------------------------------------------------------------------------------


def shown(value: str) -> str:
    """The text with everything escaped that a terminal might obey: names in a repository are anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


class Screen(NamedTuple):
    """Where the answer goes: how wide it is, and whether it is a terminal that can show blocks."""

    width: int
    pretty: bool

    @classmethod
    def of_stdout(cls) -> Screen:
        try:
            "█▁…".encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return cls(shutil.get_terminal_size().columns, False)
        return cls(shutil.get_terminal_size().columns, sys.stdout.isatty())

    def cut(self, value: str, used: int = 0) -> str:
        """The value, cut to what is left of a line; whole where no terminal would wrap it."""
        room = max(self.width - used, 10)
        return value if not self.pretty or len(value) <= room else value[: room - 1] + "…"


def activity(months: Counter[tuple[int, int]], screen: Screen) -> Iterator[str]:
    """Commits over time: columns on a terminal, plain lines elsewhere, of months or longer if they are too many."""
    first, last = min(months), max(months)
    limit = max(screen.width - 10, 12) if screen.pretty else 48
    begin = end = size = 0
    for unit, size in (("month", 1), ("quarter", 3), ("year", 12), ("decade", 120)):  # noqa: B007
        begin, end = ((year * 12 + month - 1) // size for year, month in (first, last))
        if end - begin < limit:
            break
    buckets = [0] * (end - begin + 1)
    for (year, month), count in months.items():
        buckets[(year * 12 + month - 1) // size - begin] += count
    buckets = buckets[-limit:]
    begin = end - len(buckets) + 1
    years = [(begin + index) * size // 12 for index in range(len(buckets))]
    yield f"Commits per {unit}"
    if screen.pretty:
        yield from columns(buckets, years, limit)
        return
    widest = max(buckets)
    for index, count in enumerate(buckets):
        year, month = years[index], (begin + index) * size % 12
        label = {1: f"{year}-{month + 1:02}", 3: f"{year}-Q{month // 3 + 1}"}.get(size, f"{year}")
        yield f"{label:<8} {count:>7,} {'#' * -(-count * 40 // widest)}".rstrip()


def columns(buckets: list[int], years: list[int], width: int, height: int = 6) -> Iterator[str]:
    each = max(1, min(4, width // len(buckets)))
    gap = 1 if each > 1 else 0
    eighths = [-(-count * height * 8 // max(buckets)) for count in buckets]
    for row in reversed(range(height)):
        blocks = (" ▁▂▃▄▅▆▇█"[max(0, min(8, value - row * 8))] * (each - gap) + " " * gap for value in eighths)
        label = f"{max(buckets):,}" if row == height - 1 else "0" if row == 0 else ""
        yield f"{label:>8} {''.join(blocks)}".rstrip()
    axis = [" "] * (len(years) * each + 5)
    room = len(axis)
    for index in reversed(range(len(years))):  # a year is left out if the next one is too close
        if (index == 0 or years[index] != years[index - 1]) and index * each + 5 <= room:
            room = index * each
            axis[room : room + 4] = f"{years[index]:<4}"
    yield f"{'':>8} {''.join(axis)}".rstrip()


class Progress:
    """How far it is, on one line of stderr, if somebody looks."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._begin = time.monotonic()
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._wanted or (now < self._next and done < total):
            return
        self._next = now + 0.2
        rate = done / max(now - self._begin, 1e-9)
        left = f", {(total - done) / rate:,.0f} s left" if done < total and rate else ""
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {total:,} commits, {rate:,.0f}/s{left}\x1b[K", end=end, file=sys.stderr, flush=True)


def date(value: str) -> datetime:
    """A time, or the end of a day, month or year; UTC unless it names a zone."""
    try:
        parts = [int(part) for part in value.split("-")]
    except ValueError:
        parts = []
    try:
        if 1 <= len(parts) <= 3 and len(value) <= 10:
            begin = datetime(*(*parts, 1, 1)[:3], tzinfo=timezone.utc)  # type: ignore[arg-type, misc]
            month = (begin.replace(day=28) + timedelta(days=4)).replace(day=1)
            ends = (begin.replace(year=begin.year + 1), month, begin + timedelta(days=1))
            return ends[len(parts) - 1] - timedelta(microseconds=1)
        at = datetime.fromisoformat(value)
        return at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        examples = "2024, 2024-05, 2024-05-31 or 2024-05-31T12:00Z"
        raise argparse.ArgumentTypeError(f"{value!r} is not a date such as {examples}") from None


def number(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number ≥ 1")
    return int(value)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="git_history.py", description="Import the history of a git repository into an event log, and ask it."
    )
    parser.add_argument("repo", nargs="?", metavar="REPO", type=Path, help="a git repository (default: this one)")
    parser.add_argument("--db", metavar="FILE", help="the event log (default: NAME-history.db in this folder)")
    parser.add_argument("--at", metavar="DATE", type=date, help="as it was then: 2024, 2024-05, 2024-05-31, …T12:00")
    parser.add_argument("--file", metavar="PATH", help="the story of one file, by any path it ever had")
    parser.add_argument("--top", metavar="N", type=number, default=10, help="how many lines in a list (default: 10)")
    parser.add_argument("--progress", action="store_true", help="show the progress even if stderr is not a terminal")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    path = options.db or ""
    try:
        git = Git(options.repo or Path(__file__).resolve().parent)
        path = path or f"{git.name}-history.db"
        with goes.blocking.connect(path) as db:
            begin = time.monotonic()
            count = import_commits(db, git, Progress(options.progress or sys.stderr.isatty()))
            print(f"{path}: {count:,} new commit{'s' * (count != 1)} in {time.monotonic() - begin:.1f} s\n")
            if options.file is not None:
                wanted = path_text(os.fsencode(options.file).removeprefix(b"./"))
                answer = file_story(db, wanted, options.at, options.top, Screen.of_stdout())
            else:
                answer = overview(db, options.at, options.top, Screen.of_stdout())
            for line in answer:
                print(line)
            sys.stdout.flush()
    except (goes.errors.ConcurrencyError, goes.errors.DuplicateEventError) as error:
        return complain(f"another program imports into {path} right now, run this again when it is done ({error})")
    except (Problem, goes.errors.GoesError) as error:
        return complain(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to go on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def complain(message: str) -> int:
    print(f"git_history: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
