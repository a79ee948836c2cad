"""The command line: `python -m goes_lite`, or `goes-lite` where it is installed.

Everything but `demo` only reads. Errors of goes_lite are one line on stderr. Exit codes: 0 fine, 2 an error or a wrong
argument, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

import goes_lite
from goes_lite import Event, EventQuery
from goes_lite.cli.terminal import CYAN, DIM, Terminal, cut, printable, size
from goes_lite.errors import ConfigError, GoesError, NetworkFilesystem, StoreReadOnly, StoreUnavailable
from goes_lite.events.fields import AggregateRef

_DURABILITY = {
    "memory": "gone when it is closed",
    "process-crash": "an acknowledged append survives the process being killed",
    "os-crash": "an acknowledged append survives a power cut",
    "replicated": "an acknowledged append survives the loss of a machine",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer the exit code; a wrong argument ends in SystemExit(2), as argparse does it."""
    known = parser()
    arguments = known.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks is no reason to fail
    if arguments.command is None:
        known.print_help()
        return 2
    terminal = Terminal(sys.stdout, color=False if arguments.no_color else None, pause=0.2)
    try:
        _COMMANDS[arguments.command](arguments, terminal)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough. What is still buffered must not fail again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (GoesError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    known = argparse.ArgumentParser(
        prog="goes-lite", description="Event sourcing in one SQLite file.", allow_abbrev=False
    )
    known.add_argument("-V", "--version", action="version", version=f"goes-lite {goes_lite.__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--no-color", action="store_true", help="no colours (nor with NO_COLOR set, or into a pipe)")
    commands = known.add_subparsers(dest="command", metavar="COMMAND")

    demo = commands.add_parser(
        "demo", parents=[common], allow_abbrev=False, help="a guided tour, on a file of its own",
        description="A guided tour: a small shop in one file. It runs in a few seconds, and again: it goes on where it ended.",
    )  # fmt: skip
    demo.add_argument(
        "--db", metavar="FILE", default="goes_demo.db", help="the file to make or to continue (default: %(default)s)"
    )
    demo.add_argument("--fast", action="store_true", help="no pauses between the sections (there are none into a pipe)")

    log = commands.add_parser(
        "log", parents=[common], allow_abbrev=False, help="the events of a store",
        description="The events of a store, in order. On a terminal lines are cut to its width; into a pipe they are whole.",
    )  # fmt: skip
    log.add_argument("file", metavar="FILE")
    log.add_argument(
        "--follow", action="store_true", help="go on with each event as it is committed, until interrupted"
    )
    log.add_argument(
        "--name", action="append", default=[], metavar="EVENT", help="only events of this name (repeatable)"
    )
    log.add_argument(
        "--aggregate",
        action="append",
        default=[],
        metavar="NAME[/ID]",
        help="only those of this aggregate (repeatable)",
    )
    log.add_argument(
        "--tag", action="append", default=[], metavar="KEY:VALUE", help="only those with this tag (all of them)"
    )
    log.add_argument("--after", type=_number, default=0, metavar="POSITION", help="only those behind this position")
    log.add_argument("--last", type=_number, metavar="N", help="only the last N of them")
    log.add_argument("--json", action="store_true", help="one JSON object per line")
    log.add_argument("--end-with-stdin", action="store_true", help=argparse.SUPPRESS)

    info = commands.add_parser(
        "info", parents=[common], allow_abbrev=False, help="what is in a store, and what it runs on",
        description="What is in a store, and which SQLite this Python would use for it.",
    )  # fmt: skip
    info.add_argument("file", metavar="FILE")

    schema = commands.add_parser(
        "schema", parents=[common], allow_abbrev=False, help="the statements that make a server's store",
        description="Print what makes the tables or collections of a store, for those whose programs may not make them. No "
        "server is asked.",
    )  # fmt: skip
    schema.add_argument("scheme", metavar="SCHEME", help="as in the URL, such as postgresql")
    schema.add_argument(
        "--schema",
        metavar="NAME",
        help="which store: a schema of PostgreSQL, a prefix of MongoDB (default: that of a URL)",
    )
    return known


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number ≥ 0")
    return int(text)


# --- demo ---------------------------------------------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace, terminal: Terminal) -> None:
    from goes_lite.cli.demo._tour import run

    if arguments.fast:
        terminal.pause = 0.0
    try:
        run(arguments.db, terminal)
    except (NetworkFilesystem, StoreReadOnly, StoreUnavailable) as error:
        raise ConfigError(f"{error}. The demo makes a file: with --db FILE it is another one, or elsewhere") from error


# --- schema -------------------------------------------------------------------------------------------------------------


def _schema(arguments: argparse.Namespace, terminal: Terminal) -> None:
    from goes_lite.database.connect import factory_for

    statements = getattr(factory_for(arguments.scheme), "ddl", None)
    if statements is None:
        raise ConfigError(f"{arguments.scheme!r} has no schema to be made by hand: its backend makes what it needs")
    for statement in statements() if arguments.schema is None else statements(arguments.schema):
        print(f"{statement};")


# --- log ----------------------------------------------------------------------------------------------------------------


def _log(arguments: argparse.Namespace, terminal: Terminal) -> None:
    query = _query(arguments)
    show = partial(_as_json, seen=arguments.follow) if arguments.json else _Lines(terminal)
    if arguments.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with _open(arguments.file) as db:
        head = db.events.head()
        if arguments.last is None:
            found = db.events.query(query, after=arguments.after, upto=head)
            for event in found:
                show(event)
        else:
            newest = db.events.query(query, after=arguments.after, upto=head, reverse=True, limit=arguments.last).list()
            for event in reversed(newest):
                show(event)
        sys.stdout.flush()
        if arguments.follow:
            for event in db.events.follow(query, after=max(head, arguments.after)):
                show(event)
                sys.stdout.flush()


def _query(arguments: argparse.Namespace) -> EventQuery:
    pairs = [text.partition("/") for text in arguments.aggregate]
    whole = [name for name, slash, _ in pairs if not slash]
    single = [AggregateRef(name, id) for name, slash, id in pairs if slash]
    wanted: list[EventQuery] = []
    if single or not whole:
        wanted.append(EventQuery(arguments.name, aggregates=single, tags=arguments.tag))
    if whole:
        wanted.append(EventQuery(arguments.name, aggregate_names=whole, tags=arguments.tag))
    return EventQuery.any_of(*wanted)


class _Lines:
    """Events as lines: whole ones into a pipe; on a terminal short ones, under headings with the day."""

    def __init__(self, terminal: Terminal) -> None:
        self._out = terminal
        self._day = ""

    def __call__(self, event: Event[Any]) -> None:
        out = self._out
        place = (
            printable(f"{event.aggregate.name}/{event.aggregate.id}") + f" v{event.version}" if event.aggregate else "-"
        )
        if not out.interactive:
            out.line(f"{event.position:>6}  {_iso(event.time)}  {event.name:<24}  {place:<24}  {_data(event)}")
            return
        day = f"{event.time:%Y-%m-%d}"
        if day != self._day:
            self._day = day
            out.line(f"─── {day}, UTC", DIM)
        start = f"{event.position:>6}  {event.time:%H:%M:%S.%f}"[:-3]
        line = cut(f"{start}  {event.name:<18}  {place:<18}  {_data(event)}", out.width - 1)
        name = line[len(start) : len(start) + 2 + len(event.name)]
        out.line(out.paint(line[: len(start)], DIM) + out.paint(name, CYAN) + line[len(start) + len(name) :])


def _as_json(event: Event[Any], *, seen: bool) -> None:
    encoding, schema, payload = event.encoded
    shown: dict[str, Any] = {
        "position": event.position,
        "time": _iso(event.time),
        "event": event.name,
        "aggregate": event.aggregate and event.aggregate.name,
        "aggregate_id": event.aggregate and event.aggregate.id,
        "version": event.version,
        "id": str(event.id),
        "encoding": encoding,
        "schema": schema,
        "data": json.loads(payload) if encoding == "json" else payload if isinstance(payload, str) else payload.hex(),
        "metadata": dict(event.metadata),
        "tags": sorted(event.tags),
    }
    if seen:
        shown["seen"] = _iso(datetime.now(timezone.utc))
    print(json.dumps(shown))


def _data(event: Event[Any]) -> str:
    payload = event.encoded.payload
    return printable(payload) if isinstance(payload, str) else f"({len(payload)} bytes of {event.encoded.encoding})"


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _end_with_stdin() -> None:
    """End at once when whoever started this process closes its standard input, or is no more."""
    while os.read(0, 4096):
        pass
    os._exit(0)


# --- info ---------------------------------------------------------------------------------------------------------------


def _info(arguments: argparse.Namespace, terminal: Terminal) -> None:
    from goes_lite.sqlite import SQLiteBackend

    with _open(arguments.file) as db:
        backend = db.backend
        rows: list[tuple[str, str]] = [("file", db.location)]
        if isinstance(backend, SQLiteBackend):
            log = db.location + "-wal"
            waiting = os.path.getsize(log) if os.path.exists(log) else 0
            rows.append(
                ("size", size(os.path.getsize(db.location)) + (f", and {size(waiting)} in the -wal" if waiting else ""))
            )
            rows.append(("store", backend.identity))
            bug = (
                "with the WAL-reset bug, so checkpoints keep writers out"
                if backend.wal_reset_bug
                else "without the WAL-reset bug"
            )
            rows.append(("driver", f"{backend.driver}, {bug}"))
        rows.append(("durability", f"{db.durability}: {_DURABILITY[db.durability]} (the default of connect)"))
        rows.append(("events", f"{db.events.count()}, head at position {db.events.head()}"))
        first = next(db.events.query(limit=1), None)
        last = next(db.events.query(limit=1, reverse=True), None)
        if first and last:
            rows.append(("time", f"{_iso(first.time)} to {_iso(last.time)}"))
        names = Counter(info.aggregate.name for info in db.events.aggregates())
        if names:
            rows.append(("aggregates", ", ".join(f"{name} {count}" for name, count in names.items())))
        checkpoints = [f"{point.name} at {point.position}" for point in db.checkpoints.all()]
        if checkpoints:
            rows.append(("checkpoints", ", ".join(checkpoints)))
        for label, value in rows:
            terminal.line(terminal.paint(f"{label:<12}", DIM) + printable(value))


def _open(path: str) -> goes_lite.blocking.BlockingDatabase:
    """The store, to be read: every event is shown, registered in this program or not."""
    if "://" in path and not path.startswith("sqlite:"):
        raise ConfigError(f"{path!r:.80} is not a file: this command reads SQLite files")
    return goes_lite.blocking.connect(path, registry=goes_lite.Registry(), unknown="raw", read_only=True)


_COMMANDS = {"demo": _demo, "log": _log, "info": _info, "schema": _schema}


if __name__ == "__main__":
    sys.exit(main())
