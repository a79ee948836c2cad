"""The canonical form of an event, and the hashes of events, blocks and whole logs.

Rule of this file: it is a format. The same log has the same hashes on every backend and in every version of goes_lite, so a
change of anything here is a new `FORM`. docs/operations.md describes the form for other implementations.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from hashlib import sha256
from operator import attrgetter
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

from goes_lite.errors import DecodeError
from goes_lite.events.event import Event, id_bytes, metadata_json, tags_json, time_micros

FORM = 1
"""The version of the canonical form; the bytes of each event begin with it."""
BLOCK = 1000
"""How many positions a block covers: block n covers n × 1000 + 1 to n × 1000 + 1000."""
PRINT = 3
"""How many bytes of an event's hash a receipt keeps, so that the event that differs can be named."""

_EVENT = Struct(">B16sqqqB7Q")
_POSITION = Struct(">q")
_position = attrgetter("position")


def event_hash(event: Event[Any]) -> bytes:
    """Return the SHA-256 of an event as it is stored: 32 bytes, of every field but its position.

    The event is one of `EventStore.stored`, which has stored names and payloads. Raises DecodeError if a field cannot be.
    """
    return event_hashes([event])[0]


def event_hashes(events: Sequence[Event[Any]]) -> list[bytes]:
    """Return the `event_hash` of each event."""
    hashes: list[bytes] = []
    add, pack, hashed = hashes.append, _EVENT.pack, sha256
    try:
        for event in events:  # one loop, without calls of its own: this is where the time of a digest goes
            ref = event._aggregate
            if ref is None:
                aggregate = id = b""
            else:
                aggregate, id = ref[0].encode(), ref[1].encode()
            payload = event._payload
            text = isinstance(payload, str)
            data = payload.encode() if isinstance(payload, str) else payload
            name, encoding = event._name.encode(), event._encoding.encode()
            metadata = b"" if event._metadata is None else (metadata_json(event) or "").encode()
            tags = b"" if event._tags is None else (tags_json(event) or "").encode()
            add(hashed(b"".join((
                pack(
                    FORM, id_bytes(event), time_micros(event), event._version, event._schema, text, len(name),
                    len(aggregate), len(id), len(encoding), len(data), len(metadata), len(tags),
                ),
                name, aggregate, id, encoding, data, metadata, tags,
            ))).digest())  # fmt: skip
    except (struct_error, AttributeError, TypeError, ValueError) as exc:
        failed = events[len(hashes)]
        problem = f"it has a field that cannot be ({exc}): restore a backup"
        raise DecodeError("event", problem, position=failed.position, aggregate=failed.aggregate) from exc
    return hashes


class Block(NamedTuple):
    """The hash of the events at a thousand positions, with a short print of each event, to name the one that differs."""

    number: int
    """Which positions it covers: number × 1000 + 1 to number × 1000 + 1000."""
    hash: bytes
    """SHA-256 of the position (8 bytes) and the `event_hash` of each of its events, in order."""
    positions: Sequence[int]
    """The positions of its events: a range where they have no gaps, so that a receipt of millions of them stays small."""
    prints: bytes
    """The first `PRINT` bytes of each event's hash."""

    @property
    def last(self) -> int:
        """The last position that it covers."""
        return (self.number + 1) * BLOCK

    def entries(self) -> dict[int, bytes]:
        """Return the print of each of its events, by position."""
        starts = range(0, len(self.prints), PRINT)
        return {at: self.prints[start : start + PRINT] for at, start in zip(self.positions, starts, strict=True)}


def compact(positions: Sequence[int]) -> Sequence[int]:
    """Return increasing positions as a range if they have no gaps, else as a tuple."""
    whole = range(positions[0], positions[-1] + 1) if positions else range(0)
    return whole if len(whole) == len(positions) else tuple(positions)


class Folder:
    """Folds events into blocks, for a caller that reads them anyway: `add` them in order, then `finish`."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        """The blocks that are complete."""
        self.events = 0
        """How many events were added."""
        self.aggregates = 0
        """How many of them were the first of an aggregate."""
        self._end = 0  # the last position of the block that is not complete
        self._positions: list[int] = []
        self._hashes: list[bytes] = []

    def add(self, events: Sequence[Event[Any]], hashes: Sequence[bytes] | None = None) -> None:
        """Add the next events of the log, as `EventStore.stored` returns them, with their hashes if they are known."""
        if hashes is None:
            hashes = event_hashes(events)
        start = 0
        while start < len(events):
            if events[start].position > self._end:
                self.finish()
                self._end = -(-events[start].position // BLOCK) * BLOCK
            stop = start + 1 + bisect_right(events[start + 1 :], self._end, key=_position)
            self._positions += [event._position for event in events[start:stop]]
            self._hashes += hashes[start:stop]
            start = stop
        self.events += len(events)
        self.aggregates += sum([event._version == 1 for event in events])

    def finish(self) -> list[Block]:
        """Complete the last block and return all of them."""
        if self._positions:
            pairs = zip(map(_POSITION.pack, self._positions), self._hashes, strict=True)
            hashed = sha256(b"".join([part for pair in pairs for part in pair]))
            prints = b"".join([one[:PRINT] for one in self._hashes])
            number = self._end // BLOCK - 1
            self.blocks.append(Block(number, hashed.digest(), compact(self._positions), prints))
            self._positions.clear()
            self._hashes.clear()
        return self.blocks


class LogHash:
    """The hash of a log: SHA-256 of the number (8 bytes) and the hash of each block that has events, in order."""

    def __init__(self) -> None:
        self._whole = sha256()

    def add(self, block: Block) -> None:
        """Add the next block."""
        self._whole.update(_POSITION.pack(block.number) + block.hash)

    def digest(self) -> bytes:
        """Return the hash of the blocks so far: 32 bytes."""
        return self._whole.digest()


def log_hash(blocks: Iterable[Block]) -> bytes:
    """Return the hash of a log, as `LogHash` defines it."""
    whole = LogHash()
    for block in blocks:
        whole.add(block)
    return whole.digest()
