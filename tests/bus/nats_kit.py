"""The NATS server of the tests: one for each process that runs tests, and each test in streams of its own."""

from __future__ import annotations

import importlib.util
import os
from contextlib import ExitStack
from typing import ClassVar

import pytest
from goes_lite_conformance import Contract, Storage
from goes_lite_conformance.servers import ServerMissing
from goes_lite_conformance.servers import nats as servers

DRIVER = importlib.util.find_spec("nats") is not None
_running = ExitStack()
_urls: list[str] = []


def url() -> str:
    """That of a server which runs: the user's own, or one that is started."""
    if not _urls:
        _urls.append(os.environ.get(servers.URL) or _running.enter_context(servers.server()).url)
    return _urls[0]


def end() -> None:
    """Stop it, if it was started."""
    _urls.clear()
    _running.close()


def missing() -> str:
    """Why no test of NATS can be run here; nothing if they can. In CI a server that is not there is a failure."""
    if not DRIVER:
        return "nats-py is not installed"
    if os.environ.get(servers.URL) or os.environ.get("CI"):
        return ""
    try:
        servers.program()
    except ServerMissing as exc:
        return str(exc)
    return ""


needs_nats = pytest.mark.skipif(bool(missing()), reason=missing() or "it is there")


class Nats(Contract):
    """A store in a file, and a bus over NATS."""

    def url(self, storage: Storage) -> str:
        return f"sqlite:///{storage.folder}/app.db"

    def bus(self, storage: Storage) -> str:
        return f"{url()}?prefix={storage.name}&mode={storage.variant}"

    async def erase(self, storage: Storage) -> None:
        from goes_lite_nats import NatsCarrier

        if storage.variant != "core":
            await NatsCarrier.erase(self.bus(storage))


class JetStream(Nats):
    variants: ClassVar = ("jetstream",)


class Core(Nats):
    variants: ClassVar = ("core",)
