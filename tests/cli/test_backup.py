"""`goes-lite backup` and `restore`, as people and cron run them: under load, killed, interrupted, without room."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.errors import StoreUnavailable
from goes_lite.operations import Receipt, Step
from goes_lite.operations.files import receipt_path
from tests.cli.cli_kit import environment, goes_lite, notes, registry, start


def store(folder: Path, number: int = 50) -> Path:
    """A store with so many events, a read model and a checkpoint."""
    path = notes(folder / "shop.db", (str(n) for n in range(number - 1)))
    with blocking.connect(path, registry=registry) as db:
        db.models.put("totals", "1", "7")
        db.checkpoints.save("reader", 2)
    return path


def named(folder: Path) -> list[str]:
    """The files of a folder, without what SQLite keeps next to them while it reads."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm", "-lock")))


def hash_of(path: Path) -> bytes:
    with blocking.connect(path, registry=goes.Registry(), read_only=True) as db:
        return operations.digest(db).hash


def test_a_backup_and_back(tmp_path: Path) -> None:
    path = store(tmp_path)
    before = hashlib.sha256(path.read_bytes()).digest()
    ran = goes_lite("backup", path, "day.bak", "--drill", cwd=tmp_path)
    assert ran.code == 0, ran
    assert "read back and compared; restored into a scratch file and compared" in ran.out
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert named(tmp_path) == ["day.bak", "day.bak.receipt.json", "shop.db"]
    again = goes_lite("backup", path, "next.bak", "--since", "day.bak", "--json", cwd=tmp_path)
    assert (again.data["read"], again.data["events"], again.data["head"]) == (0, 50, 50)
    planned = goes_lite("restore", "next.bak", "back.db", "--dry-run", "--json", cwd=tmp_path)
    assert planned.data == {
        "action": "restore", "target": "next.bak", "effect": {"events": 50, "head": 50}, "done": False,
    }  # fmt: skip
    assert not (tmp_path / "back.db").exists()
    done = goes_lite("restore", "next.bak", "back.db", "--yes", "--reason", "a drill", "--json", cwd=tmp_path)
    assert (done.data["effect"], done.data["done"]) == ({"events": 50, "head": 50}, True)
    assert hash_of(tmp_path / "back.db") == hash_of(path)
    (entry,) = goes_lite("audit", "back.db", "--json", cwd=tmp_path).data
    assert (entry["action"], entry["target"], entry["reason"]) == ("restore", "next.bak", "a drill")


def test_restored_into_a_server(url: str, tmp_path: Path) -> None:
    path = store(tmp_path)
    backup = tmp_path / "day.bak"
    assert goes_lite("backup", path, backup, cwd=tmp_path).code == 0
    target = tmp_path / "empty.db" if "://" not in url else url
    if "://" not in url:
        with blocking.connect(target):
            pass  # an empty store, not a missing file
    assert goes_lite("restore", backup, target, "--yes", cwd=tmp_path).code == 0
    ran = goes_lite("backup", target, "again.bak", "--json", cwd=tmp_path)
    assert ran.data["hash"] == hash_of(path).hex()
    refused = goes_lite("restore", backup, target, "--yes", cwd=tmp_path, code=2)
    assert (refused.code, "complete copy" in refused.err) == (2, True)


def test_consumers_ahead_are_findings(tmp_path: Path) -> None:
    path = store(tmp_path)
    with blocking.connect(path, registry=registry) as db:
        db.checkpoints.save("mailer", 99)
    goes_lite("backup", path, "day.bak", cwd=tmp_path)
    ran = goes_lite("restore", "day.bak", "back.db", "--yes", "--json", cwd=tmp_path, code=1)
    assert (ran.code, [one["code"] for one in ran.envelope["findings"]]) == (1, ["consumer-ahead"])


def test_what_is_refused(tmp_path: Path) -> None:
    path = store(tmp_path, 3)
    (tmp_path / "there.bak").write_text("precious")
    cases: list[tuple[list[Any], int, str]] = [
        (["backup", path, "there.bak"], 2, "nothing is overwritten"),
        (["backup", path, "no/folder.bak"], 3, "does not exist: create it first"),
        (["backup", "missing.db", "x.bak"], 3, "does not create it"),
        (["backup", path, "x.bak", "--since", "there.bak"], 3, "not an SQLite database"),
        (["backup", "postgresql://127.0.0.1:1/x?connect_timeout=1", "x.bak"], 3, "cannot be reached"),
        (["restore", "there.bak", "y.db", "--yes"], 3, "not an SQLite database"),
        (["restore", "nothing.bak", "y.db", "--yes"], 3, "does not create it"),
        (["restore", "shop.db", "y.db"], 2, "add --yes"),
    ]
    for words, code, text in cases:
        ran = goes_lite(*words, cwd=tmp_path, code=None)
        assert (ran.code, text in ran.error) == (code, True), ran
    assert named(tmp_path) == ["shop.db", "there.bak"]
    assert (tmp_path / "there.bak").read_text() == "precious"


LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
    "from goes_lite.cli.main import main; raise SystemExit(main())"
)


