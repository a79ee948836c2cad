"""`manage.py project`: keep the models up to date until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ... import projection
from ...store import store


class Command(BaseCommand):
    help = "Keep the models up to date with the events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="handle what is there now, and end")
        parser.add_argument("--rebuild", action="store_true", help="begin again with the first event")

    def handle(self, *args: Any, once: bool, rebuild: bool, **options: Any) -> None:
        orders = projection.processor(store())
        if rebuild:
            if owner := orders.stats().owner:
                raise CommandError(f"stop the process that keeps the models up to date first: {owner}")
            orders.reset()
            projection.forget()
        if once:
            orders.catch_up()
            self.stdout.write("the models are up to date")
            return

        def stop(*_: object) -> None:
            threading.Thread(target=orders.stop).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        self.stdout.write("following the events; Ctrl-C ends it")
        orders.run()
