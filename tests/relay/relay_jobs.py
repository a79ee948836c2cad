"""A relay that is killed: `python -m tests.relay.relay_jobs {"path": …, "stuck_at": …}`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from goes_lite_conformance.harness.workers import listen, say

import goes_lite as goes
from tests.relay.relay_kit import registry


class FileBus:
    """A broker of which only the ids that it took are left: a line in a file for each. It can be stuck at one of them."""

    def __init__(self, path: str, stuck_at: int = 0) -> None:
        self.path = path
        self.stuck_at = stuck_at

    def publish(self, events: Sequence[goes.Event[Any]]) -> None:
        for event in events:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{event.data.number} {event.id}\n")
            if event.data.number == self.stuck_at:
                say(event.data.number)
                listen()


def run_until_killed(path: str, stuck_at: int) -> None:
    with goes.blocking.connect(path, registry=registry) as db:
        bus: Any = FileBus(path + ".heard", stuck_at)
        db.relay(bus, batch=10, lease=0.5).run()


if __name__ == "__main__":
    run_until_killed(**json.loads(sys.argv[1]))
