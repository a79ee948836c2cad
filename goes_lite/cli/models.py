"""`goes-lite models`: read models, as they are stored, and which collections of them there are."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.operations.forms import parsed_json

if TYPE_CHECKING:
    from goes_lite.cli.terminal import Terminal
    from goes_lite.contract.model_store import ModelRecord


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument(
        "collection", metavar="COLLECTION", nargs="?", help="such as the name of a projection; without it, list them"
    )
    parser.add_argument("--id", metavar="ID", help="only the one with this id")
    parser.add_argument(
        "--where", action="append", default=[], type=condition, metavar="FIELD=VALUE",
        help="only those whose field has this value: JSON, or text (repeatable; all must match)",
    )  # fmt: skip
    parser.add_argument("--order-by", metavar="FIELD", help="in the order of this field; by id otherwise")
    parser.add_argument("--reverse", action="store_true", help="the last ones first")
    parser.add_argument("--first", type=number, metavar="N", help="only the first N of them")


def condition(text: str) -> tuple[str, Any]:
    """Parse an argument as a field and the value that it must have."""
    field, equals, value = text.partition("=")
    if not field or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no condition: write FIELD=VALUE, such as customer.city=Rome")
    parsed = parsed_json(value)
    return field, value if parsed is None or isinstance(parsed[0], (dict, list)) else parsed[0]


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the records."""
    collection = arguments.collection
    if collection is None and (arguments.id or arguments.where or arguments.order_by or arguments.first is not None):
        raise UsageError("name the collection to choose from", "goes-lite models STORE lists them")
    with opened(arguments, out) as db:
        if collection is None:
            names = db.models.collections()
            out.result(names, lambda terminal: _collections(terminal, names))
            return
        if arguments.id is not None:
            record = db.models.get(collection, arguments.id)
            if record is None:
                raise UsageError(f"{collection!r:.80} has no {arguments.id!r:.80}", f"goes-lite models {collection}")
            out.result([_data(record)], lambda terminal: terminal.line(_line(record)))
            return
        found = db.models.query(
            collection, where=dict(arguments.where), order_by=arguments.order_by, reverse=arguments.reverse,
            limit=arguments.first,
        )  # fmt: skip
        if not out.stream(found, _data, lambda record: out.terminal.line(_line(record))):
            out.note(f"no read model of {collection!r:.80} matches, or there is no such collection")


def _collections(terminal: Terminal, names: list[str]) -> None:
    for name in names or ["there are no read models"]:
        terminal.line(name)


def _data(record: ModelRecord) -> dict[str, Any]:
    parsed = parsed_json(record.data)
    shown: dict[str, Any] = {"id": record.id, "version": record.version, "data": parsed[0] if parsed else None}
    return shown if parsed else {**shown, "payload": record.data}


def _line(record: ModelRecord) -> str:
    parsed = parsed_json(record.data)
    text = json.dumps(parsed[0], ensure_ascii=False) if parsed else record.data
    return f"{record.id:<24}  v{record.version:<5}  {text}"


COMMAND = Command(
    "Show the read models of a collection, as they are stored. Collections of goes_lite itself begin with goes:, such as "
    "goes:receipts.",
    run,
    configure,
    (
        "goes-lite models shop.db",
        "goes-lite models shop.db order-summary",
        "goes-lite models shop.db order-summary --where status=open --order-by total --reverse --first 5",
    ),
)
