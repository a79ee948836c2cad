"""examples/git_history.py: it imports exactly what git reports, once, despite interruptions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.testing import given, history, like
from tests.examples import example_kit as kit

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not on the PATH")


def test_a_file_is_what_happened_to_it() -> None:
    """Given changes, the aggregate has its lines as long as git counts them, and its path after a rename."""
    example = kit.module("git_history")
    added = history(("file", "1"), example.FileAdded("a.txt", "100644", 5))

    def happens(*data: object) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            for one in data:
                file.record(one)

        return change

    given(added).use(example.File, "1", happens(example.FileChanged("100755", 3, 1))).then_state(
        example.File, "1", lines=7, mode="100755", deleted=False
    )
    given(added).use(
        example.File, "1", happens(example.FileRenamed("b.txt", "100644", None, None), example.FileDeleted(None))
    ).then_exactly(1, like(example.FileRenamed, path="b.txt")).then_state(
        example.File, "1", path="b.txt", lines=None, deleted=True
    )


def git_history(repo: Path, *arguments: object, code: int = 0, env: dict[str, str] | None = None) -> tuple[str, str]:
    return kit.run("git_history.py", repo, *arguments, cwd=repo.parent, code=code, env=env)


class Repo:
    """A git repository; the n-th commit is made at noon of the n-th day of 2024."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.day = 0
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str | bytes) -> str:
        date = f"2024-01-{max(self.day, 1):02}T12:00:00+02:00"
        env = {**kit.GIT_ENV, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
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
    """Make seven days of history: added, changed, renamed, deleted, added again, merged."""
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
    """Check that the files according to the events are those of git: paths, modes and numbers of lines."""
    example = kit.module("git_history")
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


def test_imports_once_and_then_only_what_is_new(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    db = tmp_path / "history.db"

    out, err = git_history(repo.path, "--db", db)

    # Six commits are on the main line; the seventh came with the merge.
    assert "6 new commits" in out
    assert "6 commits, 2024-01-01 to 2024-01-07, as 13 events" in out
    assert "2 files, 3 ever" in out
    assert re.search(r"^ +4 +13  b\.txt$", out, re.MULTILINE)
    assert re.search(r"^ +2 +deleted  logo\.png$", out, re.MULTILINE)
    assert re.search(r"^2024-01 +6 #+$", out, re.MULTILINE)
    assert err == ""
    check_against_git(repo, db)
    before = kit.events_in(db)

    out, _ = git_history(repo.path, "--db", db)

    assert "0 new commits" in out
    assert kit.events_in(db) == before

    repo.write("b.txt", "short\n")
    repo.git("mv", "a.txt", "c.txt")
    repo.commit("go on")
    out, _ = git_history(repo.path, "--db", db)

    assert "1 new commit in" in out
    assert kit.events_in(db)[: len(before)] == before
    check_against_git(repo, db)


def test_tells_who_did_what_in_which_commit(repo: Repo, tmp_path: Path) -> None:
    repo.write("a.txt", "one\n")
    commit = repo.commit("add", "--author=Ä. Person <Person@Example.ORG>")
    git_history(repo.path, "--db", "h.db")

    with goes.blocking.connect(tmp_path / "h.db", unknown="raw") as db:
        by_commit = list(db.events.query(goes.EventQuery(tags=[f"commit:{commit}"])))
        by_author = list(db.events.query(goes.EventQuery(["commit.made"], tags=["author:person@example.org"])))

    assert [event.name for event in by_commit] == ["file.added", "commit.made"]
    assert len(by_author) == 1
    assert by_author[0].metadata["actor"] == "Ä. Person <Person@Example.ORG>"
    assert by_author[0].metadata["commit"] == commit
    assert by_author[0].metadata["authored"] == "2024-01-01T12:00:00+02:00"
    assert by_author[0].time.isoformat() == "2024-01-01T10:00:00+00:00"


def test_knows_a_file_at_a_date_and_by_any_name(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)

    def story(*arguments: object, code: int = 0) -> str:
        return "".join(git_history(repo.path, "--db", "h.db", *arguments, code=code))

    then = story("--file", "a.txt", "--at", "2024-01-02")
    assert "\na.txt, as of 2024-01-02 23:59 UTC\n  12 lines, mode 100644, version 2\n" in then
    assert "\na.txt, as of 2024-01-02 09:59 UTC\n  10 lines" in story("--file", "a.txt", "--at", "2024-01-02T09:59")
    assert "\nb.txt, as of 2024-01-03 23:59 UTC\n  formerly a.txt" in story("--file", "a.txt", "--at", "2024-01-03")
    assert "\na.txt, as of 2024-01-01 23:59 UTC\n  later named b.txt" in story("--file", "b.txt", "--at", "2024-01-01")
    now = story("--file", "a.txt")
    assert "\na.txt\n  3 lines, mode 100644, version 1" in now
    assert "added on 2024-01-06" in now
    assert "13 lines, mode 100644, version 4" in story("--file", "./b.txt")
    assert "\nlogo.png\n  deleted on 2024-01-04\n  binary" in story("--file", "logo.png")
    assert "no file had the path 'x/b.txt'" in story("--file", "x/b.txt", code=2)
    assert "no file had the path 'a.txt' until 2023-12-31" in story("--file", "a.txt", "--at", "2023", code=2)
    assert "2 commits, 2024-01-01 to 2024-01-02" in story("--at", "2024-01-02")
    assert "no commits until 2023-12-31" in story("--at", "2023")
    assert "'yesterday' is not a date such as" in story("--at", "yesterday", code=2)


def test_replays_whatever_git_can_express(repo: Repo, tmp_path: Path) -> None:
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
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},kit.module")
    repo.day += 1
    repo.git("commit", "-q", "-m", "modes, types, a submodule")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'2' * 40},kit.module")
    link = repo.git("hash-object", "-w", "swap").strip()
    repo.git("update-index", "--add", "--cacheinfo", f"120000,{link},-dash")
    repo.git("commit", "-q", "-m", "a file becomes a link")

    out, _ = git_history(repo.path, "--db", "h.db", "--top", 50)

    assert "6 new commits" in out
    assert "\x1b" not in out
    example = kit.module("git_history")
    with goes.blocking.connect(tmp_path / "h.db") as db:
        files = {file.path: file for file in db.repository(example.File).query(deleted=True)}
    assert files["swap"].lines is None  # git counts nothing across a change from binary to text
    files["swap"].lines = 1
    expected = {line.split("\t", 1)[1] for line in repo.git("ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]}
    alive = {path for path, file in files.items() if not file.deleted}
    assert alive == {example.path_text(path.encode("utf-8", "surrogateescape")) for path in expected}
    assert files["copy"].mode == "100755"
    assert files["-dash"].mode == "120000"
    assert files["kit.module"].mode == example.SUBMODULE
    assert files["kit.module"].lines is None
    assert "12 lines" not in git_history(repo.path, "--db", "h.db", "--file=-dash")[0]


def test_ignores_the_configuration_of_the_user(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    config = tmp_path / "hostile.config"
    config.write_text(
        "[color]\n ui = always\n[log]\n showSignature = true\n follow = true\n date = relative\n diffMerges = off\n"
        "[diff]\n renames = copies\n noprefix = true\n relative = true\n algorithm = patience\n external = false\n"
        "[core]\n quotePath = true\n pager = false\n[format]\n pretty = fuller\n"
    )
    git_history(repo.path, "--db", "plain.db")
    env = {"GIT_CONFIG_GLOBAL": str(config), "GIT_DIR": str(tmp_path), "GIT_EXTERNAL_DIFF": "false", "LC_ALL": "C"}
    git_history(repo.path, "--db", "hostile.db", env=env)

    assert kit.events_in(tmp_path / "plain.db") == kit.events_in(tmp_path / "hostile.db")


def test_says_when_the_history_is_another_one(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    git_history(repo.path, "--db", "h.db")
    before = kit.events_in(tmp_path / "h.db")

    repo.git("reset", "-q", "--hard", "HEAD~2")
    out, err = git_history(repo.path, "--db", "h.db")
    assert "0 new commits" in out
    assert "2 commits behind the end of the log" in err

    repo.commit("something else")
    _, err = git_history(repo.path, "--db", "h.db", code=2)
    assert "the history was rewritten" in err
    assert "--db" in err

    other = Repo(tmp_path / "other")
    other.commit("first")
    _, err = git_history(other.path, "--db", "h.db", code=2)
    assert "not in this repository" in err

    # The imported line becomes the second parent of a merge, so that it is no longer on the line of first parents.
    repo.git("reset", "-q", "--hard", "ORIG_HEAD")
    tip = repo.git("rev-list", "--all", "--grep=merge the side").strip()
    if tip:
        repo.git("checkout", "-q", "-B", "main", f"{tip}~2")
        repo.commit("local work")
        repo.git("merge", "-q", "--no-ff", "-m", "pull", tip)
        _, err = git_history(repo.path, "--db", "h.db", code=2)
        assert "no longer on the main line" in err

    assert kit.events_in(tmp_path / "h.db") == before


@pytest.mark.parametrize(
    ("months", "unit", "labels"),
    [(72, "month", ("2020-01", "2025-12")), (73, "quarter", ("2020-Q1", "2026-Q1")), (300, "year", ("2020", "2044"))],
)
def test_chart_has_a_row_per_period_that_fits(months: int, unit: str, labels: tuple[str, str]) -> None:
    counts = Counter({2020 * 12 + month: 1 for month in range(months)})

    title, *rows = kit.module("git_history").activity(counts)

    assert title == f"Commits per {unit}"
    assert (rows[0].split()[0], rows[-1].split()[0]) == labels
    assert len(rows) <= 72
    assert sum(int(row.split()[1]) for row in rows) == months


def test_tolerates_clocks_that_run_back(repo: Repo, tmp_path: Path) -> None:
    repo.day = 19
    repo.write("a", "a\n")
    repo.commit("on the 20th")
    repo.day = 9
    repo.git("mv", "a", "b")
    repo.commit("a day later, but on the 10th")

    out, _ = git_history(repo.path, "--db", "h.db", "--at", "2024-01-15")

    assert "1 commits, 2024-01-10 to 2024-01-10" in out
    assert re.search(r"^ +1 +1  b$", out, re.MULTILINE)
    _, err = git_history(repo.path, "--db", "h.db", "--file", "b", "--at", "2024-01-15", code=2)
    assert "no file had the path 'b' until 2024-01-15" in err
    check_against_git(repo, tmp_path / "h.db")


@pytest.mark.slow
def test_resumes_after_being_killed(repo: Repo, tmp_path: Path) -> None:
    total = 1500
    stream = "".join(
        f"commit refs/heads/main\ncommitter Example Author <author@example.org> {1_700_000_000 + number * 60} +0000\n"
        f"data 2\nc\nM 644 inline file{number % 50}\ndata <<END\n{lines(number // 50 + 1)}END\n"
        for number in range(total)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repo.path, env=kit.GIT_ENV, input=stream.encode(), check=True)
    kit.kill_when_it_has_begun("git_history.py", repo.path, db=tmp_path / "killed.db")

    stored = len([event for event in kit.events_in(tmp_path / "killed.db") if event[2] == "commit.made"])
    assert 0 < stored < total
    out, _ = git_history(repo.path, "--db", "killed.db")
    assert f"{total - stored:,} new commits" in out
    git_history(repo.path, "--db", "whole.db")
    assert kit.events_in(tmp_path / "killed.db") == kit.events_in(tmp_path / "whole.db")


def test_reads_shallow_and_bare_repositories(repo: Repo, tmp_path: Path) -> None:
    small_history(repo)
    repo.git("clone", "-q", "--depth=2", f"file://{repo.path}", str(tmp_path / "shallow"))
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "bare.git"))

    out, err = git_history(tmp_path / "shallow", "--db", "s.db")
    assert "2 new commits" in out
    assert "shallow" in err
    check_against_git(repo, tmp_path / "s.db")

    out, _ = git_history(tmp_path / "bare.git")
    assert "6 new commits" in out
    check_against_git(repo, tmp_path / "bare-history.db")


def test_says_what_is_wrong_with_its_input(repo: Repo, tmp_path: Path) -> None:
    out, err = git_history(repo.path, "--db", "empty.db")
    assert "no commits yet" in err
    assert "0 new commits" in out

    nowhere = tmp_path / "nowhere"
    assert "is not a folder" in git_history(nowhere, code=2)[1]
    nowhere.mkdir()
    ceiling = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    assert "not in a git repository" in git_history(nowhere, code=2, env=ceiling)[1]
    assert "git is not installed" in git_history(repo.path, code=2, env={"PATH": str(nowhere)})[1]

    foreign = tmp_path / "foreign.db"
    foreign.write_text("a letter to a friend, not a database\n" * 100)
    before = foreign.read_bytes()
    _, err = git_history(repo.path, "--db", foreign, code=2)
    assert str(foreign) in err
    assert foreign.read_bytes() == before

    repo.write("a", "a\n")
    repo.commit("one")
    repo.write("a", "b\n")
    blob = repo.git("hash-object", "a").strip()
    repo.commit("two")
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    _, err = git_history(repo.path, "--db", "broken.db", code=2)
    assert "git stopped" in err
    assert blob in err


def test_runs_from_a_fresh_clone(tmp_path: Path) -> None:
    clone = Repo(tmp_path / "clone")
    package = Path(goes.__file__).parent  # the one under test, installed or not
    for source, name in ((package, "goes_lite"), (kit.EXAMPLES, "examples")):
        shutil.copytree(source, clone.path / name, ignore=shutil.ignore_patterns("__pycache__"))
    clone.commit("all there is")

    # -S: no site-packages, so neither an installed goes_lite nor any optional driver; -I: no PYTHONPATH
    command = [sys.executable, "-I", "-S", str(clone.path / "examples" / "git_history.py")]
    done = subprocess.run(command, cwd=tmp_path, env=kit.GIT_ENV, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "clone-history.db: 1 new commit in" in done.stdout
    assert "goes_lite/events/event.py" not in done.stderr
