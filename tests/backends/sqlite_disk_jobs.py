"""The jobs of worker processes that run out of room on the disk; sqlite_jobs.py runs them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence

from goes_lite_conformance.harness.workers import say

import goes_lite
from tests.backends.sqlite_kit import job, note, numbers, registry, store


@job
def fill(path: str, driver: str, room: int, sizes: Sequence[int]) -> None:
    """Append events of these sizes where the file system gives room for so many more bytes; then with all the room."""
    import resource

    with store(path, driver) as db:
        db.events.append([note(0)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        for number, size in enumerate(sizes, 1):
            try:
                db.events.append([note(number, text="x" * size)])
            except Exception as error:
                say([type(error).__name__, str(error)])
            else:
                say("stored")
        say(numbers(db))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        db.events.append([note(-1)])
        say(numbers(db))


@job
def fill_group(path: str, driver: str, room: int, big: int) -> None:
    """Append small events and a big one for which there is no room, all at once: they are in one group commit."""
    import asyncio
    import resource

    async def main() -> None:
        async with goes_lite.connect(path, registry=registry, driver=driver) as db:
            await db.events.append([note(0)])
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            texts = ["", "", "x" * big, "", ""]
            appends = [db.events.append([note(number, text=text)]) for number, text in enumerate(texts, 1)]
            results = await asyncio.gather(*appends, return_exceptions=True)
            say([type(result).__name__ for result in results])
            say([event.data.number for event in await db.events.query().list()])

    asyncio.run(main())


@job
def fill_transaction(path: str, driver: str, room: int, big: int) -> None:
    """In one transaction: a small event, one for which there is no room, and another small one."""
    import resource

    with store(path, driver) as db:
        db.events.append([note(0)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            with db.transaction() as transaction:
                transaction.events.append([note(1)])
                try:
                    transaction.events.append([note(2, text="x" * big)])
                except Exception as error:
                    say([type(error).__name__, str(error)])
                transaction.events.append([note(3)])
        except Exception as error:
            say([type(error).__name__])
        else:
            say("stored")
        say(numbers(db))


@job
def backup_without_room(path: str, driver: str, copy: str) -> None:
    """Back up to where there is no room for it."""
    import resource

    with store(path, driver) as db:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            db.backup(copy)
        except Exception as error:
            say([type(error).__name__, str(error)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        db.events.append([note(-1)])


@job
def fill_disk(path: str, driver: str, size: int) -> None:
    """The same, on a real disk of so many bytes that is mounted for this process alone, at the folder of `path`."""
    folder = os.path.dirname(path)
    if sys.platform != "linux" or not _mount_tmpfs(folder, size):
        say("not permitted")
        return
    say("mounted")
    with store(path, driver) as db:
        last = 0
        for number in itertools.count(1):
            try:
                db.events.append([note(number, text="x" * 20_000)])
            except Exception as error:
                say([type(error).__name__, str(error)])
                break
            last = number
        assert numbers(db) == list(range(1, last + 1))
        say(last)
    # what was stored survives closing on a full disk, and once there is room the store goes on
    with store(path, driver, read_only=True) as db:
        assert numbers(db) == list(range(1, last + 1))
    subprocess.run(["mount", "-o", f"remount,size={size * 4}", folder], check=True)
    with store(path, driver) as db:
        db.events.append([note(last + 1)])
        assert numbers(db) == list(range(1, last + 2))
    say("goes on")


def _mount_tmpfs(folder: str, size: int) -> bool:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) != 0:  # CLONE_NEWNS: this process gets mounts of its own
        return False
    private = subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)
    tmpfs = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False, capture_output=True
    )
    return not private.returncode and not tmpfs.returncode
