"""The example programs, run as a user runs them: `python examples/x.py …`, from anywhere, with nothing installed."""

from __future__ import annotations

import gzip
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import goes_lite as goes

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
REAL_LOG = EXAMPLES.parents[1] / "shared" / "data" / "bpic2012.xes.gz"

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not on the PATH")

# The configuration of whoever runs the tests has no say in them.
GIT_ENV = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Example Author",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "Example Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.org",
}


def run(
    example: str, *arguments: object, cwd: Path, code: int = 0, env: dict[str, str] | None = None
) -> tuple[str, str]:
    """Run an example and answer what it printed on stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", str(EXAMPLES / example), *map(str, arguments)],
        cwd=cwd, env={**GIT_ENV, **(env or {})}, capture_output=True, encoding="utf-8", check=False, timeout=240,
    )  # fmt: skip

    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def module(example: str) -> ModuleType:
    """The example as a module, so that what it stored can be read with its own types."""
    name = f"example_{example}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{example}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def events_in(path: Path) -> list[tuple[Any, ...]]:
    """Everything that the log has, comparable between two files."""
    with goes.blocking.connect(path, unknown="raw") as db:
        return [
            (e.position, e.id, e.name, e.encoded.payload, e.time, e.aggregate, e.version, dict(e.metadata), e.tags)
            for e in db.events.query()
        ]


class Repo:
    """A git repository for a test; the n-th commit is made at noon of the n-th day of 2024."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.day = 0
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str | bytes) -> str:
        date = f"2024-01-{max(self.day, 1):02}T12:00:00+02:00"
        env = {**GIT_ENV, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(["git", *arguments], cwd=self.path, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8", "surrogateescape")

    def write(self, name: str | bytes, content: str | bytes) -> None:
        path = os.path.join(os.fsencode(self.path), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def commit(self, message: str, *options: str) -> str:
        self.day += 1
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *options)
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "project")


def lines(count: int, text: str = "line") -> str:
    return "".join(f"{text} {index}\n" for index in range(count))


def small_history(repo: Repo) -> None:
    """Seven days: added, changed, renamed, deleted, added again, merged."""
    repo.write("a.txt", lines(10))
    repo.write("logo.png", b"\x89PNG\0\0\1\2")
    repo.commit("add two")
    repo.write("a.txt", lines(12))
    repo.commit("two more lines")
    repo.git("mv", "a.txt", "b.txt")
    repo.commit("rename")
    repo.git("rm", "-q", "logo.png")
    repo.commit("delete")
    repo.git("checkout", "-q", "-b", "side")
    repo.write("b.txt", lines(12) + "from the side\n")
    repo.commit("change on a branch")
    repo.git("checkout", "-q", "main")
    repo.write("a.txt", lines(3, "another life"))
    repo.commit("the name again, another file")
    repo.day += 1
    repo.git("merge", "-q", "--no-ff", "-m", "merge the side", "side")


def check_against_git(repo: Repo, db_path: Path) -> None:
    """What the events say that exists now is what git says: paths, modes and numbers of lines."""
    example = module("git_history")
    modes: dict[str, str] = {}
    sizes: dict[str, int | None] = {}
    for line in repo.git("ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]:
        meta, path = line.split("\t", 1)
        modes[example.path_text(path.encode("utf-8", "surrogateescape"))] = meta.split()[0]
    empty = repo.git("hash-object", "-t", "tree", os.devnull).strip()
    for line in repo.git("diff", "--numstat", "-z", "--no-renames", empty, "HEAD").split("\0")[:-1]:
        added, _, path = line.split("\t", 2)
        name = example.path_text(path.encode("utf-8", "surrogateescape"))
        sizes[name] = None if added == "-" or modes[name] == example.SUBMODULE else int(added)
    with goes.blocking.connect(db_path) as db:
        files = list(db.repository(example.File).query())

    assert {file.path: file.mode for file in files} == modes
    assert {file.path: file.lines for file in files} == {path: sizes.get(path, 0) for path in modes}


# --- git_history.py ---------------------------------------------------------------------------------------------------


@needs_git
def test_git_history_imports_once_and_then_only_what_is_new(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    db = tmp_path / "history.db"

    out, err = run("git_history.py", repo.path, "--db", db, cwd=tmp_path)

    # Six commits are on the main line; the seventh came with the merge.
    assert "6 new commits" in out
    assert "6 commits, 2024-01-01 to 2024-01-07, as 13 events" in out
    assert "2 files, 3 ever" in out
    assert re.search(r"^ +4 +13 +13  b\.txt$", out, re.MULTILINE)
    assert re.search(r"^ +2 +0 +deleted  logo\.png$", out, re.MULTILINE)
    assert re.search(r"^ +6 +16 +0  Example Author <author@example\.org>$", out, re.MULTILINE)
    assert re.search(r"^2024-01 +6 #+$", out, re.MULTILINE)
    assert err == ""
    check_against_git(repo, db)
    before = events_in(db)

    out, _ = run("git_history.py", repo.path, "--db", db, cwd=tmp_path)

    assert "0 new commits" in out
    assert events_in(db) == before

    repo.write("b.txt", "short\n")
    repo.git("mv", "a.txt", "c.txt")
    repo.commit("go on")
    out, _ = run("git_history.py", repo.path, "--db", db, cwd=tmp_path)

    assert "1 new commit in" in out
    assert events_in(db)[: len(before)] == before
    check_against_git(repo, db)


@needs_git
def test_git_history_tells_who_did_what_in_which_commit(repo: Repo, tmp_path: Path) -> None:
    repo.write("a.txt", "one\n")
    commit = repo.commit("add", "--author=Ä. Person <Person@Example.ORG>")
    run("git_history.py", repo.path, "--db", "h.db", cwd=tmp_path)

    with goes.blocking.connect(tmp_path / "h.db", unknown="raw") as db:
        by_commit = list(db.events.query(goes.EventQuery(tags=[f"commit:{commit}"])))
        by_author = list(db.events.query(goes.EventQuery(["commit.made"], tags=["author:person@example.org"])))

    assert [event.name for event in by_commit] == ["file.added", "commit.made"]
    assert len(by_author) == 1
    assert by_author[0].metadata["actor"] == "Ä. Person <Person@Example.ORG>"
    assert by_author[0].metadata["commit"] == commit
    assert by_author[0].time.isoformat() == "2024-01-01T10:00:00+00:00"


@needs_git
def test_git_history_knows_a_file_at_a_date_and_by_any_name(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)

    def story(*arguments: object, code: int = 0) -> str:
        return "".join(run("git_history.py", repo.path, "--db", "h.db", *arguments, cwd=tmp_path, code=code))

    then = story("--file", "a.txt", "--at", "2024-01-02")
    assert "\na.txt, as of 2024-01-02 23:59 UTC\n  12 lines, mode 100644, version 2, changed by 1 author\n" in then
    assert "\na.txt, as of 2024-01-02 09:59 UTC\n  10 lines" in story("--file", "a.txt", "--at", "2024-01-02T09:59")
    assert "\nb.txt, as of 2024-01-03 23:59 UTC\n  formerly a.txt" in story("--file", "a.txt", "--at", "2024-01-03")
    assert "\na.txt, as of 2024-01-01 23:59 UTC\n  later named b.txt" in story("--file", "b.txt", "--at", "2024-01-01")
    now = story("--file", "a.txt")
    assert "\na.txt\n  3 lines, mode 100644, version 1" in now
    assert "added on 2024-01-06" in now
    assert "13 lines, mode 100644, version 4" in story("--file", "./b.txt")
    assert "\nlogo.png\n  deleted on 2024-01-04\n  binary" in story("--file", "logo.png")
    assert "no file had the path 'x/b.txt': did you mean b.txt?" in story("--file", "x/b.txt", code=2)
    assert "no file had the path 'a.txt' until 2023-12-31" in story("--file", "a.txt", "--at", "2023", code=2)
    assert "2 commits, 2024-01-01 to 2024-01-02" in story("--at", "2024-01-02")
    assert "no commits until 2023-12-31" in story("--at", "2023")
    assert "'yesterday' is not a date such as" in story("--at", "yesterday", code=2)
    assert "'0' is not a number" in story("--top", "0", code=2)


@needs_git
def test_git_history_replays_whatever_git_can_express(repo: Repo, tmp_path: Path) -> None:
    names: list[str | bytes] = ["with space", "ünï/cödé ☃.txt", "-dash", "commit 0123", "a/b/c/d/e", "x" * 200]
    if os.name != "nt":
        names += ["tab\there", "new\nline", "\nfirst", 'quo"ted', "back\\slash", "100%\x1b[31m", ":0 0 0 0 A"]
    if sys.platform == "linux":
        names += [b"caf\xe9", b"caf\\xe9"]
    for number, name in enumerate(names):
        repo.write(name, lines(number + 3, f"file {number}"))
    repo.write("empty", "")
    repo.commit("odd names")
    repo.commit("nothing at all")
    for number, name in enumerate(names):
        repo.write(name, lines(number + 4, f"file {number}"))
    repo.write("copy", lines(3, "file 0"))
    repo.commit("change them all, and copy one")
    repo.git("mv", "with space", "a/moved away")
    repo.write("with space", lines(2, "a new one takes the name"))
    repo.git("mv", "empty", "still empty")
    repo.write("swap", b"\0binary")
    repo.commit("move; take the name at once")
    repo.write("swap", "text now\n")
    repo.git("update-index", "--add", "--chmod=+x", "copy")
    repo.git("rm", "-rq", "a")
    repo.write("a", "a file where a folder was\n")
    repo.git("add", "-A")
    repo.git("update-index", "--chmod=+x", "copy")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    repo.day += 1
    repo.git("commit", "-q", "-m", "modes, types, a submodule")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'2' * 40},module")
    link = repo.git("hash-object", "-w", "swap").strip()
    repo.git("update-index", "--add", "--cacheinfo", f"120000,{link},-dash")
    repo.git("commit", "-q", "-m", "a file becomes a link")

    out, _ = run("git_history.py", repo.path, "--db", "h.db", "--top", 50, cwd=tmp_path)

    assert "6 new commits" in out
    assert "\x1b" not in out
    example = module("git_history")
    with goes.blocking.connect(tmp_path / "h.db") as db:
        files = {file.path: file for file in db.repository(example.File).query(deleted=True)}
    assert files["swap"].lines is None  # git counts nothing across a change from binary to text
    files["swap"].lines = 1
    expected = {line.split("\t", 1)[1] for line in repo.git("ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]}
    alive = {path for path, file in files.items() if not file.deleted}
    assert alive == {example.path_text(path.encode("utf-8", "surrogateescape")) for path in expected}
    assert files["copy"].mode == "100755"
    assert files["-dash"].mode == "120000"
    assert files["module"].mode == example.SUBMODULE
    assert files["module"].lines is None
    assert "12 lines" not in run("git_history.py", repo.path, "--db", "h.db", "--file=-dash", cwd=tmp_path)[0]


@needs_git
def test_git_history_depends_on_nobodys_configuration(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    config = tmp_path / "hostile.config"
    config.write_text(
        "[color]\n ui = always\n[log]\n showSignature = true\n follow = true\n date = relative\n diffMerges = off\n"
        "[diff]\n renames = copies\n noprefix = true\n relative = true\n algorithm = patience\n external = false\n"
        "[core]\n quotePath = true\n pager = false\n[format]\n pretty = fuller\n"
    )
    run("git_history.py", repo.path, "--db", "plain.db", cwd=tmp_path)
    env = {"GIT_CONFIG_GLOBAL": str(config), "GIT_DIR": str(tmp_path), "GIT_EXTERNAL_DIFF": "false", "LC_ALL": "C"}
    run("git_history.py", repo.path, "--db", "hostile.db", cwd=tmp_path, env=env)

    assert events_in(tmp_path / "plain.db") == events_in(tmp_path / "hostile.db")


@needs_git
def test_git_history_says_when_the_history_is_another_one(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    run("git_history.py", repo.path, "--db", "h.db", cwd=tmp_path)
    before = events_in(tmp_path / "h.db")

    repo.git("reset", "-q", "--hard", "HEAD~2")
    out, err = run("git_history.py", repo.path, "--db", "h.db", cwd=tmp_path)
    assert "0 new commits" in out
    assert "2 commits behind the end of the log" in err

    repo.commit("something else")
    _, err = run("git_history.py", repo.path, "--db", "h.db", cwd=tmp_path, code=2)
    assert "the history was rewritten" in err
    assert "--db" in err

    other = Repo(tmp_path / "other")
    other.commit("first")
    _, err = run("git_history.py", other.path, "--db", "h.db", cwd=tmp_path, code=2)
    assert "not in this repository" in err

    # The imported line becomes the second parent of a merge, so that no first parent leads to it any more.
    repo.git("reset", "-q", "--hard", "ORIG_HEAD")
    tip = repo.git("rev-list", "--all", "--grep=merge the side").strip()
    if tip:
        repo.git("checkout", "-q", "-B", "main", f"{tip}~2")
        repo.commit("local work")
        repo.git("merge", "-q", "--no-ff", "-m", "pull", tip)
        _, err = run("git_history.py", repo.path, "--db", "h.db", cwd=tmp_path, code=2)
        assert "does not lead through commit" in err

    assert events_in(tmp_path / "h.db") == before


@needs_git
def test_git_history_bears_with_clocks_that_run_back(repo: Repo, tmp_path: Path) -> None:
    repo.day = 19
    repo.write("a", "a\n")
    repo.commit("on the 20th")
    repo.day = 9
    repo.git("mv", "a", "b")
    repo.commit("a day later, but on the 10th")

    out, _ = run("git_history.py", repo.path, "--db", "h.db", "--at", "2024-01-15", cwd=tmp_path)

    assert "1 commits, 2024-01-10 to 2024-01-10" in out
    assert re.search(r"^ +1 +0 +1  b$", out, re.MULTILINE)
    _, err = run("git_history.py", repo.path, "--db", "h.db", "--file", "b", "--at", "2024-01-15", cwd=tmp_path, code=2)
    assert "no file had the path 'b' until 2024-01-15" in err
    check_against_git(repo, tmp_path / "h.db")


@needs_git
def test_git_history_goes_on_where_it_was_killed(repo: Repo, tmp_path: Path) -> None:
    total = 3000
    stream = "".join(
        f"commit refs/heads/main\ncommitter Example Author <author@example.org> {1_700_000_000 + number * 60} +0000\n"
        f"data 2\nc\nM 644 inline file{number % 50}\ndata <<END\n{lines(number // 50 + 1)}END\n"
        for number in range(total)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repo.path, env=GIT_ENV, input=stream.encode(), check=True)
    command = [sys.executable, str(EXAMPLES / "git_history.py"), str(repo.path), "--db", "killed.db", "--progress"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=GIT_ENV, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as killed:
        assert killed.stderr is not None
        killed.stderr.read(20)  # it has begun to append
        killed.kill()

    stored = len([event for event in events_in(tmp_path / "killed.db") if event[2] == "commit.made"])
    assert 0 < stored < total
    out, _ = run("git_history.py", repo.path, "--db", "killed.db", cwd=tmp_path)
    assert f"{total - stored:,} new commits" in out
    run("git_history.py", repo.path, "--db", "whole.db", cwd=tmp_path)
    assert events_in(tmp_path / "killed.db") == events_in(tmp_path / "whole.db")


@needs_git
def test_git_history_reads_shallow_and_bare_repositories(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    repo.git("clone", "-q", "--depth=2", f"file://{repo.path}", str(tmp_path / "shallow"))
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "bare.git"))

    out, err = run("git_history.py", tmp_path / "shallow", "--db", "s.db", cwd=tmp_path)
    assert "2 new commits" in out
    assert "shallow" in err
    check_against_git(repo, tmp_path / "s.db")

    out, _ = run("git_history.py", tmp_path / "bare.git", cwd=tmp_path)
    assert "6 new commits" in out
    check_against_git(repo, tmp_path / "bare-history.db")


@needs_git
def test_git_history_says_what_is_wrong_with_its_input(repo: Repo, tmp_path: Path) -> None:
    out, err = run("git_history.py", repo.path, "--db", "empty.db", cwd=tmp_path)
    assert "no commits yet" in err
    assert "0 new commits" in out

    nowhere = tmp_path / "nowhere"
    assert "is not a folder" in run("git_history.py", nowhere, cwd=tmp_path, code=2)[1]
    nowhere.mkdir()
    ceiling = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    assert "not in a git repository" in run("git_history.py", nowhere, cwd=tmp_path, code=2, env=ceiling)[1]
    assert (
        "git is not installed" in run("git_history.py", repo.path, cwd=tmp_path, code=2, env={"PATH": str(nowhere)})[1]
    )

    foreign = tmp_path / "foreign.db"
    foreign.write_text("a letter to a friend, not a database\n" * 100)
    before = foreign.read_bytes()
    _, err = run("git_history.py", repo.path, "--db", foreign, cwd=tmp_path, code=2)
    assert str(foreign) in err
    assert foreign.read_bytes() == before

    repo.write("a", "a\n")
    repo.commit("one")
    repo.write("a", "b\n")
    blob = repo.git("hash-object", "a").strip()
    repo.commit("two")
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    _, err = run("git_history.py", repo.path, "--db", "broken.db", cwd=tmp_path, code=2)
    assert "git stopped" in err
    assert blob in err


@needs_git
def test_git_history_runs_from_a_fresh_clone(tmp_path: Path) -> None:
    clone = Repo(tmp_path / "clone")
    shutil.copytree(
        EXAMPLES.parent / "goes_lite", clone.path / "goes_lite", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(EXAMPLES, clone.path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    clone.commit("all there is")

    # -S: no site-packages, so neither an installed goes_lite nor any optional driver; -I: no PYTHONPATH
    command = [sys.executable, "-I", "-S", str(clone.path / "examples" / "git_history.py")]
    done = subprocess.run(command, cwd=tmp_path, env=GIT_ENV, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "clone-history.db: 1 new commit in" in done.stdout
    assert "goes_lite/event.py" not in done.stderr


# --- loan_log.py ------------------------------------------------------------------------------------------------------


def event(activity: str, time: str, lifecycle: str = "COMPLETE", resource: str | None = None) -> str:
    by = f'<string key="org:resource" value="{resource}"/>' if resource else ""
    return (
        f'<event>{by}<string key="lifecycle:transition" value="{lifecycle}"/>'
        f'<string key="concept:name" value="{activity}"/><date key="time:timestamp" value="{time}"/></event>\n'
    )


def trace(name: str, amount: int, *events: str) -> str:
    return (
        f'<trace><date key="REG_DATE" value="2011-10-01T00:00:00.000+02:00"/><string key="concept:name" value="{name}"/>'
        f'<string key="AMOUNT_REQ" value="{amount}"/>\n{"".join(events)}</trace>\n'
    )


HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<log xmlns="http://www.xes-standard.org/" xes.version="1.0">\n'
    '<global scope="trace"><string key="concept:name" value="UNKNOWN"/></global>\n'
    '<global scope="event"><string key="concept:name" value="UNKNOWN"/></global>\n'
    '<string key="concept:name" value="Loans of a small bank"><string key="inner" value="x"/></string>\n'
)
TRACES = [
    trace(
        "1", 1000,
        event("A_SUBMITTED", "2011-10-01T00:00:00.000+02:00"),
        event("W_Call", "2011-10-01T01:00:00.000+02:00", "START", "112"),
        event("W_Call", "2011-10-01T02:00:00.000+02:00", "COMPLETE", "112"),
        event("A_APPROVED", "2011-10-01T02:00:00.000+02:00", resource="7"),
    ),
    trace("2", 3000, event("A_SUBMITTED", "2011-10-02T10:00:00Z"), event("A_DECLINED", "2011-10-02T10:00:30Z")),
    trace("3", 5000, event("A_SUBMITTED", "2011-10-03T00:00:00+02:00"), event("A_DECLINED", "2011-10-06T00:00:00+02:00")),
    trace("4", 9000, event("A_SUBMITTED", "2011-10-04T00:00:00+02:00"), event("A_CANCELLED", "2011-10-14T00:00:00+02:00")),
]  # fmt: skip
SMALL = HEAD + "".join(TRACES) + "</log>\n"


def rows(out: str) -> dict[str, str]:
    """The table of figures that was printed."""
    table = out.partition("\n\n")[2].partition("\n\n")[0]
    return {line[2:18].strip(): line[18:].strip() for line in table.splitlines()[1:]}


def loan(path: Path, *, db: str = "cases.db", code: int = 0) -> tuple[str, str]:
    return run("loan_log.py", path, "--db", db, cwd=path.parent, code=code)


def test_loan_log_prints_the_figures_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "small.xes"
    log.write_text(SMALL)

    out, err = loan(log)

    assert "4 new cases with 10 events" in out
    assert "Loans of a small bank" in out
    assert rows(out) == {
        "cases": "4",
        "events": "10",
        "activity names": "5   (6 with the lifecycle)",
        "period": "2011-09-30 to 2011-10-13",
        "approved": "1   (25.0%)",
        "declined": "2   (50.0%)",
        "cancelled": "1   (25.0%)",
        "amount": "4,000 in the median, 18,000 in all",
        "duration": "1.5 days in the median, 3.3 days on average",
        "longest case": "4 events by 2 resources (case 1, approved)",
    }
    assert re.search(r"^  A_SUBMITTED +4 #+$", out, re.MULTILINE)
    assert re.search(r"^  under a day +1 #+$", out, re.MULTILINE)
    assert err == ""
    before = events_in(tmp_path / "cases.db")
    assert len(before) == 14

    again, _ = loan(log)

    assert "0 new cases in" in again
    assert rows(again) == rows(out)
    assert events_in(tmp_path / "cases.db") == before

    packed = tmp_path / "small.xes.gz"
    packed.write_bytes(gzip.compress(SMALL.encode()))
    run("loan_log.py", packed, cwd=tmp_path)
    assert events_in(tmp_path / "small.db") == before


def test_loan_log_imports_any_xes(tmp_path: Path) -> None:
    log = tmp_path / "foreign.xes"
    log.write_text(
        """<?xml version="1.0" encoding="ISO-8859-1"?>
        <!DOCTYPE xes:log SYSTEM "http://localhost:1/never-fetched.dtd">
        <xes:log xmlns:xes="http://www.xes-standard.org/">
          <xes:extension name="Concept" prefix="concept" uri="x"/>
          <xes:event><xes:string key="concept:name" value="of no case"/></xes:event>
          <xes:trace>
            <xes:string key="concept:name" value="P-1 \xe9&#155;31m"/><xes:boolean key="urgent" value="TRUE"/>
            <xes:event><xes:string key="concept:name" value="admit"/><xes:int key="age" value="77"/>
              <xes:int key="huge" value="99999999999999999999999"/><xes:int key="bad" value="x"/>
              <xes:float key="score" value="NaN"/><xes:float key="rate" value="1.5"/><xes:id key="ref" value="u-1"/>
              <xes:list key="drugs"><xes:values><xes:string key="drug" value="A"/><xes:string key="drug" value="B"/>
              </xes:values></xes:list><xes:container key="box"><xes:date key="when" value="2020-01-01"/></xes:container>
              <xes:date key="time:timestamp" value="2020-05-01T08:00:00"/></xes:event>
            <xes:event><xes:string key="concept:name" value="treat"/></xes:event>
            <xes:event><xes:date key="time:timestamp" value="0001-01-01T00:00:00+14:00"/><xes:string value="no key"/></xes:event>
            <xes:event><xes:string key="concept:name" value="leave"/>
              <xes:date key="time:timestamp" value="2020-05-01T09:00:00Z"/></xes:event>
          </xes:trace>
          <xes:trace><xes:event/></xes:trace>
          <xes:trace><xes:string key="concept:name" value="P-2"/></xes:trace>
          <xes:trace><xes:string key="concept:name" value="P-2"/><xes:event/></xes:trace>
        </xes:log>""",
        encoding="latin-1",
    )

    out, err = loan(log)

    assert rows(out) == {
        "cases": "4",
        "events": "6",
        "activity names": "3",
        "period": "2020-05-01 to 2020-05-01",
        "duration": "1.0 hours in the median, 1.0 hours on average",
        "longest case": "4 events (case P-1 é\\x9b31m)",
    }
    assert "belong to no case are left out: 1" in err
    example = module("loan_log")
    with goes.blocking.connect(tmp_path / "cases.db") as db:
        ids = [info.aggregate.id for info in db.events.aggregates("case")]
        opened, admitted, treated, nameless, _ = db.events.load(goes.AggregateRef("case", ids[0]))
    assert ids == ["P-1 é\x9b31m", "P-2", "P-2#4", "case 2"]
    assert isinstance(opened.data, example.CaseOpened)
    assert opened.data.amount is None
    assert dict(opened.data.others) == {"urgent": True}
    assert admitted.time.isoformat() == "2020-05-01T08:00:00+00:00"
    assert dict(admitted.data.others) == {
        "age": 77, "huge": "99999999999999999999999", "bad": "x", "score": "NaN", "rate": 1.5, "ref": "u-1",
        "drugs.drug": "A", "drugs.drug[8]": "B", "box.when": "2020-01-01",
    }  # fmt: skip
    assert treated.time == admitted.time
    assert treated.metadata == {"time": "missing"}
    assert nameless.data.activity is None
    assert dict(nameless.data.others) == {"time:timestamp": "0001-01-01T00:00:00+14:00"}

    assert "0 new cases" in loan(log)[0]


def test_loan_log_keeps_cases_of_one_name_apart_across_batches(tmp_path: Path) -> None:
    many = [event("A_SUBMITTED", "2011-10-01T00:00:00Z")] * 3000
    log = tmp_path / "twins.xes"
    log.write_text(HEAD + trace("same", 1, *many) + trace("other", 2, *many) + trace("same", 3, *many[:10]) + "</log>")

    out, _ = loan(log)

    assert rows(out)["cases"] == "3"
    assert rows(out)["events"] == "6,010"
    with goes.blocking.connect(tmp_path / "cases.db", unknown="raw") as db:
        assert [(info.aggregate.id, info.version) for info in db.events.aggregates()] == [
            ("other", 3001), ("same", 3001), ("same#3", 11),
        ]  # fmt: skip
    assert "0 new cases" in loan(log)[0]


@pytest.mark.parametrize("packed", [False, True])
def test_loan_log_keeps_the_whole_cases_of_a_truncated_file(tmp_path: Path, packed: bool) -> None:
    whole = (
        HEAD + "".join(trace(str(n), n, event("A_SUBMITTED", "2011-10-01T00:00:00Z")) for n in range(3000)) + "</log>"
    )
    raw = gzip.compress(whole.encode()) if packed else whole.encode()
    log = tmp_path / "log.xes"
    log.write_bytes(raw[: len(raw) * 2 // 3])

    _, err = loan(log, code=2)

    assert "ends in the middle" in err
    imported = int(re.search(r"([\d,]+) whole cases of it are imported", err)[1].replace(",", ""))  # type: ignore[index]
    assert 0 < imported < 3000
    assert len(events_in(tmp_path / "cases.db")) == 2 * imported

    log.write_bytes(raw)
    out, _ = loan(log)
    assert f"{3000 - imported:,} new cases" in out
    assert rows(out)["cases"] == "3,000"
    assert rows(out)["events"] == "3,000"
    loan(log, db="at-once.db")
    assert events_in(tmp_path / "cases.db") == events_in(tmp_path / "at-once.db")


BOMB = '<!DOCTYPE log [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'<?xml version="1.0"?>{BOMB}<log><string key="x" value="&b;"/></log>'.encode(), "XML entity 'a'"),
        (b'<!DOCTYPE log [<!ENTITY x SYSTEM "file:///etc/passwd">]><log/>', "XML entity 'x'"),
        (b"<html><body>Not found</body></html>", "outermost element is <html>"),
        (b"case;activity;time\n1;a;2020\n", "not well-formed XML"),
        (b"", "ends in the middle"),
        (b'<?xml version="1.0" encoding="x-klingon"?><log/>', "encoding"),
        (b"\x1f\x8b\x08\x00garbage after the header of gzip", "cannot be unpacked"),
        (b"<log><trace></log>", "not well-formed XML"),
        (b"<log>" + b" " * (20 << 20) + b"</log>", "without an element"),
        (b"<log>" + b'<string key="x" value="1">' * 200, "nested more than 100 deep"),
    ],
    ids=["bomb", "external", "html", "csv", "empty", "encoding", "gzip", "mismatch", "blank", "deep"],
)  # fmt: skip
def test_loan_log_refuses_what_is_no_xes(tmp_path: Path, content: bytes, message: str) -> None:
    log = tmp_path / "log.xes"
    log.write_bytes(content)

    _, err = loan(log, code=2)

    assert message in err
    assert "0 whole cases of it are imported" in err


def test_loan_log_says_when_the_file_is_missing_or_another_one(tmp_path: Path) -> None:
    assert "cannot be read" in loan(tmp_path / "missing.xes", code=2)[1]
    assert "cannot be read" in run("loan_log.py", tmp_path, "--db", "x.db", cwd=tmp_path, code=2)[1]
    log = tmp_path / "log.xes"
    log.write_text(SMALL)
    foreign = tmp_path / "foreign.db"
    foreign.write_text("a letter to a friend, not a database\n" * 100)
    assert str(foreign) in loan(log, db="foreign.db", code=2)[1]
    loan(log)
    before = events_in(tmp_path / "cases.db")

    log.write_text(HEAD + "".join(reversed(TRACES)) + "</log>")
    assert "its case 1 is not the one that was imported" in loan(log, code=2)[1]
    log.write_text(HEAD + "".join(TRACES[:3]) + "</log>")
    assert "it has 3 cases, but 4 were imported" in loan(log, code=2)[1]
    log.write_text(HEAD + "".join([*TRACES[:3], TRACES[3].replace("9000", "9001")]) + "</log>")
    assert "its case 4 is not the one that was imported" in loan(log, code=2)[1]
    assert events_in(tmp_path / "cases.db") == before

    log.write_text(HEAD + "".join(TRACES) + trace("5", 1, event("A_DECLINED", "2011-10-04T00:00:00Z")) + "</log>")
    out, _ = loan(log)
    assert "1 new case with 1 event in" in out
    assert rows(out)["declined"] == "3   (60.0%)"


def until(condition: Any, seconds: float = 60) -> Iterator[None]:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        yield


def test_loan_log_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "log.xes"
    steps = [event("W_Call", f"2011-10-01T00:00:{second:02}Z") for second in range(20)]
    log.write_text(HEAD + "".join(trace(str(number), number, *steps) for number in range(1500)) + "</log>")
    command = [sys.executable, str(EXAMPLES / "loan_log.py"), str(log), "--db", "killed.db"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as killed:
        for _ in until((tmp_path / "killed.db").exists):
            time.sleep(0.01)
        with goes.blocking.connect(tmp_path / "killed.db", unknown="raw") as db:
            for _ in until(lambda: db.events.head() > 0):
                time.sleep(0.01)
        killed.kill()

    stored = len({event[5] for event in events_in(tmp_path / "killed.db")})
    assert 0 < stored < 1500
    out, _ = loan(log, db="killed.db")
    assert f"{1500 - stored:,} new cases" in out
    assert rows(out)["cases"] == "1,500"
    assert rows(out)["events"] == "30,000"
    whole, _ = loan(log, db="whole.db")
    assert rows(whole) == rows(out)
    assert events_in(tmp_path / "killed.db") == events_in(tmp_path / "whole.db")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the BPI Challenge 2012 log is not at {REAL_LOG}")
def test_loan_log_reproduces_the_published_figures(tmp_path: Path) -> None:
    out, _ = run("loan_log.py", REAL_LOG, "--db", "bpic.db", cwd=tmp_path)

    figures = rows(out)
    assert figures["cases"] == "13,087"
    assert figures["events"] == "262,200"
    assert figures["activity names"] == "24   (36 with the lifecycle)"
    assert figures["longest case"].startswith("175 events")
    assert figures["approved"].startswith("2,246 ")
    assert figures["declined"].startswith("7,635 ")
    assert figures["cancelled"].startswith("2,807 ")
    peak = re.search(r"(\d+) MiB of memory at most", out)
    assert peak is None or int(peak[1]) < 128
    with goes.blocking.connect(tmp_path / "bpic.db", unknown="raw") as db:
        assert db.events.count(goes.EventQuery(["case.step"])) == 262_200
        assert db.events.count(goes.EventQuery(["case.opened"])) == 13_087
