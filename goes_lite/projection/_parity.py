"""Comparing two read models of a projection row by row, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

from goes_lite.contract.backend import Transaction
from goes_lite.errors import ConfigError
from goes_lite.projection._projection import Projection
from goes_lite.runtime.face import Face, call

SHOWN = 20
"""How many differences a comparison reports."""
CHUNK = 500
"""How many rows of a plain iterator are read at a time: on an event loop, each read costs a thread."""


class Difference(NamedTuple):
    """A row that differs."""

    key: str
    live: str | None
    new: str | None


class Parity(NamedTuple):
    """The result of comparing the live and the new read model at the same position."""

    position: int
    live_rows: int
    new_rows: int
    live_hash: str
    """SHA-256 over keys and contents, in the order of keys."""
    new_hash: str
    different: int
    """How many rows differ."""
    differences: tuple[Difference, ...]
    """The first differences."""
    switched: bool = False
    """Whether the new read model has replaced the live one."""
    compared: bool = True
    """Whether the projection defines `rows`. If not, nothing was compared."""

    @property
    def same(self) -> bool:
        """Whether they were compared and are equal, row by row."""
        return self.compared and self.different == 0

    def __str__(self) -> str:
        if not self.compared:
            return f"at position {self.position}: not compared, because the projection does not define rows()"
        verdict = "the same" if self.same else f"{self.different} rows differ"
        lines = [f"at position {self.position}: live {self.live_rows} rows, new {self.new_rows} rows: {verdict}"]
        lines += [f"  {key}: {_shown(live)} -> {_shown(new)}" for key, live, new in self.differences]
        if self.different > len(self.differences):
            lines.append(f"  and {self.different - len(self.differences)} more")
        return "\n".join(lines)


def _shown(content: str | None) -> str:
    return "none" if content is None else content if len(content) <= 60 else f"{content[:59]}…"


async def compare(live: Projection, new: Projection, tx: Transaction, face: Face, position: int) -> Parity:
    """Compare the rows of both."""
    sides = [RowReader(projection, face) for projection in (live, new)]
    if not all([await side.begin(tx) for side in sides]):
        return Parity(position, 0, 0, "", "", 0, (), compared=False)
    different = 0
    differences: list[Difference] = []
    one, other = [await side.next() for side in sides]
    while one is not None or other is not None:
        first = min(row[0] for row in (one, other) if row is not None)
        was = one[1] if one is not None and one[0] == first else None
        now = other[1] if other is not None and other[0] == first else None
        if was != now:
            different += 1
            if len(differences) < SHOWN:
                differences.append(Difference(first, was, now))
        one = await sides[0].next() if was is not None else one
        other = await sides[1].next() if now is not None else other
    (live_rows, live_hash), (new_rows, new_hash) = ((side.count, side.hash.hexdigest()) for side in sides)
    return Parity(position, live_rows, new_rows, live_hash, new_hash, different, tuple(differences))


class RowReader:
    """The rows of one of the two read models, in order."""

    def __init__(self, projection: Projection, face: Face) -> None:
        self._projection = projection
        self._face = face
        self._later: AsyncIterator[tuple[str, str]] | None = None
        self._iterator: Iterator[tuple[str, str]] = iter(())
        self._chunk: Iterator[tuple[str, str]] = iter(())
        self._last: str | None = None
        self.count = 0
        self.hash = hashlib.sha256()

    async def begin(self, tx: Transaction) -> bool:
        """Start reading; False if the projection does not define `rows`."""
        rows: Any = await call(
            self._face.function(self._projection.rows, "rows()", iterated=True),
            self._face.transaction(tx),
            iterated=True,
        )
        if isinstance(rows, AsyncIterator):
            self._later = cast("AsyncIterator[tuple[str, str]]", rows)
        elif rows is not None:
            self._iterator = iter(cast("Iterable[tuple[str, str]]", rows))
        return rows is not None

    async def next(self) -> tuple[str, str] | None:
        row = await self._next()
        if row is None:
            return None
        key, content = row
        if self._last is not None and key <= self._last:
            raise ConfigError(
                f"{type(self._projection).__qualname__}.rows() returns the key {key!r:.80} after {self._last!r:.80}: return "
                "each key once, in the order of code points (ORDER BY key)"
            )
        self._last = key
        self.count += 1
        self.hash.update(f"{key}\0{content}\n".encode())
        return key, content

    async def _next(self) -> tuple[str, str] | None:
        if self._later is not None:
            return await anext(self._later, None)
        for row in self._chunk:
            return row
        chunk = await call(self._face.function(lambda: list(islice(self._iterator, CHUNK)), "rows()"))
        self._chunk = iter(cast("list[tuple[str, str]]", chunk))
        return next(self._chunk, None)
