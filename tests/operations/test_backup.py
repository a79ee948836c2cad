"""Backups: whole, verified and of one moment, or not there; restored into any backend; never over anything."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import A, note, registry, story

import goes_lite as goes
from goes_lite import operations as async_operations
from goes_lite.blocking import operations
from goes_lite.contract import Checkpoint
from goes_lite.errors import ConfigError, CopyRefused, ImportUnfinished, InvalidReceipt, StoreDamaged, StoreUnavailable
from goes_lite.operations import Receipt
from goes_lite.operations.files import receipt_path
from tests.operations.copy_kit import contents, fill_everything, opened


def test_a_backup_holds_everything_and_can_be_restored(url: str, tmp_path: Path) -> None:
    """From each backend to a file, and from the file into each backend."""
    with opened(url) as db:
        fill_everything(db)
        before = contents(db)
        done = operations.backup(db, tmp_path / "shop.bak")
        assert (done.receipt.store, done.receipt.location) == (db.identity, db.location)
        assert done.receipt.hash == operations.digest(db).hash
        db.events.append([note("later")])
    assert Receipt.from_json(Path(done.receipt_path).read_text(encoding="utf-8")) == done.receipt
    assert sorted(path.name for path in tmp_path.glob("shop*")) == ["shop.bak", "shop.bak.receipt.json"]
    with opened(tmp_path / "shop.bak", read_only=True) as found:
        assert contents(found) == before
    with opened(tmp_path / "again.db") as target:
        restored = operations.restore(target, done.path)
        assert contents(target) == before
        assert restored.identity == target.identity != done.receipt.store
        assert ([one.name for one in restored.foreign], restored.ahead) == (["stale"], [])


def test_a_backup_is_restored_into_each_backend(url: str, tmp_path: Path) -> None:
    with opened(tmp_path / "source.db") as db:
        fill_everything(db)
        before = contents(db)
        operations.backup(db, tmp_path / "shop.bak")
    with opened(url) as target:
        operations.restore(target, tmp_path / "shop.bak")
        assert contents(target) == before
        with pytest.raises(CopyRefused, match="complete copy"):
            operations.restore(target, tmp_path / "shop.bak")


def test_only_what_is_new_is_read(url: str, tmp_path: Path) -> None:
    """`since`: the result is complete all the same, deletes and changes included, and the base stays as it was."""
    with opened(url) as db:
        fill_everything(db)
        first = operations.backup(db, tmp_path / "1.bak")
        base = Path(first.path).read_bytes()
        db.events.append([*story(A, 2, after=4), note("later")])
        db.events.delete(goes.AggregateRef("order", "b"))
        db.models.put("totals", "1", '"new"')
        after = contents(db)
        second = operations.backup(db, tmp_path / "2.bak", since=first.path)
        assert second.events == 3
        third = operations.backup(db, tmp_path / "3.bak", since=second.path)
        assert third.events == 0
    assert Path(first.path).read_bytes() == base
    for path in (second.path, third.path):
        with opened(path, read_only=True) as found:
            assert contents(found) == after


def test_a_base_of_another_store_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as one, opened(tmp_path / "b.db") as two:
        operations.backup(one, tmp_path / "a.bak")
        with pytest.raises(CopyRefused, match="of another store"):
            operations.backup(two, tmp_path / "b.bak", since=tmp_path / "a.bak")
        with pytest.raises(CopyRefused, match="no backup"):
            operations.backup(two, tmp_path / "b.bak", since=tmp_path / "a.db")
        with pytest.raises(StoreUnavailable, match="no such file"):
            operations.backup(two, tmp_path / "b.bak", since=tmp_path / "nothing.bak")
    assert not (tmp_path / "b.bak").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x")])
        for name in ("there", "there-wal"):
            (tmp_path / name).write_bytes(b"precious")
        with pytest.raises(CopyRefused, match="exists"):
            operations.backup(db, tmp_path / "there")
        (tmp_path / "there").unlink()
        with pytest.raises(CopyRefused, match="there-wal"):
            operations.backup(db, tmp_path / "there")
        with pytest.raises(StoreUnavailable, match="does not exist: create it"):
            operations.backup(db, tmp_path / "folder" / "a.bak")
        for nonsense in ("a\0b", 7, b"bytes"):
            with pytest.raises(ConfigError, match="not the path of a file"):
                operations.backup(db, nonsense)  # type: ignore[arg-type]


def test_no_right_to_write_there(tmp_path: Path) -> None:
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("this user may write everywhere")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with opened(tmp_path / "a.db") as db, pytest.raises(StoreUnavailable, match="no right to write"):
        operations.backup(db, folder / "a.bak")


def test_what_an_interrupted_backup_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """Half a file, a foreign one, or half a copy of another store under the name of the part."""
    with opened(tmp_path / "a.db") as db, opened(tmp_path / "other.db") as other:
        fill_everything(db)
        other.events.append([note("other")])
        for number, left in enumerate((b"", b"SQLite format 3\0" + bytes(500), b"nonsense" * 100, b"copy")):
            part = tmp_path / f"{number}.bak.part"
            part.write_bytes(left)
            if left == b"copy":
                part.unlink()
                with opened(part) as half:
                    db._portal.run(async_operations.copy(other.backend, half.backend))
            base = operations.backup(db, tmp_path / f"{number}.own")
            done = operations.backup(db, tmp_path / f"{number}.bak", since=base.path)
            assert done.receipt.hash == operations.digest(db).hash
            assert not part.exists()


def test_a_changed_backup_is_not_restored(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("one"), note("two")])
        done = operations.backup(db, tmp_path / "a.bak")
    raw = sqlite3.connect(done.path)
    with raw:
        raw.execute("UPDATE events SET data = replace(data, 'two', 'TWO')")
    raw.close()
    with opened(tmp_path / "b.db") as target:
        with pytest.raises(StoreDamaged, match="the event at position 2 was changed"):
            operations.restore(target, done.path)
        assert target.events.head() == 0
        Path(done.receipt_path).write_text("{}", encoding="utf-8")
        with pytest.raises(InvalidReceipt):
            operations.restore(target, done.path)
        with pytest.raises(CopyRefused, match=r"ends in \.part"):
            operations.restore(target, tmp_path / "a.bak.part")


def test_half_a_backup_is_not_restored(tmp_path: Path) -> None:
    """One that was renamed by hand, for example."""

    class Enough(Exception):
        pass

    def stop(step: Any) -> None:
        raise Enough

    with opened(tmp_path / "a.db") as db, opened(tmp_path / "half.db") as half:
        db.events.append([note("x")])
        with pytest.raises(Enough):
            db._portal.run(async_operations.copy(db.backend, half.backend, progress=stop))
    with opened(tmp_path / "b.db") as target, pytest.raises(ImportUnfinished, match="not finished"):
        operations.restore(target, tmp_path / "half.db")


def test_consumers_that_are_ahead_are_listed(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x")])
        db.checkpoints.save("fine", 1)
        db.checkpoints.save("ahead", 7)
        db.checkpoints.import_checkpoints([Checkpoint("elsewhere", 9, "another/1", db.runtime.clock.now())])
        operations.backup(db, tmp_path / "a.bak")
    with opened(tmp_path / "b.db") as target:
        restored = operations.restore(target, tmp_path / "a.bak")
    assert [(one.name, one.position) for one in restored.ahead] == [("ahead", 7)]
    assert [one.name for one in restored.foreign] == ["elsewhere"]


def test_a_drill_restores_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    with opened(url) as db:
        fill_everything(db)
        done = operations.backup(db, tmp_path / "a.bak")
        there = sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm")))
        drilled = operations.drill(db, done.path)
        assert drilled.receipt.hash == done.receipt.hash
        assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm"))) == there


def test_tables_of_the_program_are_in_a_backup_of_a_file(tmp_path: Path) -> None:
    """SQLite copies its own storage, which has more than goes_lite knows; restored to a file, it is there again."""
    with opened(tmp_path / "a.db") as db:
        with db.transaction() as tx:
            tx.execute("CREATE TABLE mine (x)")
            tx.execute("INSERT INTO mine VALUES (7)")
        operations.backup(db, tmp_path / "a.bak")
    with opened(tmp_path / "a.bak", read_only=True) as found:
        assert found.select("SELECT x FROM mine") == [(7,)]
        restored = operations.restore_file(found, tmp_path / "b.db")
        identity = found.identity
    assert restored.identity != identity
    with opened(tmp_path / "b.db") as again:
        assert again.select("SELECT x FROM mine") == [(7,)]
        assert again.identity == restored.identity


def test_both_faces(tmp_path: Path) -> None:
    async def work() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            await db.events.append([note("x")])
            first = await async_operations.backup(db, tmp_path / "1.bak")
            second = await async_operations.backup(db, tmp_path / "2.bak", since=first.path)
            assert first.receipt.hash == second.receipt.hash
            assert (await async_operations.drill(db, second.path)).events == 1
            async with goes.connect(tmp_path / "b.db", registry=registry) as target:
                assert (await async_operations.restore(target, second.path)).receipt.hash == first.receipt.hash

    asyncio.run(work())


def test_the_receipt_is_next_to_the_file() -> None:
    assert receipt_path("/x/shop.bak") == "/x/shop.bak.receipt.json"
