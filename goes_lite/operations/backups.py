"""Back up a store to one file, whatever backend it is on.

A backup is a store in a file of its own: it can be opened, read and queried like any other. It appears under its name once it
is complete, synced and verified, with a receipt next to it. A file that ends in `.part` is what was left of one.
"""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

from goes_lite.contract.upkeep import BACKUP
from goes_lite.errors import (
    CopyDiffers,
    CopyRefused,
    DecodeError,
    ForeignFile,
    InvalidReceipt,
    StoreDamaged,
    StoreUnavailable,
)
from goes_lite.operations.copying import CopyProgress, copy
from goes_lite.operations.digests import digest
from goes_lite.operations.files import absolute, check_new, publish, receipt_path, remove_all, write_whole
from goes_lite.operations.handles import Handle, on_files
from goes_lite.operations.lineage import COMPLETE, Origin, keep_origin, lineage_of, origin_of
from goes_lite.operations.receipts import Receipt


class BackedUp(NamedTuple):
    """A finished backup."""

    path: str
    receipt_path: str
    receipt: Receipt
    """Of the log in the file, which is that of the store at one moment."""
    events: int
    """How many events were read from the store: with `since`, those that were not in the earlier backup."""
    size: int
    """Of the file, in bytes."""


async def backup(
    db: Handle,
    path: str | os.PathLike[str],
    *,
    since: str | os.PathLike[str] | None = None,
    progress: CopyProgress | None = None,
) -> BackedUp:
    """Write the store to a new file, while others write to it, and verify the file; nothing is overwritten.

    - It is of one moment: events, snapshots, read models and checkpoints that were committed together are in it together.
    - No writer waits for it. On SQLite, the -wal grows by what is written meanwhile.
    - A file has the name only once it is complete, on the disk, and verified. An interrupted backup leaves `PATH.part`,
      which the next one goes on with or replaces.
    - With `since`, an earlier backup of the same store, only what is new is read from the store; the file is complete
      nevertheless, and does not need the earlier one.
    - On a backend with the ability `backup`, such as SQLite, a backup without `since` is its own copy of its storage, which
      also has tables of your own.

    Raises CopyRefused if the file exists or `since` is no backup of this store, StoreFull, StoreUnavailable.
    """
    target = await on_files(db, lambda: check_new(path))
    part = f"{target}.part"
    if since is None and BACKUP in db.abilities:
        receipt, events = await own_copy(db, part)
    else:
        if since is not None:
            await _begin_with(db, await on_files(db, lambda: absolute(since)), part)
        receipt, events = await _machine_copy(db, part, progress)
    receipt = receipt._replace(location=db.location, store=db.identity)
    await on_files(db, lambda: write_whole(receipt_path(target), receipt.to_json()), target)
    await on_files(db, lambda: publish(part, target), target)
    size = await on_files(db, lambda: os.path.getsize(target), target)
    return BackedUp(target, receipt_path(target), receipt, events, size)


async def own_copy(db: Handle, part: str) -> tuple[Receipt, int]:
    """Let the backend copy its storage, read the result through, and return its receipt and the number of its events."""
    await on_files(db, lambda: remove_all(part), part)
    try:
        await db.backup(part)
        copied = await db.open_file(part)
        try:
            receipt = await digest(copied)
            now, lineage = db.runtime.clock.now(), await lineage_of(db.models, db.runtime)
            await keep_origin(copied, Origin(db.identity, db.location, receipt.head, now, COMPLETE, lineage))
        finally:
            await copied.close()
    except BaseException:
        await on_files(db, lambda: remove_all(part), part)
        raise
    return receipt, receipt.events


async def _machine_copy(db: Handle, part: str, progress: CopyProgress | None) -> tuple[Receipt, int]:
    for fresh in (False, True):
        if fresh:
            await on_files(db, lambda: remove_all(part), part)
        try:
            target = await db.open_file(part)
        except (ForeignFile, StoreDamaged, DecodeError):  # what an interrupted one, or something else, has left there
            if fresh:
                raise
            continue
        try:
            copied = await copy(db, target, update=True, progress=progress)
        except (CopyRefused, CopyDiffers, StoreDamaged, DecodeError):
            if fresh:
                raise
        else:
            return copied.receipt, copied.events
        finally:
            await target.close()
    raise AssertionError("unreachable")


async def _begin_with(db: Handle, since: str, part: str) -> None:
    """Begin with the events of an earlier backup: a copy of its file, if it is one of this store."""
    await check_backup(db, since)
    earlier = await db.open_file(since, read_only=True)
    try:
        origin = await origin_of(earlier.models, earlier.runtime)
    finally:
        await earlier.close()
    if origin is None or origin.store != db.identity:
        raise CopyRefused(
            since,
            "it is no backup: it does not say which store it was copied from"
            if origin is None
            else f"it is a backup of another store ({origin.store}) or epoch, not of {db.identity}",
        )

    def begin() -> None:
        remove_all(part)
        shutil.copyfile(since, part)

    await on_files(db, begin, part)


async def check_backup(db: Handle, path: str) -> Receipt | None:
    """Return the receipt next to a backup, None if there is none; raise unless the file is a whole backup."""

    def read() -> Receipt | None:
        if not os.path.isfile(path):
            raise StoreUnavailable(path, "there is no such file: name a backup")
        try:
            with open(receipt_path(path), encoding="utf-8") as file:
                return Receipt.from_json(file.read())
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as exc:
            raise InvalidReceipt(f"it is not text: {exc}") from exc

    if path.endswith(".part"):
        raise CopyRefused(path, "a file that ends in .part is an unfinished backup: use a finished one")
    return await on_files(db, read, path)
