"""Closing a handle stops what it runs in the background, and gives back what that holds."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.errors import ProcessorBehind, StillRunning

registry = goes.Registry()
PATIENCE = 10.0
DAY = 86_400.0


@registry.event("test.ticked")
@dataclass(frozen=True)
class Ticked:
    number: int


@registry.commands.event("test.do")
@dataclass(frozen=True)
class Do:
    number: int


class Count(goes.ModelProjection[int], name="count"):
    def initial(self, id: str) -> int:
        return 0

    @goes.projects(Ticked, key=lambda event: "all")
    def ticked(self, n: int, event: goes.Event[Ticked]) -> int:
        return n + 1


def tick(number: int = 0) -> goes.Event[Ticked]:
    return goes.Event(Ticked(number), registry=registry)


def nothing(event: goes.Event[Any]) -> None:
    pass


def connect(path: Path, **options: Any) -> Any:
    return goes.blocking.connect(path / "app.db", registry=registry, **options)


@pytest.mark.parametrize("inline", [True, False])
def test_the_next_program_need_not_wait_for_the_lease(tmp_path: Path, inline: bool) -> None:
    with connect(tmp_path, inline=inline) as db:
        for work in (db.projection(Count(), lease=DAY), db.processor("p", nothing, lease=DAY)):
            work.start()
            work.wait_for(db.events.append([tick()]).position, PATIENCE)
    with connect(tmp_path) as db:
        assert [db.leases.get(name) for name in ("count", "p")] == [None, None]
        assert db.models.get("count", "all") is not None


def test_the_next_program_need_not_wait_on_the_async_face_either(tmp_path: Path) -> None:
    async def program() -> None:
        async with goes.connect(tmp_path / "app.db", registry=registry) as db:
            processor = db.processor("p", nothing, lease=DAY)
            await processor.start()
            await processor.wait_for((await db.events.append([tick()])).position, PATIENCE)
        assert (await processor_state(processor)) == "stopped"
        async with goes.connect(tmp_path / "app.db", registry=registry) as db:
            assert await db.leases.get("p") is None

    async def processor_state(processor: Any) -> str:
        return str(processor._state)

    asyncio.run(program())


def test_what_run_runs_in_another_thread_ends(tmp_path: Path) -> None:
    with connect(tmp_path) as db:
        processor = db.processor("p", nothing, lease=DAY)
        thread = threading.Thread(target=processor.run)
        thread.start()
        processor.wait_for(db.events.append([tick()]).position, PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    with connect(tmp_path) as db:
        assert db.leases.get("p") is None


def test_a_handler_finishes_its_event_while_the_store_is_open(tmp_path: Path) -> None:
    entered, go_on, saved = threading.Event(), threading.Event(), list[int]()

    def handle(event: Any) -> None:
        entered.set()
        assert go_on.wait(PATIENCE)
        saved.append(db.events.head())

    db = connect(tmp_path)
    db.processor("p", handle, query=goes.EventQuery(max_version=0)).start()
    db.events.append([tick()])
    assert entered.wait(PATIENCE)
    closing = threading.Thread(target=db.close)
    closing.start()
    go_on.set()
    closing.join(PATIENCE)
    assert saved == [1]
    with connect(tmp_path) as again:
        assert again.checkpoints.get("p").position == 1


@pytest.mark.parametrize("inline", [True, False])
def test_what_does_not_stop_in_time_is_named_and_the_handle_is_closed(tmp_path: Path, inline: bool) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def handle(event: Any) -> None:
        entered.set()
        go_on.wait(PATIENCE)

    db = connect(tmp_path, inline=inline)
    db.processor("stuck", handle).start()
    db.processor("free", nothing).start()
    db.events.append([tick()])
    assert entered.wait(PATIENCE)
    if inline:
        with pytest.raises(StillRunning, match="'stuck'") as caught:
            db.close(timeout=0.05)
        assert len(caught.value.running) == 1
    else:
        db.close(timeout=0.05)  # what awaits the thread of the handler was cancelled
    with pytest.raises(goes.errors.StoreClosed):
        db.events.head()
    go_on.set()
    db.close()


def test_a_handler_may_close_the_handle(tmp_path: Path) -> None:
    db = connect(tmp_path)
    closed = threading.Event()

    def handle(event: Any) -> None:
        db.close()
        closed.set()

    db.processor("p", handle).start()
    db.events.append([tick()])
    assert closed.wait(PATIENCE)


def test_workers_and_handlers_of_the_bus_end_too(tmp_path: Path) -> None:
    done, entered, go_on = list[int](), threading.Event(), threading.Event()

    def do(command: Do) -> None:
        done.append(command.number)

    with connect(tmp_path) as db:
        db.commands.handle(Do, do)
        worker = db.commands.worker(concurrency=2)
        worker.start()
        db.commands.dispatch_async(Do(1))

        def handle(event: Any) -> None:
            entered.set()
            go_on.wait(PATIENCE)

        db.bus.handle(["*"], handle)
        db.events.append([tick()])
        assert entered.wait(PATIENCE)
        with pytest.raises(StillRunning, match="Handling"):
            db.close(timeout=0.05)
        assert not worker._work.running
        go_on.set()


def test_closing_inside_a_transaction_is_refused_and_stops_nothing(tmp_path: Path) -> None:
    with connect(tmp_path) as db, db.processor("p", nothing) as processor:
        with db.transaction() as tx:
            with pytest.raises(goes.errors.TransactionError):
                db.close()
            position = tx.events.append([tick()]).positions[-1]
        processor.wait_for(position, PATIENCE)


def test_the_timeout_is_checked_first(tmp_path: Path) -> None:
    with connect(tmp_path) as db, db.processor("p", nothing) as processor:
        with pytest.raises(goes.errors.InvalidQueryError):
            db.close(timeout=-1)
        with pytest.raises(ProcessorBehind):
            processor.wait_for(99, 0)
