"""A disk that can lose power: what was written and synced, in which order, and what a cut leaves of it.

Only what a sync has promised is certain to be kept: the content of a file by a sync of the file, its name by a sync of
the folder. Of everything else a real disk may keep any part, and so may this one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

SECTOR = 512
"""The least that a disk writes at once."""
SHARED_MEMORY = 32_768
"""The size of a -shm file."""

How = Literal["kept", "lost", "torn", "mixed"]
"""What happens to data that is not synced: all of it is kept; none; the first part, up to the middle of a write; or any
sectors of it, in files that have grown or not, with or without their names."""
HOWS: tuple[How, ...] = ("kept", "lost", "torn", "mixed")


class Created(NamedTuple):
    """A file was created, under this name."""

    file: int
    name: str


class Written(NamedTuple):
    """Bytes were written to a file."""

    file: int
    offset: int
    data: bytes


class Truncated(NamedTuple):
    """A file was shortened or extended to a size."""

    file: int
    size: int


class Synced(NamedTuple):
    """A file was synced, and perhaps its folder."""

    file: int
    folder: bool


class Deleted(NamedTuple):
    """A name was removed, and perhaps the folder synced."""

    name: str
    folder: bool


class Said(NamedTuple):
    """Not about the disk: what the worker had said by then."""

    what: Any


Operation = Created | Written | Truncated | Synced | Deleted | Said


class Disk:
    """The operations on the files of one folder. Files are numbers: one name may belong to several, one after another."""

    def __init__(self) -> None:
        self.log: list[Operation] = []
        self._names: dict[str, int] = {}
        self._files = 0

    def open(self, name: str, *, new: bool) -> int:
        """Return the file with this name, or a new one if there was none."""
        if new:
            self._files += 1
            self._names[name] = self._files
            self.log.append(Created(self._files, name))
        return self._names[name]

    def delete(self, name: str, *, folder: bool) -> None:
        """Remove a name."""
        if self._names.pop(name, None) is not None:
            self.log.append(Deleted(name, folder))

    @property
    def turns(self) -> list[int]:
        """The positions of operations other than writes: the moments at which a cut matters most."""
        return [number for number, done in enumerate(self.log) if not isinstance(done, (Written, Said))]


class Image:
    """The disk at one moment of its log: what is certain to be kept, and what is not."""

    def __init__(self, log: Sequence[Operation]) -> None:
        self._log = log
        self._names: dict[str, int] = {}
        self._kept_names: dict[str, int] = {}
        self._kept: dict[int, bytearray] = {}
        self._pending: list[Written | Truncated] = []
        self.moment = 0
        self.said: list[Any] = []
        """What the worker had said by then."""

    def advance(self, moment: int) -> None:
        """Advance to a later moment."""
        for done in self._log[self.moment : moment]:
            match done:
                case Created(file, name):
                    self._names[name] = file
                    self._kept[file] = bytearray()
                case Written() | Truncated():
                    self._pending.append(done)
                case Synced(file, folder):
                    for change in self._pending:
                        if change.file == file:
                            _apply(change, self._kept[file])
                    self._pending = [change for change in self._pending if change.file != file]
                    if folder:
                        self._kept_names = dict(self._names)
                case Deleted(name, folder):
                    del self._names[name]
                    if folder:
                        self._kept_names = dict(self._names)
                case Said(what):
                    self.said.append(what)
        self.moment = moment

    def cut(self, how: How, chance: random.Random) -> dict[str, bytes]:
        """Return the files that exist when the power comes back."""
        contents = {file: bytearray(content) for file, content in self._kept.items()}
        if how == "kept":
            names = self._names
            self._keep(self._pending, contents)
        elif how == "lost":
            names = self._kept_names
        else:
            names = self._some_names(chance)
            (self._tear if how == "torn" else self._mix)(contents, chance)
        files = {name: bytes(contents[file]) for name, file in names.items()}
        if how == "mixed" and chance.random() < 0.5:
            # shared memory of those who had the store open, which means nothing once they are gone
            files |= {f"{name}-shm": chance.randbytes(SHARED_MEMORY) for name in names if "-" not in name}
        return files

    def _some_names(self, chance: random.Random) -> dict[str, int]:
        some: dict[str, int] = {}
        for name in sorted(self._names.keys() | self._kept_names.keys()):
            file = chance.choice((self._names.get(name), self._kept_names.get(name)))
            if file is not None:
                some[name] = file
        return some

    def _keep(self, changes: Sequence[Written | Truncated], contents: dict[int, bytearray]) -> None:
        for change in changes:
            _apply(change, contents[change.file])

    def _tear(self, contents: dict[int, bytearray], chance: random.Random) -> None:
        """Keep changes in the order in which they were made, up to the middle of one of them."""
        if not self._pending:
            return
        number = chance.randrange(len(self._pending))
        self._keep(self._pending[:number], contents)
        last = self._pending[number]
        if isinstance(last, Written):
            _apply(last._replace(data=last.data[: chance.randrange(len(last.data) + 1)]), contents[last.file])

    def _mix(self, contents: dict[int, bytearray], chance: random.Random) -> None:
        """Keep some sectors of each change; a file that would have grown may have grown, with garbage in it."""
        rate = chance.choice((0.1, 0.5, 0.9))
        for change in self._pending:
            content = contents[change.file]
            if isinstance(change, Truncated):
                if chance.random() < rate:
                    _apply(change, content)
                continue
            for sector in _sectors(change):
                if chance.random() < rate:
                    _apply(sector, content)
                elif sector.offset >= len(content) and chance.random() < 0.3:
                    _apply(sector._replace(data=chance.randbytes(len(sector.data))), content)


def _apply(change: Written | Truncated, content: bytearray) -> None:
    end = change.size if isinstance(change, Truncated) else change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if isinstance(change, Truncated):
        del content[end:]
    else:
        content[change.offset : end] = change.data


def _sectors(change: Written) -> list[Written]:
    file, offset, data = change
    first = SECTOR - offset % SECTOR
    starts = [0, *range(first, len(data), SECTOR)]
    return [
        Written(file, offset + start, data[start:end])
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True)
    ]
