"""A receipt: what a log contained at some moment, as a small file that can be kept anywhere.

Rule of this file: a receipt comes from a file of anybody, so everything in it is checked before it is used.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime, timezone
from typing import Any, NamedTuple, NoReturn, cast

from goes_lite.errors import InvalidReceipt
from goes_lite.operations.canonical import BLOCK, FORM, PRINT, Block, compact, log_hash

FORMAT = "goes_lite receipt"


class Receipt(NamedTuple):
    """What a log contained, up to a position."""

    store: str
    """The identity of the store, with its epoch (`Backend.identity`)."""
    location: str
    """Where the store was."""
    time: datetime
    """When the receipt was made (aware, UTC)."""
    head: int
    """The head of the store at that time."""
    upto: int
    """The position up to which the log was read: the head, unless less was asked for."""
    events: int
    """The number of events up to there."""
    aggregates: int
    """The number of aggregates that they belong to."""
    hash: bytes
    """The hash of the log: equal for equal logs, on every backend."""
    blocks: tuple[Block, ...]
    """The hash of each thousand positions, where there are events."""

    def to_json(self) -> str:
        """Return the receipt as JSON, a line for each block."""
        head = {
            "format": FORMAT,
            "version": FORM,
            "store": self.store,
            "location": self.location,
            "time": self.time.astimezone(timezone.utc).isoformat(timespec="microseconds"),
            "head": self.head,
            "upto": self.upto,
            "events": self.events,
            "aggregates": self.aggregates,
            "hash": self.hash.hex(),
        }
        lines = ",\n".join("  " + json.dumps(_block_to_json(block)) for block in self.blocks)
        return json.dumps(head, indent=1)[:-2] + ',\n "blocks": [\n' + lines + "\n ]\n}\n"

    @staticmethod
    def from_json(text: str | bytes) -> Receipt:
        """Return the receipt of a text that `to_json` made; raise InvalidReceipt if it is none, or was changed."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise InvalidReceipt(f"it is no JSON: {exc!s:.120}") from exc
        if not isinstance(found, dict) or cast("dict[str, Any]", found).get("format") != FORMAT:
            raise InvalidReceipt(f"it does not say that its format is {FORMAT!r}")
        read = _Fields(cast("dict[str, Any]", found))
        if (version := read.number("version")) != FORM:
            raise InvalidReceipt(f"its version is {version}, this goes_lite knows {FORM}: use the version that made it")
        blocks = tuple(_block_from_json(one) for one in read.list("blocks"))
        receipt = Receipt(
            read.text("store"), read.text("location"), read.time("time"), read.number("head"), read.number("upto"),
            read.number("events"), read.number("aggregates"), read.hash("hash"), blocks,
        )  # fmt: skip
        if log_hash(blocks) != receipt.hash:
            raise InvalidReceipt("the hash of the log is not that of its blocks: it was changed")
        numbers = [block.number for block in blocks]
        if numbers != sorted({*numbers}) or (blocks and blocks[-1].positions[-1] > receipt.upto):
            raise InvalidReceipt("its blocks are not in order, or go beyond its end: it was changed")
        if sum(len(block.positions) for block in blocks) != receipt.events:
            raise InvalidReceipt(f"its blocks do not have {receipt.events} events: it was changed")
        return receipt


def _block_to_json(block: Block) -> dict[str, Any]:
    found: dict[str, Any] = {"block": block.number, "events": len(block.positions), "hash": block.hash.hex()}
    first = block.number * BLOCK + 1
    if block.positions != range(first, first + len(block.positions)):
        found["at"] = _runs([position - first + 1 for position in block.positions])
    return {**found, "prints": b64encode(block.prints).decode()}


def _block_from_json(value: Any) -> Block:
    if not isinstance(value, dict):
        _wrong("a block", value)
    plain = cast("dict[str, Any]", value)
    read = _Fields(plain)
    number, events = read.number("block"), read.number("events")
    if not 0 < events <= BLOCK:
        _wrong("events", events)
    at = _at(read.list("at")) if "at" in plain else [*range(1, events + 1)]
    if len(at) != events:
        _wrong("at", plain["at"])
    try:
        prints = b64decode(read.text("prints"), validate=True)
    except ValueError:
        _wrong("prints", plain["prints"])
    if len(prints) != events * PRINT:
        _wrong("prints", plain["prints"])
    return Block(number, read.hash("hash"), compact([number * BLOCK + one for one in at]), prints)


def _runs(numbers: list[int]) -> list[list[int]]:
    """Return increasing numbers as pairs of the first and the last of each run without a gap."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def _at(runs: list[Any]) -> list[int]:
    """Return the numbers of such pairs."""
    found = [0]
    for run in runs:
        ends: list[Any] = [*run] if isinstance(run, list) else []
        if [*map(type, ends)] != [int, int]:
            _wrong("at", runs)
        first, last = ends
        if not found[-1] < first <= last <= BLOCK:
            _wrong("at", runs)
        found += range(first, last + 1)
    return found[1:]


class _Fields:
    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def number(self, name: str) -> int:
        value = self._found.get(name)
        return value if type(value) is int and 0 <= value < 2**63 else _wrong(name, value)

    def text(self, name: str) -> str:
        value = self._found.get(name)
        return value if isinstance(value, str) else _wrong(name, value)

    def list(self, name: str) -> list[Any]:
        value = self._found.get(name)
        if not isinstance(value, list):
            _wrong(name, value)
        return value  # pyright: ignore[reportUnknownVariableType]

    def hash(self, name: str) -> bytes:
        value = self.text(name)
        try:
            return found if len(found := bytes.fromhex(value)) == 32 else _wrong(name, value)
        except ValueError:
            _wrong(name, value)

    def time(self, name: str) -> datetime:
        value = self.text(name)
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            _wrong(name, value)
        return found if found.tzinfo is not None else _wrong(name, value)


def _wrong(name: str, value: object) -> NoReturn:
    raise InvalidReceipt(f"{name!r} cannot be {value!r:.80}")
