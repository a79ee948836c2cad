"""What an operator asks of a handle: how large the store is, whether it is sound, what it runs on."""

from __future__ import annotations

from goes_lite.contract.backend import Backend
from goes_lite.contract.findings import Finding
from goes_lite.sqlite._connection import FileAddress
from goes_lite.sqlite._driver import wal_reset_bug
from goes_lite.sqlite._examine import examine
from goes_lite.sqlite._executor import DirectExecutor
from goes_lite.sqlite._integrity import integrity
from goes_lite.sqlite._sizes import sizes


class InspectedBackend(Backend):
    """The part of the backend that looks at the store from outside."""

    _address: FileAddress
    _executor: DirectExecutor

    @property
    def driver(self) -> str:
        """The driver in use, with its version of SQLite."""
        return f"{self._address.driver.name} (SQLite {'.'.join(map(str, self._address.driver.version))})"

    @property
    def wal_reset_bug(self) -> bool:
        """Whether the SQLite in use has the WAL-reset bug, so that checkpoints block all writers."""
        return wal_reset_bug(self._address.driver.version)

    async def sizes(self) -> dict[str, int]:
        return await self._executor.read(lambda connection: sizes(connection, self._address))

    async def integrity(self) -> list[Finding]:
        return await self._executor.read(integrity)

    async def examine(self) -> list[Finding]:
        return await self._executor.read(lambda connection: examine(connection, self._address))
