"""`goes-lite snapshots`: stored states of aggregates, which make loading faster."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.selecting import aggregate_of
from goes_lite.operations.forms import iso, ref_text, size

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.contract.snapshot_store import Snapshot
    from goes_lite.database import Database


def _select(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--aggregate", type=aggregate_of, metavar="NAME/ID", help="only those of this aggregate")
    which.add_argument("--name", metavar="NAME", help="only those of aggregates of this name")


def _selected(db: BlockingDatabase, arguments: argparse.Namespace) -> Iterable[Snapshot]:
    names = [arguments.name] if arguments.name else []
    return db.snapshots.query(names=names, aggregate=arguments.aggregate)


def _list(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        if not out.stream(_selected(db, arguments), _data, lambda one: out.terminal.line(_line(one))):
            out.note("there is no snapshot")


def _data(one: Snapshot) -> dict[str, Any]:
    return {
        "aggregate": one.aggregate.name, "id": one.aggregate.id, "version": one.version, "time": one.time,
        "schema": one.schema, "encoding": one.encoding, "bytes": _size(one), "deleted": one.deleted,
    }  # fmt: skip


def _size(one: Snapshot) -> int:
    return len(one.state if isinstance(one.state, bytes) else one.state.encode("utf-8", "surrogatepass"))


def _line(one: Snapshot) -> str:
    return (
        f"{ref_text(one.aggregate):<32}  v{one.version:<6}  {iso(one.time)[:19]}Z  {size(_size(one))} of {one.encoding}"
    )


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument(
        "--keep", type=number, default=1, metavar="N", help="keep the newest N of each aggregate (default: 1)"
    )
    parser.add_argument("--aggregate", type=aggregate_of, metavar="NAME/ID", help="only those of this aggregate")


def _prune(arguments: argparse.Namespace, out: Output) -> int:
    keep = arguments.keep
    if not keep:
        raise UsageError("the newest snapshot of each aggregate is kept: --keep is at least 1")
    arguments.name = None
    with opened(arguments, out) as db:
        counts = Counter(one.aggregate for one in _selected(db, arguments))
    planned = sum(max(0, count - keep) for count in counts.values())
    target = ref_text(arguments.aggregate) if arguments.aggregate else "all aggregates"
    sentence = f"remove all but the newest {keep} snapshots of {target if arguments.aggregate else 'each aggregate'}"

    async def work(database: Database) -> Mapping[str, int]:
        return {"snapshots": await database.snapshots.prune(keep=keep, aggregate=arguments.aggregate)}

    return carry_out(arguments, out, Change("snapshots prune", target, sentence, {"snapshots": planned}), work)


COMMANDS = {
    "list": Command(
        "List the snapshots, by aggregate and version.",
        _list,
        _select,
        ("goes-lite snapshots list shop.db --name stock",),
    ),
    "prune": Command(
        "Remove old snapshots. The newest one of each aggregate stays, and no event is touched.",
        _prune,
        _prune_arguments,
        ("goes-lite snapshots prune shop.db --keep 2 --dry-run",),
        changes=True,
    ),
}
