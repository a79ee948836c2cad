"""A thread that waits for a loop thread: interrupted at every moment, and left behind by a fork."""

from __future__ import annotations

import asyncio
import os
import warnings

import pytest

from goes_lite.errors import StoreForked
from goes_lite.runtime.portal import LoopPortal
from tests.backends.moments import Moments


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_an_interrupt_at_every_moment_of_a_call() -> None:
    """The portal goes on, and what was interrupted does not run on unseen: it is cancelled, or was done."""
    portal = LoopPortal()
    running: list[object] = []

    async def work() -> None:
        running.append(1)
        try:
            await asyncio.sleep(0.001)
        finally:
            running.pop()

    async def others() -> int:
        await asyncio.sleep(0.005)
        return len(asyncio.all_tasks())

    count = 0
    try:
        for where in Moments("goes_lite/runtime/portal").each(lambda: portal.run(work())):
            count += 1
            assert portal.run(others()) == 2, where  # this one, and that of the loop itself
            assert not running, where
    finally:
        portal.close()
    assert count > 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_told() -> None:
    """It does not wait for a thread that only its parent has, and can close what it inherited."""
    portal = LoopPortal("somewhere")

    async def nothing() -> None: ...

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # later Pythons warn of forking beside threads
            child = os.fork()
        if not child:
            try:
                portal.run(nothing())
            except StoreForked:
                portal.close()
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        portal.run(nothing())
    finally:
        portal.close()
