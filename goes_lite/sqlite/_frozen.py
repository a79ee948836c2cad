"""A file that is read without locks, since its folder cannot be written to: whether it is still what it was.

SQLite takes such a file for immutable. If another user, who may write there, changes it after all, pages of different
moments would be mixed. So the file is compared before and after each read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from goes_lite.errors import StoreUnavailable
from goes_lite.sqlite._connection import FileAddress, Missed, Readers, state_of
from goes_lite.sqlite._driver import Connection

T = TypeVar("T")


class FrozenReaders(Readers):
    """The pool of a handle on such a file, which is usable while the file stays as it was."""

    def __init__(self, address: FileAddress, state: tuple[int, ...]) -> None:
        super().__init__(address)
        self._state = state

    def check_usable(self) -> None:
        super().check_usable()
        if state_of(self.address.path) != self._state:
            raise StoreUnavailable(
                self.address.location,
                "it was written to since it was opened; this user cannot follow that without the right to write to the "
                "folder, where SQLite keeps a -shm file: connect again to see the file as it is now",
            )

    def run(self, work: Callable[[Connection], T]) -> T:
        try:
            return super().run(work)
        finally:
            if not self.closed:
                self.check_usable()  # damage that was found may be a change

    def attempt(self, work: Callable[[Connection], T]) -> T | Missed:
        return Missed.MISSED  # each read looks at the file
