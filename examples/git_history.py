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
it left. (Followed into the branches, a file would be renamed twice, or changed before it is added.)

The time of an event is the committer's date; the author's goes into the metadata. In a path, a backslash is doubled and
a byte that is not UTF-8 is `\xNN`, so that no two files share a name. Kept in memory: the paths of the files that
exist, and one commit. Needs git ≥ 2.15. Exit codes: 0 fine, 2 wrong input (the reason is on stderr), 130 interrupted.
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
from collections.abc import Iterable, Iterator
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

    @goes.applies(FileChanged, FileRenamed)
    def _changed(self, event: goes.Event[FileChanged | FileRenamed]) -> None:
        data = event.data
        self.mode = data.mode
        self.authors |= {event.metadata["actor"]}
        if isinstance(data, FileRenamed):
            self.path = data.path
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


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SUBMODULE = "160000"
# Set here rather than trusted: what a user's configuration says must not change what is imported.
CONFIG = (
    "color.ui=never", "core.quotePath=false", "diff.algorithm=myers", "diff.ignoreSubmodules=none",
    "diff.relative=false", "diff.renameLimit=1000", "diff.submodule=short", "log.diffMerges=first-parent",
    "log.follow=false", "log.mailmap=false", "log.showRoot=true", "log.showSignature=false",
)  # fmt: skip
LOG = (
    "log", "--first-parent", "-m", "--reverse", "--raw", "--numstat", "-M", "-z", "--no-abbrev", "--no-ext-diff",
    "--no-textconv", "--ignore-submodules=none", "--encoding=UTF-8",
    "--format=commit %H%x00%P%x00%an%x00%ae%x00%at%x00%ct%x00%s",
)  # fmt: skip
# In a git hook these name another repository than the one that was asked for.
HIDDEN = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"}


