"""Moves of a live store: nothing is lost or doubled, whatever ends them, and no more than one of the two takes writes."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.asserts import refused
from goes_lite_conformance.harness.samples import A, note, registry, story

import goes_lite as goes
from goes_lite.blocking import operations
from goes_lite.contract.fence import Fence
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.errors import CopyRefused, FenceChanged, MoveRefused, MoveUndone, StoreMoved
from goes_lite.operations import cutover
from tests.cli.cli_kit import environment, goes_lite
from tests.operations import moving_jobs
from tests.operations.copy_kit import contents, fill_everything, opened

pytestmark = pytest.mark.once

PATIENCE = 120.0
JOBS = Path(moving_jobs.__file__)


def moved(source: object, target: object, **options: Any) -> Any:
    """Move, on the blocking face; however slow the machine is."""
    options.setdefault("budget", 60.0)
    with opened(source, unfinished=True) as one, opened(target, unfinished=True) as two:
        return operations.cutover(one, two, **options)


def takes_writes(url: object) -> bool:
    with opened(url, unfinished=True) as db:
        try:
            db.models.put("probe", "1", "{}")
        except StoreMoved:
            return False
        return True


def job(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(JOBS), *map(str, arguments)], env=environment(), stdout=subprocess.PIPE, text=True
    )


def test_everything_moves_there_and_back(tmp_path: Path) -> None:
    """With all kinds of records; the other store stays as it was, and is brought up to date on the way back."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        fill_everything(db)
        before = contents(db)
        identity = db.identity
    first = moved(old, new)
    assert (first.finished, first.head) == (False, before["head"])
    with opened(new) as db:
        assert contents(db) == before
        assert db.identity != identity
        db.events.append([*story(A, 2, after=4), note("after")])
        db.events.delete(A)
        db.models.put("totals", "0", '{"n": 77}')
        after = contents(db)
    with opened(old) as db:
        assert contents(db) == before
        with refused(StoreMoved, to=str(new)):
            db.events.append([note("x")])
    back = moved(new, old)
    assert back.events == after["head"] - before["head"] - 2
    with opened(old) as db:
        assert contents(db) == after
        assert db.identity == identity
        db.events.append([note("at home")])
    assert not takes_writes(new)
    again = moved(old, new)
    assert again.events == 1


