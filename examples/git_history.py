r"""The history of a git repository as an event log, and queries on it.

    python3 examples/git_history.py                                      # this repository
    python3 examples/git_history.py ~/src/flask --top 5
    python3 examples/git_history.py ~/src/flask --at 2015-06             # everything as it was then
    python3 examples/git_history.py ~/src/flask --file setup.py --at 2015-06-30

Every file is an aggregate, from the commit that adds it to the one that deletes it; a rename changes its state, not its
id. Every commit is a few events that are appended together, and the next run resumes where the log ends. So the program
may be killed at any time, and run again when the repository has grown.

The history is that of the main line: `git log --first-parent`, each commit compared with its first parent, and a merge as
the sum of its changes. Only in this order does every commit build on the state that its predecessor left. (With the commits
of branches, a file would be renamed twice, or changed before it is added.)

The time of an event is the committer's date. In a path, a backslash is doubled and a byte that is not UTF-8 is `\xNN`.
Needs git ≥ 2.15. Exit codes: 0 success, 2 wrong input (the reason is on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid5

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes

# --- what happens to files: the domain --------------------------------------------------------------------------------


@goes.event("file.added")
@dataclass(frozen=True, slots=True)
class FileAdded:
    path: str
    mode: str
    lines: int | None  # None: git considers it binary (or it is a submodule)


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
    """The last event of every commit, of no aggregate: the log has the commit if and only if it has this event."""

    hash: str
    subject: str


class File(goes.Aggregate, name="file", deleted_by=FileDeleted):
    path: str = ""
    mode: str = ""
    lines: int | None = 0

    @goes.applies(FileAdded)
    def _added(self, event: goes.Event[FileAdded]) -> None:
        self.path, self.mode, self.lines = event.data.path, event.data.mode, event.data.lines

    @goes.applies(FileChanged, FileRenamed)
    def _changed(self, event: goes.Event[FileChanged | FileRenamed]) -> None:
        data = event.data
        self.mode = data.mode
        if isinstance(data, FileRenamed):
            self.path = data.path
        if self.lines is None or data.added is None or data.removed is None:
            self.lines = None  # binary now or before: git does not count lines across that change
        else:
            self.lines += data.added - data.removed


# --- the output of git ------------------------------------------------------------------------------------------------


class Problem(Exception):
    """A problem that the user can solve; the message says how."""


class Change(NamedTuple):
    status: str  # A, M, D, R, C or T, as in git
    path: bytes
    source: bytes  # of a rename or copy, else empty
    mode: str
    added: int | None
    removed: int | None


class Commit(NamedTuple):
    hash: str
    parents: list[str]
    actor: str
    email: str
    authored: str
    time: datetime  # the committer's date
    subject: str
    changes: list[Change]


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SUBMODULE = "160000"
# Set here, so that the user's configuration cannot change what is imported.
CONFIG = (
    "color.ui=never", "core.quotePath=false", "diff.algorithm=myers", "diff.ignoreSubmodules=none",
    "diff.relative=false", "diff.renameLimit=1000", "diff.submodule=short", "log.diffMerges=first-parent",
    "log.follow=false", "log.mailmap=false", "log.showRoot=true", "log.showSignature=false",
)  # fmt: skip
LOG = (
    "log", "--first-parent", "-m", "--reverse", "--raw", "--numstat", "-M", "-z", "--no-abbrev", "--no-ext-diff",
    "--no-textconv", "--ignore-submodules=none", "--encoding=UTF-8",
    "--format=commit %H%x00%P%x00%an <%ae>%x00%ae%x00%aI%x00%ct%x00%s",
)  # fmt: skip
# In a git hook these name another repository than the requested one.
HIDDEN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE")


class Git:
    """The few git commands that this program runs."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise Problem("git is not installed, or not on the PATH: see https://git-scm.com/downloads")
        if not folder.is_dir():
            raise Problem(f"{folder} is not a folder: name one in a git repository")
        options = chain.from_iterable(("-c", setting) for setting in CONFIG)
        self._command = [program, "-C", str(folder), "--no-pager", "--no-replace-objects", *options]
        self._env = {key: value for key, value in os.environ.items() if key not in HIDDEN}
        self._env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
        try:
            path = Path(self.output("rev-parse", "--absolute-git-dir"))
        except Problem as problem:
            raise Problem(
                f"{folder} is not in a git repository that can be read: name another one ({problem})"
            ) from None
        self.name = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")

    def output(self, *arguments: str) -> str:
        done = subprocess.run([*self._command, *arguments], env=self._env, capture_output=True, check=False)
        if done.returncode:
            raise Problem(shown(done.stderr.decode("utf-8", "replace").strip()))
        return os.fsdecode(done.stdout).strip()

    def succeeds(self, *arguments: str) -> bool:
        try:
            self.output(*arguments)
        except Problem:
            return False
        return True

    def log(self, revisions: str) -> Iterator[bytes]:
        """Yield the output of `git log`, split at each NUL; its errors go to stderr."""
        command = [*self._command, *LOG, revisions, "--"]
        with subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE) as git:
            assert git.stdout is not None
            rest = b""
            while chunk := git.stdout.read(1 << 16):
                *tokens, rest = (rest + chunk).split(b"\0")
                yield from tokens
            if git.wait():  # before the last token, so that a commit that may lack changes is never complete
                raise Problem(f"git stopped with exit code {git.returncode}")
            yield rest


