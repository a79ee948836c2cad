"""Copying a store into another one: nothing is lost, doubled or changed, whatever ends the copy or happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import A, B, note, registry, snapshot, story

import goes_lite as goes
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import CopyDiffers, CopyRefused, ImportUnfinished
from goes_lite.events.event import Event
from goes_lite.operations import Step, copy, digest
from goes_lite.operations.lineage import COPYING, origin_of
from tests.conformance.mutants import changed
from tests.operations.copy_kit import contents, fill_everything, opened, raw


def copied(source: object, target: object, **options: Any) -> Any:
    async def work() -> Any:
        async with (
            goes.connect(str(source), registry=registry) as one,
            goes.connect(str(target), registry=registry, unfinished=True) as two,
        ):
            return await copy(one, two, **options)

    return asyncio.run(work())


def test_there_and_back(url: str, tmp_path: Path) -> None:
    """A file, any backend, a file: everything is equal, positions and gaps included."""
    with opened(tmp_path / "first.db") as db:
        fill_everything(db)
        before = contents(db)
    there = copied(tmp_path / "first.db", url)
    back = copied(url, tmp_path / "last.db")
    with opened(url) as middle, opened(tmp_path / "last.db") as last:
        assert contents(middle) == before
        assert contents(last) == before
        assert last.events.append([note("new")]).position == before["head"] + 1
    assert there.receipt.hash == back.receipt.hash
    assert (there.events, there.deleted, there.resumed) == (len(before["events"]), 0, False)


def test_fencing_tokens_go_on_growing(url: str, tmp_path: Path) -> None:
    """Somebody else may compare them: a token of the copy is higher than any that the source has given, held or not."""
    with opened(tmp_path / "a.db") as db:
        db.leases.release(db.leases.acquire("free", "ann", 1000))
        free, held = db.leases.acquire("free", "bob", 1000), db.leases.acquire("held", "ann", 1000)
        db.leases.release(free)
        copied(tmp_path / "a.db", url)
        with opened(url) as target:
            assert target.leases.get("held") is None
            assert target.leases.acquire("free", "ann", 1000).token > free.token > 1
            assert target.leases.acquire("held", "eve", 1000).token > held.token
        assert db.leases.get("held") == held


def test_a_copy_is_brought_up_to_date(url: str, tmp_path: Path) -> None:
    """With `update`: what is new, changed, pruned or deleted since; nothing else is read."""
    with opened(tmp_path / "a.db") as db:
        fill_everything(db)
    copied(tmp_path / "a.db", url)
    with opened(tmp_path / "a.db") as db:
        db.events.delete(A)
        db.events.append([*story(A, 2), note("later")])
        db.events.delete(B)
        db.models.put("totals", "1", "9")
        db.models.delete("totals", "2")
        db.models.clear("goes:commands")
        db.checkpoints.save("mine", 9)
        db.checkpoints.delete("stale")
        db.snapshots.save(snapshot(A, 1))
        after = contents(db)
    with pytest.raises(CopyRefused, match="complete copy of this store already"):
        copied(tmp_path / "a.db", url)
    again = copied(tmp_path / "a.db", url, update=True)
    with opened(url) as db:
        assert contents(db) == after
    assert (again.events, again.deleted, again.resumed) == (3, 5, True)


@pytest.mark.parametrize("held", ["events", "models", "checkpoints", "snapshots", "another", "head"])
def test_a_target_that_holds_something_else_is_refused(tmp_path: Path, held: str) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x")])
    with opened(tmp_path / "b.db") as db:
        match held:
            case "events":
                db.events.append([note("y")])
            case "head":
                db.events.import_events([], head=3)
            case "models":
                db.models.put("c", "1", "1")
            case "checkpoints":
                db.checkpoints.save("p", 0)
            case "snapshots":
                db.snapshots.save(snapshot(A, 1))
            case _:
                pass
    if held == "another":
        with opened(tmp_path / "c.db") as db:
            db.events.append([note("z")])
        copied(tmp_path / "c.db", tmp_path / "b.db")
    with opened(tmp_path / "b.db") as db:
        before = contents(db)
    with pytest.raises(CopyRefused, match="b.db"):
        copied(tmp_path / "a.db", tmp_path / "b.db", update=True)
    with opened(tmp_path / "b.db") as db:
        assert contents(db) == before


def test_what_is_deleted_and_begun_again_meanwhile(tmp_path: Path) -> None:
    """Between two pages of the copy: aggregates that are copied already vanish, and begin again."""
    refs = [goes.AggregateRef("order", f"{n:02}") for n in range(20)]
    with opened(tmp_path / "a.db") as db, opened(tmp_path / "b.db") as target:
        db.events.append([event for ref in refs for event in story(ref, 3)])
        db.events.append([note(str(n)) for n in range(9_000)])
        left = iter(refs)

        def disturb(step: Step) -> None:
            ref = next(left, None)
            if step.what == "events" and ref is not None:
                db.events.delete(ref)
                if ref.id > "05":
                    db.events.append(story(ref, 2))

        done = db._portal.run(copy(db.backend, target.backend, progress=disturb))
        while next(left, None) is not None:
            pass
        assert done.deleted
        again = db._portal.run(copy(db.backend, target.backend, update=True))
        assert contents(target) == contents(db)
        assert db._portal.run(digest(target.backend)).hash == again.receipt.hash


class DropsTags(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([changed(event, tags=None) for event in events], head=head)


class SkipsOne(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([event for event in events if event.position != 700], head=head)


@pytest.mark.parametrize(("fault", "position"), [(DropsTags, 3), (SkipsOne, 700)])
def test_a_copy_that_differs_is_told(tmp_path: Path, fault: type[WrappedStore], position: int) -> None:
    """The verification reads the target; the error names the first event, and the copy never counts as complete."""

    async def work() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as source:
            await source.events.append(
                [note("1"), note("2"), note("3", tags=["k:1"]), *(note(str(n)) for n in range(900))]
            )
            async with goes.connect(tmp_path / "b.db", registry=registry) as target:
                with pytest.raises(CopyDiffers) as caught:
                    await copy(source, WrappedBackend(target, fault))
                assert caught.value.position == position
                origin = await origin_of(target.models, target.runtime)
                assert origin is not None
                assert origin.state == COPYING
            with pytest.raises(ImportUnfinished, match="an import of the store"):
                await goes.connect(tmp_path / "b.db", registry=registry)

    asyncio.run(work())


def test_a_copy_is_of_one_moment(tmp_path: Path) -> None:
    """While another process commits event, read model and checkpoint together, the copy never has a part of it."""
    job = (
        "import sys; from tests.operations.copy_kit import opened; from goes_lite_conformance.harness.samples import note\n"
        "with opened(sys.argv[1]) as db:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        with db.transaction() as tx:\n"
        "            at = tx.events.append([note('x')]).position\n"
        "            tx.models.put('c', '1', str(at)); tx.checkpoints.save('reader', at)\n"
    )
    with opened(tmp_path / "a.db"):
        pass
    writer = subprocess.Popen([sys.executable, "-c", job, str(tmp_path / "a.db")], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        for number in range(3):
            copied(tmp_path / "a.db", tmp_path / f"b{number}.db")
            with opened(tmp_path / f"b{number}.db") as db:
                head, checkpoint, model = db.events.head(), db.checkpoints.get("reader"), db.models.get("c", "1")
                if head:
                    assert checkpoint is not None
                    assert model is not None
                    assert (checkpoint.position, model.data) == (head, str(head))
    finally:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()


def test_a_killed_copy_goes_on(url: str, tmp_path: Path, rounds: int) -> None:
    """Kill -9 at any point, again and again: in the end it equals a copy that nobody disturbed."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("no SIGKILL here")
    with opened(tmp_path / "a.db", durability="normal") as db:
        fill_everything(db, 6_000)
        before = contents(db)
    job = (
        "import asyncio, sys; import goes_lite as goes; from goes_lite.operations import copy\n"
        "async def main():\n"
        "    async with goes.connect(sys.argv[1]) as a, goes.connect(sys.argv[2], unfinished=True) as b:\n"
        "        print('ready', flush=True)\n"
        "        await copy(a, b)\n"
        "asyncio.run(main())\n"
    )
    kills = 3 * rounds
    for number in range(kills):
        worker = subprocess.Popen(
            [sys.executable, "-c", job, str(tmp_path / "a.db"), url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(random.Random(number).random() * 0.4)  # the moment of the kill, not a wait for something
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    copied(tmp_path / "a.db", url, update=True)  # if one of them was complete, this changes nothing
    with opened(url) as target:
        assert contents(target) == before


def test_encodings_that_nobody_knows_are_copied(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.import_events([raw("zip", b"\xff\xfe", 9), raw("json", "not even json", 12)], head=40)
    copied(tmp_path / "a.db", tmp_path / "b.db")
    with opened(tmp_path / "b.db") as db:
        stored = [(event.position, *event.encoded) for event in db.events.stored()]
        assert stored == [(9, "zip", 3, b"\xff\xfe"), (12, "json", 3, "not even json")]
        assert db.events.head() == 40


def test_a_copy_of_a_copy_knows_its_origins(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x")])
        first = db.identity
    copied(tmp_path / "a.db", tmp_path / "b.db")
    copied(tmp_path / "b.db", tmp_path / "c.db")
    with opened(tmp_path / "b.db") as db, opened(tmp_path / "c.db") as last:
        origin = last._portal.run(origin_of(last.backend.models, last.backend.runtime))
        assert origin is not None
        assert (origin.store, origin.earlier, origin.head) == (db.identity, [first], 1)
