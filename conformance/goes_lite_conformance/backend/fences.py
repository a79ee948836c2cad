"""Fences: what keeps writers out of a store that was moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from goes_lite import blocking
from goes_lite.contract.backend import PERSISTENT, PROCESSES, SQL, TRANSACTIONS, Backend
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.contract.fence import Fence
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.upkeep import BACKUP
from goes_lite.errors import FenceChanged, InvalidQueryError, StoreMoved
from goes_lite.events.query import EventQuery
from goes_lite_conformance.harness.asserts import each_refused, refused, unchanged
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import NOON, A, B, contents, fill, note, registry, snapshot, story, take
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import needs, only, patience

FENCE = Fence("move-1", "postgresql://example/shop")
OTHER = Fence("move-2", "/var/lib/shop.db")


def writes(db: Backend) -> dict[str, Callable[[], Any]]:
    """Return calls that each write something to a store that `fill` has filled."""
    return {
        "append": partial(db.events.append, [note("x")]),
        "append to an aggregate": partial(db.events.append, story(A, 1, after=2)),
        "append to a new aggregate": partial(db.events.append, story(B, 1)),
        "append a new name": partial(db.events.append, [note("x", tags=["new:tag"])]),
        "delete": partial(db.events.delete, A),
        "import": partial(db.events.import_events, [note("x").at(99)]),
        "raise the head": partial(db.events.import_events, [], head=99),
        "save a snapshot": partial(db.snapshots.save, snapshot(A, 1)),
        "save snapshots": partial(db.snapshots.save_many, [snapshot(A, 1)]),
        "delete snapshots": partial(db.snapshots.delete, A),
        "put": partial(db.models.put, "c", "1", '{"n": 9}'),
        "put a new one": partial(db.models.put, "c", "9", "{}"),
        "put many": partial(db.models.put_many, "c", {"1": '{"n": 8}', "7": "{}"}),
        "delete a model": partial(db.models.delete, "c", "1"),
        "clear": partial(db.models.clear, "c"),
        "rename": partial(db.models.rename, "c", "e"),
        "import models": partial(db.models.import_models, [ModelRecord("c", "1", 9, "1")]),
        "save a checkpoint": partial(db.checkpoints.save, "reader", 1),
        "save a new checkpoint": partial(db.checkpoints.save, "another", 1),
        "delete a checkpoint": partial(db.checkpoints.delete, "reader"),
        "import checkpoints": partial(db.checkpoints.import_checkpoints, [Checkpoint("reader", 1, "a/1", NOON)]),
        "acquire a lease": partial(db.leases.acquire, "reader", "me", 60),
        "import tokens": partial(db.leases.import_tokens, {"reader": 99}),
    }


def write_until_moved(place: Place, kind: str) -> None:
    """Write as fast as it goes, and say what was acknowledged once the store was moved."""
    done = 0
    with place.blocking() as db:
        say("ready")
        listen()
        try:
            while True:
                if kind == "append":
                    db.events.append([note("x")])
                elif kind == "put":
                    db.models.put("written", "1", json.dumps(done + 1))
                else:
                    with db.transaction() as tx:
                        tx.events.append([note("x")])
                        tx.models.put("written", "2", json.dumps(done + 1))
                done += 1
        except StoreMoved as moved:
            say([done, moved.to])


def fence_and_wait(place: Place) -> None:
    """Fence the store, say so, and wait to be killed."""
    with place.blocking() as db:
        db.set_fence(FENCE, expected=None)
        say("fenced")
        listen()


class FenceRules(Contract):
    """Rules BE-FENCE."""

    async def test_it_keeps_every_writer_out(self, db: Backend) -> None:
        """BE-FENCE-001: On a fenced store every write raises StoreMoved, which says where to write, and changes nothing."""
        await fill(db)
        await db.set_fence(FENCE, expected=None)
        assert await db.fence() == FENCE
        async with unchanged(db):
            await each_refused(StoreMoved, writes(db), to=FENCE.to, move=FENCE.move)

    async def test_removing_it_opens_the_store(self, db: Backend) -> None:
        """BE-FENCE-002: Once the fence is removed everything can be written again, as if there had been none."""
        await fill(db)
        for _ in range(2):
            assert await db.fence() is None
            await db.set_fence(FENCE, expected=None)
            await db.set_fence(None, expected=FENCE.move)
        assert await db.fence() is None
        for call in writes(db).values():
            await call()

    async def test_readers_go_on(self, db: Backend) -> None:
        """BE-FENCE-003: On a fenced store reads, views and queries show what they showed before."""
        await fill(db)
        before = await contents(db)
        await db.set_fence(FENCE, expected=None)
        assert await contents(db) == before
        assert await db.events.count(EventQuery(tags=["t:1"])) == 1
        async with db.view() as view:
            assert await view.events.head() == 3

    async def test_only_the_expected_fence_is_changed(self, db: Backend) -> None:
        """BE-FENCE-004: A fence is set, replaced and removed only if the one that is there is the one expected."""
        with refused(FenceChanged, expected="move-1", found=None):
            await db.set_fence(None, expected="move-1")
        with refused(FenceChanged, expected="move-1", found=None):
            await db.set_fence(OTHER, expected="move-1")
        await db.events.append([note("x")])
        await db.set_fence(FENCE, expected=None)
        with refused(FenceChanged, expected=None, found="move-1"):
            await db.set_fence(OTHER, expected=None)
        with refused(FenceChanged, expected="move-2", found="move-1"):
            await db.set_fence(None, expected="move-2")
        assert await db.fence() == FENCE
        await db.set_fence(OTHER, expected="move-1")
        assert await db.fence() == OTHER
        with refused(StoreMoved, to=OTHER.to):
            await db.events.append([note("y")])

    async def test_who_moves_the_store_may_pass(self, db: Backend) -> None:
        """BE-FENCE-005: A handle that passes the fence of a move writes everything, and is kept out by any other fence."""
        await fill(db)
        await db.set_fence(FENCE, expected=None)
        db.pass_fence("move-1")
        for call in writes(db).values():
            await call()
        await db.set_fence(OTHER, expected="move-1")
        with refused(StoreMoved, to=OTHER.to):
            await db.events.append([note("x")])
        with refused(StoreMoved, to=OTHER.to):
            await db.models.put("c", "1", "{}")

    async def test_it_ends_by_itself(self, place: Place, db: Backend) -> None:
        """BE-FENCE-006: A fence that lasts so many seconds is gone after that, and cannot be changed once it was written."""
        await db.set_fence(FENCE, expected=None, lasts=0.3)
        found = await db.fence()
        assert found is None or (found[:2] == FENCE[:2] and found.until is not None)

        async def open_again() -> bool:
            return await db.fence() is None

        await until(place, open_again)
        await db.models.put("c", "1", "{}")
        await db.events.append([note("x")])
        with refused(FenceChanged, expected="move-1", found=None):
            await db.set_fence(FENCE, expected="move-1")
        await db.set_fence(OTHER, expected=None)
        with refused(StoreMoved, to=OTHER.to):
            await db.events.append([note("y")])

    async def test_it_can_be_made_to_stay(self, place: Place, db: Backend) -> None:
        """BE-FENCE-007: A fence that would have ended stays if it is set again, without an end, before that."""
        await db.set_fence(FENCE, expected=None, lasts=60)
        await db.set_fence(FENCE, expected="move-1")
        assert await db.fence() == FENCE
        await db.set_fence(FENCE, expected="move-1", lasts=0.01)

        async def open_again() -> bool:
            return await db.fence() is None

        await until(place, open_again)

    async def test_wrong_arguments(self, db: Backend) -> None:
        """BE-FENCE-008: What is no fence, no name of a move or no duration raises InvalidQueryError and changes nothing."""
        wrong: Any = db.set_fence
        calls: dict[str, Callable[[], Any]] = {
            "no fence": partial(wrong, "postgresql://example", expected=None),
            "no move": partial(db.set_fence, Fence("", "a"), expected=None),
            "nowhere": partial(db.set_fence, Fence("a", ""), expected=None),
            "a password": partial(db.set_fence, Fence("a", "postgresql://u:secret@h/d"), expected=None),
            "expected": partial(wrong, FENCE, expected=7),
            "no time": partial(db.set_fence, FENCE, expected=None, lasts=0),
            "no number": partial(wrong, FENCE, expected=None, lasts="1"),
            "too long": partial(db.set_fence, FENCE, expected=None, lasts=1e9),
            "nothing that lasts": partial(db.set_fence, None, expected=None, lasts=1),
        }
        await each_refused(InvalidQueryError, calls)
        with refused(InvalidQueryError):
            db.pass_fence("")
        assert await db.fence() is None

    @needs(PERSISTENT)
    async def test_it_survives_closing(self, place: Place) -> None:
        """BE-FENCE-009: A fence is part of what is stored: a store that is fenced opens, reads, and is fenced still."""
        async with place.open() as db:
            await fill(db)
            await db.set_fence(FENCE, expected=None)
        async with place.open() as db:
            assert await db.fence() == FENCE
            async with unchanged(db):
                await each_refused(StoreMoved, writes(db), to=FENCE.to)

    @needs(PROCESSES)
    async def test_every_handle_learns_of_it(self, place: Place, db: Backend) -> None:
        """BE-FENCE-010: A handle that has written before is kept out at its next write; its followers wait on."""
        async with place.open() as other:
            await fill(other)
            following = place.alongside(take(other.events.follow(after=0), 4))
            await db.set_fence(FENCE, expected=None)
            async with unchanged(other):
                await each_refused(StoreMoved, writes(other), to=FENCE.to)
            assert not following.ended
            await db.set_fence(None, expected=FENCE.move)
            await other.events.append([note("later")])
            assert await following.result() == ["a-1", "a-2", "loose", "later"]

    @needs(TRANSACTIONS)
    async def test_transactions_are_kept_out(self, db: Backend) -> None:
        """BE-FENCE-011: A transaction on a fenced store raises StoreMoved, at the latest when it commits, and leaves nothing."""
        await fill(db)
        await db.set_fence(FENCE, expected=None)
        async with unchanged(db):
            for write in ("events", "models", "checkpoints", "snapshots"):
                with refused(StoreMoved, to=FENCE.to):
                    async with db.transaction() as tx:
                        if write == "events":
                            await tx.events.append([note("x")])
                        elif write == "models":
                            await tx.models.put("c", "1", "2")
                        elif write == "checkpoints":
                            await tx.checkpoints.save("reader", 1)
                        else:
                            await tx.snapshots.save(snapshot(A, 1))

    @needs(SQL)
    async def test_sql_is_kept_out(self, db: Backend) -> None:
        """BE-FENCE-012: A transaction that only runs SQL of the program is kept out as well."""
        async with db.transaction() as tx:
            await tx.execute("CREATE TABLE beside (a INTEGER)")
        await db.set_fence(FENCE, expected=None)
        for enqueued in (False, True):
            with refused(StoreMoved, to=FENCE.to):
                async with db.transaction() as tx:
                    if enqueued:
                        tx.enqueue("INSERT INTO beside VALUES (1)")
                    else:
                        await tx.execute("INSERT INTO beside VALUES (1)")
        await db.set_fence(None, expected=FENCE.move)
        async with db.transaction() as tx:
            assert [*await tx.execute("SELECT count(*) FROM beside")] == [(0,)]

    @needs(TRANSACTIONS, PROCESSES)
    async def test_it_takes_its_turn(self, place: Place, db: Backend) -> None:
        """BE-FENCE-013: A transaction that is open when the fence is set has committed before that, or commits never."""
        await fill(db)
        async with place.open() as other:
            committed = True
            setting = None
            try:
                async with other.transaction() as tx:
                    await tx.events.append([note("x")])
                    setting = place.alongside(db.set_fence(FENCE, expected=None))
                    await tx.models.put("c", "1", '{"n": 5}')
            except StoreMoved:
                committed = False
            assert setting is not None
            await setting.result()
            record = await other.models.get("c", "1")
            assert record is not None
            assert (await other.events.head(), record.data) == ((4, '{"n": 5}') if committed else (3, '{"n": 1}'))
            async with unchanged(db):
                await each_refused(StoreMoved, writes(other))

    @only("async")
    @patience(180)
    @needs(PROCESSES)
    async def test_nothing_is_committed_behind_it(self, place: Place, db: Backend) -> None:
        """BE-FENCE-014: What writers in other processes had acknowledged is stored when the fence is set, and nothing else."""
        kinds = ("append", "put", *(("transaction",) if TRANSACTIONS in db.abilities else ()))
        for round_ in range(place.rounds):
            before = await db.events.head()
            workers = [place.spawn(write_until_moved, kind=kind) for kind in kinds]
            for worker in workers:
                worker.expect("ready")
            for worker in workers:
                worker.tell()

            async def busy(least: int = before + 5) -> bool:
                return await db.events.head() > least

            await until(place, busy)
            fence = Fence(f"round-{round_}", FENCE.to)
            await db.set_fence(fence, expected=None)
            head = await db.events.head()
            records = {record.id: json.loads(record.data) for record in await db.models.query("written").list()}
            said = [worker.hear() for worker in workers]
            for worker in workers:
                worker.finish()
            assert {to for _, to in said} == {FENCE.to}
            done = {
                kind: sum(one for other, (one, _) in zip(kinds, said, strict=True) if other == kind) for kind in kinds
            }
            assert head - before == done["append"] + done.get("transaction", 0)
            assert records.get("1", 0) == done["put"]
            assert records.get("2", 0) == done.get("transaction", 0)
            assert await db.events.head() == head
            await db.set_fence(None, expected=fence.move)
            await db.models.clear("written")

    @only("async")
    @needs(PROCESSES)
    async def test_it_survives_who_set_it(self, place: Place, db: Backend) -> None:
        """BE-FENCE-015: The fence stays if the process that set it is killed; another process removes it."""
        await fill(db)
        worker = place.spawn(fence_and_wait)
        worker.expect("fenced")
        worker.kill()
        async with unchanged(db):
            await each_refused(StoreMoved, writes(db), to=FENCE.to)
        await db.set_fence(None, expected=FENCE.move)
        await db.events.append([note("x")])

    @needs(BACKUP)
    async def test_a_backup_has_no_fence(self, place: Place, db: Backend) -> None:
        """BE-FENCE-016: A backup of a fenced store is complete, and open."""
        await fill(db)
        await db.set_fence(FENCE, expected=None)
        path = place.storage.folder / "copy.db"
        await db.backup(path)

        def written() -> int:
            with blocking.connect(path, registry=registry) as copy:
                assert copy.fence() is None
                assert copy.events.head() == 3
                return copy.events.append([note("x")]).position

        with ThreadPoolExecutor(1) as thread:  # an event loop may be running in this one
            assert thread.submit(written).result() == 4
