"""A copy that follows: it stays current while others write, goes on after any end, and never hides a difference."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import A, B, note, registry, snapshot, story

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, operations
from goes_lite.contract.own_collections import AUDIT
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import CopyDiffers, CopyRefused, ImportUnfinished
from goes_lite.events.event import Event
from goes_lite.operations import Copying, Followed, copy, follow
from goes_lite.runtime import Signal
from tests.cli.cli_kit import environment, words_of
from tests.conformance.mutants import changed
from tests.operations.copy_kit import contents, fill_everything, opened

PATIENCE = 120.0


class Following:
    """A copy that follows in a thread of its own; `reached` waits until it is equal to something that was written."""

    def __init__(self, source: object, target: object, **options: Any) -> None:
        self._states: list[Followed] = []
        self._news = threading.Condition()
        self.stop = Signal()
        self.done: Any = None

        def told(state: Followed) -> None:
            with self._news:
                self._states.append(state)
                self._news.notify_all()

        async def work() -> Any:
            async with (
                goes.connect(str(source), registry=registry) as one,
                goes.connect(str(target), registry=registry, unfinished=True) as two,
            ):
                return await follow(one, two, interval=0.01, stop=self.stop, told=told, **options)

        def run() -> None:
            try:
                self.done = asyncio.run(work())
            except BaseException as exc:  # raised in the test
                self.done = exc
            with self._news:
                self._news.notify_all()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def until(self, holds: Callable[[Followed], object]) -> Followed:
        with self._news:
            found = self._news.wait_for(
                lambda: self.done is not None or any(map(holds, self._states)), timeout=PATIENCE
            )
            assert found, self._states[-3:]
            assert not isinstance(self.done, BaseException), self.done
            return next(state for state in reversed(self._states) if holds(state))

    def end(self) -> Any:
        self.stop.notify()
        self._thread.join(PATIENCE)
        if isinstance(self.done, BaseException):
            raise self.done
        return self.done


def copied_to(db: BlockingDatabase, url: object, copying: Any = operations.copy, **options: Any) -> Any:
    with opened(url, unfinished=True) as target:
        return copying(db, target, **options)


def test_all_kinds_of_records_follow(url: str, tmp_path: Path) -> None:
    """New events, models, checkpoints, snapshots and commands, changed and removed ones, deleted and begun aggregates."""
    with opened(tmp_path / "a.db") as db:
        fill_everything(db, 100)
        following = Following(tmp_path / "a.db", url)
        following.until(lambda state: state.synced == db.events.head())
        with pytest.raises(ImportUnfinished):
            opened(url)
        db.events.delete(A)
        db.events.append([*story(A, 2), note("later")])
        db.events.delete(B)
        db.models.put("totals", "1", "9")
        db.models.delete("totals", "2")
        db.models.delete("totals", "3")
        db.models.put("totals", "3", '"of version 1 again, with other data"')
        db.models.clear("goes:commands")
        db.models.put("goes:parked:mine", f"{7:019}", '{"position": 7}')
        db.checkpoints.save("mine", 9)
        db.checkpoints.delete("stale")
        db.snapshots.save(snapshot(A, 1))
        head = db.events.head()
        following.until(lambda state: state.synced == head)
        db.models.put("totals", "last", "1")  # no event, so only the comparison can see it
        following.until(lambda state: state.synced == head and state.written >= 4)
        done = following.end()
        after = contents(db)
        assert done.receipt.hash == operations.digest(db).hash
    with opened(url) as copied:
        assert contents(copied) == after


def test_a_follower_that_is_killed_goes_on_where_it_was(url: str, tmp_path: Path, rounds: int) -> None:
    """Another process writes everything there is; the follower is killed at any moment; in the end both are equal."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("no SIGKILL here")
    source = tmp_path / "a.db"
    with opened(source) as db:
        fill_everything(db, 2_000)
    with writing(source) as stop:
        for number in range(3 * rounds):
            words = words_of("copy", source, url, "--follow", "--interval", "0.05", "--yes", "--json")
            follower = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment())
            assert follower.stdout is not None
            if number % 3 == 0:
                while (state := json.loads(follower.stdout.readline())["data"])["synced"] == 0:
                    pass
                assert state["lag"] >= 0
            time.sleep(random.Random(number).random() * 0.5)  # the moment of the kill, not a wait for something
            os.kill(follower.pid, signal.SIGKILL)
            follower.wait()
            follower.stdout.close()
        stop()
    done = subprocess.run(
        words_of("copy", source, url, "--update", "--yes", "--json"),
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with opened(source) as db, opened(url) as copied:
        found, wanted = contents(copied), contents(db)
        assert found["models"].pop(AUDIT)  # what was done to the copy
        assert found == wanted
        assert len(wanted["events"]) > 2_000


@contextmanager
def writing(path: Path) -> Generator[Callable[[], None]]:
    """Another process writes until it is told to stop: events, models, deletes, aggregates that begin again."""
    job = (
        "import sys, threading; from tests.operations.copy_kit import opened\n"
        "from goes_lite_conformance.harness.samples import note, story; import goes_lite as goes\n"
        "ended = threading.Event()\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()\n"
        "with opened(sys.argv[1]) as db:\n"
        "    print('ready', flush=True)\n"
        "    number = 0\n"
        "    while not ended.wait(0.002):\n"
        "        number += 1\n"
        "        ref = goes.AggregateRef('order', f'w{number % 7}')\n"
        "        db.events.delete(ref)\n"
        "        with db.transaction() as tx:\n"
        "            at = tx.events.append([*story(ref, 1 + number % 3), note(str(number), tags=['n:3'])]).position\n"
        "            tx.models.put('w', str(number % 11), str(at)); tx.checkpoints.save('writer', at)\n"
        "        db.models.delete('w', str(number % 5))\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", job, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdin is not None
    assert writer.stdout is not None

    def stop() -> None:
        writer.communicate(timeout=PATIENCE)
        assert writer.returncode == 0

    try:
        assert writer.stdout.readline() == b"ready\n"
        yield stop
    finally:
        if writer.poll() is None:
            writer.kill()
            writer.communicate()


def test_back_into_the_store_that_it_came_from(url: str, tmp_path: Path) -> None:
    """There, written to there, and back: the first store has everything again, at the same positions, and so on."""
    home = str(tmp_path / "home.db")

    async def carried(source: str, target: str) -> None:
        async with (
            goes.connect(source, registry=registry) as one,
            goes.connect(target, registry=registry, unfinished=True) as two,
        ):
            work = Copying(one, two, back=True)
            await work.begin()
            await work.sync(verify=0)
            await work.complete()

    with opened(home) as db:
        fill_everything(db, 100)
    places = [home, url]
    asyncio.run(carried(home, url))
    for number in range(3):
        source, target = places[1 - number % 2], places[number % 2]
        with opened(source) as db:
            db.events.append([note(f"written at {number}")])
            db.events.delete(A)
            db.models.put("totals", "1", str(number))
            db.checkpoints.save("mine", number)
            before = contents(db)
        asyncio.run(carried(source, target))
        with opened(target) as db:
            assert contents(db) == before
    with opened(home) as db:
        db.events.append([note("written to both")])
    with opened(url) as db:
        db.events.append([note("written to both")])
    with pytest.raises(CopyRefused, match="events were written to it since"):
        asyncio.run(carried(home, url))


def test_a_copy_that_was_written_to_is_not_overwritten(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x")])
        copied_to(db, tmp_path / "b.db")
        with opened(tmp_path / "b.db") as copied:
            copied.events.append([note("a fork")])
        db.events.append([note("y"), note("z")])
        with pytest.raises(CopyRefused, match="events were written to it since"):
            copied_to(db, tmp_path / "b.db", update=True)
        with pytest.raises(CopyRefused, match="events were written to it since"):
            copied_to(db, tmp_path / "b.db", operations.follow)


class DropsTags(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([changed(event, tags=None) for event in events], head=head)


class Renumbers(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([event.at(event.position + 1) for event in events], head=head)


class SkipsALateEvent(WrappedStore):
    async def import_events(self, events: Sequence[Event[Any]], *, head: int = 0) -> int:
        return await self.store.import_events([event for event in events if event.position != 4], head=head)


class ForgetsADelete(WrappedStore):
    async def delete(self, aggregate: goes.AggregateRef) -> int:
        return 0


@pytest.mark.parametrize("fault", [DropsTags, Renumbers, SkipsALateEvent, ForgetsADelete])
def test_a_fault_while_following_is_told(tmp_path: Path, fault: type[WrappedStore]) -> None:
    """The copy is never complete: the error says what is wrong."""

    async def work() -> None:
        async with (
            goes.connect(tmp_path / "a.db", registry=registry) as source,
            goes.connect(tmp_path / "b.db", registry=registry) as target,
        ):
            await source.events.append([*story(A, 1), note("2")])
            await copy(source, target)
            await source.events.append([note("3"), note("4", tags=["k:1"]), note("5")])
            await source.events.delete(A)
            stop = Signal()
            stop.notify()
            with pytest.raises(CopyDiffers, match=r"b\.db"):
                await follow(source, WrappedBackend(target, fault), stop=stop)
        with pytest.raises(ImportUnfinished):
            await goes.connect(tmp_path / "b.db", registry=registry)

    asyncio.run(work())


def test_an_id_that_is_used_again(tmp_path: Path) -> None:
    """Deleted in the source, and the same events appended once more: at new positions, with the old ids."""
    events = story(A, 3)
    with opened(tmp_path / "a.db") as db:
        db.events.append(events)
        copied_to(db, tmp_path / "b.db")
        db.events.delete(A)
        db.events.append([note("between"), *events])
        again = copied_to(db, tmp_path / "b.db", update=True)
        assert again.deleted == 3
        with opened(tmp_path / "b.db") as copied:
            assert contents(copied) == contents(db)


def test_a_store_that_cannot_be_reached_is_waited_for(tmp_path: Path) -> None:
    """Reading fails for a while: the follower says so, and goes on."""

    class Unreachable(WrappedStore):
        broken = 3

        async def head(self) -> int:
            if Unreachable.broken:
                Unreachable.broken -= 1
                raise goes.errors.StoreUnavailable("a.db", "the test says so")
            return await super().head()

    async def work() -> list[str]:
        problems: list[str] = []
        stop = Signal()
        async with (
            goes.connect(tmp_path / "a.db", registry=registry) as source,
            goes.connect(tmp_path / "b.db", registry=registry, unfinished=True) as target,
        ):
            await source.events.append([note("x")])

            def told(state: Followed) -> None:
                problems.append(state.problem)
                if state.synced:
                    stop.notify()

            await follow(WrappedBackend(source, Unreachable), target, stop=stop, told=told)
            assert await target.events.head() == 1
        return problems

    problems = asyncio.run(work())
    assert len([one for one in problems if "the test says so" in one]) == 3


def test_on_the_blocking_face(url: str, tmp_path: Path) -> None:
    """Into and out of each backend by its URL."""
    with opened(tmp_path / "a.db") as db:
        fill_everything(db, 50)
        before = contents(db)
        copied_to(db, url)
    with opened(url) as middle:
        stop = Signal()

        def told(state: Followed) -> None:
            if state.synced:
                stop.notify()

        back = copied_to(middle, tmp_path / "b.db", operations.follow, stop=stop, told=told)
        assert back.receipt.events == len(before["events"])
    with opened(tmp_path / "b.db") as last:
        assert contents(last) == before


def test_every_pair_of_backends(tmp_path: Path) -> None:
    """One chain over all nine pairs: what arrives at the end is what was there in the beginning."""
    from goes_lite_conformance.servers import mongo, postgres

    from tests.backends import mongo_kit, postgres_kit
    from tests.on_servers import a_server_is_there

    with a_server_is_there():
        mongo.program()
        if not postgres.installations():
            pytest.skip("no PostgreSQL is installed")
    files = iter(tmp_path / f"{number}.db" for number in range(10))
    kinds: dict[str, Callable[[], object]] = {
        "s": lambda: next(files), "p": postgres_kit.store_url, "m": mongo_kit.store_url,
    }  # fmt: skip
    chain = [kinds[kind]() for kind in "ssppmmsmps"]
    with opened(chain[0]) as db:
        fill_everything(db, 60)
        before = contents(db)
    hashes: set[bytes] = set()
    for source, target in pairwise(chain):
        with opened(source) as db:
            hashes.add(copied_to(db, str(target)).receipt.hash)
    with opened(chain[-1]) as db:
        assert contents(db) == before
        assert db.events.append([note("new")]).position == before["head"] + 1
    assert len(hashes) == 1
