"""What the tests of the bus share: each rule runs on an event loop and in a blocking program."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goes_lite.runtime import Clock, InlineRuntime, LoopRuntime, Runtime, drive

if TYPE_CHECKING:
    from tests.bus import bus_kit
else:
    # Test files are imported by path and their folders are not on sys.path; so is this, under the name that they use.
    spec = importlib.util.spec_from_file_location("bus_kit", Path(__file__).with_name("bus_kit.py"))
    bus_kit = sys.modules["bus_kit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bus_kit)


@pytest.fixture(params=["loop", "inline"])
def run(request: pytest.FixtureRequest) -> bus_kit.Run:
    """Runs a rule on a bus of either runtime, and closes the bus."""

    async def with_bus(rule: bus_kit.Rule, runtime: Callable[[Clock], Runtime], log: bus_kit.Log | None) -> None:
        program = bus_kit.Program(runtime, log)
        try:
            await rule(program)
        finally:
            await program.bus.close()

    def run(rule: bus_kit.Rule, log: bus_kit.Log | None = None) -> None:
        if request.param == "loop":
            asyncio.run(with_bus(rule, LoopRuntime, log))
        else:
            drive(with_bus(rule, InlineRuntime, log))

    return run


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures of handlers are logged, which is not what is looked at here."""
    logger = logging.getLogger("goes_lite.bus")
    logger.disabled = True
    yield
    logger.disabled = False
