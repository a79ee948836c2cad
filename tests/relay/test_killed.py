"""A relay whose process is killed while it publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from goes_lite_conformance.harness.workers import Process

import goes_lite as goes
from tests.relay.relay_jobs import FileBus
from tests.relay.relay_kit import PATIENCE, notes, registry


def test_killed_in_the_middle_of_publishing_it_leaves_nothing_out(tmp_path: Path) -> None:
    """In the middle of a call, at its last event, at its first: what is heard again is that call, and the order is kept."""
    path = str(tmp_path / "app.db")
    kills = [5, 10, 21]
    events = notes(1, 40)
    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append(events)
        for number in kills:
            arguments = json.dumps({"path": path, "stuck_at": number})
            with Process("relay", "-W", "error", "-m", "tests.relay.relay_jobs", arguments) as worker:
                worker.expect(number)
                checkpoint = db.checkpoints.get("relay")
                assert checkpoint is not None
                assert checkpoint.position == (number - 1) // 10 * 10
                worker.kill()
        bus: Any = FileBus(path + ".heard")
        with db.relay(bus, batch=10) as relay:
            relay.wait_for(40, PATIENCE)
    heard: list[int] = []
    with open(path + ".heard", encoding="utf-8") as file:
        for line in file:
            text, id = line.split()
            heard.append(int(text))
            assert id == str(events[int(text) - 1].id)
    expected: list[int] = []
    begun = 1
    for number in kills:
        expected += range(begun, number + 1)
        begun = (number - 1) // 10 * 10 + 1
    assert heard == [*expected, *range(begun, 41)]
    assert list(dict.fromkeys(heard)) == list(range(1, 41))
