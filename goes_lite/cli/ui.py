"""`goes-lite ui`: a store in the browser."""

from __future__ import annotations

import argparse
import threading
import webbrowser
from functools import partial

from goes_lite.cli.changing import user
from goes_lite.cli.command import Command, app_argument, number, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import imported, opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import BOLD, DIM, Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    app_argument(parser)
    parser.add_argument("--port", type=number, default=0, metavar="N", help="listen there; by default on any free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address to open")
    parser.add_argument(
        "--disclose", choices=("none", "masked", "limited", "full"), default="limited",
        help="how much of payloads is shown: nothing; fields that the program knows and does not declare personal; all but "
        "those declared personal (the default); everything",
    )  # fmt: skip
    parser.add_argument(
        "--allow-actions", action="store_true",
        help="redrive or drop parked events, retry or withdraw commands, rebuild projections: each after its count was typed",
    )  # fmt: skip


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Serve the pages until Ctrl-C."""
    from goes_lite.explorer.server import serve

    module = None if arguments.app is None else imported("--app", arguments.app)[0]
    with opened(arguments, out) as db:
        try:
            server = serve(
                db, port=arguments.port, disclose=arguments.disclose, app=module, allow_actions=arguments.allow_actions,
                writing=partial(opened, arguments, out, write=True), who=user(),
            )  # fmt: skip
        except (OSError, OverflowError) as exc:
            raise UsageError(f"cannot listen on port {arguments.port}: {exc}", "--port 0 takes any free one") from exc
        with server:
            out.single({"url": server.url}, lambda terminal: _announce(terminal, server.url))
            if not arguments.no_browser:
                webbrowser.open(server.url)
            threading.Event().wait()


def _announce(terminal: Terminal, url: str) -> None:
    terminal.line(url, BOLD)
    terminal.line("The address is for you alone: it shows the store. Ctrl-C ends it.", DIM)


COMMAND = Command(
    "Open a store in the browser: its log, live, its aggregates, read models and consumers. It only reads, unless actions are "
    "allowed. The pages are served to this machine alone, at an address that only you are told.",
    run,
    configure,
    (
        "goes-lite ui shop.db",
        "goes-lite ui shop.db --app shop --port 8080 --no-browser",
        "goes-lite ui postgresql://localhost/shop --disclose masked",
    ),
)
