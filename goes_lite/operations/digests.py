"""Make a receipt of a store, and check a store against one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import check_position
from goes_lite.events.event import Event
from goes_lite.operations.canonical import Block, Folder, log_hash
from goes_lite.operations.receipts import Receipt

Progress = Callable[[int], object]
"""Called from time to time with the number of events that were read so far."""


async def digest(db: Backend, *, upto: int | None = None, progress: Progress | None = None) -> Receipt:
    """Read the log up to its head, or to a position, and return its receipt: counts and hashes of what is stored.

    Equal logs have the same hash on every backend. No application code is needed, since nothing is decoded; events that are
    appended meanwhile are not included. Memory: about 50 bytes an event.
    """
    head = await db.events.head()
    last = head if upto is None else min(check_position("upto", upto), head)
    folder = Folder()
    pages = db.events.stored(upto=last)
    while page := await pages.next_page():
        folder.add(page)
        if progress is not None:
            progress(folder.events)
    return receipt_of(db, folder, head, last)


def receipt_of(db: Backend, folder: Folder, head: int, upto: int) -> Receipt:
    """Return the receipt of a store whose log was folded up to a position."""
    blocks = tuple(folder.finish())
    return Receipt(
        db.identity, db.location, db.runtime.clock.now(), head, upto, folder.events, folder.aggregates,
        log_hash(blocks), blocks,
    )  # fmt: skip


class Difference(NamedTuple):
    """The first event that is not as a receipt says."""

    position: int
    kind: Literal["changed", "missing", "added", "somewhere"]
    """'added': the receipt has none there. 'somewhere': one of the thousand events from here on, the prints do not say which."""
    event: Event[Any] | None
    """What is stored there now, as `EventStore.stored` returns it."""

    def __str__(self) -> str:
        return {
            "changed": f"the event at position {self.position} was changed",
            "missing": f"the event at position {self.position} is missing",
            "added": f"there is an event at position {self.position} that was not there",
            "somewhere": f"an event between position {self.position} and {self.position + 999} was changed",
        }[self.kind]


class Comparison(NamedTuple):
    """A store, compared with a receipt."""

    relation: Literal["same", "longer", "shorter", "different"]
    """'longer': the events of the receipt are unchanged, and there are more. 'shorter': the first ones are, the others are
    missing."""
    difference: Difference | None
    """The first event that is not as the receipt says; None if all are."""
    same_store: bool
    """Whether it is the store of the receipt in the same epoch, rather than a copy or a restored one."""
    checked: int
    """How many events were read."""
    upto: int
    """The position that the receipt goes up to."""
    head: int
    """The head of the store."""

    @property
    def holds(self) -> bool:
        """Whether everything that the receipt says of the log is still true: 'same' or 'longer'."""
        return self.difference is None

    def __str__(self) -> str:
        if self.relation == "same":
            text = f"the log is the one of the receipt, up to position {self.upto}"
        elif self.relation == "longer":
            text = f"the log begins with the one of the receipt, up to position {self.upto}, and goes on to {self.head}"
        elif self.relation == "shorter":
            text = (
                f"the log ends before the one of the receipt, which goes up to position {self.upto}: {self.difference}"
            )
        else:
            text = f"the log is not the one of the receipt: {self.difference}"
        return text if self.same_store else f"{text}. It is another store, or another epoch of it"


async def check(db: Backend, receipt: Receipt, *, progress: Progress | None = None) -> Comparison:
    """Compare the log with a receipt and name the first event that differs. Reading stops there."""
    head = await db.events.head()
    expected = {block.number: block for block in receipt.blocks}
    folder = Folder()
    pages = db.events.stored(upto=receipt.upto)
    reading = True
    while reading:
        page = await pages.next_page()
        reading = bool(page)
        folder.add(page)
        if not reading:
            folder.finish()
        if progress is not None:
            progress(folder.events)
        for block in folder.blocks:
            # what comes before it in the receipt has no events here
            lost = next((one for number, one in expected.items() if number < block.number), None)
            wanted = expected.pop(block.number, None)
            if lost is not None or wanted is None or wanted.hash != block.hash:
                return await _differs(db, receipt, head, folder.events, lost or wanted, None if lost else block)
        folder.blocks.clear()
    if expected:
        return await _differs(db, receipt, head, folder.events, next(iter(expected.values())), None)
    longer = bool(await db.events.stored(after=receipt.upto).next_page())
    same_store = receipt.store == db.identity
    return Comparison("longer" if longer else "same", None, same_store, folder.events, receipt.upto, head)


async def _differs(
    db: Backend, receipt: Receipt, head: int, checked: int, wanted: Block | None, found: Block | None
) -> Comparison:
    difference = _difference(wanted, found)
    at = difference.position
    # for a missing event, whether anything is stored after it
    stored = await db.events.stored(after=at - 1, upto=None if difference.kind == "missing" else at).next_page()
    relation: Literal["shorter", "different"] = (
        "shorter" if difference.kind == "missing" and not stored else "different"
    )
    event = next((one for one in stored if one.position == at), None)
    same_store = receipt.store == db.identity
    return Comparison(relation, difference._replace(event=event), same_store, checked, receipt.upto, head)


def _difference(wanted: Block | None, found: Block | None) -> Difference:
    before, after = wanted.entries() if wanted else {}, found.entries() if found else {}
    for position in sorted(before.keys() | after.keys()):
        if position not in after:
            return Difference(position, "missing", None)
        if position not in before:
            return Difference(position, "added", None)
        if before[position] != after[position]:
            return Difference(position, "changed", None)
    return Difference(min(after), "somewhere", None)
