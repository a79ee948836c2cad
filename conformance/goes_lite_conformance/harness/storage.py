"""Where a backend under test keeps its data, and the hook that says how to open it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol
from uuid import uuid4

from goes_lite.contract.backend import Durability


class Storage(NamedTuple):
    """A place for the data of one backend, empty at first, used by one test."""

    folder: Path
    """An empty folder, removed afterwards."""
    name: str
    """A name that no other storage has: a letter, then letters and digits, 17 in all."""
    variant: str = ""
    """Which of the suite's `variants` it is for."""

    @classmethod
    def fresh(cls, folder: Path, variant: str = "") -> Storage:
        """Return a new one, in an empty folder."""
        return cls(folder, f"t{uuid4().hex[:16]}", variant)


class Declared(NamedTuple):
    """What a backend declares about itself."""

    abilities: frozenset[str] = frozenset()
    durability: Durability = "memory"


class Hook(Protocol):
    """How a backend is opened on a storage: the part of `Contract` that a place needs."""

    options: ClassVar[dict[str, Any]]

    def url(self, storage: Storage) -> str: ...
    def bus(self, storage: Storage) -> str | None: ...
    async def erase(self, storage: Storage) -> None: ...
