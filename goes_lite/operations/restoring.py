"""Restore a backup: into an empty store of any backend, into a file, or into a scratch file as a drill."""

from __future__ import annotations

import os
from typing import NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.errors import StoreDamaged
from goes_lite.operations.backups import check_backup, own_copy
from goes_lite.operations.copying import CopyProgress, copy
from goes_lite.operations.digests import check
from goes_lite.operations.files import absolute, check_new, publish, remove_all
from goes_lite.operations.handles import Handle, on_files
from goes_lite.operations.receipts import Receipt
from goes_lite.operations.reconciling import ahead_of


class Restored(NamedTuple):
    """A restored store."""

    receipt: Receipt
    events: int
    ahead: list[Checkpoint]
    """Consumers whose checkpoints are ahead of the head: they have handled events that the store does not have."""
    foreign: list[Checkpoint]
    """Checkpoints that belong to other stores, as they did before."""
    identity: str
    """The new identity of the store: what kept a position of the old one elsewhere notices."""


async def restore(db: Handle, path: str | os.PathLike[str], *, progress: CopyProgress | None = None) -> Restored:
    """Fill an empty store with a backup, verified; return what its consumers have to know.

    The store has an identity of its own, so whatever kept a position of the old store elsewhere notices. Checkpoints in the
    backup are valid in it. Leases are not restored. If a receipt is next to the backup, the file is checked against it first.

    Raises CopyRefused if the store is not empty (an interrupted restore of the same file goes on), StoreDamaged if the file
    is not what its receipt says.
    """
    return await _restore(db, db, path, progress)


async def drill(
    db: Handle, path: str | os.PathLike[str], *, folder: str | None = None, progress: CopyProgress | None = None
) -> Restored:
    """Restore a backup into a scratch file, verified, and remove that again: proof that it can be restored.

    The scratch file is in the `folder`, by default that of the backup, and has its size.
    """
    file = await on_files(db, lambda: absolute(path))
    where = os.path.dirname(file) if folder is None else folder
    scratch = os.path.join(where, f"drill-{os.getpid()}.part")
    await on_files(db, lambda: remove_all(scratch), scratch)
    try:
        target = await db.open_file(scratch)
        try:
            return await _restore(db, target, path, progress)
        finally:
            await target.close()
    finally:
        await on_files(db, lambda: remove_all(scratch), scratch)


async def restore_file(db: Handle, path: str | os.PathLike[str]) -> Restored:
    """Restore an open backup to a new file, as its backend copies its storage: with tables of your own.

    For a handle with the ability `backup`, such as one on a backup in a file. Otherwise as `restore`; raises CopyRefused if the
    file exists.
    """
    target = await on_files(db, lambda: check_new(path))
    expected = await check_backup(db, db.location)
    part = f"{target}.part"
    receipt, events = await own_copy(db, part)
    if expected is not None and expected.hash != receipt.hash:
        await on_files(db, lambda: remove_all(part), part)
        raise StoreDamaged(db.location, "it is not what its receipt says", "use another backup")
    await on_files(db, lambda: publish(part, target), target)
    restored = await db.open_file(target)
    try:
        checkpoints = await restored.checkpoints.all()
        own = [one for one in checkpoints if one.store == restored.identity]
        foreign = [one for one in checkpoints if one not in own]
        return Restored(receipt, events, ahead_of(own, receipt.head), foreign, restored.identity)
    finally:
        await restored.close()


async def _restore(
    db: Handle, target: Backend, path: str | os.PathLike[str], progress: CopyProgress | None
) -> Restored:
    file = await on_files(db, lambda: absolute(path))
    receipt = await check_backup(db, file)
    source = await db.open_file(file, read_only=True)
    try:
        if receipt is not None:
            found = await check(source, receipt)
            if found.relation != "same":
                raise StoreDamaged(file, f"it is not what its receipt says: {found}", "use another backup")
        copied = await copy(source, target, progress=progress)
        checkpoints = await source.checkpoints.all()
        own = [one for one in checkpoints if one.store == source.identity]
    finally:
        await source.close()
    foreign = [one for one in checkpoints if one not in own]
    return Restored(copied.receipt, copied.events, ahead_of(own, copied.receipt.head), foreign, target.identity)
