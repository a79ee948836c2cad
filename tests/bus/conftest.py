"""What the tests of the bus share: each runs on an event loop and in a blocking program."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goes_lite.runtime import Clock, InlineRuntime, LoopRuntime, Runtime, drive
from tests.bus import bus_kit, nats_kit
from tests.conftest_kit import quiet as _quiet

quiet = _quiet("goes_lite.bus")


@pytest.fixture(params=["loop", "inline"])
def run(request: pytest.FixtureRequest) -> bus_kit.Run:
    """Run a test on a bus of either runtime, and close the bus."""

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


@pytest.fixture(scope="session", autouse=True)
def _servers_end() -> Iterator[None]:
    """Stop the server after the run."""
    yield
    nats_kit.end()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[nats_kit.World]:
    """Provide streams of its own on the server of the run, and remove them afterwards."""
    found = nats_kit.World(nats_kit.url(), tmp_path)
    yield found
    found.end()
    from goes_lite_nats import NatsCarrier

    asyncio.run(NatsCarrier.erase(found.bus()))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """The paths of a certificate for this machine, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