def parse(tokens: Iterator[bytes]) -> Iterator[Commit]:
    """Parse the output of `git log` with the options above into commits.

    There are seven tokens for the commit; then, for each file, `:mode mode hash hash status` and one or two paths; then,
    for each file again, `added TAB removed TAB path`, or, for a rename, the same without the path, followed by both paths.
    """
    token = next(tokens, None)
    while token is not None:
        if not token.startswith(b"commit "):
            raise Problem(f"git log printed something unexpected: {token[:60]!r}")
        commit = token[7:].decode()
        parents, actor, email, authored, at, subject = (part.decode("utf-8", "replace") for part in islice(tokens, 6))
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
        when = EPOCH + timedelta(
            seconds=min(int(at or 0), 1 << 37)
        )  # git does not check it: the year 292277026596 occurs
        yield Commit(commit, parents.split(), actor, email, authored, when, subject, list(changes.values()))


def path_text(raw: bytes) -> str:
    """Return a path as events store it; different paths have different texts."""
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


# --- from commits to events -------------------------------------------------------------------------------------------

NAMESPACE = UUID("6f1a5f0e-5d8b-5f0c-9a55-2d1f6d1f7b10")
BATCH = 500  # events of whole commits that are appended at a time, to wait for the disk once and not hundreds of times


def short(value: str) -> str:
    """Return the value, or its beginning and a digest if it is too long for a tag or an id (1024 bytes)."""
    raw = value.encode()
    return value if len(raw) <= 900 else f"{raw[:800].decode('utf-8', 'ignore')}…{uuid5(NAMESPACE, value)}"


def events_of(
    commit: Commit, tree: dict[str, tuple[str, int]], db: goes.blocking.BlockingDatabase
) -> list[goes.Event[Any]]:
    """Return the events of a commit: its change to each file, and the commit. They happened, so no aggregate decides.

    `tree` maps a path to the id and version of its file, as far as this run has seen it.
    """
    metadata = {"actor": commit.actor, "commit": commit.hash, "authored": commit.authored}
    tags = {f"commit:{commit.hash}", f"author:{short(commit.email.strip().lower() or 'unknown')}"}
    events: list[goes.Event[Any]] = []

    def happened(data: object, key: bytes, path: str = "", **aggregate: Any) -> None:
        # The ids follow from the commit and the path: appending the same commit again is the same append.
        id = uuid5(NAMESPACE, f"{commit.hash}:{type(data).__name__}:{key.hex()}")
        own = tags | {f"path:{short(path)}"} if path else tags  # a file can be found by any name it ever had
        events.append(goes.Event(data, id=id, time=commit.time, metadata=metadata, tags=own, **aggregate))

    found: dict[bytes, tuple[str, int]] = {}
    for change in commit.changes:  # first the changes that free a path, then those that take one
        if change.status not in "AC":
            path = path_text(change.source or change.path)
            file = None if path in tree else find_file(db, path)  # imported by an earlier run
            if path not in tree and (file is None or file.deleted or file.path != path):
                raise Problem(f"commit {commit.hash[:12]} changes {shown(path)!r}, which does not exist in the log")
            found[change.path] = (file.id, file.version) if file else tree.pop(path)
    for status, raw, _, mode, added, removed in commit.changes:
        path = path_text(raw)
        id, version = found.get(raw) or (f"{short(path)}@{commit.hash[:12]}", 0)  # a copy is a file of its own
        data: object = FileChanged(mode, added, removed)
        if status == "D":
            data = FileDeleted(removed)
        elif status == "R":
            data = FileRenamed(path, mode, added, removed)
        elif status in "AC":
            data = FileAdded(path, mode, added)
        happened(data, raw, path if status in "ACR" else "", aggregate=("file", id), version=version + 1)
        if status != "D":
            tree[path] = id, version + 1
    happened(CommitMade(commit.hash, commit.subject), b"")
    return events


