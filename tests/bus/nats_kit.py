"""The NATS server of the tests: one for each process that runs tests, with streams of its own for each test."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from goes_lite_conformance import Contract, Storage
from goes_lite_conformance.harness import Process, Processes
from goes_lite_conformance.servers import ServerMissing
from goes_lite_conformance.servers import nats as servers

import goes_lite as goes
from goes_lite.errors import CommandRejected

DRIVER = importlib.util.find_spec("nats") is not None
_running = ExitStack()
_urls: list[str] = []


def url() -> str:
    """The URL of a running server: the user's own, or one that is started."""
    if not _urls:
        _urls.append(os.environ.get(servers.URL) or _running.enter_context(servers.server()).url)
    return _urls[0]


def end() -> None:
    """Stop the server, if it was started."""
    _urls.clear()
    _running.close()


def missing() -> str:
    """Return why no test of NATS can run here, or an empty string. In CI a missing server is a failure."""
    if not DRIVER:
        return "nats-py is not installed"
    if os.environ.get(servers.URL) or os.environ.get("CI"):
        return ""
    try:
        servers.program()
    except ServerMissing as exc:
        return str(exc)
    return ""


needs_nats = pytest.mark.skipif(bool(missing()), reason=missing() or "NATS is there")


class Nats(Contract):
    """A store in a file, and a bus over NATS."""

    def url(self, storage: Storage) -> str:
        return f"sqlite:///{storage.folder}/app.db"

    def bus(self, storage: Storage) -> str:
        return f"{url()}?prefix={storage.name}&mode={storage.variant}"

    async def erase(self, storage: Storage) -> None:
        from goes_lite_nats import NatsCarrier

        await NatsCarrier.erase(self.bus(storage))


class JetStream(Nats):
    variants: ClassVar = ("jetstream",)


class Core(Nats):
    variants: ClassVar = ("core",)


# --- beyond the suite -------------------------------------------------------------------------------------------------

registry = goes.Registry()
PATIENCE = 30.0


@registry.event("thing.noted")
@dataclass(frozen=True)
class Noted:
    number: int


@registry.commands.event("counter.add")
@dataclass(frozen=True)
class Add:
    counter: str
    amount: int


@registry.commands.event("greet")
@dataclass(frozen=True)
class Greet:
    whom: str


class Refused(CommandRejected):
    """A rejection of a custom class."""


def note(number: int, aggregate: str = "", version: int = 0) -> goes.Event[Noted]:
    if not aggregate:
        return goes.Event(Noted(number), registry=registry)
    return goes.Event(Noted(number), aggregate=("thing", aggregate), version=version, registry=registry)


class World:
    """One server, a prefix of its own, and a folder for the stores."""

    def __init__(self, server: str, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.prefix = f"t{uuid4().hex[:16]}"
        self._start = Processes("tests.bus.nats_jobs", "-W", "error")

    def bus(self, **options: object) -> str:
        said = "&".join(f"{key}={value}" for key, value in {"prefix": self.prefix, **options}.items())
        return f"{self.server}?{said}"

    def store(self, name: str = "app") -> str:
        return str(self.folder / f"{name}.db")

    def open(self, name: str = "app", **options: object) -> Any:
        return goes.connect(self.store(name), bus=self.bus(**options), registry=registry)

    def blocking(self, name: str = "app", **options: object) -> goes.blocking.BlockingDatabase:
        return goes.blocking.connect(self.store(name), bus=self.bus(**options), registry=registry)

    def spawn(self, job: str, name: str = "app", **arguments: object) -> Process:
        """Start another process on a job of nats_jobs."""
        options = {key: arguments.pop(key) for key in ("mode", "lease", "storage") if key in arguments}
        return self._start(job, path=self.store(name), bus=self.bus(**options), **arguments)

    def end(self) -> None:
        self._start.end()


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Let others run until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def plain_broker(port: int = 0, **said: Any) -> AsyncGenerator[tuple[int, list[bytes]]]:
    """A listener that greets like a broker without TLS, and keeps what it receives, for each connection."""
    received: list[bytes] = []
    greeting = {"server_id": "X", "version": "2.10.0", "proto": 1, "max_payload": 1_048_576, "headers": True, **said}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps(greeting).encode() + b"\r\n")
        try:
            received.append(await reader.read(65_536))
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1], received
    finally:
        server.close()
        await server.wait_closed()
