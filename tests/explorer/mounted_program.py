"""A program with the explorer below /store, as docs/explorer.md has it: `uvicorn mounted_program:app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

import goes_lite as goes
from goes_lite import explorer


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with goes.connect("shop.db") as db:
        pages = explorer.asgi(db, disclose="masked")
        app.mount("/store", pages)
        with pages.closed_by_signals():
            yield


app = Starlette(lifespan=lifespan)