def find_file(db: goes.blocking.BlockingDatabase, path: str, at: datetime | None = None) -> File | None:
    """Find the file of a path, now or at a time: the last that got the path by then, else one that got it later."""
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
                continue  # the file did not exist yet
    return None


def revisions(git: Git, last: str, head: str) -> str | None:
    """Return the revisions to import after the commit `last`, or None if there are none. Problem if it does not fit."""
    if git.succeeds("merge-base", "--is-ancestor", last, head):
        return f"{last}..{head}" if last != head else None
    if git.succeeds("merge-base", "--is-ancestor", head, last):
        behind = git.output("rev-list", "--count", "--first-parent", f"{head}..{last}")
        print(f"note: HEAD is at {head[:12]}, {behind} commits behind the end of the log", file=sys.stderr)
        return None
    if git.succeeds("cat-file", "-e", f"{last}^{{commit}}"):
        reason = f"which is no longer an ancestor of HEAD ({head[:12]}): the history was rewritten"
    else:
        reason = "which is not in this repository: the history was rewritten, or it is another one"
    raise Problem(f"the log ends with commit {last[:12]}, {reason}. Import it into a new file (--db)")


def import_commits(db: goes.blocking.BlockingDatabase, git: Git) -> int:
    """Append the commits that the log does not have yet, and return their number."""
    if not git.succeeds("rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        print(f"{git.name} has no commits yet: nothing to import", file=sys.stderr)
        return 0
    head = git.output("rev-parse", "HEAD")
    end = next(db.events.query(goes.EventQuery(["commit.made"]), reverse=True, limit=1), None)
    last = end.data.hash if end else None
    wanted = revisions(git, last, head) if last else head
    if wanted is None:
        return 0
    if last is None and git.output("rev-parse", "--is-shallow-repository") == "true":
        print("note: this is a shallow clone, so its first commit seems to add every file at once", file=sys.stderr)
    total = int(git.output("rev-list", "--count", "--first-parent", wanted))
    begin = time.monotonic()
    tree: dict[str, tuple[str, int]] = {}
    commits = done = new = 0
    batch: list[goes.Event[Any]] = []
    for commit in chain(parse(git.log(wanted)), [None]):
        if commit is not None:
            if last is not None and commit.parents[:1] != [last]:
                raise Problem(
                    f"the log ends with commit {last[:12]}, which is no longer on the main line (it was merged into another "
                    "one). Import it into a new file (--db)"
                )
            last = commit.hash
            batch += events_of(commit, tree, db)
            commits += 1
        if commit is None or len(batch) >= BATCH:
            if not db.events.append(batch).already_committed:  # not even by another run at the same time
                new += commits
            done += commits
            batch, commits = [], 0
            if sys.stderr.isatty():
                rate = done / (time.monotonic() - begin)
                line = f"{done:,} of {total:,} commits, {rate:,.0f}/s, {(total - done) / rate:,.0f} s left"
                print(f"\r{line}\x1b[K", end="" if commit else "\n", file=sys.stderr, flush=True)
    return new


# --- queries ----------------------------------------------------------------------------------------------------------


def overview(db: goes.blocking.BlockingDatabase, at: datetime | None, top: int) -> Iterator[str]:
    """Summarise the log in one pass."""
    changes, months = Counter[str](), Counter[int]()  # changes by file, commits by month
    versions: dict[str, int] = {}  # by file
    deleted = 0
    times: list[datetime] = []  # of the first and the last commit
    for event in db.events.query(goes.EventQuery(max_time=at)):
        if isinstance(event.data, CommitMade):
            times[1:] = [event.time]
            months[event.time.year * 12 + event.time.month - 1] += 1
        elif event.aggregate is not None:
            id = event.aggregate.id
            changes[id] += 1
            versions[id] = event.version
            deleted += isinstance(event.data, FileDeleted)
    when = f"{at:%Y-%m-%d %H:%M} UTC" if at else ""
    if not times:
        yield f"no commits{when and f' until {when}'}"
        return
    number = months.total()
    yield f"{number:,} commits, {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}, as {number + changes.total():,} events"
    yield f"{len(versions) - deleted:,} files{when and f' at {when}'}, {len(versions):,} ever"

    yield f"\nMost changed files\n{'changes':>9} {'lines':>8}  path"
    files = db.repository(File)
    # Most changed first, then by id, so that the order is always the same.
    for id, count in sorted(changes.items(), key=lambda item: (-item[1], item[0]))[:top]:
        file = files.fetch_version(id, versions[id], deleted=True)
        size = "deleted" if file.deleted else "binary" if file.lines is None else f"{file.lines:,}"
        yield f"{count:>9,} {size:>8}  {shown(file.path)}"

    yield ""
    yield from activity(months)


def activity(months: Counter[int], rows: int = 72) -> Iterator[str]:
    """Draw the commits per month as bars; per quarter or year if there are too many months."""
    span = max(months) - min(months)
    unit, size = ("month", 1) if span < rows else ("quarter", 3) if span < 3 * (rows - 1) else ("year", 12)
    first, end = min(months) // size, max(months) // size
    bars = Counter[int]()
    for month, count in months.items():
        bars[month // size] += count
    yield f"Commits per {unit}"
    for bar in range(max(first, end - rows + 1), end + 1):
        year, month = divmod(bar * size, 12)
        label = {"month": f"{year}-{month + 1:02}", "quarter": f"{year}-Q{month // 3 + 1}", "year": f"{year}"}[unit]
        yield f"{label:<8} {bars[bar]:>7,} {'#' * -(-bars[bar] * 40 // max(bars.values()))}".rstrip()


def file_story(db: goes.blocking.BlockingDatabase, path: str, at: datetime | None, top: int) -> Iterator[str]:
    """Describe the state of a file at a time, and what happened to it until then."""
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
    yield f"  {lines}, mode {file.mode}, version {file.version}"
    yield f"  added on {events[0].time:%Y-%m-%d} as {shown(events[0].data.path)}\n\n  the last events"
    for event in events[-top:]:
        what = event.name.removeprefix("file.")
        if isinstance(event.data, FileRenamed):
            what += f" to {shown(event.data.path)}"
        if isinstance(event.data, FileChanged | FileRenamed) and event.data.added is not None:
            what += f" +{event.data.added} -{event.data.removed}"
        line = f"  v{event.version:<4} {event.time:%Y-%m-%d %H:%M}  {event.metadata['commit'][:10]}  {what:<20}"
        yield f"{line}  {shown(event.metadata['actor'])}"


def shown(value: str) -> str:
    """Escape everything that a terminal might interpret: names in a repository are untrusted."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def date(value: str) -> datetime:
    """Parse a time, or the end of a day, month or year, in UTC."""
    for pattern, days in (("%Y", 366), ("%Y-%m", 31), ("%Y-%m-%d", 1), ("%Y-%m-%dT%H:%M", 0)):
        with contextlib.suppress(ValueError, OverflowError):
            end = datetime.strptime(value, pattern).replace(tzinfo=timezone.utc) + timedelta(days=days)
            return (end.replace(day=1) if days > 1 else end) - timedelta(microseconds=days > 0)
    raise argparse.ArgumentTypeError(f"{value!r} is not a date such as 2024, 2024-05, 2024-05-31 or 2024-05-31T12:00")


def main() -> int:
    parser = argparse.ArgumentParser(description="Import the history of a git repository as events, and query it.")
    parser.add_argument("repo", nargs="?", metavar="REPO", type=Path, help="a git repository (default: this one)")
    parser.add_argument("--db", metavar="FILE", help="the event log (default: NAME-history.db in this folder)")
    parser.add_argument("--at", metavar="DATE", type=date, help="as it was then: 2024, 2024-05, 2024-05-31, …T12:00")
    parser.add_argument("--file", metavar="PATH", help="the story of one file, by any path it ever had")
    parser.add_argument("--top", metavar="N", type=int, default=10, help="how many lines in a list (default: 10)")
    options = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        git = Git(options.repo or Path(__file__).resolve().parent)
        path = options.db or f"{git.name}-history.db"
        with goes.blocking.connect(path) as db:
            begin = time.monotonic()
            count = import_commits(db, git)
            print(f"{path}: {count:,} new commit{'s' * (count != 1)} in {time.monotonic() - begin:.1f} s\n")
            if options.file is None:
                answer = overview(db, options.at, max(1, options.top))
            else:
                wanted = path_text(os.fsencode(options.file).removeprefix(b"./"))
                answer = file_story(db, wanted, options.at, max(1, options.top))
            for line in answer:
                print(line, flush=True)
    except (Problem, goes.errors.GoesError) as error:
        racing = isinstance(error, goes.errors.ConcurrencyError | goes.errors.DuplicateEventError)
        hint = "; if another program imports into this log, run this again when it is done" if racing else ""
        print(f"git_history: {error}{hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to resume here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