@pytest.mark.parametrize("since", [False, True])
def test_no_room(tmp_path: Path, since: bool) -> None:
    """StoreFull, exit 3, and no file that looks finished; with room, the same command succeeds."""
    pytest.importorskip("resource", reason="no RLIMIT_FSIZE here")
    path = store(tmp_path, 5_000)
    more = []
    if since:
        assert goes_lite("backup", path, "base.bak", cwd=tmp_path).code == 0
        more = ["--since", "base.bak"]
    words = ["backup", str(path), "day.bak", *more]
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, "make room and retry" in ran.stderr) == (3, True), ran.stderr
    assert not [name for name in named(tmp_path) if name in ("day.bak", "day.bak.receipt.json")]
    assert goes_lite(*words, cwd=tmp_path).code == 0
    assert hash_of(tmp_path / "day.bak") == hash_of(path)


def test_the_source_is_deleted_meanwhile(tmp_path: Path) -> None:
    """A typed error, and no backup of what is gone."""
    if os.name == "nt":
        pytest.skip("an open file cannot be deleted here")
    path = store(tmp_path, 9_000)

    def delete(step: Step) -> None:
        if path.exists():
            for one in tmp_path.glob("shop.db*"):
                one.unlink()

    with (
        blocking.connect(path, registry=registry) as db,
        blocking.connect(tmp_path / "b.db", registry=registry) as copy,
    ):
        from goes_lite.operations import copy as copying

        with pytest.raises(StoreUnavailable):
            db._portal.run(copying(db.backend, copy.backend, progress=delete))


def interrupt(folder: Path, words: list[Any], number: int, kind: int) -> int:
    """Start a backup, end it at some moment, and return its exit code."""
    process = start(*words, cwd=folder)
    time.sleep(random.Random(number).uniform(0.05, 0.9))  # the moment of the kill, not a wait for something
    process.send_signal(kind)
    process.communicate(timeout=120)
    return process.returncode


def check_whole(path: Path) -> None:
    """A file under the name of a backup is one: complete, with the log of its receipt."""
    receipt = Receipt.from_json(Path(receipt_path(str(path))).read_text(encoding="utf-8"))
    assert hash_of(path) == receipt.hash


@pytest.mark.parametrize("since", [False, True])
@pytest.mark.parametrize("kind", ["SIGKILL", "SIGINT"])
def test_ended_at_any_moment(tmp_path: Path, kind: str, since: bool, rounds: int) -> None:
    """Nothing passes for a backup that is none, and the next one succeeds whatever was left behind."""
    if not hasattr(signal, kind) or os.name == "nt":
        pytest.skip(f"no {kind} here")
    path = store(tmp_path, 8_000)
    folder = tmp_path / "backups"
    folder.mkdir()
    words: list[Any] = ["backup", path, "day.bak"]
    if since:
        base = notes(tmp_path / "base.db", ())
        with blocking.connect(base, registry=registry):
            pass
        with blocking.connect(path, registry=registry) as db:
            operations.backup(db, tmp_path / "base.bak")
            db.events.append([goes.Event(registry.type_of("note.taken")("x"), registry=registry) for _ in range(6_000)])
        words += ["--since", tmp_path / "base.bak"]
    for number in range(2 * rounds):
        code = interrupt(folder, words, number, getattr(signal, kind))
        assert code in (0, 130, 1, -signal.SIGINT, -9), code  # 1: before the command line had begun
        if (folder / "day.bak").exists():
            check_whole(folder / "day.bak")
            for one in folder.glob("day.bak*"):
                one.unlink()
    assert goes_lite(*words, cwd=folder).code == 0
    check_whole(folder / "day.bak")
    assert named(folder) == ["day.bak", "day.bak.receipt.json"]
    assert hash_of(folder / "day.bak") == hash_of(path)


WRITER = """
import json, sys, time
import goes_lite as goes
from tests.cli.cli_kit import NoteTaken, registry
me, path = sys.argv[1], sys.argv[2]
worst = 0.0
with goes.blocking.connect(path, registry=registry, durability="normal") as db:
    print("ready", flush=True)
    version = 0
    while True:
        version += 1
        began = time.monotonic()
        with db.transaction() as tx:
            tx.events.append([goes.Event(NoteTaken("x"), registry=registry, aggregate=("writer", me), version=version)])
            tx.models.put("last", me, str(version))
        took = time.monotonic() - began
        if took > worst:
            worst = took
            print(json.dumps(worst), flush=True)
"""


@pytest.mark.slow
def test_under_writers(tmp_path: Path, rounds: int) -> None:
    """Eight processes write while backups are made: each is of one moment, and can be restored."""
    path = store(tmp_path, 2_000)
    names = [f"w{number}" for number in range(8)]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, name, str(path)], cwd=Path(__file__).parents[2], env=None,
            stdout=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        before: str | None = None
        for number in range(2 * rounds):
            more = ["--since", before] if number % 2 and before else []
            ran = goes_lite("backup", path, f"{number}.bak", "--drill", "--json", *more, cwd=tmp_path)
            assert ran.data["drilled"], ran
            with blocking.connect(tmp_path / f"{number}.bak", registry=registry, read_only=True) as found:
                versions = {info.aggregate.id: info.version for info in found.events.aggregates("writer")}
                models = {one.id: int(one.data) for one in found.models.query("last")}
                assert models == versions  # a part of a transaction would differ
                for name, version in versions.items():
                    events = found.events.load(goes.AggregateRef("writer", name))
                    assert [event.version for event in events] == list(range(1, version + 1))
            before = f"{number}.bak"
            for old in tmp_path.glob(f"{number - 1}.bak*"):
                old.unlink()
    finally:
        for writer in writers:
            writer.kill()
        told = [writer.communicate()[0].split() for writer in writers]
    assert all(json.loads(times[-1]) for times in told if times)