class Git:
    """The few things that this program asks of git."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise Problem("git is not installed, or not on the PATH: see https://git-scm.com/downloads")
        if not folder.is_dir():
            raise Problem(f"{folder} is not a folder: name one that a git repository lies in")
        options = chain.from_iterable(("-c", setting) for setting in CONFIG)
        self._command = [program, "-C", str(folder), "--no-pager", "--no-replace-objects", *options]
        self._env = {key: value for key, value in os.environ.items() if key not in HIDDEN}
        self._env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
        try:
            path = Path(self.says("rev-parse", "--absolute-git-dir"))
        except Problem as problem:
            raise Problem(f"{folder} is not in a git repository that can be read ({problem}): name one") from None
        self.name = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [*self._command, *arguments]
        return subprocess.run(command, env=self._env, capture_output=True, stdin=subprocess.DEVNULL, check=False)

    def asks(self, *arguments: str) -> bool:
        return self._run(*arguments).returncode == 0

    def says(self, *arguments: str) -> str:
        answer = self._run(*arguments)
        if answer.returncode:
            raise Problem(f"git {arguments[0]}: {first_line(answer.stderr)}")
        return os.fsdecode(answer.stdout).strip()

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
                    raise Problem(f"git stopped with exit code {git.returncode}: {first_line(errors.read())}")
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
        commit = token[7:].decode()
        parents, author, email, authored, committed, subject = (text(part) for part in islice(tokens, 6))
        changes: dict[bytes, Change] = {}
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
        times = moment(authored), moment(committed)
        yield Commit(commit, parents.split(), author, email, *times, subject, list(changes.values()))


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def moment(seconds: str) -> datetime:
    """A time as git has it; commits are not checked by anybody, and some are of the year 292277026596."""
    try:
        return EPOCH + timedelta(seconds=int(seconds))
    except (OverflowError, ValueError):
        return EPOCH


def path_text(raw: bytes) -> str:
    """A path as events have it; different paths have different ones."""
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def first_line(output: bytes) -> str:
    return shown(text(output).strip().partition("\n")[0])


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
        self.tree: dict[str, tuple[str, int]] = {}  # path → id and version of the file that lies there

    def events_of(self, commit: Commit) -> list[goes.Event[Any]]:
        """What the commit did to each file, and the commit."""
        actor = f"{commit.author} <{commit.email}>"
        metadata = {"actor": actor, "commit": commit.hash, "authored": commit.authored.isoformat()}
        tags = {f"commit:{commit.hash}", f"author:{short(commit.email.strip().lower() or 'unknown')}"}
        events: list[goes.Event[Any]] = []

        def happened(data: object, key: bytes, path: str = "", **aggregate: Any) -> None:
            # The ids follow from the commit and the path: appending the same commit again is the same append.
            id = uuid5(NAMESPACE, f"{commit.hash}:{type(data).__name__}:{key.hex()}")
            own = tags | {f"path:{short(path)}"} if path else tags  # a file can be found by any name it ever had
            events.append(goes.Event(data, id=id, time=commit.committed, metadata=metadata, tags=own, **aggregate))

        # First what frees a path, then what takes one.
        left: dict[bytes, tuple[str, int]] = {}
        for change in commit.changes:
            if change.status == "D":
                id, version = self._leave(path_text(change.path), commit)
                happened(FileDeleted(change.removed), change.path, aggregate=("file", id), version=version + 1)
            elif change.status == "R":
                left[change.path] = self._leave(path_text(change.source), commit)
        for status, raw, _, mode, added, removed in commit.changes:
            path = path_text(raw)
            data: object
            if status in "AC":  # a copy is a file of its own
                id, version = f"{short(path)}@{commit.hash[:12]}", 0
                data = FileAdded(path, mode, added)
            elif status == "R":
                id, version = left[raw]
                data = FileRenamed(path, mode, added, removed)
            elif status in "MT":
                id, version = self._leave(path, commit)
                data = FileChanged(mode, added, removed)
            else:
                continue
            happened(data, raw, "" if status in "MT" else path, aggregate=("file", id), version=version + 1)
            self.tree[path] = id, version + 1
        total = [sum(change[column] or 0 for change in commit.changes) for column in (-2, -1)]  # type: ignore[misc]
        happened(CommitMade(commit.hash, commit.subject, len(commit.parents), len(commit.changes), *total), b"")
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
    names, tags = ["file.added", "file.renamed"], [f"path:{short(path)}"]
    files = db.repository(File)
    by_then = db.events.query(goes.EventQuery(names, tags=tags, max_time=at), reverse=True, limit=1)
    later = db.events.query(goes.EventQuery(names, tags=tags)) if at else ()
    for event in chain(by_then, later):
        if event.aggregate is not None:
            id = event.aggregate.id
            try:
                return files.fetch_version(id, at, deleted=True) if at else files.fetch(id, deleted=True)
            except goes.errors.VersionNotFound:
                continue  # it did not exist yet
    return None


def revisions(git: Git, last: str, head: str) -> str | None:
    """What is to be imported after the commit `last`, None if that is nothing. Problem if it does not fit."""
    if git.asks("merge-base", "--is-ancestor", last, head):
        return f"{last}..{head}" if last != head else None
    if git.asks("merge-base", "--is-ancestor", head, last):
        behind = git.says("rev-list", "--count", "--first-parent", f"{head}..{last}")
        print(f"note: HEAD is at {head[:12]}, {behind} commits behind the end of the log", file=sys.stderr)
        return None
    if git.asks("cat-file", "-e", f"{last}^{{commit}}"):
        reason = f"which HEAD ({head[:12]}) does not build upon any more: the history was rewritten"
    else:
        reason = "which is not in this repository: the history was rewritten, or it is another one"
    raise Problem(f"the log ends with commit {last[:12]}, {reason}. Import it into a new file (--db)")


def import_commits(db: Database, git: Git) -> int:
    """Append the commits that the log does not have yet, and answer how many."""
    if not git.asks("rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        print(f"{git.name} has no commits yet: nothing to import", file=sys.stderr)
        return 0
    head = git.says("rev-parse", "HEAD")
    end = next(db.events.query(goes.EventQuery(["commit.made"]), reverse=True, limit=1), None)
    last = end.data.hash if end else None
    wanted = revisions(git, last, head) if last else head
    if wanted is None:
        return 0
    if last is None and git.says("rev-parse", "--is-shallow-repository") == "true":
        print("note: a shallow clone: its first commit seems to add every file at once", file=sys.stderr)
    progress = Progress(int(git.says("rev-list", "--count", "--first-parent", wanted)))
    importer = Importer(db)
    commits = new = 0
    batch: list[goes.Event[Any]] = []
    for commit in chain(git.commits(wanted), [None]):
        if commit is not None:
            if last is not None and commit.parents[:1] != [last]:
                raise Problem(
                    f"the main line of this history does not lead through commit {last[:12]} any more, where the log "
                    "ends (it was merged into another line): import it into a new file (--db)"
                )
            last = commit.hash
            batch += importer.events_of(commit)
            commits += 1
        if commit is None or len(batch) >= BATCH:
            if not db.events.append(batch).already_committed:  # not even by another run at the same time
                new += commits
            progress.add(commits)
            batch, commits = [], 0
    return new


# --- questions to the log ---------------------------------------------------------------------------------------------


def overview(db: Database, at: datetime | None, top: int) -> Iterator[str]:
    """What one pass over the log tells."""
    changes, lines = Counter[str](), Counter[str]()  # by file
    months, authors = Counter[int](), Counter[str]()
    versions: dict[str, int] = {}  # by file
    deleted = 0
    times: list[datetime] = []  # of the first and the last commit
    for event in db.events.query(goes.EventQuery(max_time=at)):
        data = event.data
        if isinstance(data, CommitMade):
            times[1:] = [event.time]
            months[event.time.year * 12 + event.time.month - 1] += 1
            authors[event.metadata["actor"]] += 1
        elif event.aggregate is not None:
            id = event.aggregate.id
            changes[id] += 1
            versions[id] = event.version
            if isinstance(data, FileDeleted):
                deleted += 1
            else:
                lines[id] += (data.lines if isinstance(data, FileAdded) else (data.added or 0) + data.removed) or 0
    when = f"{at:%Y-%m-%d %H:%M} UTC" if at else ""
    if not times:
        yield f"no commits{when and f' until {when}'}"
        return
    number = months.total()
    yield f"{number:,} commits, {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}, as {number + changes.total():,} events"
    yield f"{len(versions) - deleted:,} files{when and f' at {when}'}, {len(versions):,} ever"

    yield f"\nMost changed files\n{'changes':>9} {'± lines':>9} {'lines':>8}  path"
    files = db.repository(File)
    for id, count in ranked(changes, top):
        file = files.fetch_version(id, versions[id], deleted=True)
        size = "deleted" if file.deleted else "binary" if file.lines is None else f"{file.lines:,}"
        yield f"{count:>9,} {lines[id]:>9,} {size:>8}  {shown(file.path)}"

    yield f"\nAuthors ({len(authors):,})\n{'commits':>9}  name"
    yield from (f"{count:>9,}  {shown(actor)}" for actor, count in ranked(authors, top))
    yield ""
    yield from activity(months)


def ranked(counts: Counter[str], top: int) -> list[tuple[str, int]]:
    """The most frequent ones, among equals by name: the answer is always the same."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]


