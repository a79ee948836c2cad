"""What processes do whose disk loses power or refuses to work. They need apsw."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from goes_lite.blocking import BlockingDatabase
from goes_lite.database import Database
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.sqlite import SQLiteBackend, checkpointer
from goes_lite_conformance.crash.writing import COUNTED, Written, count_next, registry, write_on
from goes_lite_conformance.harness.faces import run
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import NOON
from goes_lite_conformance.harness.storage import Declared
from goes_lite_conformance.harness.workers import listen, say
from goes_lite_conformance.rule import Face
from goes_lite_conformance.sqlite_power._disk import Disk, Image, Said

if TYPE_CHECKING:
    from goes_lite_conformance.sqlite_power._vfs import Refusals

SESSIONS = 3
"""How many times the store is opened, used and closed."""
BATCHES = 12
"""How many batches are appended each time."""
PAGES = 60
"""The number of pages after which a checkpoint is due: with the usual number, few cuts would fall near one."""


def at(place: Place, folder: str) -> Place:
    """Return the same kind of storage in a folder inside that of the place."""
    path = place.storage.folder / folder
    path.mkdir(exist_ok=True)
    storage = place.storage._replace(folder=path)
    return Place(place.hook, storage, place.face, Declared(place.abilities), place.rounds)


# --- power cuts -----------------------------------------------------------------------------------------------------


def record(place: Place, seed: int, face: Face, durability: str, sql: str = "") -> None:
    """Use the store and record what reaches the disk; then create what cuts at the requested moments would have left.

    `sql` runs on the writing connection, each time the store has been opened.
    """
    from goes_lite_conformance.sqlite_power._vfs import RecordingVFS

    disk = Disk()
    vfs = RecordingVFS(disk)
    checkpointer.PAGES = PAGES

    def tell(said: Any) -> None:
        disk.log.append(Said(said))

    async def work() -> None:
        for session in range(SESSIONS):
            begun = len(disk.log)
            async with place.open(face=face, registry=registry, durability=durability) as db:
                between.append((begun, len(disk.log)))
                if sql:
                    _backend(db).writer.transactions.connection.execute(sql).fetchall()
                await _use(db, f"w{seed}.{session}", face, tell)
                ending = len(disk.log)
            between.append((ending, len(disk.log)))

    between: list[tuple[int, int]] = []
    run(face, work())
    vfs.unregister()
    assert disk.turns, f"apsw has recorded nothing: is {place.url} opened with another driver?"
    say({"moments": len(disk.log), "turns": disk.turns, "between": between})
    image = Image(disk.log)
    while (order := listen()) is not None:
        moment, how, folder, cut_seed = order
        image.advance(moment)
        for name, content in image.cut(how, random.Random(cut_seed)).items():
            Path(folder, name).write_bytes(content)
        say(image.said)


def _backend(db: Any) -> SQLiteBackend:
    while not isinstance(db, SQLiteBackend):
        db = getattr(db, "target", None) or db.backend
    return db


async def _use(db: Database, writer: str, face: Face, tell: Callable[[Any], None]) -> None:
    """Append as one writer, or as several concurrent ones on an event loop, and count in between."""

    async def count() -> None:
        async with db.transaction() as transaction:
            position = await count_next(transaction)
        tell(["counted", position])

    async def write(name: str, first: int, last: int) -> None:
        await write_on(db, name, numbers=range(first, last), tell=tell)
        await count()

    if face == "async":
        await asyncio.gather(*(write(f"{writer}.{number}", 1, 1 + BATCHES // 3) for number in range(3)))
    else:
        for first in range(1, 1 + BATCHES, 3):
            await write(writer, first, first + 3)


# --- refusals -------------------------------------------------------------------------------------------------------


def step(number: int) -> list[Event[Written]]:
    """Return the events of one step, the same every time."""
    size, text = ((1, 100), (5, 3000), (2, 10), (1, 9000), (12, 500), (1, 0))[number]
    ref = AggregateRef("step", str(number))
    return [
        Event(
            Written("step", number, index, size, "x" * text), id=UUID(int=100 * number + index + 1, version=4),
            aggregate=ref, version=index + 1, time=NOON, tags=[f"step:{number}"], registry=registry,
        )
        for index in range(size)
    ]  # fmt: skip


STEPS = 5
"""The number of steps; one more is for another handle."""
IN_TRANSACTION = 2
"""The step that also writes a read model and a checkpoint."""


def _do(db: BlockingDatabase, number: int) -> None:
    if number != IN_TRANSACTION:
        db.events.append(step(number))
        return
    with db.transaction() as transaction:
        appended = transaction.events.append(step(number))
        transaction.models.put(COUNTED, "steps", str(number))
        transaction.checkpoints.save("steps", appended.position)


def refuse(place: Place, calls: list[str], error: int, lasting: bool, opening: bool) -> None:
    """Use a store on a disk that refuses a call, as often as told to; say the outcome each time.

    `calls` are kinds of system calls, or "sync" alone. While the store is being opened nothing is refused, or (with
    `opening`) only then.
    """
    from goes_lite_conformance.sqlite_power._vfs import Refusals, SyncRefusingVFS, SystemCalls

    checkpointer.PAGES = 12
    refusals = Refusals(error)
    refusing: SyncRefusingVFS | SystemCalls
    refusing = SyncRefusingVFS(refusals) if calls == ["sync"] else SystemCalls(refusals, calls)
    while (order := listen()) is not None:
        first, folder = order
        told: list[Any] = []
        use = _Use(at(place, folder), told.append)
        if opening:
            refusals.begin(first, lasting=lasting)
            use.open(refusals)
            refusals.active = False
            use.steps(refusals)
        else:
            use.open(refusals)
            refusals.begin(first, lasting=lasting)
            use.steps(refusals)
        if calls == ["sync"]:
            refusals.active = False  # apsw would raise it, although SQLite ignores errors while it closes
        use.close()
        refusals.active = False
        say({"made": refusals.made, "refused": refusals.refused[:1], "told": told})
    refusing.unregister()


class _Use:
    """One use of a store, which reports what failed."""

    def __init__(self, place: Place, tell: Callable[[list[str]], None]) -> None:
        self._place = place
        self._tell = tell

    def _try(self, what: str, work: Callable[[], object]) -> bool:
        try:
            work()
        except Exception as error:
            self._tell([what, type(error).__name__, str(error)])
            return False
        return True

    def _connect(self) -> None:
        self._db = self._place.blocking(registry=registry, lock_timeout=2.0)

    def open(self, refusals: Refusals) -> None:
        """Open the store, again once nothing is refused any more if that fails."""
        if not self._try("open", self._connect):
            refusals.active = False
            self._connect()

    def steps(self, refusals: Refusals) -> None:
        """Append and read; repeat what was refused once nothing is refused any more."""
        db = self._db
        refused = [number for number in range(STEPS) if not self._try("append", partial(_do, db, number))]
        read = self._try("read", db.events.query().list)
        active, refusals.active = refusals.active and read and not refused, False
        for number in refused:
            if db.events.find(step(number)[0].id) is not None:
                self._tell(["stored", str(number), "refused, but stored nevertheless"])
        self._try("another handle", self._append_through_another)
        for number in refused:
            self._try("append again", partial(_do, db, number))
        if not read:
            self._try("read again", db.events.query().list)
        refusals.active = active

    def _append_through_another(self) -> None:
        with self._place.blocking(registry=registry, lock_timeout=2.0) as other:
            other.events.append(step(STEPS))

    def close(self) -> None:
        self._try("close", self._db.close)
