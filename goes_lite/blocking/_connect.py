"""How a URL becomes an open database on the blocking face."""

from __future__ import annotations

import os
import sys
from typing import Any

from goes_lite.blocking._database import BlockingDatabase
from goes_lite.contract.backend import Backend, Unknown
from goes_lite.database.connect import Found, OnMoved, find, open_backend
from goes_lite.errors.options import check_flag
from goes_lite.events.registry import Registry
from goes_lite.runtime import Clock, InlineRuntime, LoopRuntime
from goes_lite.runtime.portal import InlinePortal, LoopPortal, Portal


def connect(
    url: str | os.PathLike[str] | None = None,
    *,
    bus: str | None = None,
    profile: str | None = None,
    registry: Registry | None = None,
    unknown: Unknown = "error",
    clock: Clock | None = None,
    unfinished: bool = False,
    on_moved: OnMoved = "raise",
    inline: bool | None = None,
    **options: Any,
) -> BlockingDatabase:
    """Open a backend for blocking use: `with connect("app.db") as db: …`. The arguments are those of `goes_lite.connect`.

    `inline` says whether its coroutines run inline (the default for embedded backends, unless `on_moved` is "follow") or on a
    loop thread.
    """
    found = find(url, bus, profile, options)
    if inline is not None:
        check_flag("inline", inline)
    else:
        inline = found.embedded and on_moved == "raise"
    _warn_of_loop(found)
    portal: Portal = InlinePortal() if inline else LoopPortal()
    runtime = InlineRuntime(clock) if inline else LoopRuntime(clock)
    opened: list[Backend] = []

    async def open_it() -> None:
        opened.append(
            await open_backend(
                lambda: found, runtime, registry=registry, unknown=unknown, unfinished=unfinished, on_moved=on_moved
            )
        )

    try:
        portal.run(open_it())
        (backend,) = opened
        if isinstance(portal, LoopPortal):
            portal.location = backend.location  # as in the backend's own errors: the URL may contain a password
            portal.forgotten = backend.close
        return BlockingDatabase(backend, portal)
    except BaseException:
        for backend in opened:  # an interrupt came when it was open
            portal.run(backend.close())
        portal.close()
        raise


def _warn_of_loop(found: Found) -> None:
    """Log a warning if an event loop is running in this thread: whatever waits for the store blocks all of its tasks."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None or "ipykernel" in sys.modules:
        return  # in a notebook, cells run on a loop that does nothing else in the meantime
    if found.address.location != ":memory:":
        import logging

        logging.getLogger("goes_lite").warning(
            "blocking.connect() on a running event loop, which each of its calls blocks: write `async with "
            "goes_lite.connect(…)`, or call functions that use it through asyncio.to_thread()"
        )
