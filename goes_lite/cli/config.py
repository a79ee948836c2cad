"""`goes-lite config`: which store and which bus would be used, with which options, from where; and whether that works."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, store_argument
from goes_lite.cli.opening import configuration_of, opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import DIM, GREEN, PLAIN, RED, Terminal
from goes_lite.errors import GoesError

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.database.config import Configuration

_PROBE = "goes:check"
"""The collection to which nothing is ever committed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument(
        "--check", action="store_true", help="connect, to the bus as well, and say what the store can do"
    )
    parser.add_argument(
        "--check-writing", action="store_true",
        help="also try to write, in a transaction that is rolled back: whether this user has the right to",
    )  # fmt: skip


class _RolledBack(Exception):
    """Ends the transaction of the probe."""


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the settings, and what the checks found."""
    found = configuration_of(arguments)
    checks: list[dict[str, Any]] = []
    if arguments.check or arguments.check_writing:
        checks = _checked(arguments, found, out)
    data = {
        "profile": found.profile,
        "profiles": list(found.profiles),
        "settings": [
            {
                "name": one.name,
                "value": one.shown,
                "source": _source(one.source),
                "overridden_by": _source(one.overridden_by) or None,
            }
            for one in found.settings
        ],
        "checks": checks,
    }
    out.result(data, lambda terminal: _show(terminal, found, checks))


def _checked(arguments: argparse.Namespace, found: Configuration, out: Output) -> list[dict[str, Any]]:
    """Return what works; errors of the store itself propagate."""
    with opened(arguments, out) as db:
        checks = [
            _check("connect", True, db.location),
            _check("read", True, f"head at position {db.events.head()}"),
            _check("durability", True, f"{db.durability}, as it is opened for reading"),
        ]
    if arguments.check_writing:
        with opened(arguments, out, write=True) as db:
            checks[-1] = _check("durability", True, db.durability)
            checks.append(_check("abilities", True, ", ".join(sorted(db.abilities))))
            checks.append(_writing(db, out))
    if found.bus:
        checks.append(_bus(found, out))
    return checks


def _source(name: str) -> str:
    from goes_lite.database.config import ARGUMENT

    return "the argument" if name == ARGUMENT else name


def _check(name: str, ok: bool | None, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail}


def _writing(db: BlockingDatabase, out: Output) -> dict[str, Any]:
    if "transactions" not in db.abilities:
        return _check("write", None, "not tried: without transactions it could not be taken back")
    try:
        with db.transaction() as tx:
            tx.models.put(_PROBE, "1", "{}")
            raise _RolledBack
    except _RolledBack:
        return _check("write", True, "in a transaction that was rolled back")
    except GoesError as error:
        out.finding("no-write", str(error), "goes-lite doctor")
        return _check("write", False, str(error))


def _bus(found: Configuration, out: Output) -> dict[str, Any]:
    from goes_lite.blocking import connect
    from goes_lite.database.connect import store_of

    setting = found.find("bus")
    _, address = store_of(found)
    url = Path(address.location) if address.scheme == "sqlite" else address.location
    try:
        with connect(url, bus=found.bus, read_only=True, **address.options):
            return _check("bus", True, setting.shown if setting else "")
    except (GoesError, OSError) as error:
        out.finding("no-bus", str(error), "check the bus in goes.toml or GOES_LITE_BUS_URL")
        return _check("bus", False, str(error))


def _show(terminal: Terminal, found: Configuration, checks: list[dict[str, Any]]) -> None:
    if found.profiles:
        terminal.line(f"profile: {found.profile or '(none)'}, of {', '.join(found.profiles)}")
    rows = [
        (
            one.name,
            one.shown,
            _source(one.source),
            f"overridden by {_source(one.overridden_by)}" if one.overridden_by else "used",
        )
        for one in found.settings
    ]
    if rows:
        terminal.table(("setting", "value", "from", ""), rows)
    else:
        terminal.line(
            "nothing is configured: GOES_LITE_URL is not set, and there is no goes.toml in the working folder"
        )
    for one in checks:
        mark, style = {True: ("✓", GREEN), False: ("✗", RED), None: ("-", DIM)}[one["ok"]]
        terminal.parts((f"  {mark} {one['name']:<12}", style), (one["detail"], PLAIN))


COMMAND = Command(
    "Show which store and which bus would be used, with which options, and where each setting comes from; passwords are "
    "hidden. With --check it connects; with --check-writing it also tries whether this user may write.",
    run,
    configure,
    ("goes-lite config", "goes-lite config --profile prod --check", "goes-lite config shop.db --check-writing --json"),
)
