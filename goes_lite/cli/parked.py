"""`goes-lite parked`: events that a consumer gave up on, or holds back because of one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, number, store_argument
from goes_lite.cli.consumers import check_consumer, consumer_names, parked_of
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import BOLD, Terminal
from goes_lite.operations.forms import event_data, iso, payload_text, ref_text

if TYPE_CHECKING:
    from goes_lite.database import Database


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("--of", metavar="CONSUMER", help="only those of this consumer")


def _list(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        if arguments.of is not None:
            check_consumer(db, arguments.of)
        names = consumer_names(db, out) if arguments.of is None else [arguments.of]
        letters = [letter for name in names for letter in parked_of(db, name)]
    rows = [
        (
            one.processor, one.position, one.name, ref_text(one.aggregate), one.attempts,
            one.error or f"held back because of {one.behind}",
        )
        for one in letters
    ]  # fmt: skip
    head = ("consumer", "position", "event", "aggregate", "attempts", "error")
    out.result(
        [_data(one) for one in letters],
        lambda terminal: terminal.table(head, rows, right=(1, 4)) if rows else terminal.line("nothing is parked"),
    )


def _data(letter: Any) -> dict[str, Any]:
    found = asdict(letter)
    ref = letter.aggregate
    return {**found, "aggregate": ref and ref.name, "aggregate_id": ref and ref.id}


def _which(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("consumer", metavar="CONSUMER", help="the name of the consumer")
    parser.add_argument("position", metavar="POSITION", type=number, help="of the event")


def _show(arguments: argparse.Namespace, out: Output) -> None:
    with opened(arguments, out) as db:
        letter = _letter(db, arguments.consumer, arguments.position)
        event = next(iter(db.events.query(after=letter.position - 1, upto=letter.position)), None)
    data = {**_data(letter), "data": event_data(event) if event else None}

    def show(terminal: Terminal) -> None:
        terminal.line(f"{letter.name} at position {letter.position}, {ref_text(letter.aggregate)}", BOLD)
        terminal.line(f"parked for {letter.processor} at {iso(letter.time)}; attempts: {letter.attempts}")
        if letter.behind:
            terminal.line(f"held back because of the event at position {letter.behind} of the same aggregate")
        for line in letter.error.splitlines():
            terminal.line(f"  {line}")
        terminal.line(f"payload: {payload_text(event)}" if event else "the event is no longer stored")

    out.result(data, show)


def _letter(db: Any, consumer: str, position: int) -> Any:
    check_consumer(db, consumer)
    for letter in parked_of(db, consumer):
        if letter.position == position:
            return letter
    raise UsageError(f"{consumer!r:.80} has no parked event {position}", f"goes-lite parked list --of {consumer}")


def _redrive_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("consumer", metavar="CONSUMER", help="the name of the consumer")
    parser.add_argument(
        "--position",
        type=number,
        action="append",
        default=[],
        metavar="N",
        help="only this event (repeatable); default: all",
    )


def _redrive(arguments: argparse.Namespace, out: Output) -> int:
    name = arguments.consumer
    with opened(arguments, out) as db:
        check_consumer(db, name)
        letters = parked_of(db, name)
        wanted = [letter for letter in letters if not arguments.position or letter.position in arguments.position]
        for position in arguments.position:
            _letter(db, name, position)
    if not wanted:
        raise UsageError(f"{name!r:.80} has no parked event", "goes-lite parked list")
    change = Change(
        "parked redrive", name, f"have {name!r:.80} handle these events again: effects elsewhere may happen twice",
        {"parked": len(wanted)},
    )  # fmt: skip

    async def work(database: Database) -> Mapping[str, int]:
        from goes_lite.processor import ByName

        await ByName(database.backend, name).redrive(*wanted)
        return {"parked": len(wanted)}

    return carry_out(arguments, out, change, work)


def _drop(arguments: argparse.Namespace, out: Output) -> int:
    with opened(arguments, out) as db:
        letter = _letter(db, arguments.consumer, arguments.position)
        behind = sum(one.behind == letter.position for one in parked_of(db, arguments.consumer))
    sentence = f"drop {letter.name!r:.80} at position {letter.position}: {letter.processor!r:.80} never handles it"
    target = f"{letter.processor} {letter.position}"
    change = Change("parked drop", target, sentence, {"parked": 1, "released": behind})

    async def work(database: Database) -> Mapping[str, int]:
        from goes_lite.processor import ByName

        dropped = await ByName(database.backend, letter.processor).drop(letter)
        return {"parked": int(dropped), "released": behind}

    return carry_out(arguments, out, change, work)


COMMANDS = {
    "list": Command(
        "List the events that consumers gave up on, and those that are held back because of an earlier one.",
        _list,
        _list_arguments,
        ("goes-lite parked list shop.db", "goes-lite parked list shop.db --of letters --json"),
    ),
    "show": Command(
        "Show one parked event: why it was given up on, and what it says.",
        _show,
        _which,
        ("goes-lite parked show shop.db letters 17",),
    ),
    "redrive": Command(
        "Have a consumer handle its parked events again, in the order of the log: the instance that is active, in any "
        "process, or the next one. One that fails again is parked again. Look at them first: effects outside of the store "
        "may happen a second time.",
        _redrive,
        _redrive_arguments,
        (
            "goes-lite parked redrive shop.db letters --dry-run",
            "goes-lite parked redrive shop.db letters --position 17 --yes",
        ),
        changes=True,
    ),
    "drop": Command(
        "Drop a parked event: its consumer never handles it. Events that were held back because of it are handled.",
        _drop,
        _which,
        ("goes-lite parked drop shop.db letters 17 --reason 'handled by hand'",),
        changes=True,
    ),
}
