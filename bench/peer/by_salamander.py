"""salamander-db: an embedded log in Rust. A stream is a namespace, an event a JSON object; it has no aggregates of its own."""

from __future__ import annotations

import threading
import time
from typing import Any

import salamander
from scenario import Task, Unsupported, main, median, rate


def event(task: Task, amount: int) -> dict[str, Any]:
    return {"event_type": "account.changed", "body": {"amount": amount, "note": task.note}}


def durability(task: Task) -> str:
    return "flush" if task.relaxed else "sync"  # to the operating system, or to the disk


def append_single(task: Task) -> dict[str, float]:
    with salamander.open(str(task.path)) as db:

        def work(count: int = task.events, first: int = 0) -> None:
            for number in range(first, first + count):
                db.append_batch(
                    f"a{number}", [event(task, 1)], expected_revision="no_stream", durability=durability(task)
                )

        work(1, task.events)
        return rate(task.events, work)


def append_batch(task: Task) -> dict[str, float]:
    with salamander.open(str(task.path)) as db:

        def work() -> None:
            for number in range(task.events // 100):
                some = [event(task, 1) for _ in range(100)]
                db.append_batch(f"a{number}", some, expected_revision="no_stream", durability="sync")

        return rate(task.events, work)


def command(task: Task) -> dict[str, float]:
    """Replay the stream, decide, append one event at the revision that was read."""
    with salamander.open(str(task.path)) as db:

        def work() -> None:
            for number in range(task.events):
                name = f"a{number % 10}"
                read = db.replay(name)
                total = sum(found["body"]["amount"] for found in read)
                revision: Any = read[-1]["stream_revision"] if read else "no_stream"
                db.append_batch(
                    name, [event(task, 1 if total >= 0 else 0)], expected_revision=revision, durability="sync"
                )

        return rate(task.events, work)


def load(task: Task) -> dict[str, float]:
    with salamander.open(str(task.path)) as db:
        db.append_batch("one", [event(task, 1) for _ in range(task.events)], durability="sync")

        def work() -> None:
            for _ in range(20):
                assert sum(found["body"]["amount"] for found in db.replay("one")) == task.events

        return rate(20 * task.events, work)


def log_read(task: Task) -> dict[str, float]:
    with salamander.open(str(task.path)) as db:
        for number in range(task.events // 10):
            db.append_batch(f"a{number}", [event(task, 1) for _ in range(10)], durability="buffered")
        db.commit()

        def work() -> None:
            seen = 0
            with db.watch(start=0, timeout=5.0) as watch:
                for found in watch:
                    seen += found["body"]["amount"]
                    if seen == task.events:
                        return

        return rate(task.events, work)


def writers_threads(task: Task) -> dict[str, float]:
    with salamander.open(str(task.path)) as db:

        def append(writer: int) -> None:
            for number in range(task.events // task.writers):
                db.append_batch(
                    f"{writer}-{number}", [event(task, 1)], expected_revision="no_stream", durability="sync"
                )

        threads = [threading.Thread(target=append, args=[number]) for number in range(task.writers)]

        def work() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return rate(task.events, work)


def projection_pull(task: Task) -> dict[str, float]:
    raise Unsupported("its views are kept by key and field, in its own process; no function of a program is called")


def poll_latency(task: Task) -> dict[str, float]:
    with salamander.open(str(task.path)) as db:
        seen: list[float] = []
        arrived = threading.Semaphore(0)
        ready = threading.Event()

        def consume() -> None:
            with db.watch(start=0, timeout=30.0) as watch:
                ready.set()
                for _ in zip(range(task.events), watch, strict=False):
                    seen.append(time.perf_counter())
                    arrived.release()

        thread = threading.Thread(target=consume)
        thread.start()
        ready.wait()
        begun: list[float] = []
        for number in range(task.events):
            begun.append(time.perf_counter())
            db.append_batch(f"a{number}", [event(task, 1)], durability="sync")
            arrived.acquire()
        thread.join()
    return median([there - here for here, there in zip(begun, seen, strict=True)])


main(
    {
        "append_single": append_single,
        "append_batch": append_batch,
        "command": command,
        "load": load,
        "log_read_domain": log_read,
        "writers_threads": writers_threads,
        "projection_pull": projection_pull,
        "poll_latency": poll_latency,
    }
)
