"""Processors in other processes."""

from __future__ import annotations

from typing import Any

from goes_lite.events.event import Event
from goes_lite.processor import Continuously, OnDemand
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.workers import listen, say


def process(place: Place, name: str, on_demand: bool = False, lease: float = 10.0) -> None:
    """Run a processor that says the text of each event until told to stop; then say that it has stopped."""

    def handle(event: Event[Any]) -> None:
        say(event.data.text)

    schedule = OnDemand() if on_demand else Continuously()
    with place.blocking() as db:
        processor = db.processor(name, handle, schedule=schedule, lease=lease)
        processor.start()
        say("started")
        listen()
        processor.stop()
        say("stopped")
