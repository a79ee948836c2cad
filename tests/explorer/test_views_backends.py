"""The views of a copy on each backend show the same data as those of the file that it was copied from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import pytest

from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.contract.own_collections import LINEAGE
from tests.explorer import tea_shop as program
from tests.explorer.views_kit import Pages, pages
from tests.on_servers import backends_of, marks_of, new_stores

ADDRESSES = (
    "/event/1", "/event/30", "/aggregates", "/aggregates?name=order&id=2026-002", "/aggregate/order/2026-0004?at=2",
    f"/aggregate/order/{program.OLD_ORDER}", "/models", "/models/sales", "/models/sales?order=last&contains=a",
    "/models/goes:commands", "/projection/sales", "/projection/sales?at=200", "/consumers", "/consumers/letters",
    "/consumers/sales", "/commands", "/commands?state=failed", f"/commands/{program.FAILED}", f"/commands/{program.DONE}",
    "/workflows", "/workflows?status=suspended", "/workflows/fulfilment/2026-0004", "/workflows/fulfilment/2026-0005",
    "/search?q=2026-0004", "/search?q=customer:ada", "/search?q=Paper", "/search?q=letters",
)  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On a file, and on the servers in the share that takes them."""
    wanted = backends_of(metafunc.config)
    metafunc.parametrize("backend", [pytest.param(name, marks=marks_of(name)) for name in wanted])


def _lasting(data: object) -> object:
    """What a page says, apart from what the clock says, and that one of them is a copy."""
    if isinstance(data, dict):
        fields = cast("dict[str, Any]", data)
        return {name: _lasting(value) for name, value in fields.items() if name != "lag_seconds"}
    if isinstance(data, list):
        return [_lasting(value) for value in cast("list[object]", data) if value != LINEAGE]
    return data


def test_every_view_shows_the_same_on_every_backend(
    backend: str, tea_shop: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = str(tmp_path / "copy.db") if backend == "sqlite" else f"{new_stores(backend)}tea"
    with (
        blocking.connect(tea_shop, registry=program.registry, unknown="raw", read_only=True) as source,
        blocking.connect(url, registry=program.registry, unfinished=True) as target,
    ):
        operations.copy(source, target)
    with (
        caplog.at_level(logging.ERROR, "goes_lite.explorer"),
        pages(tea_shop, program.registry, program) as file,
        blocking.connect(url, registry=program.registry, unknown="raw") as db,
    ):
        copy = Pages(db, app=program)
        for address in ADDRESSES:
            assert _lasting(copy.data(address)) == _lasting(file.data(address)), address
