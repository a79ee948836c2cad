"""A follow that waits is ended from outside: by closing it, by cancelling its task, by closing the handle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes

registry = goes.Registry()
PATIENCE = 10.0


@registry.event("test.ticked")
@dataclass(frozen=True)
class Ticked:
    number: int


def tick(number: int) -> goes.Event[Ticked]:
    return goes.Event(Ticked(number), registry=registry)


def test_closing_the_pages_ends_a_follow_in_another_thread(tmp_path: Path) -> None:
    with goes.blocking.connect(tmp_path / "app.db", registry=registry) as db:
        heard, one = list[int](), threading.Event()
        pages = db.events.follow(after=0)

        def follow() -> None:
            for event in pages:
                heard.append(event.data.number)
                one.set()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        db.events.append([tick(1)])
        assert one.wait(PATIENCE)
        pages.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        db.events.append([tick(2)])
        assert (heard, next(pages, "ended")) == ([1], "ended")
        pages.close()


@pytest.mark.parametrize("inline", [True, False])
def test_closing_it_before_it_waits_ends_it_too(inline: bool) -> None:
    with goes.blocking.connect("sqlite:///:memory:", registry=registry, inline=inline) as db:
        db.events.append([tick(number) for number in range(3)])
        pages = db.events.follow(after=0)
        assert next(pages).data.number == 0
        pages.close()
        assert list(pages) == []
        assert list(db.events.query()) != []


async def stream(db: Any, started: asyncio.Event) -> AsyncGenerator[int]:
    """As a web framework runs it for a client that stays connected."""
    async with aclosing(db.events.follow(after=0)) as pages:
        started.set()
        async for event in pages:
            yield event.data.number


async def sent(db: Any, started: asyncio.Event) -> str:
    try:
        async for _ in stream(db, started):
            pass
    except goes.errors.StoreClosed:
        return "closed"
    return "ended"


async def opened(path: Path) -> tuple[Any, asyncio.Task[str]]:
    db = await goes.connect(path / "app.db", registry=registry)
    started = asyncio.Event()
    task = asyncio.create_task(sent(db, started))
    await started.wait()
    await asyncio.sleep(0)
    return db, task


def test_a_server_that_shuts_down_cancels_a_stream(tmp_path: Path) -> None:
    async def shut_down() -> None:
        db, task = await opened(tmp_path)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await db.close()

    asyncio.run(asyncio.wait_for(shut_down(), PATIENCE))


def test_closing_the_handle_ends_a_stream(tmp_path: Path) -> None:
    async def shut_down() -> None:
        db, task = await opened(tmp_path)
        await db.close()
        assert await task == "closed"

    asyncio.run(asyncio.wait_for(shut_down(), PATIENCE))


def test_closing_the_pages_ends_a_follow_in_another_task(tmp_path: Path) -> None:
    async def close() -> None:
        async with goes.connect(tmp_path / "app.db", registry=registry) as db:
            pages = db.events.follow(after=0)
            task = asyncio.create_task(pages.list())
            await asyncio.sleep(0)
            await pages.aclose()
            assert await task == []
            assert await db.commits.wait(db.commits.count, 0) is False

    asyncio.run(asyncio.wait_for(close(), PATIENCE))
