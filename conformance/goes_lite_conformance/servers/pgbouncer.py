"""PgBouncer, the usual pooler of PostgreSQL connections, in front of a server: of the system, if it is installed.

from goes_lite_conformance.servers import pgbouncer, postgres

with postgres.server() as server, pgbouncer.pooler(server.url, "transaction") as pooler:
    print(pooler.url)
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from goes_lite_conformance.servers._child import Child, ServerMissing, free_port
from goes_lite_conformance.servers.postgres import other_user

WHERE = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
"""Packages have the program where only the administrator's path leads."""


def program() -> str:
    """Return the path of pgbouncer; raise ServerMissing if there is none."""
    found = shutil.which("pgbouncer", path=WHERE)
    if found is None:
        raise ServerMissing(
            "pgbouncer is not installed: use the package of the system, such as apt-get install pgbouncer"
        )
    return found


class PgBouncer(Child):
    """One pooler on a port of its own, which asks for no password."""

    def __init__(self, folder: Path, server: str, settings: dict[str, str]) -> None:
        self.port = free_port()
        parts = urlsplit(server)
        login, _, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{login}@127.0.0.1:{self.port}").geturl()
        users, config = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"{parts.username}" ""\n')
        lines = {
            "listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "trust",
            "auth_file": users, "max_client_conn": 500, "server_login_retry": 1, **settings,
        }  # fmt: skip
        databases = f"[databases]\n* = host={parts.hostname} port={parts.port}\n[pgbouncer]\n"
        config.write_text(databases + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        self.log = folder / "log"
        super().__init__([program(), str(config)], self.log, self._accepts, user=other_user(folder))

    def __repr__(self) -> str:
        return f"<PgBouncer {self.url}>"

    def _accepts(self) -> bool:
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return True


@contextmanager
def pooler(server: str, mode: str, *, size: int = 20, **settings: str) -> Generator[PgBouncer]:
    """Run a pooler in front of the server of a URL, in a mode: 'session', 'transaction' or 'statement'.

    It has up to `size` connections to the server for each user and database; `settings` are those of pgbouncer.ini. Raise
    ServerMissing if it is not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="goes-pooler-"))
    try:
        running = PgBouncer(folder, server, {"pool_mode": mode, "default_pool_size": str(size), **settings})
        try:
            running.start()
            yield running
        finally:
            running.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