def test_called_again_it_has_nothing_to_do(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        db.events.append([note("x")])
    first = moved(old, new)
    again = moved(old, new)
    assert (again.move, again.finished, again.events) == (first.move, True, 0)
    assert (takes_writes(old), takes_writes(new)) == (False, True)


def test_a_move_that_is_too_slow_is_undone(tmp_path: Path) -> None:
    """The source takes writes again at once, and the next try goes on with what was copied."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        db.events.append([note(str(n)) for n in range(50)])
        with refused(MoveUndone, budget=1e-5):
            moved(old, new, budget=1e-5)
        db.events.append([note("goes on")])
    assert (takes_writes(old), takes_writes(new)) == (True, False)
    assert moved(old, new).head == 51
    assert (takes_writes(old), takes_writes(new)) == (False, True)


def test_what_cannot_be_moved(tmp_path: Path) -> None:
    """Nothing is changed: not the source, not a store that is in use elsewhere."""
    old, new, other = tmp_path / "old.db", tmp_path / "new.db", tmp_path / "other.db"
    for path in (old, other):
        with opened(path) as db:
            db.events.append([note("x")])
    with opened(old) as db, refused(MoveRefused):
        operations.cutover(db, db)
    with refused(CopyRefused):
        moved(old, other)
    assert takes_writes(old)
    assert takes_writes(other)
    moved(old, new)
    third = tmp_path / "third.db"
    with refused(MoveRefused):
        moved(old, third)
    with refused(MoveRefused):
        moved(third, old)
    assert (takes_writes(old), takes_writes(new), takes_writes(third)) == (False, True, True)


def test_an_unfinished_move_is_finished_or_undone(tmp_path: Path) -> None:
    """Decided and not opened: the next call opens the target. Undone before that: the source goes on."""
    for ending in ("finish", "undo"):
        old, new = tmp_path / f"{ending}-old.db", tmp_path / f"{ending}-new.db"
        with opened(old) as db:
            db.events.append([note("x")])

        async def decide(one: Path = old, two: Path = new) -> None:
            class Gone(Exception):
                pass

            class NeverOpens(WrappedBackend):
                async def set_fence(
                    self, fence: Fence | None, *, expected: str | None, lasts: float | None = None
                ) -> None:
                    if fence is None:
                        raise Gone
                    await self.backend.set_fence(fence, expected=expected, lasts=lasts)

            async with (
                goes.connect(one, registry=registry) as source,
                goes.connect(two, registry=registry, unfinished=True) as target,
            ):
                with pytest.raises(Gone):
                    await cutover(source.backend, NeverOpens(target.backend), budget=60)

        asyncio.run(decide())
        assert (takes_writes(old), takes_writes(new)) == (False, False)
        with opened(old) as one, opened(new, unfinished=True) as two:
            for wrong in (operations.cutover, operations.undo):
                with refused(MoveRefused):
                    wrong(two, one)
        assert (takes_writes(old), takes_writes(new)) == (False, False)
        with opened(old) as one, opened(new, unfinished=True) as two:
            if ending == "finish":
                assert operations.cutover(one, two).finished
                with refused(MoveRefused):
                    operations.undo(one, two)
            else:
                assert goes_lite("cutover", old, new, "--undo", "--yes", "--json", cwd=tmp_path).data["undone"]
                assert not operations.undo(one, two)
        assert (takes_writes(old), takes_writes(new)) == (ending == "undo", ending == "finish")


@pytest.mark.parametrize("stage", ["fences", "decides", "opens"])
def test_a_second_mover_takes_over(tmp_path: Path, stage: str) -> None:
    """Whatever the first one is about to do then, it changes nothing any more, unless the second had only to finish."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        db.events.append([note("x")])

    async def both() -> None:
        class Late(WrappedBackend):
            async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
                now = "opens" if fence is None else "fences" if lasts is not None else "decides"
                if now == stage and (fence is None or fence.to == str(new)):
                    await asyncio.to_thread(moved, old, new)
                await self.backend.set_fence(fence, expected=expected, lasts=lasts)

        async with (
            goes.connect(old, registry=registry) as source,
            goes.connect(new, registry=registry, unfinished=True) as target,
        ):
            if stage == "opens":
                await cutover(source.backend, Late(target.backend), budget=60)
                return
            with pytest.raises(FenceChanged if stage == "fences" else MoveUndone):
                await cutover(Late(source.backend), target.backend, budget=60)

    asyncio.run(both())
    assert (takes_writes(old), takes_writes(new)) == (False, True)


def test_a_move_that_is_undone_while_it_is_decided(tmp_path: Path) -> None:
    """Whoever undoes it takes the target first: so the one that has decided cannot open it."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        db.events.append([note("x")])

    def undo() -> None:
        with opened(old) as one, opened(new, unfinished=True) as two:
            assert operations.undo(one, two)

    async def both() -> None:
        class Late(WrappedBackend):
            async def set_fence(self, fence: Fence | None, *, expected: str | None, lasts: float | None = None) -> None:
                if fence is None:
                    await asyncio.to_thread(undo)
                await self.backend.set_fence(fence, expected=expected, lasts=lasts)

        async with (
            goes.connect(old, registry=registry) as source,
            goes.connect(new, registry=registry, unfinished=True) as target,
        ):
            with pytest.raises(FenceChanged):
                await cutover(source.backend, Late(target.backend), budget=60)

    asyncio.run(both())
    assert (takes_writes(old), takes_writes(new)) == (True, False)


def test_leases_are_handed_over(tmp_path: Path) -> None:
    """The instance that was active has the lease in the new store as well, until it would have ended."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        db.events.append([note("x")])
        db.checkpoints.save("reader", 1)
        leases = [db.leases.acquire(name, "somebody", 3600) for name in ("reader", "a lease of the program's own")]
        moved(old, new)
    with opened(new) as db:
        for lease in leases:
            there = db.leases.get(lease.name)
            assert there is not None
            assert (there.owner, abs((there.expires - lease.expires).total_seconds()) < 60) == ("somebody", True)


def test_the_command_moves_and_undoes(tmp_path: Path) -> None:
    """With an entry in the audit log of the store that takes writes, and nothing before it is confirmed."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(old) as db:
        db.events.append([note("x")])
    goes_lite("cutover", old, new, cwd=tmp_path, code=2)
    assert not new.exists()
    planned = goes_lite("cutover", old, new, "--dry-run", "--json", cwd=tmp_path).data
    assert (planned["effect"], planned["done"], new.exists()) == ({"events": 1, "head": 1}, False, False)
    done = goes_lite("cutover", old, new, "--yes", "--json", "--reason", "grown", "--budget", "60", cwd=tmp_path).data
    assert (done["store"], done["head"], done["finished"]) == (str(new), 1, False)
    entries = goes_lite("audit", new, "--json", cwd=tmp_path).data
    assert [(entry["action"], entry["target"], entry["reason"]) for entry in entries] == [
        ("cutover", str(old), "grown")
    ]
    assert "was opened" in goes_lite("cutover", old, new, "--undo", "--yes", cwd=tmp_path, code=None).err
    assert "nix.db" in goes_lite("cutover", new, "nix.db", "--undo", "--yes", cwd=tmp_path, code=None).err
    assert not (tmp_path / "nix.db").exists()
    assert (takes_writes(old), takes_writes(new)) == (False, True)
    for place, to in ((old, str(new)), (new, None)):
        assert goes_lite("info", place, "--json", cwd=tmp_path).data["moved_to"] == to
        assert ("moved to" in goes_lite("info", place, cwd=tmp_path).out) == (to is not None)
    assert "takes writes" in goes_lite("cutover", new, old, "--yes", "--budget", "60", cwd=tmp_path).out


def killed_moves(source: object, target: object, steps: Sequence[int]) -> int:
    """Move with a kill at each of the steps, then without; return the number of moves that were killed."""
    killed = 0
    for step in (*steps, 0):
        with job("move", source, target, step) as mover:
            said, _ = mover.communicate(timeout=PATIENCE)
        killed += mover.returncode != 0
        if step and mover.returncode:
            _wait_for_one(source, target)
        else:
            assert mover.returncode == 0, said
    return killed


def _wait_for_one(source: object, target: object) -> None:
    """Wait until one of the two takes writes, if the move was not decided; never both do."""
    end = time.monotonic() + PATIENCE
    while True:
        with opened(source, unfinished=True) as one, opened(target, unfinished=True) as two:
            here, there = one.fence(), two.fence()
            untouched = two.events.head() == 0  # a new store, which nobody uses yet
        assert here is not None or there is not None or untouched, "both take writes"
        if here is None or here.until is None:
            return
        assert time.monotonic() < end, "the source does not open by itself"
        time.sleep(0.05)


def test_movers_are_killed_under_writers(tmp_path: Path, rounds: int) -> None:
    """There and back, with kills at random steps: each writer finds all that was acknowledged to it, once."""
    stores = [tmp_path / "old.db", tmp_path / "new.db"]
    with opened(stores[0]) as db:
        db.events.append([note("first")])
    random_ = random.Random(rounds)
    writers, kills = (1, 1) if rounds == 1 else (8, 3)
    done = dict.fromkeys(map(str, range(writers)), 0)
    killed = 0
    for _ in range(max(1, rounds // 2)):
        for source, target in (stores, stores[::-1]):
            running = {name: job("write", source, name) for name in done}
            for process in running.values():
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            killed += killed_moves(source, target, sorted(random_.sample(range(2, 22), kills)))
            for name, process in running.items():
                said, _ = process.communicate(timeout=PATIENCE)
                acknowledged, place = said.split()
                assert place == str(target)
                assert int(acknowledged) >= done[name]
                done[name] = int(acknowledged)
            with opened(target) as db:
                for name, number in done.items():
                    events = db.events.load(goes.AggregateRef("writer", name))
                    assert [event.data.text for event in events] == [f"{name}-{n}" for n in range(1, number + 1)]
                assert db.events.count() == 1 + sum(done.values())
    assert killed, "no kill fell into a move"
