"""SQLite on a disk that loses its power or refuses to work."""

from __future__ import annotations

from typing import ClassVar

import pytest
from goes_lite_conformance import Contract, Storage
from goes_lite_conformance.sqlite_power import SQLitePowerTests

pytest.importorskip("apsw", reason="apsw is not installed, and nothing else can stand between SQLite and its files")


class SQLite(Contract):
    variants: ClassVar = ("apsw",)

    def url(self, storage: Storage) -> str:
        return f"sqlite:///{storage.folder}/app.db?driver={storage.variant}"


class TestPower(SQLite, SQLitePowerTests): ...