def activity(months: Counter[int], rows: int = 48) -> Iterator[str]:
    """Commits per month as bars; per quarter or year if those are too many."""
    unit, size, first, end = "", 0, 0, 0
    for unit, size in (("month", 1), ("quarter", 3), ("year", 12)):  # noqa: B007
        first, end = min(months) // size, max(months) // size
        if end - first < rows:
            break
    bars = Counter[int]()
    for month, count in months.items():
        bars[month // size] += count
    yield f"Commits per {unit}"
    for bar in range(max(first, end - rows + 1), end + 1):
        year, month = divmod(bar * size, 12)
        label = {"month": f"{year}-{month + 1:02}", "quarter": f"{year}-Q{month // 3 + 1}", "year": f"{year}"}[unit]
        yield f"{label:<8} {bars[bar]:>7,} {'#' * -(-bars[bar] * 40 // max(bars.values()))}".rstrip()


def file_story(db: Database, path: str, at: datetime | None, top: int) -> Iterator[str]:
    """The state of a file at a time, and what happened to it until then."""
    when = f"{at:%Y-%m-%d %H:%M} UTC" if at else ""
    file = find_file(db, path, at)
    if file is None:
        raise Problem(f"no file had the path {shown(path)!r}{when and f' until {when}'}")
    events = db.events.load(file.ref, upto=file.version)
    yield f"{shown(file.path)}{when and f', as of {when}'}"
    if file.deleted:
        yield f"  deleted on {events[-1].time:%Y-%m-%d}"
    elif file.path != path:
        former = any(event.data.path == path for event in events if isinstance(event.data, FileAdded | FileRenamed))
        yield f"  {'formerly' if former else 'later named'} {shown(path)}"
    lines = "binary" if file.lines is None else f"{file.lines:,} lines"
    people = f"{len(file.authors):,} author{'s' * (len(file.authors) != 1)}"
    yield f"  {lines}, mode {file.mode}, version {file.version}, changed by {people}"
    yield f"  added on {events[0].time:%Y-%m-%d} as {shown(events[0].data.path)}\n\n  the last events"
    for event in events[-top:]:
        what = event.name.removeprefix("file.")
        if isinstance(event.data, FileRenamed):
            what += f" to {shown(event.data.path)}"
        if isinstance(event.data, FileChanged | FileRenamed) and event.data.added is not None:
            what += f" +{event.data.added} -{event.data.removed}"
        line = f"  v{event.version:<4} {event.time:%Y-%m-%d %H:%M}  {event.metadata['commit'][:10]}  {what:<20}"
        yield f"{line}  {shown(event.metadata['actor'])}"


# --- the terminal -----------------------------------------------------------------------------------------------------


def shown(value: str) -> str:
    """The text with everything escaped that a terminal might obey: names in a repository are anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


class Progress:
    """How far it is, on one line of stderr, if that is a terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._begin = total, 0, time.monotonic()

    def add(self, commits: int) -> None:
        self._done += commits
        if sys.stderr.isatty():
            rate = self._done / max(time.monotonic() - self._begin, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            line = f"{self._done:,} of {self._total:,} commits, {rate:,.0f}/s, {left:,.0f} s left"
            print(f"\r{line}\x1b[K", end="\n" if self._done == self._total else "", file=sys.stderr, flush=True)


def date(value: str) -> datetime:
    """A time, or the end of a day, month or year; UTC unless it names a zone."""
    try:
        for pattern, days in (("%Y", 366), ("%Y-%m", 31), ("%Y-%m-%d", 1)):
            try:
                begin = datetime.strptime(value, pattern).replace(tzinfo=timezone.utc)
            except ValueError:
                continue
            end = begin + timedelta(days=days)
            return (end.replace(day=1) if days > 1 else end) - timedelta(microseconds=1)
        at = datetime.fromisoformat(value)
        return at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        examples = "2024, 2024-05, 2024-05-31 or 2024-05-31T12:00Z"
        raise argparse.ArgumentTypeError(f"{value!r} is not a date such as {examples}") from None


def number(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number ≥ 1")
    return int(value)


def main() -> int:
    parser = argparse.ArgumentParser(description="Import the history of a git repository into an event log, and ask it.")
    parser.add_argument("repo", nargs="?", metavar="REPO", type=Path, help="a git repository (default: this one)")
    parser.add_argument("--db", metavar="FILE", help="the event log (default: NAME-history.db in this folder)")
    parser.add_argument("--at", metavar="DATE", type=date, help="as it was then: 2024, 2024-05, 2024-05-31, …T12:00")
    parser.add_argument("--file", metavar="PATH", help="the story of one file, by any path it ever had")
    parser.add_argument("--top", metavar="N", type=number, default=10, help="how many lines in a list (default: 10)")
    options = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        git = Git(options.repo or Path(__file__).resolve().parent)
        path = options.db or f"{git.name}-history.db"
        with goes.blocking.connect(path) as db:
            begin = time.monotonic()
            count = import_commits(db, git)
            print(f"{path}: {count:,} new commit{'s' * (count != 1)} in {time.monotonic() - begin:.1f} s\n")
            if options.file is None:
                answer = overview(db, options.at, options.top)
            else:
                wanted = path_text(os.fsencode(options.file).removeprefix(b"./"))
                answer = file_story(db, wanted, options.at, options.top)
            for line in answer:
                print(line, flush=True)
    except (goes.errors.ConcurrencyError, goes.errors.DuplicateEventError) as error:
        return complain(f"another program imports into this log right now, run this again when it is done ({error})")
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
