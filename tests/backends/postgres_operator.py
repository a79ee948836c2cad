"""Somebody with all rights on a PostgreSQL server, for the tests of what such people do."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from goes_lite_conformance.servers import postgres


class Operator:
    """Somebody with all rights on a server, which is theirs alone."""

    def __init__(self, server: postgres.PostgresServer) -> None:
        self.server = server

    def sql(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements and return the rows of the last one."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url(database))
            try:
                for statement in statements[:-1]:
                    await connection.execute(statement)
                return list(await connection.fetch(statements[-1]))
            finally:
                await connection.close()

        return asyncio.run(run())

    def url(self, database: str = "postgres", role: str = "postgres", password: str = "") -> str:
        login = f"{role}:{password}" if password else role
        return f"postgresql://{login}@127.0.0.1:{self.server.port}/{database}"

    def role(self, options: str = "") -> str:
        """Create a role with all rights on everything, which no other test uses."""
        name = f"r{uuid4().hex[:12]}"
        self.sql(f"CREATE ROLE {name} LOGIN {options}", f"GRANT postgres TO {name}")
        return name

    def logins(self, *lines: str) -> None:
        """Let postgres in, and others as pg_hba.conf says in these lines."""
        (self.server.data / "pg_hba.conf").write_text(
            "\n".join(("host all,replication postgres all trust", *lines, ""))
        )
        self.sql("SELECT pg_reload_conf()")


@contextmanager
def small_disk(operator: Operator) -> Generator[tuple[str, Callable[[], object]]]:
    """Yield a tablespace on a disk of 4 MB, and a function that makes the disk larger."""
    folder = Path(tempfile.mkdtemp(prefix="goes-disk-"))
    mount = ("mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", str(folder))
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("this user may not mount a small disk")
    try:
        name = f"s{uuid4().hex[:12]}"
        inside = folder / "inside"
        inside.mkdir()
        shutil.chown(inside, operator.server.data.owner())
        inside.chmod(0o700)
        operator.sql(f"CREATE TABLESPACE {name} LOCATION '{inside}'")
        yield name, lambda: subprocess.run(["mount", "-o", "remount,size=40m", str(folder)], check=True)
        operator.sql(f"DROP TABLESPACE {name}")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
