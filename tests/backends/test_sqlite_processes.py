"""Several processes on one file: the same result as one process, in turns that are fair, and news that arrives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness import Processes

from goes_lite.kit import events
from goes_lite.sqlite._turnstile import Turnstile
from goes_lite.sqlite._wakeup import Watcher
from tests.backends.sqlite_kit import check_file, note, numbers, store


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


def test_nobody_passes_twice_while_another_waits(path: str) -> None:
    """Who leaves the turnstile and wants to go through again goes behind those who wait."""
    Path(path).touch()
    first, second, looking = (Turnstile(path + "-lock", path) for _ in range(3))
    passed: list[str] = []

    def wait() -> None:
        second.enter(60.0)
        passed.append("second")
        second.leave()

    first.enter(60.0)
    waiting = threading.Thread(target=wait)
    waiting.start()
    while waiting.is_alive() and looking._try(looking._take_queue):  # until somebody has the queue
        looking._give_queue()
    assert not passed
    first.leave()
    first.enter(60.0)
    passed.append("first")
    first.leave()
    waiting.join()
    for turnstile in (first, second, looking):
        turnstile.close()
    assert passed == ["second", "first"]


def test_writers_take_turns(path: str, driver: str, spawn: Processes) -> None:
    """Of four processes that write flat out none starves: none is behind another by more than a factor of three.

    (With SQLite's own lock alone one of them made 1 commit, another 8,000.)
    """
    with store(path, driver):
        pass
    workers = [spawn("commit_flat_out", path=path, driver=driver, process=process) for process in range(4)]
    for worker in workers:
        worker.expect("ready")
    for worker in workers:
        worker.tell()
    for worker in workers:
        worker.expect("going")  # with starvation somebody does not get this far while the others run
    time.sleep(1.0)  # the measurement itself: how many commits each gets in the same time
    for worker in workers:
        worker.tell("stop")
    commits = [worker.hear() for worker in workers]
    for worker in workers:
        worker.finish()
    print(f"{driver}: commits per process", *commits)
    assert max(commits) <= 10 * min(commits)  # on a busy machine; with starvation it is thousands
    assert len(check_file(path)) == sum(commits)


@pytest.mark.parametrize("notified", [pytest.param(True, id="notified"), pytest.param(False, id="polling")])
def test_follow_wakes_across_processes(path: str, driver: str, notified: bool, spawn: Processes) -> None:
    """G8: a commit in another process wakes a follower, whether the system tells of it or not."""
    with store(path, driver) as db:
        db.events.append([note(0)])
        follower = spawn("follow_each", path=path, driver=driver, notified=notified, recheck=3600.0)
        follower.expect("ready")
        for number in range(1, 31):
            db.events.append([note(number)])
            assert follower.hear()[0] == number


def test_follow_wakes_across_handles(path: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit on one handle wakes a follower on another handle of the same process, without looking at the file."""

    def start_nothing(watcher: Watcher) -> None: ...

    monkeypatch.setattr(Watcher, "_start", start_nothing)
    monkeypatch.setattr(events, "RECHECK", 3600.0)
    with store(path, driver) as writing, store(path, driver) as reading:
        arrived: list[int] = []
        news = threading.Semaphore(0)

        def follow() -> None:
            for event in reading.events.follow(after=0):
                arrived.append(event.data.number)
                news.release()
                if event.data.number == 20:
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(1, 21):
            writing.events.append([note(number)])
            assert news.acquire(timeout=60)
        thread.join()
        assert arrived == list(range(1, 21))


def test_the_other_driver_in_another_process(path: str, spawn: Processes) -> None:
    """Two drivers may share a file as long as each has a process of its own."""
    pytest.importorskip("apsw", reason="apsw is not installed")
    other = spawn("commit", path=path, driver="sqlite3")
    other.expect("ready")
    with store(path, "apsw") as db:
        for number in range(0, 20, 2):
            db.events.append([note(number)])
            other.tell(number + 1)
            other.hear()
        assert numbers(db) == list(range(20))
    other.tell(None)
    other.finish()


def _threads() -> Iterator[str]:
    return (thread.name for thread in threading.enumerate() if thread.name.startswith("goes_lite"))


def test_closing_while_others_follow_leaves_no_thread(path: str, driver: str) -> None:
    """However followers and close meet: the followers end, and when close has returned no thread of ours is left."""
    from goes_lite.errors import StoreClosed

    for _ in range(30):
        db = store(path, driver)
        ended = threading.Semaphore(0)

        def follow(db: Any = db, ended: threading.Semaphore = ended) -> None:
            try:
                for _ in db.events.follow(after=0):
                    pass
            except StoreClosed:
                ended.release()

        followers = [threading.Thread(target=follow) for _ in range(3)]
        for follower in followers:
            follower.start()
        db.close()
        assert list(_threads()) == []
        for follower in followers:
            assert ended.acquire(timeout=60)
            follower.join()
        assert list(_threads()) == []
