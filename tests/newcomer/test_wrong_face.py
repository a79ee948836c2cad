"""What is used in the way of the other face says what to write."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.errors import ConfigError


def with_block(thing: Any) -> None:
    with thing:
        raise AssertionError("it was entered")


async def async_with_block(thing: Any) -> None:
    async with thing:
        raise AssertionError("it was entered")


def loop_over(thing: Any) -> None:
    for _ in thing:
        raise AssertionError("it has an item")


async def async_loop_over(thing: Any) -> None:
    async for _ in thing:
        raise AssertionError("it has an item")


def handler(event: goes.Event[Any]) -> None: ...


def test_with_connect() -> None:
    with pytest.raises(ConfigError, match=r"^this is the async face: write `async with` .*blocking\.connect\(\)$"):
        with_block(goes.connect(":memory:"))


def test_connect_is_not_opened_yet() -> None:
    with pytest.raises(
        AttributeError, match=r"no 'events': write `async with connect\(…\) as db`, or `db = await connect"
    ):
        _ = cast(Any, goes.connect(":memory:")).events


ASYNC: list[Callable[[goes.Database], object]] = [
    with_block,
    lambda db: with_block(db.transaction()),
    lambda db: with_block(db.view()),
    lambda db: with_block(db.processor("p", handler)),
    lambda db: with_block(db.commands.worker()),
    lambda db: loop_over(db.events.query()),
    lambda db: loop_over(db.events.follow(after=0)),
]


@pytest.mark.parametrize("wrong", ASYNC)
def test_the_async_face_used_as_the_blocking_one(wrong: Callable[[goes.Database], object]) -> None:
    async def main() -> None:
        async with goes.connect(":memory:") as db:
            with pytest.raises(ConfigError, match=r"^this is the async face: write `async (with|for)` in a coroutine"):
                wrong(db)
            assert await db.events.head() == 0  # nothing was begun

    asyncio.run(main())


BLOCKING: list[Callable[[goes.blocking.BlockingDatabase], Coroutine[Any, Any, None]]] = [
    async_with_block,
    lambda db: async_with_block(db.transaction()),
    lambda db: async_with_block(db.processor("p", handler)),
    lambda db: async_loop_over(db.events.query()),
]


@pytest.mark.parametrize("wrong", BLOCKING)
def test_the_blocking_face_used_as_the_async_one(
    wrong: Callable[[goes.blocking.BlockingDatabase], Coroutine[Any, Any, None]],
) -> None:
    db = goes.blocking.connect(":memory:")
    with db, pytest.raises(ConfigError, match=r"^this is the blocking face: write `(with|for)`; .*goes_lite\.connect"):
        wrong(db).send(None)  # what a loop does first


def test_a_forgotten_await_is_told_by_python() -> None:
    """With the name of the method: there is nothing to add."""

    async def main() -> None:
        async with goes.connect(":memory:") as db:
            with pytest.warns(RuntimeWarning, match=r"coroutine '.*append' was never awaited"):
                cast(Any, db.events).append([])

    asyncio.run(main())


ON_A_LOOP = """
import asyncio
import goes_lite as goes

def use(path: str) -> None:
    with goes.blocking.connect(path) as db:
        assert db.events.head() == 0

async def main() -> None:
    await asyncio.to_thread(use, "app.db")
    use(":memory:")
    print("now", flush=True)
    use("app.db")

use("app.db")
asyncio.run(main())
"""


def test_the_blocking_face_on_a_running_loop(tmp_path: Path) -> None:
    """It works, and blocks all tasks of the loop: the log says so, but not if it is used in a thread, or in memory."""
    done = subprocess.run(
        [sys.executable, "-c", ON_A_LOOP],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    before, _, warning = done.stdout.partition("now\n")
    assert before == ""
    assert re.fullmatch(
        r"blocking\.connect\(\) on a running event loop, .*: write `async with goes_lite\.connect.*\n", warning
    )
